"""What a reply says: confirmed, refused and how, or the values of the objects.

Pure.  IEC 60870-5-101:2003, 7.2.3 (causes) and 7.2.6 (elements).
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed, OperationClass, Target, Value
from penstock.wire.decoder import Answer, Frame
from penstock.wire.iec104 import codes
from penstock.wire.iec104.elements import SHOWN
from penstock.wire.iec104.operations import HEAD_BYTES, OBJECT_AT, object_addresses

UNREADABLE: Final = Answer("unreadable")
_ASDU_AT: Final = 6


def answer(_request: Frame, reply: Frame) -> Answer:
    """See `Decoder.answer`.  Of a notice, which is its own request, it gives the values."""
    asdu = reply.data[_ASDU_AT:]
    if len(asdu) < HEAD_BYTES:
        return UNREADABLE
    cause = asdu[2] & codes.CAUSE_BITS
    if reply.is_refusal:
        name = codes.CAUSES.get(cause, "unknown cause")
        return Answer(f"{cause} {name}{', negative' if asdu[2] & codes.NEGATIVE else ''}")
    if asdu[0] not in SHOWN:
        return Answer()
    try:
        return Answer("", shown(asdu))
    except Malformed:
        return UNREADABLE


def shown(asdu: bytes) -> tuple[Target, ...]:
    """The objects of an ASDU in monitor direction with their values.  Raises `Malformed`."""
    mnemonic, _, size = codes.TYPES[asdu[0]]
    found = codes.CLASS_OF.get(asdu[0], (OperationClass.UNKNOWN,))[0]
    read, step = SHOWN[asdu[0]], (size or 0)
    addresses = object_addresses(asdu)
    if isinstance(addresses, range):
        values: tuple[Value, ...] = tuple(read(asdu, OBJECT_AT + i * step) for i in range(len(addresses)))
        return (Target(found, mnemonic, addresses.start, len(addresses), "", values),)
    return tuple(
        Target(found, mnemonic, address, 1, "", (read(asdu, OBJECT_AT + i * (step + 3)),))
        for i, address in enumerate(addresses)
    )
