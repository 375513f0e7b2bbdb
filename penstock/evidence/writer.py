"""I/O: the log under asyncio: records from the event loop, one thread that writes them in groups.

Stands between `control` and `Log`.  It must never make the event loop wait for the disk, and never forget silently:
what could not be written is counted and admitted in a `log.gap` record.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Self

from penstock.evidence.line import encode, gap_record
from penstock.evidence.log import Log
from penstock.model import Record, RecordKind, Unavailable

#: How long a record waits for company: 19 ms median at 8 to 11 percent of one core, on a disk that syncs in 5 ms.
WINDOW_MS = 20
#: What waits in memory while the disk does not take it.
MAX_QUEUED_BYTES = 32 << 20
#: What one sync makes durable at most: larger groups gain nothing and hold up the urgent.
MAX_GROUP_BYTES = 2 << 20
RETRY_S = 1.0
CHECKPOINT_S = 1.0
#: How often a checkpoint is also kept for ever: at 200 bytes each some 100 MB in a year.
KEEP_S = 60.0


@dataclass(slots=True, eq=False)
class _Batch:
    """Records that were given together; `done` is set when their giver waits."""

    kinds: Sequence[RecordKind]
    lines: Sequence[bytes]
    done: asyncio.Future[range] | None
    length_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When the writer acts, in the units of the names."""

    window_ms: float = WINDOW_MS
    retry_s: float = RETRY_S
    checkpoint_s: float = CHECKPOINT_S
    keep_s: float = KEEP_S


