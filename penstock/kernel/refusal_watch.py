"""I/O: watches what the kernel refuses, and tells of it at a bounded rate without losing count.

Stands between the packet log and the counter ``refused`` on one side and the enforcer's events on the other; `attempts`
and `balance` decide what is told.  With nothing refused it wakes up every five minutes.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable

from penstock.kernel.attempts import Attempts
from penstock.kernel.balance import FIRST_PERIOD_US, SETTLE_US, Balance
from penstock.kernel.counters import Counters
from penstock.kernel.refusals import RefusalLog
from penstock.model import FlowsRefused, SourceScanned

#: Refusals are told at most this often.
PERIOD_S = 1.0
COUNTER = "refused"
#: Datagrams that are read in one go, so that commands are not kept waiting.
_READ_AT_ONCE = 64


class RefusalWatch:
    """Lives in the enforcer's event loop; `tell` gets the events."""

    def __init__(self, tell: Callable[[FlowsRefused | SourceScanned], None]) -> None:
        self._loop, self._tell = asyncio.get_running_loop(), tell
        self._log, self._counters = RefusalLog(), Counters()
        self._attempts, self._balance = Attempts(), Balance(self._counters.packets().get(COUNTER))
        self._telling: asyncio.TimerHandle | None = None
        self._balancing = self._later(self._balance.period_us, self._read_counter)
        self._loop.add_reader(self._log.fileno(), self._read)

    def close(self) -> None:
        """Let go of the kernel's sockets."""
        self._loop.remove_reader(self._log.fileno())
        for due in (self._telling, self._balancing):
            if due is not None:
                due.cancel()
        self._log.close()
        self._counters.close()

    def _read(self) -> None:
        now_us = _now_us()
        try:
            for _ in range(_READ_AT_ONCE):
                refusals = self._log.received()
                if refusals is None:
                    break
                if refusals:
                    self._balance_soon()
                    self._balance.seen(len(refusals))
                for refusal in refusals:
                    self._attempts.add(refusal, now_us)
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # the counter in the kernel has them all
                raise
        self._tell_later()

    def _tell_later(self) -> None:
        if self._telling is None and not self._attempts.is_idle:
            self._telling = self._loop.call_later(PERIOD_S, self._tell_due)

    def _tell_due(self) -> None:
        self._telling = None
        for event in self._attempts.due(_now_us()):
            self._tell(event)
        self._tell_later()

    def _balance_soon(self) -> None:
        """After a quiet time the next reading may be minutes away."""
        if self._balancing.when() > self._loop.time() + FIRST_PERIOD_US / 1_000_000:
            self._balancing.cancel()
            self._balancing = self._later(FIRST_PERIOD_US, self._read_counter)

    def _read_counter(self) -> None:
        self._balance.read(self._counters.packets().get(COUNTER))
        self._balancing = self._later(SETTLE_US, self._settle)

    def _settle(self) -> None:
        self._read()
        missing = self._balance.untold()
        if missing:
            self._attempts.add_others(missing, _now_us())
            self._tell_later()
        self._balancing = self._later(self._balance.period_us, self._read_counter)

    def _later(self, delay_us: int, act: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(delay_us / 1_000_000, act)


def _now_us() -> int:
    return time.time_ns() // 1000
