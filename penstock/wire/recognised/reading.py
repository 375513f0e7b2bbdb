"""What reads a protocol that is recognised and not enforced: messages cut out of a flow, and what each asks for.

Pure.  The protocols of `penstock.wire.recognised` stand on it; passive decoding and records are its users.  Nothing
here refuses or forwards.  It must never raise for any bytes, keep more than its bound, or take more than linear time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock.model import Malformed, Operation, OperationClass, Target
from penstock.wire.decoder import NO_ANSWER, Frame, Side
from penstock.wire.protocol import Dissector, Shown

Pdu = dict[str, Any]
#: What a function that measures messages says while too few bytes tell the length.
UNTOLD: Final = 0
#: How much of a line is kept.
MAX_LINE_BYTES: Final = 8192
_NO_OPERATION: Final = Operation("", (OperationClass.UNKNOWN,), "", "")


class RecognisedFrame(Frame, gc=False):
    """One message that asks for something; `asks` is its operation, `kept` what may go on record where that differs."""

    asks: Operation = _NO_OPERATION
    kept: bytes | None = None

    @property
    def operation(self) -> Operation:
        """What the message asks for."""
        return self.asks

    @property
    def recorded(self) -> bytes:
        """The bytes that may go on record."""
        return self.data if self.kept is None else self.kept


def asking(data: bytes, side: Side, operation: Operation, kept: bytes | None = None) -> RecognisedFrame:
    """The frame of a message that asks for `operation`."""
    return RecognisedFrame(data, side, data, NO_ANSWER, False, asks=operation, kept=kept)


def operation_of(
    protocol: str, meaning: tuple[str, tuple[OperationClass, ...]] | None, code: str, *targets: tuple[str, str]
) -> Operation:
    """An operation with its (table, name) targets; without a `meaning` (name, classes) it is `unknown`."""
    name, classes = meaning or (f"unknown {code}", (OperationClass.UNKNOWN,))
    found = tuple(Target(each, table, name=text) for table, text in targets for each in classes)
    return Operation(protocol, classes, code, name, None, found)


def named(pdu: Pdu, key: str, code: int, names: Mapping[int, str], unknown: str = "Unknown") -> None:
    """A code and its name, as the reference decode shows them."""
    pdu[key] = code
    pdu[key + "_name"] = names.get(code, unknown)


def shown_text(data: bytes) -> str:
    """Text as the reference decode shows it: a line end is a space, what is no printable ASCII is escaped."""
    words = data.partition(b"\0")[0].replace(b"\r\n", b"\n").decode("ascii", "replace")
    return words if words.isprintable() else "".join(map(_shown_letter, words))


def whole_text(data: bytes) -> str:
    """Text for records: as `shown_text`, but nothing is cut off behind a zero byte."""
    return "\\x0".join(shown_text(part) for part in data.split(b"\0"))


def _shown_letter(letter: str) -> str:
    if letter in "\r\n\t":
        return " "
    return f"\\x{ord(letter):x}" if ord(letter) < ord(" ") or letter == "\x7f" else letter


class Messages:
    """One direction of a stream, cut into messages.

    `length_of(stream, start)` says how long the message at `start` is (`UNTOLD` while too few bytes tell) and raises
    `Malformed` where none begins.  What breaks is given up up to the next piece; a message of more than `max_bytes`
    is none.
    """

    __slots__ = ("_held", "_length_of", "_max_bytes", "_need")

    def __init__(self, length_of: Callable[[bytes, int], int], max_bytes: int) -> None:
        self._length_of, self._max_bytes = length_of, max_bytes
        self._held = bytearray()
        self._need = 0

    def __len__(self) -> int:
        return len(self._held)

    def take(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes."""
        if not self._held:
            return self._cut(data)[0]
        self._held += data
        if len(self._held) < self._need:
            return []
        stream = bytes(self._held)
        self._held.clear()
        messages, is_broken = self._cut(stream)
        return self._cut(data)[0] if is_broken and not messages else messages

    def lost(self) -> None:
        """Give up what is held."""
        self._held.clear()

    def _cut(self, stream: bytes) -> tuple[list[bytes], bool]:
        messages: list[bytes] = []
        start, size = 0, len(stream)
        try:
            while start < size:
                length = self._length_of(stream, start)
                if length > self._max_bytes:
                    return messages, True
                if length == UNTOLD or start + length > size:
                    self._need = length or size - start + 1
                    self._held += stream[start:]
                    break
                messages.append(stream[start : start + length])
                start += length
        except Malformed:
            return messages, True
        return messages, False


class Lines:
    """One direction of a stream of text, cut into lines that end with LF; one that is too long is cut where it is."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def __len__(self) -> int:
        return len(self._held)

    def take(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, with their ends."""
        lines: list[bytes] = []
        start = 0
        while (end := data.find(b"\n", start) + 1) > 0:
            lines.append(bytes(self._held) + data[start:end])
            self._held.clear()
            start = end
        self._held += data[start:]
        if len(self._held) > MAX_LINE_BYTES:
            self._held.clear()
        return lines

    def lost(self) -> None:
        """Give up what is held."""
        self._held.clear()


class MessageDissector:
    """A flow of messages each of which tells its length and stands for itself."""

    __slots__ = ("_show", "_sides")

    def __init__(
        self, length_of: Callable[[bytes, int], int], max_bytes: int, show: Callable[[bytes, Side], Sequence[Shown]]
    ) -> None:
        self._show = show
        self._sides = {side: Messages(length_of, max_bytes) for side in Side}

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        return [shown for message in self._sides[side].take(data) for shown in self._show(message, side)]

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        self._sides[side].lost()


class DatagramDissector:
    """A flow of datagrams each of which stands for itself."""

    __slots__ = ("_show",)

    def __init__(self, show: Callable[[bytes, Side], Sequence[Shown]]) -> None:
        self._show = show

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        return self._show(data, side)

    def lost(self, side: Side) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognisedProtocol:
    """A protocol that is told from its bytes, with the operation of each message, and that is not enforced.

    See `Known` for the fields.
    """

    name: str
    title: str
    column: str
    ports: tuple[str, ...]
    fits: Callable[[bytes, Side], bool | None]
    dissectors: Mapping[str, Callable[[], Dissector]]
