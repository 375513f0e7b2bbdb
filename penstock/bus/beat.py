"""I/O: a process of the gate shows that its event loop turns, by writing the monotonic time into a shared page.

The supervisor reads it.  A process that is stopped, hung or starved cannot write, whatever else it may do.
"""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

#: How often a process beats.
PERIOD_S = 0.2
_PAGE_BYTES = 4096
_TIME = struct.Struct("<Q")


class Beat:
    """The writing side: one page in `path`."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(_PAGE_BYTES)
            self._page = mmap.mmap(file.fileno(), _PAGE_BYTES)

    def touch(self) -> None:
        """Write the monotonic time, in nanoseconds."""
        _TIME.pack_into(self._page, 0, time.monotonic_ns())


async def beat_forever(path: Path) -> None:
    """Beat from this event loop until cancelled."""
    import asyncio  # noqa: PLC0415  the supervisor reads beats, and does without an event loop

    beat = Beat(path)
    while True:
        beat.touch()
        await asyncio.sleep(PERIOD_S)


def last_beat_s(path: Path) -> float | None:
    """The monotonic time of the last beat in seconds, or ``None`` where there has been none."""
    try:
        with path.open("rb") as file:
            content = file.read(_TIME.size)
    except OSError:
        return None
    if len(content) < _TIME.size:
        return None
    (beaten_ns,) = _TIME.unpack(content)
    return float(beaten_ns / 1e9) if beaten_ns else None
