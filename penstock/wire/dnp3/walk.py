"""The object headers of a DNP3 fragment, one after another, with where their objects lie.

Pure.  IEEE 1815-2012, 4.2.2.7 and 4.2.2.8: group, variation, qualifier (prefix code and range code), range, and then
objects where the message has any.  It must never step over octets whose meaning is open: a header that cannot be
measured is the last piece, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from struct import Struct
from typing import Any, Final

import msgspec

from penstock.model import Malformed, Value
from penstock.wire.dnp3.objects import ALL_POINTS, DOUBLE_BITS, LAYOUTS, STATES, Layout, attribute


class Kind(Enum):
    """What the qualifier says of the points."""

    RANGE = auto()
    """From a first to a last index."""
    ALL = auto()
    """No range: all of them, and no object follows."""
    COUNT = auto()
    """So many, without indexes."""
    INDEXED = auto()
    """So many, each with its index in front."""
    SIZED = auto()
    """So many, each with its size in front."""
    UNKNOWN = auto()
    """Reserved, or virtual addresses, which name memory and no points."""


_RANGE, _ALL, _COUNT, _INDEXED, _SIZED, _UNKNOWN = Kind
_WIDTHS: Final = ("B", "H", "I")
Form = tuple[Kind, Struct, Struct]
_NOTHING: Final = Struct("")


def _forms() -> Iterator[tuple[int, Form]]:
    """Qualifiers by prefix code (high four bits) and range code (low four)."""
    yield 0x06, (_ALL, _NOTHING, _NOTHING)
    for i, width in enumerate(_WIDTHS):
        yield i, (_RANGE, Struct(f"<{width}{width}"), _NOTHING)
        yield 0x07 + i, (_COUNT, Struct(f"<{width}"), _NOTHING)
        yield 0x40 + 0x10 * i + 0x0B, (_SIZED, Struct("<B"), Struct(f"<{width}"))
        for j, prefix in enumerate(_WIDTHS):
            yield 0x10 * (j + 1) + 0x07 + i, (_INDEXED, Struct(f"<{width}"), Struct(f"<{prefix}"))


FORMS: Final = dict(_forms())
#: Group, variation and qualifier.
HEAD_BYTES: Final = 3
#: Device attributes say their own size: data type, length (A.1.4); types 254 and 255 are lists, 255 a long one.
_ATTRIBUTES: Final = 0
_LONG_LIST: Final = 0xFF
_LONG_BYTES: Final = 256


class Piece(msgspec.Struct, gc=False):
    """One object header and its objects.

    `count` points from `first` on, or those in `indexes`.  `spots` are where its objects start and how long they are,
    but for packed ones (`layout.bits`), which start at the first spot together.  `end` is where the next header is.
    """

    group: int
    variation: int
    kind: Kind
    first: int = 0
    count: int = 0
    indexes: tuple[int, ...] = ()
    spots: tuple[tuple[int, int], ...] = ()
    layout: Layout | None = None
    end: int = 0

    @property
    def is_known(self) -> bool:
        """Whether its end is known."""
        return self.kind is not _UNKNOWN


def walk(body: bytes, at: int, carries: frozenset[int] | None) -> Iterator[Piece]:
    """The pieces of `body` from `at` on.  Raises `Malformed` where it ends too soon.

    `carries` are the groups whose objects follow their header in this message, ``None`` all of them.  What says its
    own size follows always.
    """
    end = len(body)
    while at < end:
        piece = _piece(body, at, end, carries)
        yield piece
        if piece.kind is _UNKNOWN:
            return
        at = piece.end


def _piece(body: bytes, at: int, end: int, carries: frozenset[int] | None) -> Piece:
    if at + HEAD_BYTES > end:
        raise Malformed("the fragment ends within an object header (4.2.2.7)")
    group, variation = body[at], body[at + 1]
    form = FORMS.get(body[at + 2])
    if form is None:
        return Piece(group, variation, _UNKNOWN)
    kind, numbers, prefix = form
    at += HEAD_BYTES
    if at + numbers.size > end:
        raise Malformed("the fragment ends within a range (4.2.2.7.3)")
    first, count = _range(kind, numbers.unpack_from(body, at))
    at += numbers.size
    if kind is _SIZED:
        return _sized(body, Piece(group, variation, kind, 0, count), at, prefix)
    if kind is _ALL or not (carries is None or group in carries):
        indexes = _indexes(body, at, prefix, count, prefix.size) if kind is _INDEXED else ()
        return Piece(group, variation, kind, first, count, indexes, (), None, at + len(indexes) * prefix.size)
    if group == _ATTRIBUTES and kind in {_RANGE, _COUNT}:
        return _attributes(body, Piece(group, variation, kind, first, count), at)
    layout = LAYOUTS.get(group << 8 | variation)
    if layout is None or (layout.bits and kind is _INDEXED):
        return Piece(group, variation, _UNKNOWN, first, count)
    return _fixed(body, Piece(group, variation, kind, first, count, (), (), layout), at, prefix)


def _range(kind: Kind, numbers: tuple[Any, ...]) -> tuple[int, int]:
    if kind is _ALL:
        return 0, ALL_POINTS
    if kind is _RANGE:
        first, last = numbers
        if last < first:
            raise Malformed(f"a range from {first} to {last} (4.2.2.7.3)")
        return first, last - first + 1
    (count,) = numbers
    if not count:
        raise Malformed("a range of no objects (4.2.2.7.3)")
    return 0, count


def _indexes(body: bytes, at: int, prefix: Struct, count: int, step: int) -> tuple[int, ...]:
    if at + count * step > len(body):
        raise Malformed(f"the fragment ends within {count} objects (4.2.2.8)")
    if count == 1:
        found: tuple[int, ...] = prefix.unpack_from(body, at)
        return found
    return tuple(prefix.unpack_from(body, each)[0] for each in range(at, at + count * step, step))


def _fixed(body: bytes, piece: Piece, at: int, prefix: Struct) -> Piece:
    layout, count = piece.layout, piece.count
    assert layout is not None
    if layout.bits:
        size = (count * layout.bits + 7) // 8
        piece.spots, piece.end = ((at, size),), at + size
    else:
        size, step = layout.size, layout.size + prefix.size
        if piece.kind is _INDEXED:
            piece.indexes = _indexes(body, at, prefix, count, step)
        piece.end = at + count * step
        if piece.end <= len(body):
            start = at + prefix.size
            if count == 1:
                piece.spots = ((start, size),)
            else:
                piece.spots = tuple((each, size) for each in range(start, start + count * step, step))
    if piece.end > len(body):
        raise Malformed(f"the fragment ends within {count} objects of group {piece.group} (4.2.2.8)")
    return piece


def _sized(body: bytes, piece: Piece, at: int, prefix: Struct) -> Piece:
    spots: list[tuple[int, int]] = []
    for _ in range(piece.count):
        if at + prefix.size > len(body):
            raise Malformed("the fragment ends within the size of an object (4.2.2.7.2)")
        (size,) = prefix.unpack_from(body, at)
        at += prefix.size
        if at + size > len(body):
            raise Malformed(f"the fragment ends within an object of {size} octets (4.2.2.7.2)")
        spots.append((at, size))
        at += size
    piece.spots, piece.end = tuple(spots), at
    return piece


def _attributes(body: bytes, piece: Piece, at: int) -> Piece:
    spots: list[tuple[int, int]] = []
    for _ in range(piece.count):
        if at + 2 > len(body):
            raise Malformed("the fragment ends within a device attribute (A.1.4)")
        size = body[at + 1] + (_LONG_BYTES if body[at] == _LONG_LIST else 0)
        if at + 2 + size > len(body):
            raise Malformed(f"the fragment ends within an attribute of {size} octets (A.1.4)")
        spots.append((at, 2 + size))
        at += 2 + size
    piece.spots, piece.end = tuple(spots), at
    return piece


def values(body: bytes, piece: Piece) -> tuple[Value, ...]:
    """The values of a piece, one a point."""
    layout = piece.layout
    if piece.group == _ATTRIBUTES:
        return tuple(attribute(body[at : at + size]) for at, size in piece.spots)
    if layout is None:
        return tuple("0x" + body[at : at + size].hex() for at, size in piece.spots)
    if layout.bits:
        at, size = piece.spots[0]
        packed = int.from_bytes(body[at : at + size], "little")
        words, mask = (STATES, 1) if layout.bits == 1 else (DOUBLE_BITS, 3)
        return tuple(words[packed >> i * layout.bits & mask] for i in range(piece.count))
    read = layout.read
    return tuple(read(body, at) for at, _ in piece.spots)


def runs(piece: Piece) -> Iterator[tuple[int, int, int]]:
    """The points of a piece as (first, count, number of the first among them): neighbours are one run."""
    indexes = piece.indexes
    if not indexes:
        yield piece.first, piece.count, 0
        return
    start = 0
    for i in range(1, len(indexes) + 1):
        if i == len(indexes) or indexes[i] != indexes[i - 1] + 1:
            yield indexes[start], i - start, start
            start = i
