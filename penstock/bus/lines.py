"""How an operation, its values and its result stand in the journal of a worker, and from there in evidence.

Pure.  What is long is cut, and says so: a line of evidence has a size, and no operation may be lost because somebody
wrote a long text.  It must never hold a secret: bytes come from `Frame.recorded`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from hashlib import sha256
from math import isfinite
from typing import Final, assert_never

import msgspec

from penstock.model import Operation, OperationClass, RecordMode, Target, Value

#: Bytes of a message that are told whole; more are told up to here, with their number and their SHA-256.
MAX_DATA_BYTES: Final = 8192
#: Values of all targets of a line that are told, and characters of them.
MAX_VALUES: Final = 2048
MAX_VALUE_CHARACTERS: Final = 8192
#: Targets of a line that are told, and characters of a status or a name.
MAX_TARGETS: Final = 128
MAX_TEXT: Final = 512
#: What asks and changes nothing: it may be summed, or only counted.
QUIET: Final = frozenset(
    {OperationClass.READ, OperationClass.SESSION, OperationClass.DIAGNOSTICS, OperationClass.DISCOVERY}
)
_CUT: Final = "…"
#: A line of each kind together fits into one record.
MAX_LINE_BYTES: Final = 28_000


class Manner(IntEnum):
    """How the rows of an operation go on record."""

    ROWS = 0
    """Each by itself, with the others of its second."""
    PROMPT = 1
    """Each by itself, with the next read of the journal: it changes something."""
    SUMS = 2
    """One sum for each second and object."""
    COUNTS = 3
    """Counted, and told with the end of the flow."""


class TargetLine(msgspec.Struct, omit_defaults=True):
    """A target as it stands in evidence; `cut` are the values that are not told."""

    table: str
    first: int
    count: int
    values: list[Value] | None
    name: str = ""
    cut: int = 0


class OperationLine(msgspec.Struct, omit_defaults=True):
    """An operation as it stands in evidence: what was asked, which conduit allowed it, and the exact bytes.

    Where it was held, `hold` is its number among the held ones of the flow, and `approved_by` who let it pass.
    `bytes` and `sha256` are of the whole message where `data` is only its beginning; `cut` are the targets that are
    not told.
    """

    operation: str
    code: str
    name: str
    unit: int | None
    targets: list[TargetLine]
    conduit: str | None
    data: str
    hold: int = 0
    approved_by: str = ""
    bytes: int = 0
    sha256: str = ""
    cut: int = 0


class OldLine(msgspec.Struct, omit_defaults=True):
    """What stood in objects that a request writes, as traffic showed it before.

    `target` is the place of the request's target, `first` the first object, `old_seen_us` how long before the request
    it was asked for (or written).  What is not known is not here.
    """

    target: int
    first: int
    values: list[Value]
    old_seen_us: int
    cut: int = 0


class ResultLine(msgspec.Struct, omit_defaults=True):
    """What became of a request, and what its objects held before.

    `at_us` is when it was judged.  `status` is the protocol's own, empty where all went well.  `answer` are the objects
    with the values that the answer shows, and `reply` its bytes, where the conduit wants payload; `reply_bytes` and
    `reply_sha256` are of the whole where it is only the beginning, `cut` are the objects that are not told.
    """

    at_us: int
    status: str = ""
    old: list[OldLine] = msgspec.field(default_factory=list)
    answer: list[TargetLine] = msgspec.field(default_factory=list)
    reply: str = ""
    reply_bytes: int = 0
    reply_sha256: str = ""
    cut: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell beside the row."""
        return not (self.status or self.old or self.answer or self.reply)


_encode = msgspec.json.Encoder().encode
decode_result = msgspec.json.Decoder(ResultLine).decode


def encode_operation(line: OperationLine) -> bytes:
    """The line as it stands in the journal; the last targets are left out where it would be too long."""
    while len(found := _encode(line)) > MAX_LINE_BYTES and line.targets:
        kept = len(line.targets) // 2
        line.cut += len(line.targets) - kept
        del line.targets[kept:]
    return found


def encode_result(line: ResultLine) -> bytes:
    """The line as it stands in the journal; of what was read the last targets, then what was there before."""
    while len(found := _encode(line)) > MAX_LINE_BYTES and (line.answer or line.old):
        shown = line.answer or line.old
        kept = len(shown) // 2
        line.cut += len(shown) - kept
        del shown[kept:]
    return found


def manner_of(operation: Operation, record: RecordMode) -> Manner:
    """How an operation goes on record in this mode: what is not quiet is told one by one in each."""
    if not QUIET.issuperset(operation.classes):
        return Manner.PROMPT
    match record:
        case RecordMode.SESSION:
            return Manner.COUNTS
        case RecordMode.WRITES:
            return Manner.SUMS
        case RecordMode.OPERATIONS | RecordMode.PAYLOAD:
            return Manner.ROWS
        case _:
            assert_never(record)


def operation_line(operation: Operation, conduit: str | None, data: bytes) -> OperationLine:
    """The line of an operation; `data` are the bytes of its request that may go on record."""
    line = OperationLine(
        operation=operation.title,
        code=operation.code,
        name=_short(operation.name),
        unit=operation.unit,
        targets=target_lines(operation.targets),
        conduit=conduit,
        data=data[:MAX_DATA_BYTES].hex(),
        cut=max(0, len(operation.targets) - MAX_TARGETS),
    )
    if len(data) > MAX_DATA_BYTES:
        line.bytes, line.sha256 = len(data), sha256(data).hexdigest()
    return line


def target_lines(targets: Iterable[Target]) -> list[TargetLine]:
    """Targets with their values, as many as a line may have."""
    lines: list[TargetLine] = []
    room = MAX_VALUES, MAX_VALUE_CHARACTERS
    for target in tuple(targets)[:MAX_TARGETS]:
        values = None
        if target.values is not None:
            values, room = values_within(target.values, room)
        cut = 0 if values is None else len(target.values or ()) - len(values)
        lines.append(TargetLine(target.table, target.first, target.count, values, _short(target.name), cut))
    return lines


def values_within(values: tuple[Value, ...], room: tuple[int, int]) -> tuple[list[Value], tuple[int, int]]:
    """As many of the values as fit into a number of values and of characters, and the room that is left."""
    count, characters = room
    told: list[Value] = []
    for value in map(_plain, values[:count]):
        characters -= len(value) if isinstance(value, str) else 8
        if characters < 0:
            break
        told.append(value)
    return told, (count - len(told), max(0, characters))


def with_reply(line: ResultLine, data: bytes) -> None:
    """Add the bytes of an answer."""
    line.reply = data[:MAX_DATA_BYTES].hex()
    if len(data) > MAX_DATA_BYTES:
        line.reply_bytes, line.reply_sha256 = len(data), sha256(data).hexdigest()


def _plain(value: Value) -> Value:
    """The value as JSON can say it: no number, infinity and half characters as text."""
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    return _whole(value) if isinstance(value, str) else value


def _whole(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _short(text: str) -> str:
    text = _whole(text)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + _CUT


def short_status(text: str) -> str:
    """A status as it may stand in a line."""
    return _short(text)
