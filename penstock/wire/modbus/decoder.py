"""Modbus/TCP framing: the MBAP header, pairs of request and reply, and refusals as exception replies.

Pure.  Facts: MODBUS Messaging on TCP/IP Implementation Guide V1.0b (section 3.1.3 for the header) and MODBUS
Application Protocol Specification V1.1b3 (section 7 for exceptions).  What a request means is in
`penstock.wire.modbus.operations`; this file must stay small, for every byte of every inspected flow goes through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from penstock.model import Malformed, Operation, Reason
from penstock.wire.decoder import Answer, Frame, Role, Side, WrongProtocol
from penstock.wire.modbus.answers import answer
from penstock.wire.modbus.codes import UMAS
from penstock.wire.modbus.operations import operation

#: Transaction number, protocol number (always 0), length of what follows, unit, function code.
_unpack = Struct(">HHHBB").unpack_from
_LENGTH_END: Final = 6
_HEAD_BYTES: Final = 8
#: The length counts the unit, the function code and at most 252 bytes of data (Messaging Guide 3.1.3, PDU <= 253).
_MIN_LENGTH: Final = 2
_MAX_LENGTH: Final = 254
#: Schneider's function 90 goes one byte beyond the standard: seen both ways between real equipment.
_MAX_LENGTH_UMAS: Final = 255
MAX_FRAME_BYTES: Final = _LENGTH_END + _MAX_LENGTH_UMAS
MAX_HELD_BYTES: Final = MAX_FRAME_BYTES - 1
_STANDARD_FRAME_BYTES: Final = _LENGTH_END + _MAX_LENGTH
#: Application Protocol 4.1: function codes 128 and up mean exceptions.
_EXCEPTION_BIT: Final = 0x80
_EXCEPTION_LENGTH: Final = 3
#: A member of an enumeration is slow to look up by its class.
_CLIENT: Final = Side.CLIENT
_REQUEST: Final = Role.REQUEST
_REPLY: Final = Role.REPLY

_ILLEGAL_FUNCTION: Final = 1
_ILLEGAL_DATA_ADDRESS: Final = 2
_ILLEGAL_DATA_VALUE: Final = 3
_SERVER_DEVICE_FAILURE: Final = 4
_SERVER_DEVICE_BUSY: Final = 6
#: Exception codes by reason (Application Protocol, section 7).  Everything else is "illegal function": a client that
#: hears it stops asking, whereas "busy" invites it to ask again later.
EXCEPTIONS: Final = {
    Reason.OBJECT_OUT_OF_RANGE: _ILLEGAL_DATA_ADDRESS,
    Reason.VALUE_OUT_OF_RANGE: _ILLEGAL_DATA_VALUE,
    Reason.MALFORMED: _ILLEGAL_DATA_VALUE,
    Reason.INSPECTION_UNAVAILABLE: _SERVER_DEVICE_FAILURE,
    Reason.RATE_EXCEEDED: _SERVER_DEVICE_BUSY,
    Reason.TOO_MANY_IN_FLIGHT: _SERVER_DEVICE_BUSY,
    Reason.EVIDENCE_UNAVAILABLE: _SERVER_DEVICE_BUSY,
    Reason.HOLD_TIMED_OUT: _SERVER_DEVICE_BUSY,
}


class ModbusFrame(Frame, gc=False):
    """One Modbus/TCP message; `what` is the unit and the PDU."""

    @property
    def operation(self) -> Operation:
        """What the request asks for.  Raises `Malformed`."""
        return operation(self.what[0], self.what[1:])


class ModbusDecoder:
    """The Modbus/TCP messages of one flow.  At most 260 bytes are held for each side."""

    __slots__ = ("_from_asset", "_from_client")
    rewrites = False

    def __init__(self) -> None:
        self._from_client = self._from_asset = b""

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`.  One whole message at a time, the usual case, takes the short way."""
        if len(data) >= _HEAD_BYTES and not (self._from_client if side is _CLIENT else self._from_asset):
            number, protocol, length, unit, code = _unpack(data)
            if length + _LENGTH_END == len(data) <= _STANDARD_FRAME_BYTES and not protocol:
                exchange = number << 16 | unit << 8 | code & 0x7F
                role = _REQUEST if side is _CLIENT else _REPLY
                return (ModbusFrame(data, side, data[_LENGTH_END:], exchange, code >= _EXCEPTION_BIT, role),)
        return self._feed_parts(side, data)

    def pending(self, side: Side) -> int:
        """How many bytes of an incomplete (or broken) frame are held for this side."""
        return len(self._from_client if side is _CLIENT else self._from_asset)

    def forward(self, frame: Frame) -> bytes:
        """The frame as it came."""
        return frame.data

    def due(self, side: Side) -> bytes:  # noqa: ARG002 - the contract's
        """Nothing: Modbus does not count its messages."""
        return b""

    def answer(self, request: Frame, reply: Frame) -> Answer:
        """The exception, or the values that were read."""
        return answer(request, reply)

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """An exception reply (Application Protocol, section 7) in the name of the asset."""
        unit, code = frame.what[0], frame.what[1]
        return (
            frame.data[:2]
            + bytes((0, 0, 0, _EXCEPTION_LENGTH, unit, code | _EXCEPTION_BIT))
            + bytes((EXCEPTIONS.get(reason, _ILLEGAL_FUNCTION),))
        )

    def _feed_parts(self, side: Side, data: bytes) -> Sequence[Frame]:
        stream = (self._from_client if side is _CLIENT else self._from_asset) + data
        frames: list[Frame] = []
        start = 0
        try:
            while (end := _end_of_frame(stream, start)) is not None:
                frames.append(_frame(side, stream[start:end]))
                start = end
        except Malformed:
            if not frames:
                raise
        rest = stream[start : start + MAX_HELD_BYTES]
        if side is _CLIENT:
            self._from_client = rest
        else:
            self._from_asset = rest
        return frames


