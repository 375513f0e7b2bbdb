"""The services of Logix tags: read, write, fragments and masked writes.

Pure.  Rockwell 1756-PM020 (Logix 5000 data access).  A target is the tag with the range of elements that the request
touches; what it writes is decoded by the type that stands in the request.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from penstock.model import Malformed, OperationClass, Target
from penstock.wire.enip import values
from penstock.wire.enip.codes import TEMPLATE
from penstock.wire.enip.path import Path, path_of

Targets = tuple[Target, ...]

_count_offset = Struct("<HI").unpack
_offset_count = Struct("<IH").unpack
_WRITE_TAG: Final = 0x4D
_MASK_SIZES: Final = (1, 2, 4, 8, 12)


def read_tag(operation_class: OperationClass, path: Path, data: bytes) -> Targets:
    """Read Tag: how many elements.  On a template it is Read Template: from which byte on, and how many."""
    if len(data) == 2:  # noqa: PLR2004 - a number of elements
        count = data[0] | data[1] << 8
        return (Target(operation_class, path.table, path.first, count or _some(count), path.name),)
    if path.number != TEMPLATE or len(data) != 6:  # noqa: PLR2004 - offset and number of bytes
        raise Malformed(f"Read Tag has {len(data)} bytes of data, not 2")
    first, count = _offset_count(data)
    return (Target(operation_class, path.table, first, _some(count), path.name),)


def read_fragment(operation_class: OperationClass, path: Path, data: bytes) -> Targets:
    """Read Tag Fragmented: how many elements in all, and from which byte of them on the answer shall go."""
    if len(data) != 6:  # noqa: PLR2004 - a number of elements and an offset
        raise Malformed(f"Read Tag Fragmented has {len(data)} bytes of data, not 6")
    count, _ = _count_offset(data)
    return (Target(operation_class, path.table, path.first, _some(count), path.name),)


def write_tag(operation_class: OperationClass, path: Path, data: bytes) -> Targets:
    """Write Tag: type, number of elements, elements."""
    one = values.ONE.get(data[0]) if len(data) > 4 and not data[1] else None  # noqa: PLR2004 - type and count
    if one is not None and data[2:4] == b"\1\0" and len(data) == 4 + one.size and data[0] != 0xC1:  # noqa: PLR2004
        return (Target(operation_class, path.table, path.first, 1, path.name, one.unpack_from(data, 4)),)
    kind = values.kind_of(data)
    at = kind.size + 2
    if len(data) < at:
        raise Malformed("Write Tag ends before its data")
    count = _some(data[at - 2] | data[at - 1] << 8)
    for size in values.sizes_of(kind):
        if _is_repeated(path, data, at + size * count):
            data = data[: at + size * count]
            break
    return (Target(operation_class, path.table, path.first, count, path.name, values.read(kind, count, data[at:])),)


def _is_repeated(path: Path, data: bytes, end: int) -> bool:
    """Whether the same request stands behind a sequence count once more, and nothing else: as pycomm3 writes one tag.

    Assets take as many elements as are announced.  Anything else behind them is refused.
    """
    again = data[end + 2 :]
    stop = 2 + 2 * again[1] if len(again) > 1 else 0
    if not 1 < stop <= len(again) or again[0] != _WRITE_TAG:
        return False
    return path_of(again[2:stop]) == path and again[stop:] == data[:end]


def write_fragment(operation_class: OperationClass, path: Path, data: bytes) -> Targets:
    """Write Tag Fragmented: type, number of elements in all, offset in bytes, a part of the elements."""
    kind = values.kind_of(data)
    at = kind.size + 6
    if len(data) <= at:
        raise Malformed("Write Tag Fragmented ends before its data")
    count, offset = _count_offset(data[at - 6 : at])
    _some(count)
    part = data[at:]
    size = values.SIZES.get(kind.code)
    if size is None:
        return (Target(operation_class, path.table, path.first, count, path.name, (values.raw(part),)),)
    end = offset + len(part)
    if end == size * count + 1 and end % 2 == 0 and not part[-1]:
        part = part[:-1]
        end -= 1
    if offset % size or len(part) % size or end > size * count:
        raise Malformed(f"{len(part)} bytes from {offset} on are no part of {count} elements of {size} bytes")
    here = len(part) // size
    if not here:
        raise Malformed("a fragment without an element")
    first = path.first + offset // size
    return (Target(operation_class, path.table, first, here, path.name, values.read(kind, here, part)),)


def modify_tag(operation_class: OperationClass, path: Path, data: bytes) -> Targets:
    """Read-Modify-Write Tag: what is left in the tag depends on what was in it, so no value is known."""
    size = data[0] | data[1] << 8 if len(data) > 1 else 0
    if size not in _MASK_SIZES or len(data) != 2 + 2 * size:
        raise Malformed(f"Read-Modify-Write Tag has {len(data)} bytes of data for masks of {size} bytes")
    return (Target(operation_class, path.table, path.first, 1, path.name),)


def list_instances(operation_class: OperationClass, path: Path, data: bytes) -> Targets:
    """Get Instance Attribute List: from which instance on, and which attributes of each."""
    expect_list(data)
    return (Target(operation_class, path.table, 0, 1, path.name),)


def expect_list(data: bytes) -> range:
    """Where the numbers of attributes stand in a list of them behind their count.  Raises `Malformed`."""
    count = data[0] | data[1] << 8 if len(data) > 1 else 0
    if len(data) != 2 + 2 * count:
        raise Malformed(f"a list of {count} attributes in {len(data)} bytes")
    return range(2, len(data), 2)


def _some(count: int) -> int:
    if not count:
        raise Malformed("no element is asked for")
    return count
