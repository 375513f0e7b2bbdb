"""What a BACnet reply says to its request: the error, or the values that were read.

Pure.  ANSI/ASHRAE 135-2020, clauses 13 to 18 and 21.
"""

from __future__ import annotations

from typing import Any, Final

from penstock.model import Malformed, OperationClass, Target
from penstock.wire.bacnet import codes
from penstock.wire.bacnet import services as s
from penstock.wire.bacnet.frames import BacnetFrame, Kind
from penstock.wire.bacnet.grammar import Found, read_parts
from penstock.wire.bacnet.names import ABORT_REASONS, ERROR_CLASSES, ERROR_CODES, REJECT_REASONS
from penstock.wire.bacnet.network import BVLL_TYPE
from penstock.wire.bacnet.properties import property_name
from penstock.wire.bacnet.tags import type_name
from penstock.wire.decoder import Answer, Frame

UNREADABLE: Final = Answer("unreadable")
#: 20.1: types of APDUs.
_SIMPLE_ACK: Final = 2
_ERROR: Final = 5
_REASONS: Final = {6: ("reject", REJECT_REASONS), 7: ("abort", ABORT_REASONS)}
_HEADER_BYTES: Final = 3
#: Services whose acknowledgement shows values, or the object that there is now.
_WITH_VALUES: Final = frozenset(
    {codes.CREATE_OBJECT, codes.READ_PROPERTY, codes.READ_PROPERTY_MULTIPLE, codes.READ_RANGE}
)
_WILDCARDS: Final = frozenset({"all", "required", "optional"})


def answer(request: Frame, reply: Frame) -> Answer:
    """See `Decoder.answer`."""
    if not isinstance(request, BacnetFrame) or not isinstance(reply, BacnetFrame) or not reply.what:
        return UNREADABLE
    if reply.what[0] == BVLL_TYPE:
        return _result(reply.data)
    if request.kind is not Kind.CONFIRMED or len(reply.what) < _HEADER_BYTES:
        return UNREADABLE
    try:
        return _said(request, request.what[request.at], reply.what)
    except Malformed:
        return UNREADABLE


def _result(data: bytes) -> Answer:
    code = int.from_bytes(data[4:6], "big") if data[1] == codes.BVLC_RESULT else 0
    return Answer(f"0x{code:04X} not carried out" if code else "")


def _said(request: BacnetFrame, service: int, apdu: bytes) -> Answer:
    kind, code = apdu[0] >> 4, apdu[2]
    if kind in _REASONS:
        word, reasons = _REASONS[kind]
        return Answer(f"{word} {code} {reasons.get(code, 'unknown reason')}")
    if code != service:
        return UNREADABLE
    if kind == _ERROR:
        return Answer(_error_text(read_parts(s.ERRORS.get(service, s.ERROR), apdu, _HEADER_BYTES, len(apdu))))
    if kind == _SIMPLE_ACK or service not in _WITH_VALUES:
        return Answer()
    if apdu[0] & 0x0F:
        return UNREADABLE
    return _values(request, service, read_parts(s.ANSWERS[service], apdu, _HEADER_BYTES, len(apdu)))


def _error_text(found: Found) -> str:
    """``2/40 property, write-access-denied`` of the first error."""
    numbers = [value for label, value in found if label in {s.ERROR_CLASS, s.ERROR_CODE}]
    kind, code = numbers[0], numbers[1]
    return f"{kind}/{code} {ERROR_CLASSES.get(kind, 'vendor')}, {ERROR_CODES.get(code, 'vendor')}"


def _values(request: BacnetFrame, service: int, found: Found) -> Answer:
    if service == codes.CREATE_OBJECT:
        ((kind, number),) = (value for label, value in found if label == s.THING)
        return Answer("", (Target(OperationClass.PROGRAM_TO_DEVICE, type_name(kind), number),))
    targets, failed = _read(found)
    asked = request.operation.targets
    is_exact = len(asked) == len(targets) and not any(target.name in _WILDCARDS for target in asked)
    if is_exact and any(_differs(one, other) for one, other in zip(asked, targets, strict=True)):
        return UNREADABLE
    status = f"{failed} of {len(targets)} failed, the first: {_error_text(found)}" if failed else ""
    return Answer(status, tuple(targets))


def _differs(asked: Target, shown: Target) -> bool:
    """Whether the device shows something else; instance 4194303 asks for whatever device it is (16.10)."""
    is_any = asked.first == (1 << 22) - 1
    return (asked.table, asked.name) != (shown.table, shown.name) or (asked.first != shown.first and not is_any)


def _read(found: Found) -> tuple[list[Target], int]:
    """Each property with its values, without where the device says why not; and how many of those there are."""
    targets: list[Target] = []
    thing = following = (0, 0)
    item, failed = dict[str, Any](), 0
    for label, value in [*found, (s.PROPERTY, None)]:
        if label == s.THING:
            following = value
        elif label == s.PROPERTY:
            if item:
                name = property_name(item[s.PROPERTY], item.get(s.INDEX))
                values = item.get(s.VALUES)
                failed += values is None
                targets.append(Target(OperationClass.READ, type_name(thing[0]), thing[1], 1, name, values))
            thing, item = following, {label: value}
        else:
            item[label] = value
    return targets, failed
