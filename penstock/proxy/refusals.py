"""Records of what was refused: the first of a kind at once and in full, its repetitions as a count once a second.

Pure.  So nobody can fill the evidence, or the disk below it, by asking for what he must not have.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Final

import msgspec

from penstock.bus import FlowJournal, Journal
from penstock.bus.lines import MAX_DATA_BYTES, encode_operation, operation_line
from penstock.model import Decision, Grant, Json, Operation, Reason, Record, RecordKind
from penstock.wire import Frame

_WINDOW_US: Final = 1_000_000
#: Kinds of refusal that are recorded in full within one window; of the others the first one stands for all.
_MAX_KINDS: Final = 20


class Refusals:
    """Records by kind; what is repeated within a second is counted."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._since_us = 0
        self._repeated: dict[object, tuple[Record, int]] = {}

    def add(self, kind: object, record: Record) -> None:
        """Write `record`, or count it when its `kind` was written less than a second ago."""
        if kind not in self._repeated and len(self._repeated) >= _MAX_KINDS:
            kind = None
        found = self._repeated.get(kind)
        if found is not None:
            self._repeated[kind] = found[0], found[1] + 1
            return
        if not self._repeated:
            self._since_us = record.at_us
        self._repeated[kind] = record, 0
        self._journal.record(record)

    def tick(self, now_us: int, *, is_last: bool = False) -> None:
        """Write the counts when the second is over."""
        if not self._repeated or (now_us - self._since_us < _WINDOW_US and not is_last):
            return
        repeated, self._repeated = self._repeated, {}
        for record, count in repeated.values():
            if count:
                self._journal.record(replace(record, at_us=now_us, detail=record.detail | {"count": count}))


class OperationRefusals:
    """The refused requests of one flow."""

    def __init__(self, grant: Grant, journal: Journal, flow: FlowJournal) -> None:
        self.count = 0
        self.hold: int | None = None
        """The number of the held request that this is about: its refusal is always recorded in full."""
        self._grant, self._journal, self._flow = grant, journal, flow
        self._refusals = Refusals(journal)

    def add(
        self,
        frame: Frame,
        reason: Reason,
        now_us: int,
        operation: Operation | None = None,
        decision: Decision | None = None,
        why: str = "",
    ) -> Reason:
        """Record that this request was not forwarded; gives the reason back."""
        self.count += 1
        detail = operation_detail(self._flow, frame, operation, decision) | {"why": why}
        if self.hold is not None:
            detail["hold"] = self.hold
        record = Record(
            kind=RecordKind.OPERATION_REFUSED,
            at_us=now_us,
            grant=self._grant.number,
            subject=self._grant.subject.name,
            asset=self._grant.asset,
            protocol=self._grant.protocol,
            operation=None if operation is None else operation.title,
            reason=reason,
            detail=detail,
        )
        if self.hold is None:
            self._refusals.add((reason, frame.what), record)
        else:
            self._journal.record(record)
        return reason

    def add_broken(self, reason: Reason, why: str, size_bytes: int, now_us: int) -> None:
        """Record a datagram that was kept back because nobody can say what it means; its bytes may be secret."""
        self.count += 1
        record = Record(
            kind=RecordKind.OPERATION_REFUSED,
            at_us=now_us,
            grant=self._grant.number,
            subject=self._grant.subject.name,
            asset=self._grant.asset,
            protocol=self._grant.protocol,
            reason=reason,
            detail={"flow": self._flow.number, "source": self._flow.source, "size": size_bytes, "why": why},
        )
        self._refusals.add((reason, why), record)

    def tick(self, now_us: int, *, is_last: bool = False) -> None:
        """Write the counts when the second is over."""
        self._refusals.tick(now_us, is_last=is_last)


def operation_detail(
    flow: FlowJournal, frame: Frame, operation: Operation | None, decision: Decision | None
) -> dict[str, Json]:
    """What a record says of one request: where it came from, its bytes, what it means, and what was decided.

    What is long is cut, as in the rows of what was forwarded: no record may be lost because of it.
    """
    data = frame.recorded
    detail: dict[str, Json] = {"flow": flow.number, "source": flow.source, "data": data[:MAX_DATA_BYTES].hex()}
    if len(data) > MAX_DATA_BYTES:
        detail |= {"bytes": len(data), "sha256": sha256(data).hexdigest()}
    if operation is not None:
        line = operation_line(operation, None, b"")
        encode_operation(line)  # leaves out the last targets where there are too many
        detail |= {
            "code": line.code,
            "name": line.name,
            "unit": line.unit,
            "targets": msgspec.to_builtins(line.targets),
        }
        detail |= {"cut": line.cut} if line.cut else {}
    if decision is not None:
        misses: list[Json] = msgspec.to_builtins(list(decision.misses))
        detail |= {"conduit": decision.conduit, "revision": decision.revision, "misses": misses}
    return detail
