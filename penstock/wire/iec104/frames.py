"""One frame of IEC 60870-5-104: format, role in the conversation, and what of it decides.

Pure and without a memory: what depends on earlier frames is added by the decoder.  -104, 5 (formats) and -101, 7.2.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from penstock.model import Malformed, Operation, OperationClass
from penstock.wire.decoder import NO_ANSWER, Frame, Role, Side, WrongProtocol
from penstock.wire.iec104 import codes
from penstock.wire.iec104.operations import CARRIED_AT, OBJECT_AT, carried, control, monitor

START: Final = 0x68
#: -104, 5: the length counts the four control octets and at most 249 of the ASDU.
CONTROL_BYTES: Final = 4
MAX_LENGTH: Final = 253
HEAD_BYTES: Final = 2
MAX_FRAME_BYTES: Final = HEAD_BYTES + MAX_LENGTH
ASDU_AT: Final = HEAD_BYTES + CONTROL_BYTES
_OBJECT_END: Final = ASDU_AT + OBJECT_AT
_S_FORMAT: Final = 1
_U_FORMAT: Final = 3
_SEQUENCE: Final = 0x80

_control = Struct("<HH").unpack_from
#: Common address and object address: behind type, number, cause and originator.
_object = Struct("<HHB").unpack_from
_CLIENT: Final = Side.CLIENT
_REQUEST, _REPLY, _NOTICE, _LINK = Role.REQUEST, Role.REPLY, Role.NOTICE, Role.LINK
#: No type is 0, so nothing of a client begins so.
_OF_ASSET: Final = b"\0"
_OF_ASSET_WHOLE: Final = b"\0\0"
#: Behind the confirmation of these more comes: data and a termination (-101, 7.4.5 and 7.4.8), or the object; a read
#: needs no confirmation, and some stations give one.
_IN_PARTS: Final = frozenset({codes.INTERROGATION, codes.COUNTER_INTERROGATION, codes.READ})
#: What nobody answers object by object.
_UNANSWERED: Final = codes.FILES | (codes.SECURITY - {codes.AGGRESSIVE_REQUEST})
_SIZES: Final = {kind: size for kind in codes.MONITOR if (size := codes.TYPES.get(kind, ("", "", None))[2]) is not None}

_SESSION: Final = (OperationClass.SESSION,)
_ACKNOWLEDGEMENT: Final = Operation("iec104", _SESSION, "S", "receive acknowledgement")
_U_OPERATIONS: Final = {
    bits << 2 | _U_FORMAT: Operation("iec104", _SESSION, f"U/{bits}", name) for bits, name in codes.U_FUNCTIONS.items()
}


class Iec104Frame(Frame, gc=False):
    """One APDU.  `what` is the ASDU; of what an asset tells, only which objects, for their values decide nothing."""

    @property
    def operation(self) -> Operation:
        """What the frame asks for or tells.  Raises `Malformed`."""
        first = self.data[2]
        if first & 1:
            return _ACKNOWLEDGEMENT if first == _S_FORMAT else _U_OPERATIONS[first]
        return control(self.data[ASDU_AT:]) if self.side is _CLIENT else monitor(self.data[ASDU_AT:])

    @property
    def is_numbered(self) -> bool:
        """Whether it is of the I format."""
        return not self.data[2] & 1


def end_of_frame(stream: bytes, start: int) -> int | None:
    """Where the frame at `start` ends, ``None`` while it is incomplete.  Raises `Malformed` as soon as it can."""
    held = len(stream) - start
    if held and stream[start] != START:
        raise WrongProtocol(f"it begins with 0x{stream[start]:02X}, IEC 60870-5-104 begins with 0x68 (-104, 5)")
    if held < HEAD_BYTES:
        return None
    length = stream[start + 1]
    if not CONTROL_BYTES <= length <= MAX_LENGTH:
        raise Malformed(f"a length of {length} is not within 4 and 253 (-104, 5)")
    end = start + HEAD_BYTES + length
    return end if end <= len(stream) else None


def check_control(data: bytes) -> None:
    """The control octets of one whole frame (-104, figures 6 to 8).  Raises `Malformed`."""
    first, second = _control(data, HEAD_BYTES)
    if second & 1:
        raise Malformed("the third control octet ends in 1 (-104, 5.1)")
    if not first & 1:
        if len(data) > ASDU_AT and not data[ASDU_AT]:
            raise Malformed("0 is no type identification (-101, 7.2.1)")
        if len(data) == ASDU_AT:
            raise Malformed("an I format without an ASDU (-104, 5.1)")
        return
    if len(data) != ASDU_AT:
        raise Malformed(f"an S or U format of {len(data)} bytes, not 6 (-104, 5)")
    if first != _S_FORMAT and (second or first not in _U_OPERATIONS):
        raise Malformed(f"0x{first:04X} is no control field (-104, 5, figures 7 and 8)")


def fits(data: bytes, _side: Side) -> bool | None:
    """See `Known.fits`: the start octet, a length that there is, and a control field that there is."""
    if data[0] != START:
        return False
    try:
        end = end_of_frame(data, 0)
        if end is None:
            return None
        check_control(data[:end])
    except Malformed:
        return False
    return True


def frame_of(side: Side, data: bytes) -> Iec104Frame:
    """One whole frame whose control octets are sound."""
    if data[2] & 1:
        return Iec104Frame(data, side, data[2:3], NO_ANSWER, False, _LINK)
    if side is _CLIENT:
        return _asked(data)
    return _told(data)


def exchange_of(kind: int, data: bytes, at: int) -> int:
    """Type, common address and object address in one number; `at` is where the common address stands."""
    unit, low, high = _object(data, at)
    exchange: int = kind | unit << 8 | low << 24 | high << 40
    return exchange


def _asked(data: bytes) -> Iec104Frame:
    kind, asdu = data[ASDU_AT], data[ASDU_AT:]
    if len(data) < _OBJECT_END or kind in _UNANSWERED:
        return Iec104Frame(data, _CLIENT, asdu, NO_ANSWER, False, _NOTICE)
    if kind == codes.AGGRESSIVE_REQUEST:
        inner = carried(asdu)
        if inner is None:
            return Iec104Frame(data, _CLIENT, asdu, NO_ANSWER, False, _NOTICE)
        return Iec104Frame(data, _CLIENT, asdu, exchange_of(inner[0], asdu, CARRIED_AT + 4), False)
    unit, low, high = _object(data, 10)
    return Iec104Frame(data, _CLIENT, asdu, kind | unit << 8 | low << 24 | high << 40, False)


def _told(data: bytes) -> Iec104Frame:
    kind = data[ASDU_AT]
    if len(data) < _OBJECT_END:
        return Iec104Frame(data, Side.ASSET, _OF_ASSET_WHOLE + data[ASDU_AT:], NO_ANSWER, False, _NOTICE)
    if kind in _SIZES:
        if kind == codes.END_OF_INITIALISATION and data[7] == 1 and len(data) == _OBJECT_END + 1:
            return Iec104Frame(data, Side.ASSET, data[ASDU_AT:], NO_ANSWER, False, _LINK)
        return Iec104Frame(data, Side.ASSET, _objects_of(kind, data), NO_ANSWER, False, _NOTICE)
    cause = data[8]
    bare = cause & codes.CAUSE_BITS
    if kind in codes.SECURITY or bare not in codes.REPLIES:
        return Iec104Frame(data, Side.ASSET, _OF_ASSET_WHOLE + data[ASDU_AT:], NO_ANSWER, False, _NOTICE)
    is_refusal = cause & codes.NEGATIVE != 0 or bare >= codes.UNKNOWN_TYPE
    if kind in codes.FILES:
        return Iec104Frame(data, Side.ASSET, data[ASDU_AT:], NO_ANSWER, is_refusal, _LINK)
    is_last = is_refusal or bare != codes.ACTIVATION_CON or kind not in _IN_PARTS
    exchange = exchange_of(kind, data, 10)
    return Iec104Frame(data, Side.ASSET, data[ASDU_AT:], exchange, is_refusal, _REPLY, is_last)


def _objects_of(kind: int, data: bytes) -> bytes:
    """Head and addresses of a message of the asset; all of it where its length is not that of its objects."""
    count, size, length = data[7], _SIZES[kind], len(data)
    if count == 1 or count & _SEQUENCE:
        if length == _OBJECT_END + (count & ~_SEQUENCE) * size:
            return _OF_ASSET + data[ASDU_AT:_OBJECT_END]
    elif length == 12 + count * (size + 3):
        step = size + 3
        return _OF_ASSET + data[ASDU_AT:12] + data[12::step] + data[13::step] + data[14::step]
    return _OF_ASSET_WHOLE + data[ASDU_AT:]
