"""Everything that can go wrong with a gate, done to a real one: each fault lasts until its block ends."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from failure_lab import FailureLab

from penstock.kernel.conntrack import Connections

PACKAGING = Path(__file__).parents[2] / "packaging/systemd"
Fault = Callable[[FailureLab], AbstractContextManager[None]]


def _signalled(name: str, number: int) -> Fault:
    @contextmanager
    def fault(lab: FailureLab) -> Iterator[None]:
        former = lab.gate.pid(name)
        with lab.unrepaired():
            lab.signal(name, number)
            yield
        lab.gate.wait(lambda: lab.gate.pid(name) not in (None, former), f"a new {name}", 30)

    return fault


@contextmanager
def _supervisor_killed(lab: FailureLab) -> Iterator[None]:
    """The other processes end with it; systemd would start it again after some seconds."""
    os.kill(lab.supervisor(), signal.SIGKILL)
    yield
    lab.gate.start()


@contextmanager
def _all_killed(lab: FailureLab) -> Iterator[None]:
    _kill_all(lab)
    yield
    lab.gate.start()


@contextmanager
def _all_stopped(lab: FailureLab) -> Iterator[None]:
    """As when the machine is so overloaded, or its virtual machine so frozen, that no process runs."""
    stopped = lab.pids()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def _disk_full(lab: FailureLab) -> Iterator[None]:
    filler = lab.gate.state_dir / "filler"
    _fill(filler)
    _wait_for_evidence(lab, filler)
    yield
    filler.unlink()


@contextmanager
def _evidence_unwritable(lab: FailureLab) -> Iterator[None]:
    """Every write beyond the first page of a file fails (EFBIG) for the process that keeps evidence and state."""
    control = lab.gate.pid("control")
    assert control is not None
    unlimited = resource.prlimit(control, resource.RLIMIT_FSIZE)
    resource.prlimit(control, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    _wait_for_evidence(lab, None)
    yield
    resource.prlimit(control, resource.RLIMIT_FSIZE, unlimited)


@contextmanager
def _rebooted(lab: FailureLab) -> Iterator[None]:
    """Nothing is left of the gate but its disk; then the machine's boot runs what its units name, and no gate."""
    units = _installed(lab)
    _kill_all(lab)
    node = lab.gate.node
    node.run(["nft", "flush", "ruleset"])
    node.ip("rule del priority 100", "route flush table 100")
    with node.entered():
        connections = Connections()
        for entry in connections.marked(0, 0):
            connections.delete(entry)
        connections.close()
        for unit in ("penstock-boot", "penstock-leg"):
            lines = (units / f"{unit}.service").read_text().splitlines()
            (command,) = (line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart="))
            subprocess.run(shlex.split(command), check=True, capture_output=True)
    yield
    lab.gate.start()


@contextmanager
def _flushed(lab: FailureLab) -> Iterator[None]:
    """Somebody, or the distribution's own firewall, removes every table there is."""
    lab.gate.node.run(["nft", "flush", "ruleset"])
    yield


FAULTS: dict[str, Fault] = {
    "worker killed": _signalled("worker-1", signal.SIGKILL),
    "worker stopped (SIGSTOP)": _signalled("worker-1", signal.SIGSTOP),
    "worker's event loop stuck": _signalled("worker-1", signal.SIGUSR1),
    "control killed": _signalled("control", signal.SIGKILL),
    "control stopped (SIGSTOP)": _signalled("control", signal.SIGSTOP),
    "enforcer killed": _signalled("enforcer", signal.SIGKILL),
    "enforcer stopped (SIGSTOP)": _signalled("enforcer", signal.SIGSTOP),
    "supervisor killed, and all with it": _supervisor_killed,
    "every process killed at once": _all_killed,
    "every process stopped at once": _all_stopped,
    "disk full": _disk_full,
    "evidence unwritable (every write fails)": _evidence_unwritable,
    "every table removed (`nft flush ruleset`)": _flushed,
    "gate rebooted: its boot unit has run, no process of it": _rebooted,
}
#: The gate itself undoes these while they are watched.
PUT_RIGHT = frozenset({"every table removed (`nft flush ruleset`)"})
#: Here the machine itself is away for a moment, so a flow on the kernel path feels it, too.
MACHINE_AWAY = frozenset(
    {"every table removed (`nft flush ruleset`)", "gate rebooted: its boot unit has run, no process of it"}
)
#: This one needs the gate's state on a file system of its own.
ON_OWN_DISK = frozenset({"disk full"})


def move_to_small_disk(folder: Path) -> None:
    """Put the folder on a tmpfs of 24 MiB before the gate starts; mounts are the test's own namespace's."""
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "penstock", str(folder)], check=True)


def _kill_all(lab: FailureLab) -> None:
    for pid in lab.pids():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _installed(lab: FailureLab) -> Path:
    """The units of this gate, as its installation writes them; their folder."""
    out = lab.folder / "lib"
    places = {"out": out, "state": lab.gate.state_dir, "run": lab.gate.run_dir, "site": lab.gate.site}
    options = [word for name, path in places.items() for word in (f"--{name}", str(path))]
    command = [PACKAGING / "install", *options, "--interface", lab.gate.interface, "--address", lab.gate.address]
    subprocess.run(command, check=True, capture_output=True)
    return out / "units"


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        for size in (65536, 64):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)


def _wait_for_evidence(lab: FailureLab, filler: Path | None) -> None:
    """Until the gate itself has noticed: the log has a reserve that it gives up first."""

    def is_seen() -> bool:
        if filler is not None:
            _fill(filler)
        return not lab.gate.status().get("evidence", {}).get("is_healthy", True)

    lab.gate.wait(is_seen, "the gate to see that evidence cannot be written", 20)
