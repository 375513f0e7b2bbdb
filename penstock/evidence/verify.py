"""Verifying a log from its files and its public key alone: every frame, line, leaf, root and signature.

Pure: it reads from a `Source`.  Memory does not grow with the log.  It must never repair or believe: the tree is
recomputed from the bytes, and what a segment says of itself is used only to find the place of damage.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from penstock.evidence.checkpoint import MAX_CHECKPOINT_BYTES, VerifyingKey, verify
from penstock.evidence.line import Entry, Fields, entry_of, parse_time, read, seq_of
from penstock.evidence.notes import BadNote, SignedAt, read_notes
from penstock.evidence.report import MOST_TOLD, Finding, Gap, Report
from penstock.evidence.segment import Damage, Frame, Start, first_seq_of, read_segment
from penstock.evidence.source import CHECKPOINT_NAME, CHECKPOINTS_NAME, Source
from penstock.evidence.tree import Frontier, leaf_hash
from penstock.model import Malformed, RecordKind, Tampered

#: Records of several processes come together a little out of order; only more than this tells of a clock set back.
_DISORDER_US = 5_000_000
#: In a gap record, numbers that count nothing.
_GAP_TIMES = ("from_us", "to_us")
_STARTED_FIELDS = ("previous_size", "previous_root")


def verify_log(source: Source, key: VerifyingKey, progress: Callable[[int], None] = lambda _: None) -> Report:
    """Verify a log against its public key; `progress` is told the bytes of segments read so far.

    Never raises for what the files hold: all that is wrong is in the report.  Raises `Invalid` when a file cannot be
    read.  A running gate may be verified: what it writes meanwhile is left for the next time.
    """
    return _Verification(source, key, progress).run()


class _Findings:
    """What was found so far: the first hundred of each sort, and how many more."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.notes: list[Finding] = []
        self.gaps: list[Gap] = []
        self.hidden = 0

    def find(self, file: str, why: str, offset: int | None = None, seq: int | None = None) -> None:
        if len(self.findings) < MOST_TOLD:
            self.findings.append(Finding(file=file, offset=offset, seq=seq, why=why))
        else:
            self.hidden += 1

    def note(self, file: str, why: str, offset: int | None = None, seq: int | None = None) -> None:
        if len(self.notes) < MOST_TOLD:
            self.notes.append(Finding(file=file, offset=offset, seq=seq, why=why))

    def gap(self, entry: Entry) -> None:
        if len(self.gaps) < MOST_TOLD:
            self.gaps.append(_gap(entry))


class _Checkpoints:
    """The checkpoints in the order of their sizes: those of the list of all, and the newest at the end."""

    def __init__(self, source: Source, key: VerifyingKey, found: _Findings) -> None:
        self._source, self._key, self._found = source, key, found
        self.count = 0
        self._limit_bytes = source.size_bytes(CHECKPOINTS_NAME) if CHECKPOINTS_NAME in source.names else None
        newest = self._read_newest()
        self.covered = newest.checkpoint.size if newest else 0
        self._newest = newest
        self._rest = self._ordered()
        self.next: SignedAt | None = next(self._rest, None)

    def advance(self) -> None:
        self.next = next(self._rest, None)

    def _read_newest(self) -> SignedAt | None:
        if CHECKPOINT_NAME not in self._source.names:
            self._found.find(CHECKPOINT_NAME, "the newest checkpoint is missing")
            return None
        with self._source.open(CHECKPOINT_NAME) as file:
            note = file.read(MAX_CHECKPOINT_BYTES)
        try:
            return SignedAt(checkpoint=verify(note, self._key), file=CHECKPOINT_NAME, offset=0)
        except (Malformed, Tampered) as error:
            self._found.find(CHECKPOINT_NAME, str(error), 0)
            return None

    def _ordered(self) -> Iterator[SignedAt]:
        size = -1
        for signed in self._all():
            self.count += signed.checkpoint.size > size
            if signed.checkpoint.size < size:
                why = f"a checkpoint over {signed.checkpoint.size} records after one over {size}"
                self._found.find(signed.file, why, signed.offset)
                continue
            size = signed.checkpoint.size
            self.covered = max(self.covered, size)
            yield signed

    def _all(self) -> Iterator[SignedAt]:
        if self._limit_bytes is None:
            self._found.find(CHECKPOINTS_NAME, "the list of all checkpoints is missing")
        else:
            with self._source.open(CHECKPOINTS_NAME) as file:
                for piece in read_notes(file, CHECKPOINTS_NAME, self._key, self._limit_bytes):
                    match piece:
                        case SignedAt():
                            yield piece
                        case BadNote(is_torn=True):
                            self._found.note(piece.file, f"{piece.why} (a crash while it was written)", piece.offset)
                        case BadNote():
                            self._found.find(piece.file, piece.why, piece.offset)
        if self._newest:
            yield self._newest


