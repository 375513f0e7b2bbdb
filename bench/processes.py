"""I/O: what the kernel says about running programs: their CPU time, their memory, their children (proc(5))."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
#: Linux, include/linux/posix-timers_types.h: the clock of time on a processor.
_CPUCLOCK_SCHED = 2


def family(pid: int) -> tuple[int, ...]:
    """This process and everything that it started, directly or not."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                after_name = (entry / "stat").read_text().rpartition(") ")[2].split()
                children.setdefault(int(after_name[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, ()))
    return tuple(found)


def cpu_us(pids: Iterable[int]) -> dict[int, float]:
    """CPU time of these processes, with all their threads past and present, in microseconds; none for ended ones."""
    used = {}
    for pid in pids:
        with suppress(OSError):
            used[pid] = time.clock_gettime_ns(_cpu_clock(pid)) / 1e3
    return used


def cpu_us_since(before: Mapping[int, float]) -> float:
    """What the processes of an earlier `cpu_us` have used since, in microseconds."""
    return sum(now_us - before[pid] for pid, now_us in cpu_us(before).items())


def _cpu_clock(pid: int) -> int:
    """The clock that counts a process's CPU time to the nanosecond, as clock_getcpuclockid(3) makes it."""
    return (~pid << 3) | _CPUCLOCK_SCHED


def memory_kb(pid: int) -> tuple[int, int]:
    """Resident memory and the proportional share of it (RSS, PSS) in kB."""
    sizes = {}
    for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, size = line.partition(":")
        sizes[name] = int(size.split()[0])
    return sizes["Rss"], sizes["Pss"]


def words(pid: int) -> tuple[str, ...]:
    """The command line of a process."""
    return tuple((_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0"))
