"""I/O: how a worker dials, and how it keeps to its dead-man switch, where there is no kernel to enforce either.

Stands in for the socket marks and the fence of the kernel's table (``penstock serve --no-kernel``).  It must never let
a worker that stood still send on what it held: the first look at the clock afterwards ends it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

from penstock.model import Grant
from penstock.proxy.office import Clock, send_now_or_never


async def dial_unmarked(grant: Grant, port: int) -> socket.socket:
    """A connection to the asset, as any program of this machine would make it.  Raises `OSError`."""
    dialled = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        dialled.setblocking(False)
        send_now_or_never(dialled, grant)
        await asyncio.get_running_loop().sock_connect(dialled, (grant.underlay, port))
    except BaseException:
        dialled.close()
        raise
    return dialled


class FencedClock(Clock):
    """A clock that ends the worker when too long has passed since its last beat.

    Every byte of a flow is looked at with the time of this clock, so what waited while the worker stood still is not
    judged, and not sent.
    """

    def __init__(self, stall_s: float, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._stall_s, self._monotonic_s = stall_s, monotonic_s
        self._beaten_s: float | None = None
        self.end: Callable[[str], None] | None = None
        super().__init__(self._fenced_ns)

    def beaten(self) -> None:
        """The worker's loop turned: the fence is armed, or stays so."""
        self._beaten_s = self._monotonic_s()

    def _fenced_ns(self) -> int:
        """The steady time, which all others are made of; calls `end` first where the worker stood still."""
        beaten_s, end = self._beaten_s, self.end
        if beaten_s is not None and end is not None and self._monotonic_s() - beaten_s >= self._stall_s:
            self._beaten_s = None  # ending writes records, and these have times
            end(f"the worker stood still for {self._monotonic_s() - beaten_s:.1f} s, so what it holds may be stale")
        return time.monotonic_ns()
