"""Taking `operations` records apart: into single operations with their results, and into sums of reads.

Pure.  It must never be taken for proof: what it shows is what the files say, `verify` says whether that was signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec

from penstock.evidence.line import Entry
from penstock.evidence.query import Search
from penstock.model import Json, Malformed


class Outcome(IntEnum):
    """How an operation ended."""

    ANSWERED = 0
    ANSWERED_WITH_EXCEPTION = 1
    NO_ANSWER = 2
    SENT = 3
    """Nobody answers such a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    """What objects of the target at place `target` held before, from the number `first` on, and how old that was."""

    target: int
    first: int
    values: list[Json]
    old_seen_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOperation:
    """What was asked, of what, by whom, under which conduit, at `at_us`; `seq` is the record that says so."""

    seq: int
    at_us: int
    grant: int | None
    subject: str | None
    asset: str | None
    protocol: str | None
    flow: int
    source: str
    operation: str
    code: str
    name: str
    unit: int | None
    targets: list[dict[str, Json]]
    conduit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformedOperation(RecordedOperation):
    """One operation; `latency_us` is None when no answer came, `data` are the bytes of the request that was judged.

    `status` is what the answer said where not all went well, `old` what was there before as far as it was seen,
    `answer` and `reply` what the answer showed and its bytes, where the conduit recorded payload.  `is_untold`: there
    was no room for these.  `approved_by` let it pass where it was held.
    """

    data: bytes
    latency_us: int | None
    outcome: Outcome
    status: str = ""
    old: list[Old] = field(default_factory=list)
    answer: list[dict[str, Json]] = field(default_factory=list)
    reply: bytes = b""
    is_untold: bool = False
    approved_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummedOperations(RecordedOperation):
    """Operations of one kind on one object that were summed, from `at_us` to `last_us`.

    `latency_us` are the least, the mean and the greatest of those that were answered.
    """

    last_us: int
    count: int
    exceptions: int
    unanswered: int
    sent: int
    latency_us: tuple[int, int, int] | None


class _Described(msgspec.Struct):
    operation: str
    code: str
    name: str
    conduit: str | None
    data: str
    unit: int | None = None
    targets: list[dict[str, object]] = msgspec.field(default_factory=list)
    approved_by: str = ""


class _OldLine(msgspec.Struct):
    target: int
    first: int
    values: list[object]
    old_seen_us: int


class _Result(msgspec.Struct):
    row: int
    status: str = ""
    old: list[_OldLine] = msgspec.field(default_factory=list)
    answer: list[dict[str, object]] = msgspec.field(default_factory=list)
    reply: str = ""
    untold: bool = False


class _Sum(msgspec.Struct):
    operation: int
    count: int
    first_us: int
    last_us: int
    exceptions: int = 0
    unanswered: int = 0
    sent: int = 0
    latency_us: tuple[int, int, int] | None = None


class _Operations(msgspec.Struct):
    """The detail of an `operations` record, as the journals of the workers write it."""

    flow: int
    source: str
    from_us: int
    operations: list[_Described]
    rows: list[tuple[int, int, int, int]]
    results: list[_Result] = msgspec.field(default_factory=list)
    sums: list[_Sum] = msgspec.field(default_factory=list)


def expand(entry: Entry) -> Iterator[PerformedOperation]:
    """The single operations of an `operations` record, in their order.  Raises `Malformed` when its detail is none."""
    try:
        detail = msgspec.convert(entry.record.detail, _Operations)
        results = {each.row: each for each in detail.results}
        for place, row in enumerate(detail.rows):
            yield _performed(entry, detail, row, results.get(place) or _Result(place))
    except (msgspec.ValidationError, IndexError, ValueError) as error:
        raise Malformed(f"record {entry.seq} does not describe operations: {error}") from error


def expand_sums(entry: Entry) -> Iterator[SummedOperations]:
    """The sums of an `operations` record.  Raises `Malformed` when its detail is none."""
    try:
        detail = msgspec.convert(entry.record.detail, _Operations)
        for each in detail.sums:
            yield _summed(entry, detail, each)
    except (msgspec.ValidationError, IndexError, ValueError) as error:
        raise Malformed(f"record {entry.seq} does not describe operations: {error}") from error


def expand_matching(entry: Entry, wanted: Search) -> Iterator[PerformedOperation]:
    """The single operations of an entry that match by name and time.  Raises `Malformed`."""
    for one in expand(entry):
        if wanted.operation in {None, one.operation} and wanted.covers(one.at_us):
            yield one


def expand_matching_sums(entry: Entry, wanted: Search) -> Iterator[SummedOperations]:
    """The sums of an entry that match by name, and in part or whole by time.  Raises `Malformed`."""
    for one in expand_sums(entry):
        is_in_time = wanted.covers(one.at_us) or wanted.covers(one.last_us)
        if wanted.operation in {None, one.operation} and is_in_time:
            yield one


def _described(detail: _Operations, index: int) -> _Described:
    if index < 0:
        raise ValueError(f"there is no operation {index}")
    return detail.operations[index]


def _performed(
    entry: Entry, detail: _Operations, row: tuple[int, int, int, int], result: _Result
) -> PerformedOperation:
    offset_us, index, latency_us, outcome = row
    one, record = _described(detail, index), entry.record
    return PerformedOperation(
        seq=entry.seq,
        at_us=detail.from_us + offset_us,
        grant=record.grant,
        subject=record.subject,
        asset=record.asset,
        protocol=record.protocol,
        flow=detail.flow,
        source=detail.source,
        operation=one.operation,
        code=one.code,
        name=one.name,
        unit=one.unit,
        targets=one.targets,  # type: ignore[arg-type]  # JSON by construction
        conduit=one.conduit or "",
        data=bytes.fromhex(one.data),
        latency_us=None if latency_us < 0 else latency_us,
        outcome=Outcome(outcome),
        status=result.status,
        old=[
            Old(target=each.target, first=each.first, values=each.values, old_seen_us=each.old_seen_us)  # type: ignore[arg-type]  # JSON by construction
            for each in result.old
        ],
        answer=result.answer,  # type: ignore[arg-type]  # JSON by construction
        reply=bytes.fromhex(result.reply),
        is_untold=result.untold,
        approved_by=one.approved_by,
    )


def _summed(entry: Entry, detail: _Operations, each: _Sum) -> SummedOperations:
    one, record = _described(detail, each.operation), entry.record
    return SummedOperations(
        seq=entry.seq,
        at_us=detail.from_us + each.first_us,
        last_us=detail.from_us + each.last_us,
        grant=record.grant,
        subject=record.subject,
        asset=record.asset,
        protocol=record.protocol,
        flow=detail.flow,
        source=detail.source,
        operation=one.operation,
        code=one.code,
        name=one.name,
        unit=one.unit,
        targets=one.targets,  # type: ignore[arg-type]  # JSON by construction
        conduit=one.conduit or "",
        count=each.count,
        exceptions=each.exceptions,
        unanswered=each.unanswered,
        sent=each.sent,
        latency_us=each.latency_us,
    )
