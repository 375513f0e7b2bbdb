"""What a flow of a recognised protocol must go on being: the contract, and how messages are found in one direction.

Pure.  A `Course` belongs to one flow of a gate.  It gives bytes on as they came, says what they ask for, and raises
when they are the protocol no more.  It must never change a byte, nor hold more than it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from penstock.model import Malformed
from penstock.wire.decoder import Frame, Side, WrongProtocol
from penstock.wire.recognised.reading import UNTOLD

#: How much of a text that an end says of itself is kept (a banner of SSH has 255 bytes at most).
MAX_TOLD_LETTERS: Final = 255
#: How long a message is of which nothing tells where it ends.
ENDLESS: Final = 1 << 62
#: How long the message at a place of a stream is, `UNTOLD` while too few bytes tell.  Raises `Malformed`.
LengthOf = Callable[[bytes, int], int]


class Piece(NamedTuple):
    """Bytes that may go on once everything that they ask for is judged and written down."""

    data: bytes
    asked: tuple[Frame, ...] = ()


class Course(Protocol):
    """One flow, from its first byte on."""

    told: dict[str, str]
    """What the ends said of themselves in clear text (``client_banner``, ``server_name``): no secrets."""

    def feed(self, side: Side, data: bytes) -> Iterable[Piece]:
        """What may go on of `data` and of what is held, in order.

        Raises `WrongProtocol` where the bytes stop being this protocol and `Malformed` where they break its rules;
        pieces in front of that are given first.  After that the flow is lost.
        """

    def pending(self, side: Side) -> int:
        """How many bytes of this side are held."""


class Walker:
    """Where messages begin in one direction, without holding them.

    `length_of` is asked at the beginning of each message and must tell with `head_bytes`.  With `kept_bytes` the first
    bytes of every message are given: so many, or all of a shorter one.
    """

    __slots__ = ("_head", "_head_bytes", "_kept", "_kept_bytes", "_left", "_length_of", "_wanted")

    def __init__(self, length_of: LengthOf, head_bytes: int, kept_bytes: int = 0) -> None:
        self._length_of, self._head_bytes, self._kept_bytes = length_of, head_bytes, kept_bytes
        self._left = self._wanted = 0
        self._head = b""
        self._kept = bytearray()

    def walk(self, data: bytes) -> list[bytes]:
        """Go over `data`; the beginnings of messages that it completes.  Raises `WrongProtocol` where none begins."""
        found: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if not self._left:
                if not self._begin(data, at):
                    break
                continue
            step = min(self._left, size - at)
            self._left -= step
            if self._wanted:
                self._keep(data[at : at + min(step, self._wanted)], found)
            at += step
        return found

    def _begin(self, data: bytes, at: int) -> bool:
        """Read the head of the message that begins at `at` or in what was held; whether it tells the length."""
        head = self._head + data[at : at + self._head_bytes - len(self._head)]
        length = measured(self._length_of, head, 0)
        if length == UNTOLD:
            if len(head) >= self._head_bytes:
                raise WrongProtocol("a message whose head does not tell its length")
            self._head = head
            return False
        self._left = length - len(self._head)
        if self._kept_bytes:
            self._kept = bytearray(self._head)
            self._wanted = min(length, self._kept_bytes) - len(self._head)
        self._head = b""
        return True

    def _keep(self, part: bytes, found: list[bytes]) -> None:
        self._kept += part
        self._wanted -= len(part)
        if not self._wanted:
            found.append(bytes(self._kept))


class Whole:
    """One direction, cut into messages that are given when they are whole."""

    __slots__ = ("_held", "_length_of", "_max_bytes", "_need")

    def __init__(self, length_of: LengthOf, max_bytes: int) -> None:
        self._length_of, self._max_bytes = length_of, max_bytes
        self._held = bytearray()
        self._need = 0

    def __len__(self) -> int:
        return len(self._held)

    def take(self, data: bytes) -> Iterator[bytes]:
        """The messages that `data` completes.  Raises `WrongProtocol` where none begins, or behind the bound."""
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return
            data = bytes(self._held)
            self._held.clear()
        start, size = 0, len(data)
        while start < size:
            length = measured(self._length_of, data, start)
            if length > self._max_bytes or (length == UNTOLD and size - start >= self._max_bytes):
                raise WrongProtocol(f"a message of more than {self._max_bytes} bytes")
            if length == UNTOLD or start + length > size:
                self._need = length or size - start + 1
                self._held += data[start:]
                return
            yield data[start : start + length]
            start += length


def measured(length_of: LengthOf, stream: bytes, start: int) -> int:
    """What `length_of` says.  Where no message begins the bytes are another protocol's: raises `WrongProtocol`."""
    try:
        return length_of(stream, start)
    except WrongProtocol:
        raise
    except Malformed as error:
        raise WrongProtocol(str(error)) from None


def tell(told: dict[str, str], key: str, text: object) -> None:
    """Keep what an end says of itself for the first time."""
    words = str(text)[:MAX_TOLD_LETTERS]
    if words:
        told.setdefault(key, words)
