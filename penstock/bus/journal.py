"""What a worker writes down about every message, before it forwards the message.

Pure but for the `RingWriter` it is given.  One row of 32 bytes goes into the ring when a request is judged, a second
one when it is answered; flows and the meaning of operations are announced once, refusals go as whole records.
`penstock.bus.journal_reader` turns it back into records in control's process.  It must never wait, and never say that
something was written which was not.

A reader that starts anew knows nothing, so the writer announces again: every flow, what its recent operations
mean, and the requests that are under way.  A writer that starts anew says so, and the reader closes the flows of the
one before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any, Final

import msgspec

from penstock.bus.lines import Manner, ResultLine, encode_operation, encode_result, manner_of, operation_line
from penstock.bus.ring import LONG_KINDS, RingWriter, Word
from penstock.model import Grant, Json, Operation, Record, RecordKind, RecordMode

#: How many meanings of operations of one flow are kept to be announced again.
MAX_DEFINITIONS: Final = 2048
#: Closed flows whose rows may be unread are announced again, too: so many at most, with so many meanings in all.
MAX_CLOSED_DEFINITIONS: Final = 8 * MAX_DEFINITIONS
MAX_CLOSED_FLOWS: Final = 4096
#: A new announcement pauses while less of the ring than this is free.
_ANNOUNCE_ROOM: Final = 0.5


class Kind(IntEnum):
    """The kinds of entries; those from `LONG_KINDS` on carry bytes."""

    JUDGED = 1
    """Tag: index of the operation << 8, flow << 32.  Ordinal in the flow.  Time, microseconds since the epoch."""
    ANSWERED = 2
    """Tag: outcome << 8, flow << 32.  Ordinal.  Latency in microseconds."""
    STARTED = 3
    """A worker started: the flows of the one before are lost.  Time."""
    FLOW = LONG_KINDS
    """Tag: flow << 32.  An `Announced` and the record of its start; the second word is a member of `Telling`."""
    OPERATION = LONG_KINDS + 1
    """Tag: index << 8, flow << 32.  An `OperationLine`; the second word is a `Manner`."""
    RECORD = LONG_KINDS + 2
    """A record as it is."""
    CLOSED = LONG_KINDS + 3
    """Tag: flow << 32.  The record of the flow's end: nothing of this flow comes after it but what it was."""
    RESULT = LONG_KINDS + 4
    """Tag: index of the operation << 8, flow << 32.  A `ResultLine`; the second word is the ordinal.  In front of the
    row that says what became of the request."""


class Telling(IntEnum):
    """Why a flow is announced."""

    NEW = 0
    AGAIN = 1
    """To a new reader."""
    CLOSED = 2
    """To a new reader, behind the flow's end and behind what its operations mean: nothing of it comes any more."""


class Outcome(IntEnum):
    """What became of a request that was forwarded."""

    ANSWERED = 0
    EXCEPTION = 1
    UNANSWERED = 2
    SENT = 3
    """Nobody answers such a message."""


class Announced(msgspec.Struct):
    """A flow: its number in evidence, where it comes from, and whose it is."""

    flow: int
    source: str
    grant: int
    subject: str
    asset: str
    protocol: str


class StoredRecord(msgspec.Struct):
    """A record as it is read back: JSON cannot hold anything that evidence could not."""

    kind: RecordKind
    at_us: int
    grant: int | None = None
    subject: str | None = None
    asset: str | None = None
    protocol: str | None = None
    operation: str | None = None
    reason: str | None = None
    detail: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def value(self) -> Record:
        """The record."""
        return Record(**msgspec.structs.asdict(self))


_encode = msgspec.json.Encoder().encode
#: Flag of an outcome: the `ResultLine` of this row found no place.
UNTOLD: Final = 0x80
#: Values and results find no place while less of the ring than this is free: rows need it.
_RESULT_ROOM: Final = 0.25


