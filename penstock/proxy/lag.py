"""I/O: how long bytes that are ready wait for the event loop: the part of the gate's own time that no flow can see.

A timer of the kernel (timerfd_create(2)) becomes readable at known moments, and the loop reads it in its turn, as it
reads connections.  So each moment is a sample of what a message would have waited, whatever kept the loop: a long turn,
the collector, another process on the core.  Moments that were missed are counted too, each with its own wait.  It must
never keep the process busy: 40 moments a second.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from typing import Final

from penstock.bus.histogram import Histogram

PERIOD_NS: Final = 25_000_000
_COUNT_BYTES: Final = 8
_CLOCK_MONOTONIC, _ABSOLUTE = 1, 1
#: After so many missed moments (a minute) the rest are as late as these.
_MAX_MISSED: Final = 2400
_NS_PER_S: Final = 1_000_000_000

_libc = ctypes.CDLL(None, use_errno=True)


class _Moment(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Moment), ("first", _Moment))


class LagProbe:
    """Samples of the running event loop's lag, in microseconds, in `lag`.  Raises `OSError` where there is no timer."""

    def __init__(self) -> None:
        self.lag = Histogram()
        self._due_ns = time.monotonic_ns() + PERIOD_NS
        self._timer = _checked(_libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
        times = _Timer(_moment(PERIOD_NS), _moment(self._due_ns))
        _checked(_libc.timerfd_settime(self._timer, _ABSOLUTE, ctypes.byref(times), None))
        asyncio.get_running_loop().add_reader(self._timer, self._look)

    def close(self) -> None:
        """No more samples."""
        asyncio.get_running_loop().remove_reader(self._timer)
        os.close(self._timer)

    def _look(self) -> None:
        try:
            count = int.from_bytes(os.read(self._timer, _COUNT_BYTES), sys.byteorder)
        except BlockingIOError:
            return
        now_ns = time.monotonic_ns()
        for missed in range(min(count, _MAX_MISSED)):
            self.lag.add((now_ns - self._due_ns - missed * PERIOD_NS) // 1000)
        self._due_ns += count * PERIOD_NS


def _moment(nanoseconds: int) -> _Moment:
    return _Moment(*divmod(nanoseconds, _NS_PER_S))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
