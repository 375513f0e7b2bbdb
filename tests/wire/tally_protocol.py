"""The counters of a made-up machine, Tally/TCP: a protocol as docs/guides/add-a-protocol.md has a stranger add it.

Pure.  It is no part of the gate: a test puts this file into a copy of `penstock.wire` and names it in the tuple.
A message is ``TL``, a number, a code, a register; a set has its value behind it, a reply the top bit in its code, a
status and a value.  Everything is one byte, but values, which have two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from penstock.model import Malformed, Operation, Reason, Span, Target
from penstock.model import OperationClass as Is
from penstock.wire.decoder import Answer, Frame, Role, Side, WrongProtocol
from penstock.wire.protocol import Limit, Shown, UnreadableError, WireProtocol
from penstock.wire.words import read_range

CODES: Final = {1: ("Get", Is.READ), 2: ("Set", Is.WRITE), 3: ("Halt", Is.EXECUTE)}
MAGIC: Final = b"TL"
REPLY: Final = 0x80
SET: Final = 2
SHORT_BYTES, LONG_BYTES, REPLY_BYTES = 5, 7, 8
REFUSALS: Final = {Reason.VALUE_OUT_OF_RANGE: 3, Reason.OBJECT_OUT_OF_RANGE: 2}
_NOT_ALLOWED: Final = 1


class TallyFrame(Frame, gc=False):
    """One message of either side."""

    @property
    def operation(self) -> Operation:
        """See `Frame.operation`."""
        code, register = self.what[0], self.what[1]
        name, meant = CODES.get(code, ("unknown", Is.UNKNOWN))
        values = (self.what[2] << 8 | self.what[3],) if code == SET else None
        return Operation(
            "tally", (meant,), str(code), name, None, (Target(meant, "registers", register, 1, "", values),)
        )


class TallyDecoder:
    """At most one incomplete message is held for each side."""

    rewrites = False

    def __init__(self) -> None:
        self._held = dict.fromkeys(Side, b"")

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`."""
        stream = self._held[side] + data
        frames: list[Frame] = []
        start = 0
        try:
            while (end := _end_of_message(stream, start, side)) is not None:
                frames.append(_frame(side, stream[start:end]))
                start = end
        except Malformed:
            if not frames:
                raise
        self._held[side] = stream[start : start + REPLY_BYTES]
        return frames

    def pending(self, side: Side) -> int:
        """See `Decoder.pending`."""
        return len(self._held[side])

    def forward(self, frame: Frame) -> bytes:
        """The very bytes."""
        return frame.data

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """A reply with a status."""
        head = frame.data[:3] + bytes((frame.data[3] | REPLY, frame.data[4]))
        return head + bytes((REFUSALS.get(reason, _NOT_ALLOWED), 0, 0))

    def due(self, side: Side) -> bytes:  # noqa: ARG002 - nothing is counted
        """Nothing."""
        return b""

    def answer(self, request: Frame, reply: Frame) -> Answer:
        """The status, and what a get shows."""
        status, value = reply.data[5], reply.data[6] << 8 | reply.data[7]
        if status:
            return Answer(f"{status} refused")
        return Answer("", (Target(Is.READ, "registers", request.what[1], 1, "", (value,)),))


def _end_of_message(stream: bytes, start: int, side: Side) -> int | None:
    if not MAGIC.startswith(stream[start : start + 2]):
        raise WrongProtocol("no TL in front of the message")
    if len(stream) - start <= SHORT_BYTES - 2:
        return None
    code = stream[start + 3]
    if bool(code & REPLY) is (side is Side.CLIENT) or code & ~REPLY not in CODES:
        raise Malformed(f"{code} is no code of this side")
    end = start + (REPLY_BYTES if code & REPLY else LONG_BYTES if code == SET else SHORT_BYTES)
    return end if end <= len(stream) else None


def _frame(side: Side, data: bytes) -> Frame:
    role = Role.REPLY if data[3] & REPLY else Role.REQUEST
    return TallyFrame(data, side, data[3:], data[2], role is Role.REPLY and data[5] != 0, role)


def fits(data: bytes, side: Side) -> bool | None:
    """See `Known.fits`."""
    try:
        end = _end_of_message(data, 0, side)
    except Malformed:
        return False
    return True if end is not None else None


class TallyDissector:
    """Reads one flow passively."""

    def __init__(self) -> None:
        self._decoder = TallyDecoder()

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        try:
            return [_shown(frame) for frame in self._decoder.feed(side, data)]
        except Malformed:
            self.lost(side)
        return ()

    def lost(self, side: Side) -> None:  # noqa: ARG002 - both begin anew
        """See `Dissector.lost`."""
        self._decoder = TallyDecoder()


def _shown(frame: Frame) -> Shown:
    pdu: dict[str, Any] = {"p": "tally", "number": frame.data[2], "code": frame.data[3] & ~REPLY}
    return Shown(pdu, frame)


def _registers(text: str) -> Sequence[Span]:
    found = read_range(text)
    if found is None or not 0 <= found[0] <= found[1] <= 255:
        raise UnreadableError(f"{text!r} is no register", "write a number from 0 to 255, or a range: 3-5")
    return (Span(table="registers", first=found[0], last=found[1]),)


TALLY: Final = WireProtocol(
    name="tally",
    title="Tally",
    column="TALLY",
    refusal="a reply with a status",
    unseen=("what a halted machine does",),
    ports=("tcp/7001",),
    max_held_bytes=REPLY_BYTES,
    limits=(
        Limit(
            key="registers",
            about="registers by number",
            example="registers: 3-5",
            classes=frozenset({Is.READ, Is.WRITE}),
            read=_registers,
        ),
    ),
    fits=fits,
    dissectors={"tcp": TallyDissector},
    streams=TallyDecoder,
)
