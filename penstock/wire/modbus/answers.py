"""What a Modbus reply says to its request: the exception, or the values that were read.

Pure.  MODBUS Application Protocol V1.1b3, sections 6 and 7.
"""

from __future__ import annotations

from struct import unpack
from typing import Final

import msgspec

from penstock.model import Malformed, Target, Value
from penstock.wire.decoder import Answer, Frame
from penstock.wire.modbus.operations import operation

#: Section 7.
EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
UNREADABLE: Final = Answer("unreadable")
#: Functions 1 and 2 answer in bits, the lowest bit of the first byte first; 3, 4 and 23 in registers.
_BITS: Final = frozenset({1, 2})
_REGISTERS: Final = frozenset({3, 4, 23})


def answer(request: Frame, reply: Frame) -> Answer:
    """See `Decoder.answer`."""
    pdu = reply.what[1:]
    if reply.is_refusal:
        code = pdu[1] if len(pdu) > 1 else 0
        return Answer(f"{code} {EXCEPTIONS.get(code, 'unknown exception')}")
    code = pdu[0]
    if code not in _BITS and code not in _REGISTERS:
        return Answer()
    try:
        read = operation(request.what[0], request.what[1:]).targets[0]
    except Malformed:
        return UNREADABLE
    values = _bits(pdu, read) if code in _BITS else _registers(pdu, read)
    return UNREADABLE if values is None else Answer("", (msgspec.structs.replace(read, values=values),))


def _bits(pdu: bytes, read: Target) -> tuple[Value, ...] | None:
    wanted = (read.count + 7) // 8
    if len(pdu) != 2 + wanted or pdu[1] != wanted:
        return None
    bits = int.from_bytes(pdu[2:], "little")
    return tuple(bits >> i & 1 for i in range(read.count))


def _registers(pdu: bytes, read: Target) -> tuple[Value, ...] | None:
    wanted = 2 * read.count
    if len(pdu) != 2 + wanted or pdu[1] != wanted:
        return None
    return unpack(f">{read.count}H", pdu[2:])
