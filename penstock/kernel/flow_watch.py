"""I/O: watches the connection table: every flow on the kernel path that opens and ends, with its counters.

Stands between `conntrack` and the enforcer's events; `flows` says what a change means, `folding` what is told together.
What was lost because nobody read in time is counted, looked for in the whole table, and told.  It must never hold the
event loop for long: commands, a revocation among them, wait behind it.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Final

from penstock.kernel.conntrack import ConnectionEvents, Connections
from penstock.kernel.entries import Change, Entry
from penstock.kernel.flows import KernelFlows, added, is_on_kernel_path
from penstock.kernel.folding import Folds
from penstock.model import GRANT_MASK, Event, EventsLost, KernelFlowClosed, KernelFlowOpened, Traffic, TrafficCounted

#: When the table could not be read after a loss.
RETRY_S: Final = 1.0
#: The last ACK of an orderly close has passed by then.
CLOSED_AFTER_S: Final = 0.5
FOLD_PERIOD_S: Final = 1.0
#: Closed flows that may wait a little longer, so that they are forgotten together.
TOGETHER_S: Final = 0.05
#: Events that are read in one go, so that commands are not kept waiting.
READ_AT_ONCE: Final = 128
#: Entries of the whole table that are read in one go.
DUMP_AT_ONCE: Final = 256
#: Flows of withdrawn grants that are counted before the answer, in any tenth of a second; each costs some 25 us.
COUNTED_AT_ONCE: Final = 64
COUNT_PERIOD_S: Final = 0.1


class FlowWatch:
    """Lives in the enforcer's event loop; `tell` gets the events."""

    def __init__(self, connections: Connections, tell: Callable[[Event], None]) -> None:
        self._loop, self._connections, self._tell = asyncio.get_running_loop(), connections, tell
        self.flows = KernelFlows()
        self._folds = Folds()
        self._events = ConnectionEvents()
        #: When they may be forgotten, by the loop's clock.
        self._closing: deque[tuple[float, Entry]] = deque()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_lost = False
        self._has_read_all = asyncio.Event()
        self._count_from_s, self._counted = 0.0, 0
        self._loop.add_reader(self._events.fileno(), self.read)

    def adopt(self) -> None:
        """Learn of the flows that were open before."""
        entries = list(self._connections.everything())
        self.flows.adopt(entries)
        self._forget_closing(entries)

    def close(self) -> None:
        """Let go of the kernel's socket."""
        self._loop.remove_reader(self._events.fileno())
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks.values():
            task.cancel()
        self._events.close()

    def read(self) -> None:
        """Take in a portion of what happened."""
        now_us = _now_us()
        try:
            for _ in range(READ_AT_ONCE):
                event = self._events.received()
                if event is None:
                    self._has_read_all.set()
                    break
                if not isinstance(event, bool):
                    self._take(*event, now_us)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._is_lost = True
            self._task("reconcile", self._reconcile)

    def count(self) -> None:
        """Count what all the open flows have carried so far, in the background."""
        self._task("count", self._count)

    def count_ended(self, number: int) -> None:
        """Tell what the open flows of a grant that was just withdrawn have carried, as far as there is time."""
        now_s = self._loop.time()
        if now_s - self._count_from_s > COUNT_PERIOD_S:
            self._count_from_s, self._counted = now_s, 0
        traffic = Traffic()
        for entry in self.flows.of(number)[: COUNTED_AT_ONCE - self._counted]:
            self._counted += 1
            counted = self._connections.counted(entry)
            if counted is not None:
                traffic = added(traffic, counted)
        if traffic.flows:
            self._tell(TrafficCounted(open={number: traffic}, is_all=False, at_us=_now_us()))

    def _take(self, change: Change, entry: Entry, now_us: int) -> None:
        if change is Change.CLOSING and is_on_kernel_path(entry):
            # the kernel would tell of the end up to two minutes later, so the entry is deleted
            self._closing.append((self._loop.time() + CLOSED_AFTER_S, entry))
            self._later("forget", CLOSED_AFTER_S + TOGETHER_S, self._forget)
        event = self.flows.event(change, entry, now_us)
        if event is not None:
            self._fold(event, now_us)

    def _fold(self, event: KernelFlowOpened | KernelFlowClosed, now_us: int) -> None:
        apart = self._folds.add(event, now_us)
        if apart is not None:
            self._tell(apart)
        self._later("fold", FOLD_PERIOD_S, self._tell_folds)

    def _tell_folds(self) -> None:
        for event in self._folds.due(_now_us()):
            self._tell(event)
        if not self._folds.is_empty:
            self._later("fold", FOLD_PERIOD_S, self._tell_folds)

    def _forget(self) -> None:
        now_s, due = self._loop.time(), []
        while self._closing and self._closing[0][0] <= now_s:
            due.append(self._closing.popleft()[1])
        self._connections.delete_all(due)
        if self._closing:
            self._later("forget", max(TOGETHER_S, self._closing[0][0] - now_s), self._forget)

    def _forget_closing(self, entries: Iterable[Entry]) -> None:
        """Entries whose closing nobody saw would stay for two minutes."""
        for entry in entries:
            if entry.is_closing and is_on_kernel_path(entry):
                self._take(Change.CLOSING, entry, _now_us())

    async def _reconcile(self) -> None:
        """What was lost: read on until the socket is empty, then look at the whole table, and tell.

        The socket takes nothing in until it has been emptied, so the events in it are older than the loss.
        """
        opened = closed = 0
        while self._is_lost:
            self._is_lost = False
            try:
                await self._read_all()
                self.flows.begin_reconciling()
                entries = await self._everything()
                await self._read_all()
            except OSError:  # the loss is still there to be made good and told
                self._is_lost = True
                await asyncio.sleep(RETRY_S)
                continue
            found = self.flows.reconcile(entries, _now_us())
            for event in found:
                self._fold(event, _now_us())
                opened += isinstance(event, KernelFlowOpened)
                closed += isinstance(event, KernelFlowClosed)
            self._forget_closing(entries)
        why = "the connection table changed faster than its changes were read"
        self._tell(EventsLost(count=self._events.lost(), why=why, opened=opened, closed=closed, at_us=_now_us()))

    async def _read_all(self) -> None:
        self._has_read_all.clear()
        while not self._has_read_all.is_set():
            self.read()
            await asyncio.sleep(0)

    async def _everything(self) -> list[Entry]:
        """The whole table, read in portions over a socket of its own."""
        table, found = Connections(), []
        try:
            for number, entry in enumerate(table.everything()):
                found.append(entry)
                if number % DUMP_AT_ONCE == 0:
                    await asyncio.sleep(0)
        finally:
            table.close()
        return found

    async def _count(self) -> None:
        counted: dict[int, Traffic] = {}
        for entry in await self._everything():
            if is_on_kernel_path(entry):
                number = entry.mark & GRANT_MASK
                counted[number] = added(counted.get(number, Traffic()), entry)
        self._tell(TrafficCounted(open=counted, is_all=True, at_us=_now_us()))

    def _later(self, name: str, delay_s: float, act: Callable[[], None]) -> None:
        """Do it once, however often it is asked for meanwhile."""
        if name not in self._timers:
            self._timers[name] = self._loop.call_later(delay_s, self._on_time, name, act)

    def _on_time(self, name: str, act: Callable[[], None]) -> None:
        del self._timers[name]
        act()

    def _task(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        running = self._tasks.get(name)
        if running is None or running.done():
            self._tasks[name] = self._loop.create_task(work())


def _now_us() -> int:
    return time.time_ns() // 1000
