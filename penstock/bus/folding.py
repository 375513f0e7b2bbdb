"""What the reader of a journal knows of one flow, and how the flow's rows become records.

Pure.  Stands behind `journal_reader`.  Rows of operations that are told one by one become rows of a record, with their
results beside them; reads may be summed, or only counted, where their conduit wants no more.  A row must come out
exactly once, whatever its manner.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from penstock.bus.journal import Announced, Outcome, StoredRecord
from penstock.bus.lines import Manner
from penstock.bus.ring import Entry
from penstock.model import Json, Record, RecordKind

#: A record holds at most this long, this many rows and about this many bytes.
FOLD_US: Final = 1_000_000
MAX_ROWS: Final = 1000
MAX_LINE_BYTES: Final = 48_000
_LINE_BASE_BYTES: Final = 600
_ROW_BYTES: Final = 36
_SUM_BYTES: Final = 200
#: The reader keeps as many meanings for a flow as the writer announces again.
MAX_DEFINITIONS: Final = 2048
#: So many meanings more come together before the oldest are forgotten.
SPARE_DEFINITIONS: Final = 256
_MAX_GIVEN_UP: Final = 256
_UNANSWERED: Final = int(Outcome.UNANSWERED)
_EXCEPTION: Final = int(Outcome.EXCEPTION)
_SENT: Final = int(Outcome.SENT)
#: Members of enumerations are slow to look up and to compare, and rows come by the ten thousand.
_PROMPT: Final = Manner.PROMPT
_ROWS: Final = frozenset((Manner.ROWS, Manner.PROMPT))

#: A request without its answer: time, position and tag of its row.
Asked: TypeAlias = tuple[int, int, int]
#: And with it: ordinal, time, meaning, latency, outcome, position, tag.
Row: TypeAlias = tuple[int, int, int, int, int, int, int]


class Meaning(NamedTuple):
    """An operation as it stands in a record, how long that is, how its rows are told, and what sums are made by."""

    line: dict[str, Json]
    size_bytes: int
    manner: Manner
    has_rows: bool = True
    alike: bytes = b""

    @classmethod
    def of(cls, line: dict[str, Json], manner: Manner) -> Meaning:
        """The meaning of a line.  What is summed together may differ in its bytes only."""
        size = len(msgspec.json.encode(line)) + 1
        if manner in _ROWS:
            return cls(line, size, manner)
        alike = {key: value for key, value in line.items() if key not in {"data", "bytes", "sha256"}}
        return cls(line, size, manner, False, msgspec.json.encode(alike))


class Result(NamedTuple):
    """What a `ResultLine` says about a row, with its place in the ring."""

    fields: dict[str, Json]
    size_bytes: int
    position: int
    tag: int


class Sum:
    """Reads that are not told one by one."""

    __slots__ = (
        "answered",
        "answered_us",
        "count",
        "exceptions",
        "first_us",
        "last_us",
        "latency_us",
        "most_us",
        "rest",
        "sent",
    )

    def __init__(self) -> None:
        self.count = self.answered = self.exceptions = self.sent = self.rest = 0
        self.first_us = self.last_us = self.answered_us = 0
        self.latency_us, self.most_us = 0, (0, 0)

    def add(self, at_us: int, latency_us: int, outcome: int) -> None:
        """One more."""
        self.first_us = min(self.first_us, at_us) if self.count else at_us
        self.last_us = max(self.last_us, at_us) if self.count else at_us
        self.count += 1
        if outcome == _SENT:
            self.sent += 1
        elif outcome >= _UNANSWERED:
            self.rest += 1
        else:
            low, high = self.most_us if self.answered else (latency_us, latency_us)
            self.answered += 1
            self.answered_us = max(self.answered_us, at_us)
            self.exceptions += outcome == _EXCEPTION
            self.latency_us += latency_us
            self.most_us = min(low, latency_us), max(high, latency_us)

    def json(self, from_us: int) -> dict[str, Json]:
        """As it stands in a record: times from `from_us` on, and the least, the mean and the greatest latency.

        The times are those of the first, the last, and the last answered request.
        """
        told: dict[str, Json] = {
            "count": self.count,
            "first_us": self.first_us - from_us,
            "last_us": self.last_us - from_us,
        }
        if self.answered:
            low, high = self.most_us
            told["answered_us"] = self.answered_us - from_us
            told["latency_us"] = [low, self.latency_us // self.answered, high]
        counts = {"exceptions": self.exceptions, "unanswered": self.rest, "sent": self.sent}
        return told | {name: count for name, count in counts.items() if count}


class Flow:
    """What is known of one flow, and its rows that are not in a record yet."""

    def __init__(self, now_us: int) -> None:
        self.announced: Announced | None = None
        self.meanings: dict[int, Meaning] = {}
        #: Whether any of them is not told row by row.
        self.has_sums = False
        self.most_meanings = MAX_DEFINITIONS + SPARE_DEFINITIONS
        self.under_way: dict[int, Asked] = {}
        self.done: list[Row] = []
        #: By ordinal, of rows that are under way or done.
        self.results: dict[int, Result] = {}
        #: Ordinals of rows that are recorded as unanswered: nothing that comes later makes them new ones.
        self.given_up: dict[int, None] = {}
        #: Reads that are only counted, and since when, if not from the flow's beginning on.
        self.reads = Sum()
        self.since_us = 0
        self.oldest_us = now_us
        self.is_prompt = False
        #: The flow's end, when it was read before everything that explains the flow's rows.
        self.end: tuple[Entry, StoredRecord] | None = None
        #: The first slot that is still needed for `done`.
        self.position = 0

    def finish(self, ordinal: int, asked: Asked, latency_us: int, outcome: int, now_us: int) -> None:
        """A request was answered, or will never be."""
        at_us, position, tag = asked
        if not self.done:
            self.oldest_us, self.position = now_us, position
        elif position < self.position:
            self.position = position
        index = tag >> 8 & 0xFF_FFFF
        self.done.append((ordinal, at_us, index, latency_us, outcome, position, tag))
        meaning = self.meanings.get(index)
        if meaning is not None and meaning[2] is _PROMPT:
            self.is_prompt = True

    def finish_unanswered(self, now_us: int, from_us: int, until_us: int) -> None:
        """Give up the requests from before `from_us`, and those from after `until_us`."""
        for ordinal, asked in list(self.under_way.items()):
            if not from_us <= asked[0] <= until_us:
                del self.under_way[ordinal]
                self.finish(ordinal, asked, -1, _UNANSWERED, now_us)
                self.given_up[ordinal] = None
                if len(self.given_up) > _MAX_GIVEN_UP:
                    del self.given_up[next(iter(self.given_up))]

    def finish_all(self, now_us: int) -> None:
        """Nothing that is under way will be answered."""
        self.finish_unanswered(now_us, 1, 0)

    def forget_meanings(self) -> None:
        """Forget the oldest meanings that no row needs any more."""
        used = {row[2] for row in self.done}.union(tag >> 8 & 0xFF_FFFF for _, _, tag in self.under_way.values())
        unused = [index for index in self.meanings if index not in used]
        for index in unused[: len(self.meanings) - MAX_DEFINITIONS]:
            del self.meanings[index]
        self.most_meanings = max(len(self.meanings), MAX_DEFINITIONS) + SPARE_DEFINITIONS

    @property
    def is_known(self) -> bool:
        """Whether everything that its finished rows refer to was announced."""
        return self.announced is not None and all(row[2] in self.meanings for row in self.done)

    def is_due(self, now_us: int) -> bool:
        """Whether its rows make a record by now."""
        return len(self.done) >= MAX_ROWS or now_us - self.oldest_us >= FOLD_US

    def records(self, rows: list[Row]) -> Iterator[Record]:
        """The records of these rows, all of whose meanings are known; what is only counted is counted."""
        announced, meanings = self.announced, self.meanings
        assert announced is not None
        told = [row for row in rows if meanings[row[2]].has_rows] if self.has_sums else rows
        for part in _parts(told, meanings, self.results):
            yield _operations(announced, part, meanings, self.results)
        sums: dict[bytes, tuple[Meaning, Sum]] = {}
        for _, at_us, index, latency_us, outcome, *_ in rows if len(told) < len(rows) else ():
            meaning = meanings[index]
            if meaning.manner is Manner.SUMS:
                sums.setdefault(meaning.alike, (meaning, Sum()))[1].add(at_us, latency_us, outcome)
            elif meaning.manner is Manner.COUNTS:
                self.reads.add(at_us, latency_us, outcome)
        yield from _summed(announced, list(sums.values()))

    def counted(self) -> Record | None:
        """What was only counted until now, as a record of its own."""
        reads, self.reads = self.reads, Sum()
        if self.announced is None or not reads.count:
            return None
        detail = _detail(self.announced, reads.first_us) | {"operations": [], "rows": []}
        detail["reads"] = self._since(reads)
        return about(self.announced, RecordKind.OPERATIONS, reads.first_us, detail)

    def end_detail(self) -> dict[str, Json]:
        """What the record of the flow's end says of its reads; times are microseconds since the epoch."""
        return {"reads": self._since(self.reads)} if self.reads.count else {}

    def _since(self, reads: Sum) -> dict[str, Json]:
        return reads.json(0) | ({"since_us": self.since_us} if self.since_us else {})


