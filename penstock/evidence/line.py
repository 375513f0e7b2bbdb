"""A record as one line of JSON, and back.

Pure.  The line without its newline is the leaf of the tree: what is hashed is these exact bytes, never a rewriting of
them.  Fields stand in a fixed order, absent ones are left out, `time` is RFC 3339 in UTC with microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from penstock.model import Json, Malformed, Record, RecordKind

#: The longest entry of a C2SP tlog-tiles log: its length is a 16-bit number there.
MAX_LINE_BYTES = 65_535
#: What the number can take: ``{"seq":`` 19 digits and a comma, in place of the opening brace.
_NUMBER_BYTES = len('{"seq":,') - 1 + 19
_US_PER_S = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US = 253_402_300_800 * _US_PER_S  # the first microsecond of the year 10000, which RFC 3339 cannot write
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_SEQ = re.compile(rb'\{"seq":(0|[1-9][0-9]{0,18}),')


class _Unnumbered(msgspec.Struct, omit_defaults=True):
    """All of a line but its number, in the order in which it is written."""

    time: str
    kind: RecordKind
    grant: int | None = None
    subject: str | None = None
    asset: str | None = None
    protocol: str | None = None
    operation: str | None = None
    reason: str | None = None
    detail: dict[str, msgspec.Raw] | dict[str, Json] = msgspec.field(default_factory=dict)


class Fields(msgspec.Struct, forbid_unknown_fields=True):
    """A line of the log as it is read, before it is made an `Entry`."""

    seq: int
    time: str
    kind: RecordKind
    grant: int | None = None
    subject: str | None = None
    asset: str | None = None
    protocol: str | None = None
    operation: str | None = None
    reason: str | None = None
    detail: dict[str, object] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record at its place `seq` in the log."""

    seq: int
    record: Record


def encode(record: Record) -> bytes:
    """The record as a line that has no number yet: `number` gives it one.

    Raises `ValueError` when it cannot be written: longer than 65,535 bytes, a time outside 1970 to 9999, or a detail
    that is not JSON.  Whoever makes a record with a long detail splits it into several records.
    """
    fields = _Unnumbered(
        format_time(record.at_us),
        record.kind,
        record.grant,
        record.subject,
        record.asset,
        record.protocol,
        record.operation,
        record.reason,
        record.detail,
    )
    try:
        line = _encode(fields)
    except (TypeError, OverflowError, msgspec.MsgspecError) as error:
        raise ValueError(f"the detail of a {record.kind} record is not JSON: {error}") from error
    if len(line) + _NUMBER_BYTES > MAX_LINE_BYTES:
        raise ValueError(
            f"a {record.kind} record of {len(line)} bytes is longer than {MAX_LINE_BYTES}: split its detail"
        )
    return line


def number(seq: int, line: bytes) -> bytes:
    """The line as it stands in the log, with `seq` as its first field."""
    return b'{"seq":%d,%b' % (seq, line[1:])


def seq_of(line: bytes) -> int | None:
    """The number of a line without reading the rest; None when it does not begin with one."""
    match = _SEQ.match(line)
    return int(match[1]) if match else None


def decode(line: bytes) -> Entry:
    """The entry in a line of the log.  Raises `Malformed`."""
    return entry_of(read(line))


def read(line: bytes) -> Fields:
    """The fields of a line, each of its type; the time is not looked at.  Raises `Malformed`."""
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"not a record: {error}") from error


def entry_of(fields: Fields) -> Entry:
    """The entry that the fields of a line mean.  Raises `Malformed` when its time is none."""
    record = Record(
        kind=fields.kind,
        at_us=parse_time(fields.time),
        grant=fields.grant,
        subject=fields.subject,
        asset=fields.asset,
        protocol=fields.protocol,
        operation=fields.operation,
        reason=fields.reason,
        detail=fields.detail,  # type: ignore[arg-type]  # JSON by construction
    )
    return Entry(seq=fields.seq, record=record)


def format_time(at_us: int) -> str:
    """Microseconds since the epoch as ``2026-01-31T23:59:59.000000Z``.  Raises `ValueError` outside 1970 to 9999."""
    if not 0 <= at_us < _LAST_US:
        raise ValueError(f"{at_us} microseconds is not a time between the years 1970 and 9999")
    second, rest_us = divmod(at_us, _US_PER_S)
    return f"{_second(second)}.{rest_us:06d}Z"


def parse_time(text: str) -> int:
    """The time that `format_time` wrote.  Raises `Malformed`."""
    if not _TIME.fullmatch(text):
        raise Malformed(f"a time is written 2026-01-31T23:59:59.000000Z, not {text[:40]!r}")
    try:
        return _second_at(text[:-8]) * _US_PER_S + int(text[-7:-1])
    except ValueError:
        raise Malformed(f"there is no such time as {text}") from None


def gap_record(lost: Mapping[str, int], *, at_us: int, from_us: int, why: str) -> Record:
    """The record that admits a gap: how many records of each kind were lost since `from_us`, and why."""
    counts: dict[str, Json] = dict(sorted(lost.items()))
    detail: dict[str, Json] = {"lost": counts, "from_us": from_us, "to_us": at_us}
    return Record(kind=RecordKind.LOG_GAP, at_us=at_us, reason=why, detail=detail)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Fields).decode


@lru_cache(maxsize=64)
def _second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=64)
def _second_at(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
