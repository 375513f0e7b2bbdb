"""Modbus as captures show it: every message with the fields that tshark gives it.

Pure.  For passive use only; what decides is in `decoder` and `operations`.  The keys are those of the reference decode,
the names of codes tshark's own.  Layouts: MODBUS Application Protocol V1.1b3, section 6.  It must never raise: of a
message that ends too early the fields in front of the end are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from penstock.model import Malformed
from penstock.wire.decoder import Decoder, Frame, Side
from penstock.wire.modbus.codes import DIAGNOSTICS, INTERFACE
from penstock.wire.modbus.decoder import ModbusDecoder
from penstock.wire.protocol import Shown

_Fields = dict[str, Any]

FUNCTIONS: Final = {
    1: "Read Coils",
    2: "Read Discrete Inputs",
    3: "Read Holding Registers",
    4: "Read Input Registers",
    5: "Write Single Coil",
    6: "Write Single Register",
    7: "Read Exception Status",
    8: "Diagnostics",
    11: "Get Comm. Event Counters",
    12: "Get Comm. Event Log",
    15: "Write Multiple Coils",
    16: "Write Multiple Registers",
    17: "Report Slave ID",
    20: "Read File Record",
    21: "Write File Record",
    22: "Mask Write Register",
    23: "Read Write Register",
    24: "Read FIFO Queue",
    43: "Encapsulated Interface Transport",
    90: "Unity (Schneider)",
}
EXCEPTIONS: Final = {
    1: "Illegal function",
    2: "Illegal data address",
    3: "Illegal data value",
    4: "Slave device failure",
    5: "Acknowledge",
    6: "Slave device busy",
    8: "Memory parity error",
    10: "Gateway path unavailable",
    11: "Gateway target device failed to respond",
}
SUB_FUNCTIONS: Final = {
    0: "Return Query Data",
    1: "Restart Communications Option",
    2: "Return Diagnostic Register",
    3: "Change ASCII Input Delimiter",
    4: "Force Listen Only Mode",
    10: "Clear Counters and Diagnostic Register",
    11: "Return Bus Message Count",
    12: "Return Bus Communication Error Count",
    13: "Return Bus Exception Error Count",
    14: "Return Slave Message Count",
    15: "Return Slave No Response Count",
    16: "Return Slave NAK Count",
    17: "Return Slave Busy Count",
    18: "Return Bus Character Overrun Count",
    20: "Clear Overrun Counter and Flag",
}
INTERFACES: Final = {13: "CANopen Request/Response", 14: "Read Device Identification"}
IDENTIFICATIONS: Final = {
    1: "Basic Device Identification",
    2: "Regular Device Identification",
    3: "Extended Device Identification",
    4: "Specific Identification Object",
}
_IDENTIFICATION: Final = 14
_UNKNOWN: Final = "Unknown"
#: Fields by their place in the PDU: (key, first byte, bytes).
_ADDRESS: Final = ("addr", 1, 2)
_BYTES: Final = ("bytes", 1, 1)
_READ_BITS: Final = (_ADDRESS, ("bits", 3, 2))
_READ_WORDS: Final = (_ADDRESS, ("words", 3, 2))
_MASK: Final = (_ADDRESS, ("and_mask", 3, 2), ("or_mask", 5, 2))
_EXCHANGE: Final = (
    ("read_addr", 1, 2),
    ("read_words", 3, 2),
    ("write_addr", 5, 2),
    ("write_words", 7, 2),
    ("bytes", 9, 1),
)
_REQUESTS: Final = {
    1: _READ_BITS,
    2: _READ_BITS,
    3: _READ_WORDS,
    4: _READ_WORDS,
    5: (_ADDRESS,),
    6: (_ADDRESS,),
    15: (*_READ_BITS, ("bytes", 5, 1)),
    16: (*_READ_WORDS, ("bytes", 5, 1)),
    20: (_BYTES,),
    21: (_BYTES,),
    22: _MASK,
    23: _EXCHANGE,
    24: (_ADDRESS,),
}
_REPLIES: Final = {
    **dict.fromkeys((1, 2, 3, 4, 12, 20, 21, 23), (_BYTES,)),
    5: (_ADDRESS,),
    6: (_ADDRESS,),
    15: _READ_BITS,
    16: _READ_WORDS,
    22: _MASK,
    24: (("words", 3, 2),),
}
#: How long the PDU is at least where its last field is a value that is not shown.
_LEAST_REQUEST: Final = {5: 5, 6: 5}
_LEAST_REPLY: Final = {5: 5, 6: 5, 7: 2, 11: 5}
_RECORDS: Final = frozenset({20, 21})
_WRITE_RECORDS: Final = 21
#: Where the list of objects begins in the reply to Read Device Identification (6.21).
_OBJECTS_AT: Final = 7


class ModbusDissector:
    """The messages of one flow; each side is read for itself, and what breaks is given up up to the next segment."""

    __slots__ = ("_decoders", "_make")

    def __init__(self, make: Callable[[], Decoder] = ModbusDecoder) -> None:
        self._make = make
        self._decoders = {side: make() for side in Side}

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        try:
            frames = self._decoders[side].feed(side, data)
        except Malformed:  # what was held is not the beginning of this
            self.lost(side)
            try:
                frames = self._decoders[side].feed(side, data)
            except Malformed:
                self.lost(side)
                return ()
        return [shown(frame) for frame in frames]

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        self._decoders[side] = self._make()


def shown(frame: Frame) -> Shown:
    """A message as the reference decode shows it."""
    data = frame.data
    found: _Fields = {
        "p": "mbtcp",
        "tid": data[0] << 8 | data[1],
        "pid": 0,
        "len": data[4] << 8 | data[5],
        "unit": data[6],
    }
    pdu = data[7:]
    code = pdu[0] & 0x7F
    _named(found, "fc", code, FUNCTIONS)
    is_request = frame.side is Side.CLIENT
    try:
        if frame.is_refusal and not is_request:
            _named(found, "exception", pdu[1], EXCEPTIONS)
        else:
            _fields(found, pdu, code, frame.side)
    except IndexError:
        return Shown(found, frame, is_malformed=True)
    return Shown(found, frame)


def _fields(found: _Fields, pdu: bytes, code: int, side: Side) -> None:
    """What stands in the PDU.  Raises `IndexError` where it ends too early."""
    is_request = side is Side.CLIENT
    for key, at, size in (_REQUESTS if is_request else _REPLIES).get(code, ()):
        found[key] = _number(pdu, at, size)
    if len(pdu) < (_LEAST_REQUEST if is_request else _LEAST_REPLY).get(code, 0):
        raise IndexError
    if code in _RECORDS:
        _records(found, pdu, side)
    elif code == DIAGNOSTICS:
        _named(found, "diag", _number(pdu, 1, 2), SUB_FUNCTIONS)
    elif code == INTERFACE:
        _interface(found, pdu, side)


def _number(pdu: bytes, at: int, size: int) -> int:
    return pdu[at] if size == 1 else pdu[at] << 8 | pdu[at + 1]


def _named(found: _Fields, key: str, code: int, names: dict[int, str]) -> None:
    found[key] = code
    found[key + "_name"] = names.get(code, _UNKNOWN)


def _interface(found: _Fields, pdu: bytes, side: Side) -> None:
    _named(found, "mei", pdu[1], INTERFACES)
    if pdu[1] != _IDENTIFICATION:
        return
    _named(found, "dev_id_code", pdu[2], IDENTIFICATIONS)
    if side is Side.CLIENT:
        found["object_id"] = [pdu[3]]
        return
    at = _OBJECTS_AT
    for _ in range(pdu[_OBJECTS_AT - 1]):
        found.setdefault("object_id", []).append(pdu[at])
        at += 2 + pdu[at + 1]
    if at > len(pdu):
        raise IndexError


def _records(found: _Fields, pdu: bytes, side: Side) -> None:
    """Groups of records (6.14, 6.15): those of a reply to a read tell their length and kind, the others where."""
    is_addressed = side is Side.CLIENT or pdu[0] == _WRITE_RECORDS
    kinds: list[int] = []
    places: list[int] = []
    at, end = 2, 2 + pdu[1]
    while at < end:
        if is_addressed:
            kinds.append(pdu[at])
            places.append(_number(pdu, at + 1, 2) << 16 | _number(pdu, at + 3, 2))
            count = _number(pdu, at + 5, 2)
            found.setdefault("words", count)
            at += 7 + (2 * count if pdu[0] == _WRITE_RECORDS else 0)
        else:
            kinds.append(pdu[at + 1])
            at += 1 + max(pdu[at], 1)
        found["file_ref_type"] = kinds
        if places:
            found["file_addr"] = places
    if at > len(pdu):
        raise IndexError