def _parts(rows: list[Row], meanings: dict[int, Meaning], results: dict[int, Result]) -> Iterator[list[Row]]:
    """Rows in portions that fit into one record each."""
    part: list[Row] = []
    used: set[int] = set()
    size = _LINE_BASE_BYTES
    for row in rows:
        meaning, result = row[2], results.get(row[0])
        own = _ROW_BYTES + (0 if result is None else result.size_bytes)
        cost = own + (0 if meaning in used else meanings[meaning].size_bytes)
        if part and (len(part) >= MAX_ROWS or size + cost > MAX_LINE_BYTES):
            yield part
            part, used, size = [], set(), _LINE_BASE_BYTES
            cost = own + meanings[meaning].size_bytes
        part.append(row)
        used.add(meaning)
        size += cost
    if part:
        yield part


def _operations(
    announced: Announced, rows: list[Row], meanings: dict[int, Meaning], results: dict[int, Result]
) -> Record:
    """One record of kind `operations`; indexes count within it."""
    from_us = min(row[1] for row in rows)
    places: dict[int, int] = {}
    lines: list[Json] = []
    compact: list[Json] = []
    told: list[Json] = []
    for ordinal, at_us, meaning, latency_us, outcome, _, _ in rows:
        place = places.get(meaning)
        if place is None:
            place = places[meaning] = len(lines)
            lines.append(dict(meanings[meaning].line))
        result = results.get(ordinal)
        if result is not None and result.fields:
            told.append({"row": len(compact), **result.fields})
        compact.append([at_us - from_us, place, latency_us, outcome])
    titles = {str(meanings[index].line["operation"]) for index in places}
    detail = _detail(announced, from_us) | {"operations": lines, "rows": compact}
    if told:
        detail["results"] = told
    title = titles.pop() if len(titles) == 1 else None
    return about(announced, RecordKind.OPERATIONS, from_us, detail, operation=title)


