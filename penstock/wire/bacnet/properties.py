"""Reads and writes of properties: the services that nearly all BACnet traffic consists of, read without detours.

Pure.  ANSI/ASHRAE 135-2020, 15.5, 15.7, 15.9, 15.10 and 20.2.  These functions know the usual shape of the four
services; ``None`` says that a message has another one, and then `services` has the last word.  What they do read means
the same there: a test holds the two together.

A property is named ``present-value``, ``priority-array[3]``, and where it is written with the priority at which it
is: ``present-value@8``.  A write without one is one at 16, the lowest (19.2.1).
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

from penstock.model import Malformed, OperationClass, Target, Value
from penstock.wire.bacnet.codes import SETTINGS
from penstock.wire.bacnet.names import PROPERTIES
from penstock.wire.bacnet.tags import APPLICATION, INSTANCE_BITS, MAX_INSTANCE, read_tag, type_name, value_of

Targets = tuple[Target, ...]

_READ: Final = OperationClass.READ
_WRITE: Final = OperationClass.WRITE
_CONFIG: Final = OperationClass.CONFIG
DEFAULT_PRIORITY: Final = 16
#: Octets of tags (20.2.1): context 0 with four bytes (an object), opening and closing of group 1, and so on.
_OBJECT_0: Final = 0x0C
_OPEN_1, _CLOSE_1 = 0x1E, 0x1F
_OPEN_2, _CLOSE_2 = 0x2E, 0x2F
_OPEN_3, _CLOSE_3 = 0x3E, 0x3F
_PRIORITY_3, _PRIORITY_4 = 0x39, 0x49
_REAL: Final = 0x44
_ENUMERATED: Final = 0x91
_OBJECT_BYTES: Final = 5

_object = Struct(">BI").unpack_from
_float = Struct(">f").unpack_from

#: Types by number as text, as far as they are usual.
_TYPES: Final = tuple(type_name(number) for number in range(1 << 10))


@lru_cache(maxsize=4096)
def property_name(number: int, index: int | None = None, priority: int | None = None) -> str:
    """``present-value``, ``512``, ``priority-array[3]``, ``present-value@8``."""
    name = PROPERTIES.get(number) or str(number)
    name = name if index is None else f"{name}[{index}]"
    return name if priority is None else f"{name}@{priority}"


def read_property(data: bytes, at: int, end: int, _: OperationClass) -> Targets | None:
    """The target of ReadProperty's parameters from `at` to `end`, ``None`` where they have an unusual shape."""
    if end - at < _OBJECT_BYTES + 2 or data[at] != _OBJECT_0:
        return None
    word = _object(data, at)[1]
    number, index, at = reference(data, at + _OBJECT_BYTES, end, 0x10)
    if at != end:
        return None
    return (Target(_READ, _TYPES[word >> INSTANCE_BITS], word & MAX_INSTANCE, 1, property_name(number, index)),)


def read_property_multiple(data: bytes, at: int, end: int, _: OperationClass) -> Targets | None:
    """The targets of ReadPropertyMultiple, in the order of the message."""
    targets: list[Target] = []
    while at < end:
        if end - at < _OBJECT_BYTES + 4 or data[at] != _OBJECT_0 or data[at + _OBJECT_BYTES] != _OPEN_1:
            return None
        word = _object(data, at)[1]
        table, instance, at = _TYPES[word >> INSTANCE_BITS], word & MAX_INSTANCE, at + _OBJECT_BYTES + 1
        while True:
            number, index, at = reference(data, at, end, 0x00)
            if not 0 <= at < end:
                return None
            targets.append(Target(_READ, table, instance, 1, property_name(number, index)))
            if data[at] == _CLOSE_1:
                at += 1
                break
    return tuple(targets) or None


def write_property(data: bytes, at: int, end: int, _: OperationClass) -> Targets | None:
    """The target of WriteProperty with what would be written.  Raises `Malformed`."""
    if end - at < _OBJECT_BYTES + 4 or data[at] != _OBJECT_0:
        return None
    word = _object(data, at)[1]
    number, index, at = reference(data, at + _OBJECT_BYTES, end, 0x10)
    if not 0 <= at < end or data[at] != _OPEN_3:
        return None
    values, at = values_until(data, at + 1, end, _CLOSE_3)
    if values is None:
        return None
    priority = DEFAULT_PRIORITY
    if at + 2 == end and data[at] == _PRIORITY_4:
        priority, at = data[at + 1], end
    return None if at != end else (written(word, number, index, priority, values),)


def write_property_multiple(data: bytes, at: int, end: int, _: OperationClass) -> Targets | None:
    """The targets of WritePropertyMultiple with what would be written, in order.  Raises `Malformed`."""
    targets: list[Target] = []
    while at < end:
        if end - at < _OBJECT_BYTES + 4 or data[at] != _OBJECT_0 or data[at + _OBJECT_BYTES] != _OPEN_1:
            return None
        word, at = _object(data, at)[1], at + _OBJECT_BYTES + 1
        while True:
            number, index, at = reference(data, at, end, 0x00)
            if not 0 <= at < end or data[at] != _OPEN_2:
                return None
            values, at = values_until(data, at + 1, end, _CLOSE_2)
            priority = DEFAULT_PRIORITY
            if at + 2 < end and data[at] == _PRIORITY_3:
                priority, at = data[at + 1], at + 2
            if values is None or at >= end:
                return None
            targets.append(written(word, number, index, priority, values))
            if data[at] == _CLOSE_1:
                at += 1
                break
    return tuple(targets) or None


def written(word: int, number: int, index: int | None, priority: int, values: tuple[Value, ...]) -> Target:
    """A write of a setting (of a device, a program, a schedule or a network port) is configuration."""
    kind = word >> INSTANCE_BITS
    if not 1 <= priority <= DEFAULT_PRIORITY:
        raise Malformed(f"{priority} is no priority (15.9.1.1.5)")
    return Target(
        _CONFIG if kind in SETTINGS else _WRITE,
        _TYPES[kind],
        word & MAX_INSTANCE,
        1,
        property_name(number, index, priority),
        values,
    )


def reference(data: bytes, at: int, end: int, context: int) -> tuple[int, int | None, int]:
    """Property, array index, and where the next tag is: beyond the end where the shape is unusual.

    `context` is the tag number of the property, in the upper half of its octet; the index has the next one.
    """
    if at + 2 > end:
        return 0, None, -1
    octet = data[at] - context
    if octet == 0x09:  # noqa: PLR2004 - context tag with one byte
        number, at = data[at + 1], at + 2
    elif octet == 0x0A and at + 3 <= end:  # noqa: PLR2004 - context tag with two bytes
        number, at = data[at + 1] << 8 | data[at + 2], at + 3
    else:
        return 0, None, -1
    if at + 2 <= end and data[at] == context + 0x19:
        return number, data[at + 1], at + 2
    return number, None, at


def values_until(data: bytes, at: int, end: int, closing: int) -> tuple[tuple[Value, ...] | None, int]:
    """Application values up to the closing tag, and where the next tag is; ``None`` where others are among them."""
    if at + 5 < end:
        octet = data[at]
        if octet == _REAL and data[at + 5] == closing:
            return _float(data, at + 1), at + 6
        if octet == _ENUMERATED and data[at + 2] == closing:
            return (data[at + 1],), at + 3
    values: list[Value] = []
    while at < end and data[at] != closing:
        tag = read_tag(data, at, end)
        if tag[0] != APPLICATION:
            return None, end
        values.append(value_of(data, tag))
        at = tag[3]
    return (tuple(values), at + 1) if at < end else (None, end)