class ModbusDatagramDecoder(ModbusDecoder):
    """Modbus over UDP: a datagram holds one message and nothing else, and nothing is kept."""

    __slots__ = ()

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`."""
        end = _end_of_frame(data, 0)
        if end is None or end != len(data):
            raise Malformed(f"a datagram of {len(data)} bytes is not one message")
        return (_frame(side, data),)


def fits(data: bytes, side: Side) -> bool | None:
    """See `Known.fits`: every head has protocol number 0, a length that there can be, and a function code likewise."""
    answer = head = _head_fits(data, side)
    at = 0
    while head:
        at += _LENGTH_END + (data[at + 4] << 8 | data[at + 5])
        if at >= len(data):
            return answer
        head = _head_fits(data[at : at + _HEAD_BYTES], side)
    return False if head is False else answer


def _head_fits(data: bytes, side: Side) -> bool | None:
    if any(data[2:4]):
        return False
    if len(data) < _HEAD_BYTES:
        return False if len(data) > 4 and data[4] else None  # noqa: PLR2004 - the length's upper byte
    length, code = data[4] << 8 | data[5], data[7]
    if not _MIN_LENGTH <= length <= (_MAX_LENGTH_UMAS if code & 0x7F == UMAS else _MAX_LENGTH):
        return False
    return code & 0x7F > 0 and (code < _EXCEPTION_BIT or side is not _CLIENT)


def _end_of_frame(stream: bytes, start: int) -> int | None:
    """Where the frame at `start` ends, ``None`` while it is incomplete.  Raises `Malformed` as soon as it can."""
    held = len(stream) - start
    if any(stream[start + 2 : start + 4]):
        raise WrongProtocol("the protocol number is not 0, so this is not Modbus/TCP (Messaging Guide 3.1.3)")
    if held < _LENGTH_END:
        return None
    length = stream[start + 4] << 8 | stream[start + 5]
    is_long_umas = length == _MAX_LENGTH_UMAS and (held < _HEAD_BYTES or stream[start + 7] & 0x7F == UMAS)
    if not (_MIN_LENGTH <= length <= _MAX_LENGTH or is_long_umas):
        raise Malformed(f"a length of {length} is not within 2 and 254 (Messaging Guide 3.1.3)")
    end = start + _LENGTH_END + length
    return end if end <= len(stream) else None


def _frame(side: Side, data: bytes) -> ModbusFrame:
    number, _, _, unit, code = _unpack(data)
    role = _REQUEST if side is _CLIENT else _REPLY
    exchange = number << 16 | unit << 8 | code & 0x7F
    return ModbusFrame(data, side, data[_LENGTH_END:], exchange, code >= _EXCEPTION_BIT, role)
