"""Courses of GE-SRTP and SLMP: whole messages, each judged by its own code before any byte of it goes on.

Pure.  A client sends requests and nothing else, an asset answers and nothing else.  Denton et al. (GE-SRTP, tables 1 to
4), GFK-0529; SH(NA)-080956 (SLMP, frames 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from penstock.model import Malformed
from penstock.wire.decoder import Frame, Side, WrongProtocol
from penstock.wire.recognised import ge_srtp, slmp
from penstock.wire.recognised.reading import asking
from penstock.wire.spoken.course import LengthOf, Piece, Whole

#: What a message may ask for: nothing where it only keeps the connection going.  Raises `Malformed`.
Read = Callable[[bytes, Side], tuple[Frame, ...]]


class FramedCourse:
    """Messages each of which tells its length and stands for itself."""

    __slots__ = ("_read", "_sides", "told")

    def __init__(self, length_of: LengthOf, max_bytes: int, read: Read) -> None:
        self._read = read
        self._sides = {side: Whole(length_of, max_bytes) for side in Side}
        self.told: dict[str, str] = {}

    def feed(self, side: Side, data: bytes) -> Iterable[Piece]:
        """See `Course.feed`."""
        return self._pieces(side, data)

    def _pieces(self, side: Side, data: bytes) -> Iterator[Piece]:
        for message in self._sides[side].take(data):
            yield Piece(message, self._read(message, side))

    def pending(self, side: Side) -> int:
        """See `Course.pending`."""
        return len(self._sides[side])


_START, _STARTED, _REQUEST, _REPLY = range(4)


def ge_srtp_course() -> FramedCourse:
    """Mailbox messages behind the empty one that begins a connection."""
    return FramedCourse(ge_srtp.length_of, ge_srtp.MAX_MESSAGE_BYTES, _ge_srtp)


def _ge_srtp(message: bytes, side: Side) -> tuple[Frame, ...]:
    kind = message[0]
    if side is Side.ASSET:
        if kind not in {_STARTED, _REPLY}:
            raise WrongProtocol(f"a message of type {kind} from a controller (table 1)")
        return ()
    if kind == _START and not any(message):
        return ()
    if kind != _REQUEST:
        raise WrongProtocol(f"a message of type {kind} from a client (table 1)")
    return (asking(message, side, ge_srtp.operation(message)),)


#: The longest that a gate holds of one message; bulk transfers have 1,920 bytes, in ASCII twice as many.
SLMP_MAX_BYTES: Final = 16 << 10


def slmp_course() -> FramedCourse:
    """Frames of SLMP, and of MELSOFT as they are over TCP."""
    return FramedCourse(slmp.length_of, SLMP_MAX_BYTES, _slmp)


def _slmp(message: bytes, side: Side) -> tuple[Frame, ...]:
    if slmp.is_request(message) is not (side is Side.CLIENT):
        raise WrongProtocol(f"a frame with subheader {message[:2].hex()} from the {side.value} (4.1)")
    if side is Side.ASSET:
        return ()
    operation = slmp.operation(message)
    if operation is None:
        raise Malformed("a request without a command (4.2)")
    return (asking(message, side, operation),)