def _summed(announced: Announced, sums: list[tuple[Meaning, Sum]]) -> Iterator[Record]:
    """Records of sums, as many in each as fit."""
    while sums:
        size, count = _LINE_BASE_BYTES, 0
        while count < len(sums) and (not count or size < MAX_LINE_BYTES):
            size += sums[count][0].size_bytes + _SUM_BYTES
            count += 1
        part, sums = sums[:count], sums[count:]
        from_us = min(each.first_us for _, each in part)
        titles = {str(meaning.line["operation"]) for meaning, _ in part}
        lines: list[Json] = [dict(meaning.line) for meaning, _ in part]
        told: list[Json] = [{"operation": place, **each.json(from_us)} for place, (_, each) in enumerate(part)]
        detail = _detail(announced, from_us) | {"operations": lines, "rows": [], "sums": told}
        title = titles.pop() if len(titles) == 1 else None
        yield about(announced, RecordKind.OPERATIONS, from_us, detail, operation=title)


def _detail(announced: Announced, from_us: int) -> dict[str, Json]:
    return {"flow": announced.flow, "source": announced.source, "from_us": from_us}


def about(announced: Announced, kind: RecordKind, at_us: int, detail: dict[str, Json], **fields: Any) -> Record:
    """A record of this flow."""
    return Record(
        kind=kind,
        at_us=at_us,
        grant=announced.grant,
        subject=announced.subject,
        asset=announced.asset,
        protocol=announced.protocol,
        detail=detail,
        **fields,
    )