class _Verification:
    """One pass over the segments, beside one pass over the checkpoints.

    `tree` is None after damage, until the next segment tells the tree it goes on from: its later checkpoints decide
    whether that was true.  `expected` is the number that the next record must have.
    """

    def __init__(self, source: Source, key: VerifyingKey, progress: Callable[[int], None]) -> None:
        self._source, self._key, self._progress = source, key, progress
        self._found = _Findings()
        self._checkpoints = _Checkpoints(source, key, self._found)
        self._tree: Frontier | None = None
        self._expected: int | None = None
        self._proven = 0
        self._first_seq = 0
        self._records = 0
        self._by_kind: Counter[RecordKind] = Counter()
        self._first_us: int | None = None
        self._last_us: int | None = None
        self._backsteps = 0
        self._read_bytes = 0

    def run(self) -> Report:
        segments = [name for name in self._source.names if first_seq_of(name) is not None]
        for name, next_name in pairwise([*segments, None]):
            assert name is not None
            self._read_segment(name, None if next_name is None else first_seq_of(next_name))
        self._finish(segments[-1] if segments else CHECKPOINT_NAME)
        found = self._found
        return Report(
            origin=self._key.name,
            first_seq=self._first_seq,
            size=self._expected or 0,
            records=self._records,
            covered=self._checkpoints.covered,
            checkpoints=self._checkpoints.count,
            first_us=self._first_us,
            last_us=self._last_us,
            by_kind={kind.value: count for kind, count in sorted(self._by_kind.items())},
            gaps=tuple(found.gaps),
            findings=tuple(found.findings),
            notes=tuple(found.notes),
            hidden_findings=found.hidden,
        )

    def _read_segment(self, name: str, next_seq: int | None) -> None:
        before, end = self._read_bytes, 0
        with self._source.open(name) as file:
            for piece in read_segment(file):
                match piece:
                    case Start():
                        self._take_start(name, piece)
                    case Damage():
                        self._take_damage(name, piece, next_seq)
                    case Frame() if next_seq is not None and piece.first_seq >= next_seq:
                        why = "records that were never acknowledged: the next file holds them again"
                        self._found.note(name, why, piece.offset, piece.first_seq)
                    case Frame():
                        self._take_frame(name, piece)
                end = piece.end
                self._progress(before + end)
        self._read_bytes = before + end

    def _take_start(self, name: str, start: Start) -> None:
        size = start.tree.size
        if size != first_seq_of(name):
            self._found.find(name, f"this file begins with record {size}: it was renamed", 0, size)
        if self._expected is None:
            self._first_seq = size
            if size:
                why = f"the log here begins with record {size}: older ones were removed"
                self._found.note(name, why, seq=size)
        elif size != self._expected:
            self._missing(name, start.end, size)
        elif self._tree is not None and self._tree.root() != start.tree.root():
            why = f"the records from {self._proven} to {size - 1} are not those that this file goes on from"
            self._found.find(name, why, 0, self._proven)
        self._tree, self._expected = start.tree.copy(), size
        self._compare()

    def _take_damage(self, name: str, damage: Damage, next_seq: int | None) -> None:
        is_unsigned = (self._expected or 0) >= self._checkpoints.covered
        is_end = is_unsigned if next_seq is None else self._expected == next_seq
        if damage.is_torn and is_end:
            length = damage.end - damage.offset
            why = f"{length} bytes of a record that was never finished (a crash, or it is being written)"
            self._found.note(name, why, damage.offset, self._expected)
            return
        why, offset, seq = f"{damage.why} (bytes {damage.offset} to {damage.end})", damage.offset, self._expected
        if damage.altered is not None:
            offset, seq = damage.altered.offset, damage.seq
            why += f"; this byte was 0x{damage.altered.was:02x}"
        self._found.find(name, why, offset, damage.seq if seq is None else seq)
        self._tree = None

    def _take_frame(self, name: str, frame: Frame) -> None:
        if self._expected is not None and frame.first_seq != self._expected:
            if self._tree is not None:
                self._missing(name, frame.offset, frame.first_seq)
            self._tree = None
        self._expected = frame.first_seq
        offset = frame.body_offset
        for line in frame.lines:
            self._take_line(name, offset, line)
            offset += len(line) + 1

    def _take_line(self, name: str, offset: int, line: bytes) -> None:
        expected = self._expected or 0
        if not line.startswith(b'{"seq":%d,' % expected):
            self._found.find(name, f"here stands record {seq_of(line)} in place of {expected}", offset, expected)
        try:
            self._count(name, offset, read(line))
        except Malformed as error:
            self._found.find(name, str(error), offset, expected)
        self._expected = expected + 1
        if self._tree is not None:
            self._tree.append(leaf_hash(line))
        following = self._checkpoints.next
        if following is not None and following.checkpoint.size <= self._expected:
            self._compare()

    def _count(self, name: str, offset: int, fields: Fields) -> None:
        at_us, kind = parse_time(fields.time), fields.kind
        self._records += 1
        self._by_kind[kind] += 1
        self._first_us = at_us if self._first_us is None else self._first_us
        if self._last_us is not None and at_us < self._last_us - _DISORDER_US:
            self._backsteps += 1
        self._last_us = at_us
        if kind is RecordKind.LOG_GAP:
            self._found.gap(entry_of(fields))
        elif kind is RecordKind.LOG_STARTED and self._tree is not None:
            self._compare_started(name, offset, entry_of(fields))
        elif kind is RecordKind.GATE_STARTED and entry_of(fields).record.detail.get("has_kernel") is False:
            why = "from here on the gate ran without the kernel: see what this record says is not enforced"
            self._found.note(name, why, offset, fields.seq)

    def _compare_started(self, name: str, offset: int, entry: Entry) -> None:
        """A start of the log names the tree that it found."""
        assert self._tree is not None
        told = tuple(entry.record.detail.get(field) for field in _STARTED_FIELDS)
        if told != (self._tree.size, b64encode(self._tree.root()).decode()):
            why = f"the records from {self._proven} to {entry.seq - 1} are not those that the log found when it started"
            self._found.find(name, why, offset, self._proven)

    def _missing(self, name: str, offset: int, seq: int) -> None:
        expected = self._expected or 0
        if seq > expected:
            why = f"the records from {expected} to {seq - 1} are missing"
        else:
            why = f"here stands record {seq} where record {expected} belongs"
        self._found.find(name, why, offset, expected)

    def _compare(self) -> None:
        """Hold the tree against every checkpoint of its size; those that damage hid are passed over."""
        size = self._expected or 0
        while (signed := self._checkpoints.next) is not None and signed.checkpoint.size <= size:
            if signed.checkpoint.size == size and self._tree is not None:
                if self._tree.root() == signed.checkpoint.root:
                    self._proven = size
                else:
                    why = f"the records from {self._proven} to {size - 1} are not those that this checkpoint signs"
                    self._found.find(signed.file, why, signed.offset, self._proven)
                    self._tree = None
            self._checkpoints.advance()

    def _finish(self, name: str) -> None:
        size, end = self._expected or 0, 0
        while (signed := self._checkpoints.next) is not None:
            end = max(end, signed.checkpoint.size)
            self._checkpoints.advance()
        if end > size:
            self._found.find(name, f"the log ends after {size} records, but {end} were signed", seq=size)
        if self._backsteps:
            self._found.note(name, f"the clock went back between records, {self._backsteps} times")
        uncovered = size - self._checkpoints.covered
        if uncovered > 0:
            why = f"the last {uncovered} records are not yet covered by a checkpoint"
            self._found.note(name, why, seq=self._checkpoints.covered)


def _gap(entry: Entry) -> Gap:
    """What a gap record admits: counts by kind under `lost`, or the counts of a worker's journal by their own names."""
    record = entry.record
    journal = {name: value for name, value in record.detail.items() if name not in _GAP_TIMES}
    lost = record.detail.get("lost", journal)
    counts = {name: count for name, count in lost.items() if type(count) is int} if isinstance(lost, dict) else {}
    return Gap(seq=entry.seq, at_us=record.at_us, lost=counts, why=record.reason or "not told")
