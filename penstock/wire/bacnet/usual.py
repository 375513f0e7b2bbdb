"""Files, notifications and announcements in their usual shape, read without detours.

Pure.  ANSI/ASHRAE 135-2020, 13.1, 14.1, 14.2, 16.10 and 20.2.  As in `properties`: ``None`` says that a message has
another shape, and then `services` has the last word; what is read here means the same there.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from penstock.model import Malformed, OperationClass, Target
from penstock.wire.bacnet.properties import Targets, property_name, reference, values_until
from penstock.wire.bacnet.tags import INSTANCE_BITS, MAX_INSTANCE, type_name

#: Octets of tags (20.2.1): application tags of objects and octets; context tags of four bytes; groups.
_OBJECT: Final = 0xC4
_LONG_OCTETS: Final = 0x65
_CONTEXT_OBJECTS: Final = (0x1C, 0x2C)
_OPEN_0, _CLOSE_0 = 0x0E, 0x0F
_OPEN_2, _CLOSE_2 = 0x2E, 0x2F
_OPEN_4, _CLOSE_4 = 0x4E, 0x4F
#: Tags without their length: unsigned, signed, enumerated; context 0, 1 and 3.
_UNSIGNED, _SIGNED, _ENUMERATED = 0x20, 0x30, 0x90
_CONTEXT_0, _CONTEXT_1, _CONTEXT_3 = 0x08, 0x18, 0x38
_OBJECT_BYTES: Final = 5
_MAX_NUMBER_BYTES: Final = 4
#: Lengths that stand in one octet behind the tag (20.2.1.3.1).
_LEAST_LONG, _MOST_LONG = 5, 253

_object = Struct(">BI").unpack_from


def read_file(data: bytes, at: int, end: int, operation_class: OperationClass) -> Targets | None:
    """AtomicReadFile of a stream."""
    if end - at < _OBJECT_BYTES + 6 or data[at] != _OBJECT or data[at + _OBJECT_BYTES] != _OPEN_0:
        return None
    word = _object(data, at)[1]
    start, at = _signed(data, at + _OBJECT_BYTES + 1, end)
    count, at = _number(data, at, end, _UNSIGNED)
    if at + 1 != end or data[at] != _CLOSE_0:
        return None
    return _file(operation_class, word, start, count)


def write_file(data: bytes, at: int, end: int, operation_class: OperationClass) -> Targets | None:
    """AtomicWriteFile of a stream, with 5 to 253 octets; others are rare."""
    if end - at < _OBJECT_BYTES + 6 or data[at] != _OBJECT or data[at + _OBJECT_BYTES] != _OPEN_0:
        return None
    word = _object(data, at)[1]
    start, at = _signed(data, at + _OBJECT_BYTES + 1, end)
    if not 0 <= at < end - 2 or data[at] != _LONG_OCTETS:
        return None
    size, at = data[at + 1], at + 2
    if size == _MOST_LONG + 1 and at + 2 < end:
        size, at = data[at] << 8 | data[at + 1], at + 2
        if size <= _MOST_LONG:
            return None
    elif not _LEAST_LONG <= size <= _MOST_LONG:
        return None
    if at + size + 1 != end or data[end - 1] != _CLOSE_0:
        return None
    return _file(operation_class, word, start, size)


def changed(data: bytes, at: int, end: int, operation_class: OperationClass) -> Targets | None:
    """A notification of changed values."""
    _, at = _number(data, at, end, _CONTEXT_0)
    if at < 0 or end - at < 2 * _OBJECT_BYTES + 4 or (data[at], data[at + _OBJECT_BYTES]) != _CONTEXT_OBJECTS:
        return None
    word = _object(data, at + _OBJECT_BYTES)[1]
    table, instance = type_name(word >> INSTANCE_BITS), word & MAX_INSTANCE
    _, at = _number(data, at + 2 * _OBJECT_BYTES, end, _CONTEXT_3)
    if not 0 <= at < end or data[at] != _OPEN_4 or data[end - 1] != _CLOSE_4:
        return None
    at, end = at + 1, end - 1
    targets: list[Target] = []
    while at < end:
        number, index, at = reference(data, at, end, 0x00)
        if not 0 <= at < end or data[at] != _OPEN_2:
            return None
        values, at = values_until(data, at + 1, end, _CLOSE_2)
        if values is None or (at < end and data[at] & 0xF0 == _CONTEXT_3 & 0xF0):
            return None
        targets.append(Target(operation_class, table, instance, 1, property_name(number, index), values))
    return tuple(targets)


def i_am(data: bytes, at: int, end: int, operation_class: OperationClass) -> Targets | None:
    """The announcement of a device."""
    if end - at < _OBJECT_BYTES + 6 or data[at] != _OBJECT:
        return None
    word = _object(data, at)[1]
    _, at = _number(data, at + _OBJECT_BYTES, end, _UNSIGNED)
    _, at = _number(data, at, end, _ENUMERATED)
    _, at = _number(data, at, end, _UNSIGNED)
    if at != end:
        return None
    return (Target(operation_class, type_name(word >> INSTANCE_BITS), word & MAX_INSTANCE),)


def who_is(data: bytes, at: int, end: int, operation_class: OperationClass) -> Targets | None:
    """A search for devices.  Raises `Malformed` where its range is none."""
    low, high = 0, MAX_INSTANCE
    if at < end:
        low, at = _number(data, at, end, _CONTEXT_0)
        high, at = _number(data, at, end, _CONTEXT_1)
        if at != end:
            return None
    if not low <= high <= MAX_INSTANCE:
        raise Malformed(f"devices from {low} to {high} (135 16.10.1.1)")
    return (Target(operation_class, "device", low, high - low + 1),)


def _file(operation_class: OperationClass, word: int, start: int, count: int) -> Targets:
    name = f"octets {start}+{count}"
    return (Target(operation_class, type_name(word >> INSTANCE_BITS), word & MAX_INSTANCE, 1, name),)


def _number(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """A number of one to four octets behind its tag, and where the next tag is; -1 where it is anything else."""
    if not 0 <= at < end:
        return 0, -1
    size = data[at] - tag
    if size == 1 and at + 2 <= end:
        return data[at + 1], at + 2
    if not 1 <= size <= _MAX_NUMBER_BYTES or at + 1 + size > end:
        return 0, -1
    return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


def _signed(data: bytes, at: int, end: int) -> tuple[int, int]:
    number, after = _number(data, at, end, _SIGNED)
    bits = 8 * (after - at - 1)
    return (number - (1 << bits) if after > 0 and number >> bits - 1 else number), after
