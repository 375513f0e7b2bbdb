"""Services on CIP objects: which attribute they touch, and what they write there.

Pure.  ODVA CIP Volume 1, appendix A-4 (common services).  The types of most attributes are not in the message, so
what is written stands as it is, in hexadecimal.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed, OperationClass, Target
from penstock.wire.enip import values
from penstock.wire.enip.path import Path
from penstock.wire.enip.tags import expect_list

Targets = tuple[Target, ...]

#: A list of no attribute: engineering tools send it.
_EMPTY_LIST: Final = b"\0\0"


def any_data(_class: OperationClass, _path: Path, _data: bytes) -> Targets:
    """Containers have no object of their own."""
    return ()


def named(operation_class: OperationClass, path: Path, _data: bytes) -> Targets:
    """The object of the path, whatever the data are (object-specific services)."""
    return (Target(operation_class, path.table, path.first, 1, path.name),)


def nothing(operation_class: OperationClass, path: Path, data: bytes) -> Targets:
    """The object of the path, for a service without data (A-4.1: Get Attributes All)."""
    if data and operation_class is not OperationClass.UNKNOWN:
        raise Malformed(f"{len(data)} bytes of data for a service that has none (A-4)")
    return (Target(operation_class, path.table, path.first, 1, path.name),)


def one_attribute(operation_class: OperationClass, path: Path, data: bytes) -> Targets:
    """Get Attribute Single (A-4.12): the attribute stands in the path."""
    return nothing(operation_class, path, data)


def attribute_list(operation_class: OperationClass, path: Path, data: bytes) -> Targets:
    """Get Attribute List (A-4.3): a count and the numbers of attributes."""
    table, name, first = path.table, path.name, path.first
    size = len(data)
    if size == 4 and data[0] == 1 and not data[1]:  # noqa: PLR2004 - a count of one and its number
        return (Target(operation_class, table, first, 1, f"{name}/{data[2] | data[3] << 8}"),)
    if data == _EMPTY_LIST:
        return (Target(operation_class, table, first, 1, name),)
    return tuple(
        Target(operation_class, table, first, 1, f"{name}/{data[i] | data[i + 1] << 8}") for i in expect_list(data)
    )


def set_attribute(operation_class: OperationClass, path: Path, data: bytes) -> Targets:
    """Set Attribute Single (A-4.13), Set Attributes All, Set and Insert Member: the data are the value."""
    return (Target(operation_class, path.table, path.first, 1, path.name, (values.raw(data),), data),)


def set_list(operation_class: OperationClass, path: Path, data: bytes) -> Targets:
    """Set Attribute List (A-4.4): a count, then number and value of each.

    How long a value is stands in no message, so with several of them only the first number is known for sure; the
    others are written ``?``, which no single attribute of a conduit covers.
    """
    if data == _EMPTY_LIST:
        return (Target(operation_class, path.table, path.first, 1, path.name),)
    count = data[0] | data[1] << 8 if len(data) > 1 else 0
    if not count or len(data) < 2 + 3 * count:
        raise Malformed(f"a list of {count} attributes with values in {len(data)} bytes")
    first = f"{path.name}/{data[2] | data[3] << 8}"
    if count == 1:
        return (Target(operation_class, path.table, path.first, 1, first, (values.raw(data[4:]),), data[4:]),)
    return (
        Target(operation_class, path.table, path.first, 1, first),
        Target(operation_class, path.table, path.first, count - 1, f"{path.name}/?"),
    )