class Writer:
    """Writes to `log` from a running event loop; `async with`, or `start` and `close`.

    From `start` to the end of `close` nobody else may use the log.  All methods are for the thread of the event loop.
    """

    def __init__(
        self,
        log: Log,
        now_us: Callable[[], int],
        *,
        timing: Timing | None = None,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        on_health_change: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._log, self._now_us, self._timing = log, now_us, timing or Timing()
        self._max_queued_bytes, self._on_health_change = max_queued_bytes, on_health_change
        self._wake = Condition()
        self._queue: deque[_Batch] = deque()
        self._queued_bytes = 0
        self._is_urgent = self._is_closing = False
        self._lost: Counter[str] = Counter()
        self._lost_from_us = 0
        self._why = ""
        self._is_healthy = self._told = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._ended: asyncio.Future[None] | None = None
        self._checkpoint_at = self._kept_at = time.monotonic()
        self._signed = -1

    @property
    def is_healthy(self) -> bool:
        """Whether the disk took what was last written."""
        return self._is_healthy

    @property
    def queued_bytes(self) -> int:
        """How much waits for the disk."""
        return self._queued_bytes

    def start(self) -> None:
        """Begin to write; call it in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._thread = Thread(target=self._run, name="evidence-writer", daemon=True)
        self._thread.start()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def write(self, records: Sequence[Record], *, urgent: bool = False) -> range:
        """Write records and wait until they are durable; tells their numbers.  `urgent` does not wait for company.

        Raises `ValueError` as `encode`, and `Unavailable` when the disk does not take them or has not before: they are
        then not written later either, only counted in the `log.gap` record, so that what they allow must not happen.
        """
        assert self._loop is not None
        done: asyncio.Future[range] = self._loop.create_future()
        batch = _batch(records, done)
        with self._wake:
            if not self._is_healthy or not self._has_room(batch):
                self._count_lost(batch)
                raise Unavailable(self._why or "the evidence log does not keep up")
            self._enqueue(batch, is_urgent=urgent)
        return await done

    def put(self, records: Sequence[Record]) -> bool:
        """Write records soon, without waiting.  Raises `ValueError` as `encode`.

        Tells whether that is in order: when it is not, the disk fails or does not keep up, and the records wait in
        memory while there is room, or else are counted in the `log.gap` record.  Never give them again.
        """
        batch = _batch(records, None)
        with self._wake:
            if not self._has_room(batch):
                self._count_lost(batch)
                return False
            self._enqueue(batch, is_urgent=False)
            return self._is_healthy

    async def close(self) -> None:
        """Write what waits and a last checkpoint, and end.  Raises `Unavailable` when the disk does not take it."""
        assert self._ended is not None
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        await self._ended
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _has_room(self, batch: _Batch) -> bool:
        return not self._is_closing and self._queued_bytes + batch.length_bytes <= self._max_queued_bytes

    def _enqueue(self, batch: _Batch, *, is_urgent: bool) -> None:
        self._queue.append(batch)
        self._queued_bytes += batch.length_bytes
        self._is_urgent = self._is_urgent or is_urgent
        self._wake.notify()

    def _count_lost(self, batch: _Batch) -> None:
        if not self._lost:
            self._lost_from_us = self._now_us()
        self._lost.update(kind.value for kind in batch.kinds)

    # --- from here on: the writing thread ---

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while self._wait():
                self._step()
            self._finish()
        except BaseException as raised:  # noqa: BLE001  it is raised again where `close` waits
            error = raised
            self._fail_waiting(raised)
        self._tell(self._end, error)

    def _wait(self) -> bool:
        """Wait until there is something to do and its company came; tells False when the writer closes."""
        with self._wake:
            if not self._is_healthy:
                self._wake.wait_for(lambda: self._is_closing, self._timing.retry_s)
            elif not self._queue and not self._lost:
                self._wake.wait_for(lambda: self._queue or self._is_closing, self._until_checkpoint_s())
            if self._is_healthy and self._queue:
                window_s = self._timing.window_ms / 1000
                self._wake.wait_for(lambda: self._is_urgent or self._is_closing or self._is_large(), window_s)
            return not self._is_closing

    def _is_large(self) -> bool:
        return self._queued_bytes >= MAX_GROUP_BYTES

    def _until_checkpoint_s(self) -> float | None:
        if self._log.size == self._signed:
            return None
        return max(0.0, self._checkpoint_at + self._timing.checkpoint_s - time.monotonic())

    def _step(self) -> None:
        """Write one group, and a checkpoint when it is time; a failure keeps what nobody waits for."""
        batches, lost, lost_from_us = self._take()
        try:
            self._write(batches, lost, lost_from_us)
            self._sign_in_time()
        except Unavailable as error:
            self._keep(batches, lost, lost_from_us, error)
            self._set_health(is_healthy=False)
            return
        except BaseException as error:
            self._keep(batches, lost, lost_from_us, Unavailable(f"the evidence log ended: {error}"))
            raise
        self._set_health(is_healthy=True)

    def _take(self) -> tuple[list[_Batch], Counter[str], int]:
        batches: list[_Batch] = []
        length_bytes = 0
        with self._wake:
            while self._queue and (not batches or length_bytes < MAX_GROUP_BYTES):
                batches.append(self._queue.popleft())
                length_bytes += batches[-1].length_bytes
            self._queued_bytes -= length_bytes
            self._is_urgent = self._is_urgent and bool(self._queue)
            lost, self._lost = self._lost, Counter()
            return batches, lost, self._lost_from_us

    def _write(self, batches: list[_Batch], lost: Counter[str], lost_from_us: int) -> None:
        """Write batches, the admission of a gap before them; what is durable is answered and taken out of the list."""
        lines = [line for batch in batches for line in batch.lines]
        if lost:
            why = self._why or "the evidence log did not keep up"
            lines.insert(0, encode(gap_record(lost, at_us=self._now_us(), from_us=lost_from_us, why=why)))
        first = self._log.append_lines(lines).start + bool(lost)
        lost.clear()
        for batch in batches:
            numbers = range(first, first + len(batch.lines))
            first = numbers.stop
            if batch.done is not None:
                self._tell(_answer, batch.done, numbers)
        batches.clear()

    def _sign_in_time(self) -> None:
        now = time.monotonic()
        if self._log.size != self._signed and now >= self._checkpoint_at + self._timing.checkpoint_s:
            self._sign(keep=now >= self._kept_at + self._timing.keep_s)

    def _sign(self, *, keep: bool) -> None:
        self._log.checkpoint(keep=keep)
        self._signed, self._checkpoint_at = self._log.size, time.monotonic()
        if keep:
            self._kept_at = self._checkpoint_at

    def _keep(self, batches: list[_Batch], lost: Counter[str], lost_from_us: int, error: Unavailable) -> None:
        """After a failure: back into the queue with what nobody waits for, an answer to those who wait."""
        with self._wake:
            if not self._lost or lost:
                self._lost_from_us = lost_from_us
            self._lost.update(lost)
            self._why = str(error)
            self._is_healthy = False
            batches += self._queue
            self._queue.clear()
            for batch in batches:
                if batch.done is None:
                    self._queue.append(batch)
                else:
                    self._count_lost(batch)
                    self._tell(_refuse, batch.done, Unavailable(str(error)))
            self._queued_bytes = sum(batch.length_bytes for batch in self._queue)
            self._is_urgent = False

    def _finish(self) -> None:
        """Write all that waits and the last checkpoint.  Raises `Unavailable`."""
        while True:
            batches, lost, lost_from_us = self._take()
            if not batches and not lost:
                break
            try:
                self._write(batches, lost, lost_from_us)
            except Unavailable as error:
                self._keep(batches, lost, lost_from_us, error)
                raise
        self._sign(keep=True)

    def _fail_waiting(self, error: BaseException) -> None:
        self._set_health(is_healthy=False)
        with self._wake:
            self._is_closing = True
            for batch in self._queue:
                if batch.done is not None:
                    self._tell(_refuse, batch.done, Unavailable(f"the evidence log ended: {error}"))

    def _set_health(self, *, is_healthy: bool) -> None:
        with self._wake:
            self._is_healthy = is_healthy
            if is_healthy and not self._lost:
                self._why = ""
        self._tell(self._told_health, is_healthy)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        """Call in the thread of the event loop; a loop that is closed hears nothing."""
        assert self._loop is not None
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    # --- in the event loop again ---

    def _told_health(self, is_healthy: bool) -> None:  # noqa: FBT001  called by the loop, which passes no keywords
        if is_healthy is not self._told:
            self._told = is_healthy
            self._on_health_change(is_healthy)

    def _end(self, error: BaseException | None) -> None:
        assert self._ended is not None
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


def _batch(records: Sequence[Record], done: asyncio.Future[range] | None) -> _Batch:
    lines = [encode(record) for record in records]
    return _Batch([record.kind for record in records], lines, done, sum(map(len, lines)))


def _answer(done: asyncio.Future[range], numbers: range) -> None:
    if not done.done():
        done.set_result(numbers)


def _refuse(done: asyncio.Future[range], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
