"""I/O: takes the records of the worker's journal over into the evidence.

Stands between `JournalReader` and the recorder.  Their place in the ring is freed only when the evidence has them.
When control ends, what the worker has written until then is taken over first: the ring may not outlive the gate.
It must never give a record up because the disk is slow, and never take one over twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from penstock.bus.journal_reader import JournalReader
from penstock.control.gate import Gate
from penstock.control.ports import Moment, Recorder
from penstock.control.store import Store
from penstock.model import Json, Record, RecordKind, Unavailable

#: How often the journal is looked at, when something happens and when nothing does.
JOURNAL_BUSY_S: Final = 0.02
JOURNAL_IDLE_S: Final = 0.1
#: How long the end of control may wait for the last records.
FINISH_WITHIN_S: Final = 2.0
#: A read takes a quarter of the ring; one more takes what came meanwhile.
_LAST_READS: Final = 5


class JournalTransfer:
    """Follows one journal from start to end of control."""

    def __init__(
        self,
        journal: JournalReader,
        gate: Gate,
        store: Store,
        recorder: Recorder,
        clock: Callable[[], Moment],
        *,
        finish_within_s: float = FINISH_WITHIN_S,
        detail: Mapping[str, Json] = MappingProxyType({}),
    ) -> None:
        """`detail` is what every record of operations says beside what the journal says."""
        self._journal, self._gate, self._store, self._recorder, self._clock = journal, gate, store, recorder, clock
        self._finish_within_s, self._detail = finish_within_s, dict(detail)

    async def follow(self) -> None:
        """Take records over until cancelled, and then what is there once more."""
        pause_s, step = JOURNAL_BUSY_S, None
        try:
            while True:
                step = asyncio.create_task(self._take_over())
                has_found = await asyncio.shield(step)  # records that are being written are not read again
                pause_s = JOURNAL_BUSY_S if has_found else min(JOURNAL_IDLE_S, pause_s * 1.5)
                await asyncio.sleep(pause_s)
        except asyncio.CancelledError:
            await self._finish(step)
            raise

    async def remember_sessions(self, records: list[Record]) -> None:
        """That a session has begun must survive a restart, or it would begin twice."""
        for record in records:
            live = self._gate.state.now.grants.get(record.grant or 0)
            if record.kind is RecordKind.SESSION_OPENED and live is not None:
                with suppress(Unavailable):
                    await self._store.put_grants((live,))

    async def _finish(self, step: asyncio.Task[bool] | None) -> None:
        """What the evidence does not take in time stays in the ring, and is told by the next reader."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._finish_within_s):
                if step is not None:
                    await step
                for _ in range(_LAST_READS):
                    await self._take_over(is_last=True)
                self._journal.commit()

    async def _take_over(self, *, is_last: bool = False) -> bool:
        found = self._journal.read(self._clock().wall_us, is_last=is_last)
        for record in found:
            self._gate.passed(record)
        records = [out for record in found for out in self._gate.sessions.passed(self._detailed(record))]
        if records:
            await self._keep(records)
            await self.remember_sessions(records)
        return bool(records)

    def _detailed(self, record: Record) -> Record:
        if record.kind is not RecordKind.OPERATIONS or not self._detail:
            return record
        return replace(record, detail=record.detail | self._detail)

    async def _keep(self, records: list[Record]) -> None:
        """Write these records, however long the disk takes."""
        while not await self._is_kept(records):
            self._journal.set_healthy(False)
            await asyncio.sleep(JOURNAL_IDLE_S)

    async def _is_kept(self, records: list[Record]) -> bool:
        if not self._recorder.is_healthy:
            return False
        try:
            await self._recorder.write(records)
        except Unavailable:
            return False
        except ValueError as error:
            if len(records) == 1:
                detail: dict[str, Json] = {"kind": records[0].kind.value, "why": str(error)}
                self._recorder.put([Record(kind=RecordKind.LOG_GAP, at_us=self._clock().wall_us, detail=detail)])
                return True
            for record in records:
                await self._keep([record])
        return True