class Journal:
    """The journal of one worker."""

    def __init__(self, ring: RingWriter, now_us: int) -> None:
        self.ring = ring
        self._flows: dict[int, FlowJournal] = {}
        #: With the slot behind their end: what a new reader may still ask for.
        self._closed: deque[tuple[int, FlowJournal]] = deque()
        self._closed_definitions = 0
        self._reader = ring.word(Word.READER)
        self._again: Iterator[bool] | None = None
        ring.put_last_row(Kind.STARTED, 0, now_us)

    @property
    def is_healthy(self) -> bool:
        """Whether control says that evidence can be kept."""
        return not self.ring.word(Word.UNHEALTHY)

    def open_flow(self, grant: Grant, source: str, now_us: int, **detail: Json) -> FlowJournal:
        """Announce a new flow of a grant from `source` (address:port)."""
        number = self.ring.add(Word.NEXT_FLOW, 1)
        flow = self.ring.word(Word.BASE) + number
        opened = Record(
            kind=RecordKind.FLOW_OPENED,
            at_us=now_us,
            grant=grant.number,
            subject=grant.subject.name,
            asset=grant.asset,
            protocol=grant.protocol,
            detail={"flow": flow, "source": source, "binding": grant.binding.value, **detail},
        )
        announced = Announced(
            flow=flow,
            source=source,
            grant=grant.number,
            subject=grant.subject.name,
            asset=grant.asset,
            protocol=grant.protocol,
        )
        journal = FlowJournal(self.ring, number & 0xFFFF_FFFF, (announced, opened), self._keep_closed)
        self._flows[journal.local] = journal
        return journal

    def record(self, record: Record) -> bool:
        """Write a whole record.  False when there is no room; the loss itself is counted and recorded later."""
        return self.ring.put(Kind.RECORD, _encode(record))

    def tick(self) -> None:
        """Announce everything again if there is a new reader.  Call it some times a second."""
        self._forget_read()
        reader = self.ring.word(Word.READER)
        if reader != self._reader:
            self._reader = reader
            self._again = self._announce_again()
        while self._again is not None and self.ring.free_share > _ANNOUNCE_ROOM:
            if next(self._again, None) is None:
                self._again = None

    def _announce_again(self) -> Iterator[bool]:
        """Everything, step by step; flows that close in the meantime are among the closed ones at the end."""
        for flow in list(self._flows.values()):
            yield from flow.announce_again()
        for _, flow in list(self._closed):
            yield from flow.announce_closed()

    def _keep_closed(self, flow: FlowJournal) -> None:
        if self._flows.pop(flow.local, None) is not None:
            self._closed.append((self.ring.word(Word.HEAD), flow))
            self._closed_definitions += flow.definitions
            self._forget_read()

    def _forget_read(self) -> None:
        """Forget closed flows once the reader has passed their end, or when they become too many."""
        tail = self.ring.word(Word.TAIL) if self._closed else 0
        while self._closed and (
            self._closed[0][0] <= tail
            or self._closed_definitions > MAX_CLOSED_DEFINITIONS
            or len(self._closed) > MAX_CLOSED_FLOWS
        ):
            self._closed_definitions -= self._closed.popleft()[1].definitions


