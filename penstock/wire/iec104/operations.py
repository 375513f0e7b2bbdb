"""What an ASDU asks for or tells: its bytes in, an `Operation` out.

Pure.  IEC 60870-5-101:2003, 7.2 and 7.3.  In control direction everything is checked that a station might read in
another way than the gate: the number of objects, their length, the addresses, the states.  A type, cause or qualifier
that the standard does not define makes the operation `unknown`, beside what it is otherwise.

The object of an operation is an information object: its address in the table that its type names (``C_SC_NA_1``).
The unit is the common address, the code type and cause (``45/6``).
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from penstock.model import Malformed, Operation, OperationClass, Target
from penstock.wire.iec104 import codes
from penstock.wire.iec104.elements import ASKED, Asked
from penstock.wire.iec104.files import file_operation

#: Type, number of objects, cause, originator, common address; then the first object's address.
HEAD_BYTES: Final = 6
OBJECT_AT: Final = 9
_head = Struct("<BBBBHHB").unpack_from
_SEQUENCE: Final = 0x80
_UNKNOWN: Final = (OperationClass.UNKNOWN,)
_READ_CLASS: Final = OperationClass.READ
_READ: Final = (_READ_CLASS,)
_WRITE: Final = (OperationClass.WRITE,)
#: The aggressive request carries another ASDU: behind its head stand an octet of segmentation, that ASDU, a number (4),
#: a user (2) and a code of at least four bytes that proves it (IEC 60870-5-7).
CARRIED_AT: Final = HEAD_BYTES + 1
_WHOLE_SEGMENT: Final = 0xC0
_BEHIND_CARRIED: Final = 10

_CODES: Final = {kind << 8 | cause: f"{kind}/{cause}" for kind in range(256) for cause in range(64)}


def control(asdu: bytes) -> Operation:
    """What a controlling station asks for.  Raises `Malformed`."""
    if len(asdu) < OBJECT_AT:
        if len(asdu) >= HEAD_BYTES and asdu[0] in codes.SECURITY:
            return _security(asdu)
        raise Malformed(f"{len(asdu)} bytes are no ASDU (-101, 7.1)")
    kind, count, cause, _, unit, low, high = _head(asdu)
    read = ASKED.get(kind)
    if read is None:
        return _other(asdu)
    mnemonic, title, size = codes.TYPES[kind]
    if count != 1 or len(asdu) != OBJECT_AT + size:  # type: ignore[operator]
        raise Malformed(f"{mnemonic} has one object of {size} bytes (-101, 7.3)")
    address = low | high << 16
    _check_head(kind, cause, unit, address)
    values, mode, is_known = asked = read(asdu, OBJECT_AT)
    classes = codes.CLASS_OF.get(kind, _UNKNOWN)
    cause &= codes.CAUSE_BITS
    if cause == codes.DEACTIVATION:
        mode = f"{mode}, deactivate" if mode else "deactivate"
    if kind == codes.COUNTER_INTERROGATION and asdu[OBJECT_AT] > codes.CAUSE_BITS:
        classes = _WRITE
    target = Target(classes[0], mnemonic, address, 1, _group(kind, asked), values)
    if not is_known or cause not in codes.ASKING_CAUSES[kind]:
        classes = classes if classes is _UNKNOWN else (*classes, OperationClass.UNKNOWN)
    return Operation(
        "iec104", classes, _CODES[kind << 8 | cause], f"{title}: {mode}" if mode else title, unit, (target,)
    )


def _group(kind: int, asked: Asked) -> str:
    return asked[1] if kind in {codes.INTERROGATION, codes.COUNTER_INTERROGATION} else ""


def _check_head(kind: int, cause: int, unit: int, address: int) -> None:
    """-101, 7.2.3 and 7.2.4.  Raises `Malformed`."""
    if cause & codes.NEGATIVE:
        raise Malformed("who asks does not confirm, least of all negatively (-101, 7.2.3)")
    if not unit:
        raise Malformed("the common address 0 is not used (-101, 7.2.4)")
    if unit == codes.BROADCAST and kind not in codes.BROADCAST_TYPES:
        raise Malformed(f"{codes.TYPES[kind][0]} does not go to all stations (-101, 7.2.4)")
    if address and kind in codes.WITHOUT_ADDRESS:
        raise Malformed(f"{codes.TYPES[kind][0]} has no object address (-101, 7.3.4)")


def _other(asdu: bytes) -> Operation:
    """Files, authentication, and what nobody asks for or the standard does not know."""
    kind = asdu[0]
    if kind in codes.FILES:
        _check_head(kind, asdu[2], asdu[4] | asdu[5] << 8, -1)
        return file_operation(asdu, is_asking=True)
    if kind in codes.SECURITY:
        return _security(asdu)
    return unknown(asdu)


def unknown(asdu: bytes) -> Operation:
    """A type that is not defined, or not in this direction."""
    kind, _, cause, _, unit, low, high = _head(asdu)
    mnemonic, title, _ = codes.TYPES.get(kind, (str(kind), f"unknown type {kind}", None))
    target = Target(OperationClass.UNKNOWN, mnemonic, low | high << 16)
    return Operation("iec104", _UNKNOWN, _CODES[kind << 8 | cause & codes.CAUSE_BITS], title, unit, (target,))


def _security(asdu: bytes) -> Operation:
    """IEC 60870-5-7.  A request that carries a command is that command as well."""
    kind, _, cause, _, unit = _head(asdu + b"\0\0\0")[:5]
    mnemonic, title, _ = codes.TYPES[kind]
    classes: tuple[OperationClass, ...] = (OperationClass.AUTH,)
    targets: tuple[Target, ...] = (Target(OperationClass.AUTH, mnemonic, 0),)
    cause &= codes.CAUSE_BITS
    if cause not in codes.ASKING_CAUSES[kind]:
        classes = (*classes, OperationClass.UNKNOWN)
    if kind == codes.AGGRESSIVE_REQUEST:
        inner = carried(asdu)
        if inner is None:
            classes = tuple(dict.fromkeys((*classes, OperationClass.UNKNOWN)))
        else:
            asked = control(inner)
            classes = tuple(dict.fromkeys((*classes, *asked.classes)))
            targets += asked.targets
            title = f"{title}: {asked.name}"
    return Operation("iec104", classes, _CODES[kind << 8 | cause], title, unit, targets)


def carried(asdu: bytes) -> bytes | None:
    """The ASDU in an aggressive request, ``None`` where it cannot be told (a segment, a type without a length)."""
    inner = asdu[CARRIED_AT:]
    if len(inner) < OBJECT_AT or asdu[HEAD_BYTES] & _WHOLE_SEGMENT != _WHOLE_SEGMENT:
        return None
    size = codes.TYPES.get(inner[0], ("", "", None))[2]
    if size is None or inner[0] not in codes.ASKING_CAUSES or len(inner) < OBJECT_AT + size + _BEHIND_CARRIED:
        return None
    return inner[: OBJECT_AT + size]


def monitor(asdu: bytes) -> Operation:
    """What a controlled station tells, or answers.  Raises `Malformed`."""
    kind = asdu[0] if asdu else 0
    if kind not in codes.MONITOR:
        return _answered(asdu)
    addresses = object_addresses(asdu)
    mnemonic, title, _ = codes.TYPES[kind]
    classes = codes.CLASS_OF.get(kind, _UNKNOWN)
    cause = asdu[2] & codes.CAUSE_BITS
    targets = _runs(classes[0], mnemonic, addresses)
    if cause in codes.REPLIES or cause not in codes.CAUSES:
        classes = tuple(dict.fromkeys((*classes, OperationClass.UNKNOWN)))
    return Operation("iec104", classes, _CODES[kind << 8 | cause], title, asdu[4] | asdu[5] << 8, targets)


def _answered(asdu: bytes) -> Operation:
    """The mirror of what was asked, files, authentication."""
    if len(asdu) >= HEAD_BYTES and asdu[0] in codes.SECURITY:
        return _security(asdu)
    if len(asdu) < OBJECT_AT:
        raise Malformed(f"{len(asdu)} bytes are no ASDU (-101, 7.1)")
    kind, cause = asdu[0], asdu[2] & codes.CAUSE_BITS
    if kind in codes.FILES:
        return file_operation(asdu, is_asking=cause in codes.REPLIES)
    if cause in codes.REPLIES and kind in ASKED:
        mirrored = asdu[:2] + bytes((min(codes.ASKING_CAUSES[kind] - {3}),)) + asdu[3:]
        asked = control(mirrored)
        return Operation("iec104", asked.classes, _CODES[kind << 8 | cause], asked.name, asked.unit, asked.targets)
    return unknown(asdu)


def object_addresses(asdu: bytes) -> Iterable[int]:
    """The addresses of the objects of a type with a fixed size.  Raises `Malformed` when the length is not theirs."""
    size = codes.TYPES[asdu[0]][2] or 0
    count = asdu[1] & ~_SEQUENCE if len(asdu) >= OBJECT_AT else 0
    if not count:
        raise Malformed("an ASDU without an object (-101, 7.2.2)")
    if asdu[1] & _SEQUENCE:
        first = int.from_bytes(asdu[HEAD_BYTES:OBJECT_AT], "little")
        if len(asdu) != OBJECT_AT + count * size or first + count > 1 << 24:
            raise Malformed(
                f"{count} objects of {size} bytes in a sequence do not make {len(asdu)} bytes (-101, 7.2.2)"
            )
        return range(first, first + count)
    step = 3 + size
    if len(asdu) != HEAD_BYTES + count * step:
        raise Malformed(f"{count} objects of {size} bytes do not make {len(asdu)} bytes (-101, 7.2.2)")
    return [
        asdu[at] | asdu[at + 1] << 8 | asdu[at + 2] << 16 for at in range(HEAD_BYTES, HEAD_BYTES + count * step, step)
    ]


def _runs(operation_class: OperationClass, mnemonic: str, addresses: Iterable[int]) -> tuple[Target, ...]:
    """One target for each run of addresses."""
    if isinstance(addresses, range):
        return (Target(operation_class, mnemonic, addresses.start, len(addresses)),)
    targets: list[Target] = []
    first = last = UNSET
    for address in addresses:
        if address != last + 1:
            if first != UNSET:
                targets.append(Target(operation_class, mnemonic, first, last - first + 1))
            first = address
        last = address
    targets.append(Target(operation_class, mnemonic, first, last - first + 1))
    return tuple(targets)


UNSET: Final = -2
