"""Searching the records of a log.

Pure: it reads from a `Source`, in order and in one pass.  Memory does not grow with the log.  It must never be taken
for proof: what it shows is what the files say, `verify` says whether that is what was signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from penstock.evidence.line import Entry, decode
from penstock.evidence.segment import Damage, Frame, first_seq_of, read_segment
from penstock.evidence.source import Source
from penstock.model import Malformed, Record, RecordKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What to look for: every field that is given must match.

    `subject`, `asset`, `grant`, `operation` and `reason` are compared whole, `text` is found anywhere in the line in
    any case.  Times are microseconds since the epoch, `until_us` is not included.  An `operations` record matches when
    one of its operations does.
    """

    kinds: frozenset[RecordKind] = frozenset()
    subject: str | None = None
    asset: str | None = None
    grant: int | None = None
    operation: str | None = None
    reason: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    text: str | None = None

    def matches(self, record: Record) -> bool:
        """Whether the fields of a record match; `text` is not looked at."""
        return (
            (not self.kinds or record.kind in self.kinds)
            and self.subject in {None, record.subject}
            and self.asset in {None, record.asset}
            and self.grant in {None, record.grant}
            and self.reason in {None, record.reason}
            and self._matches_operation(record)
            and self._matches_time(record)
        )

    def covers(self, at_us: int) -> bool:
        """Whether a time lies in what is looked for."""
        return (self.since_us is None or at_us >= self.since_us) and (self.until_us is None or at_us < self.until_us)

    def _matches_operation(self, record: Record) -> bool:
        if self.operation is None or record.operation == self.operation:
            return True
        if record.kind is not RecordKind.OPERATIONS:
            return False
        described = record.detail.get("operations")
        return isinstance(described, list) and any(
            isinstance(one, dict) and one.get("operation") == self.operation for one in described
        )

    def _matches_time(self, record: Record) -> bool:
        from_us = record.detail.get("from_us") if record.kind is RecordKind.OPERATIONS else None
        if not isinstance(from_us, int):
            return self.covers(record.at_us)
        is_after = self.since_us is None or record.at_us >= self.since_us
        return is_after and (self.until_us is None or from_us < self.until_us)


def search(source: Source, wanted: Search, damaged: Callable[[str, Damage], None] = lambda *_: None) -> Iterator[Entry]:
    """The entries that match, in the order of the log.

    Damaged places are told to `damaged` with their file and passed over; a line that is no record is told the same way.
    Raises `Invalid` when a file cannot be read.
    """
    sieve = _Sieve(wanted)
    for name in (name for name in source.names if first_seq_of(name) is not None):
        with source.open(name) as file:
            for piece in read_segment(file):
                match piece:
                    case Frame():
                        yield from _matching(piece, name, sieve, damaged)
                    case Damage():
                        damaged(name, piece)


def find_record(source: Source, seq: int) -> Entry | None:
    """The record of that number; None when it is not here.  Reads only the file that it must be in."""
    names = [name for name in source.names if (first := first_seq_of(name)) is not None and first <= seq]
    if not names:
        return None
    with source.open(names[-1]) as file:
        for piece in read_segment(file):
            if isinstance(piece, Frame) and 0 <= seq - piece.first_seq < len(piece.lines):
                return decode(piece.lines[seq - piece.first_seq])
    return None


class _Sieve:
    """A search with what can be told from the raw bytes of a line, long before it is decoded."""

    def __init__(self, wanted: Search) -> None:
        self.wanted = wanted
        self._parts = [
            b"%b:%b" % (msgspec.json.encode(field), msgspec.json.encode(value))
            for field, value in _exact_fields(wanted).items()
        ]
        self._text = wanted.text.casefold() if wanted.text else None

    def pick(self, line: bytes) -> Entry | None:
        """The entry in a line when it matches.  Raises `Malformed`."""
        if not all(part in line for part in self._parts):
            return None
        if self._text is not None and self._text not in line.decode(errors="replace").casefold():
            return None
        entry = decode(line)
        return entry if self.wanted.matches(entry.record) else None


def _exact_fields(wanted: Search) -> Mapping[str, str | int]:
    fields: dict[str, str | int | None] = {
        "subject": wanted.subject,
        "asset": wanted.asset,
        "grant": wanted.grant,
        "operation": wanted.operation,
        "reason": wanted.reason,
        "kind": next(iter(wanted.kinds)).value if len(wanted.kinds) == 1 else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _matching(frame: Frame, name: str, sieve: _Sieve, damaged: Callable[[str, Damage], None]) -> Iterator[Entry]:
    for index, line in enumerate(frame.lines):
        try:
            entry = sieve.pick(line)
        except Malformed as error:
            damaged(name, Damage(offset=frame.offset, end=frame.end, why=str(error), seq=frame.first_seq + index))
            continue
        if entry is not None:
            yield entry