class FlowJournal:
    """The journal of one flow.  `judged` and `answered` are the two calls for every message."""

    __slots__ = (
        "_announced",
        "_definitions",
        "_is_closed",
        "_keep_closed",
        "_ring",
        "answers",
        "ended",
        "judged",
        "local",
        "number",
        "source",
        "under_way",
    )

    def __init__(
        self,
        ring: RingWriter,
        local: int,
        announced: tuple[Announced, Record],
        keep_closed: Callable[[FlowJournal], None],
    ) -> None:
        self._ring = ring
        self.local = local
        self.number = announced[0].flow
        self.source = announced[0].source
        self._announced = _encode(announced)
        self._keep_closed, self._is_closed = keep_closed, False
        self._definitions: dict[int, tuple[bytes, int]] = {}
        self.answers = tuple(Kind.ANSWERED | outcome << 8 | local << 32 for outcome in Outcome)
        #: ``ended(answers[outcome], ordinal, latency_us)`` is `answered` for who calls it for every message.
        self.ended = ring.put_last_row
        #: ``judged(tag, ordinal, now_us)``: False means that nothing was written.
        self.judged = ring.put_row
        #: Gives tag, ordinal and time of the requests that are not answered yet.
        self.under_way: Callable[[], Iterable[tuple[int, int, int]]] = tuple
        ring.put(Kind.FLOW | local << 32, self._announced)

    def define(
        self,
        index: int,
        operation: Operation,
        conduit: str | None,
        data: bytes,
        hold: int = 0,
        approved_by: str = "",
        *,
        is_quiet: bool = False,
        record: RecordMode = RecordMode.OPERATIONS,
    ) -> int | None:
        """Announce what `index` means from now on (indexes are never used twice); the tag of its rows.

        Where it `is_quiet`, its rows wait for the second to be over, whatever their class.  What was held (`hold`) is
        told one by one and promptly, also a read.
        ``None`` when there is no room for it: then nothing of it may be forwarded as recorded.
        """
        place = index << 8 | self.local << 32
        line = operation_line(operation, conduit, data)
        line.hold, line.approved_by = hold, approved_by
        manner = manner_of(operation, record)
        if hold:
            manner = Manner.PROMPT
        elif is_quiet and manner is Manner.PROMPT:
            manner = Manner.ROWS
        payload = encode_operation(line)
        if not self._ring.put(Kind.OPERATION | place, payload, manner):
            return None
        self._definitions[index] = payload, manner
        if len(self._definitions) > MAX_DEFINITIONS:
            del self._definitions[next(iter(self._definitions))]
        return Kind.JUDGED | place

    def answered(self, ordinal: int, outcome: int, latency_us: int) -> None:
        """Write what became of the request with this ordinal."""
        self._ring.put_last_row(self.answers[outcome], ordinal, latency_us)

    def told(self, tag: int, ordinal: int, outcome: int, latency_us: int, line: ResultLine) -> None:
        """Write what became of the request whose row had this tag, with its values and its result.

        These are dropped first where the ring is nearly full; the row is written all the same, and says so.
        """
        flag = 0
        if not line.is_empty:
            place = tag & ~0xFF | Kind.RESULT
            if self._ring.free_share < _RESULT_ROOM or not self._ring.put(place, encode_result(line), ordinal):
                self._ring.add(Word.UNTOLD, 1)
                flag = UNTOLD << 8
        self._ring.put_last_row(self.answers[outcome] | flag, ordinal, latency_us)

    def passed(self) -> None:
        """Count a request of a safety-critical flow that is forwarded without a row."""
        self._ring.add(Word.PASSED, 1)

    def closed(self, record: Record) -> None:
        """Write the record of the flow's end."""
        self._ring.put(Kind.CLOSED | self.local << 32, _encode(record))
        self._is_closed = True
        self.under_way = tuple
        self._keep_closed(self)

    @property
    def definitions(self) -> int:
        """How many meanings are kept."""
        return len(self._definitions)

    def announce_again(self) -> Iterator[bool]:
        """Everything that a new reader must know of this flow, step by step, as long as it is open."""
        if not self._is_closed:
            yield self._ring.put(Kind.FLOW | self.local << 32, self._announced, Telling.AGAIN)
        for index, (payload, manner) in list(self._definitions.items()):
            if not self._is_closed:
                yield self._ring.put(Kind.OPERATION | index << 8 | self.local << 32, payload, manner)
        for tag, ordinal, at_us in list(self.under_way()):
            if not self._is_closed:
                yield self._ring.put_last_row(tag, ordinal, at_us)

    def announce_closed(self) -> Iterator[bool]:
        """Everything that a new reader must know to explain the rows of this flow, which was closed."""
        for index, (payload, manner) in self._definitions.items():
            yield self._ring.put(Kind.OPERATION | index << 8 | self.local << 32, payload, manner)
        yield self._ring.put(Kind.FLOW | self.local << 32, self._announced, Telling.CLOSED)
