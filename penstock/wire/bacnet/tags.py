"""BACnet's encoding of values: tags, and the primitive values behind them.

Pure.  ANSI/ASHRAE 135-2020, clause 20.2.  A tag is read in constant time and a row of tags in linear time; nesting is
bounded.  What the standard does not allow (a length in a longer form than it needs, a reserved tag, a closing tag that
closes nothing) is `Malformed`, because a device might read it otherwise than the gate.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from penstock.model import Malformed, Value
from penstock.wire.bacnet.names import OBJECT_TYPES

#: 20.2.1.4, application tag numbers.
NULL, BOOLEAN, UNSIGNED, SIGNED, REAL, DOUBLE, OCTETS, TEXT, BITS, ENUMERATED, DATE, TIME, OBJECT = range(13)
#: What a tag is: a value with an application tag, one with a context tag, the opening of a group, or its closing.
APPLICATION, CONTEXT, OPENING, CLOSING = range(4)
#: Kind, number, start and end of the content.  The content of an application boolean is in its tag: start is its value.
Tag = tuple[int, int, int, int]

#: Event logs and schedules nest five deep; nothing that the standard defines nests deeper than eight.
MAX_DEPTH: Final = 16
_EXTENDED: Final = 15
_LONG: Final = 5
_LENGTH_16: Final = 254
_LENGTH_32: Final = 255
_RESERVED_NUMBER: Final = 255
_OPEN: Final = 6
_CONTEXT_BIT: Final = 8
#: 20.2.14: 22 bits of instance below ten of type.
INSTANCE_BITS: Final = 22
MAX_INSTANCE: Final = (1 << INSTANCE_BITS) - 1
_WORD: Final = 4
_MAX_NUMBER_BYTES: Final = 8
_UNSPECIFIED: Final = 255

_word = Struct(">I").unpack_from
_real = Struct(">f").unpack_from
_double = Struct(">d").unpack_from

#: 20.2.9: character sets that this host can read.
_CHARACTER_SETS: Final = {0: "utf-8", 3: "utf-32-be", 4: "utf-16-be", 5: "latin-1"}
_WEEKDAYS: Final = {1: "mon", 2: "tue", 3: "wed", 4: "thu", 5: "fri", 6: "sat", 7: "sun"}
_MONTHS: Final = {13: "odd", 14: "even"}
_DAYS: Final = {32: "last", 33: "odd", 34: "even"}


class Truncated(Malformed):
    """The message ends where something should be."""


def read_tag(data: bytes, at: int, end: int) -> Tag:
    """The tag at `at`, with all of its content before `end`.  Raises `Malformed`."""
    if at >= end:
        raise Truncated("the message ends where a tag should be (20.2.1)")
    octet = data[at]
    number, kind, length = octet >> 4, APPLICATION, octet & 7
    at += 1
    if number == _EXTENDED:
        number, at = _extended_number(data, at, end), at + 1
    if octet & _CONTEXT_BIT:
        if length >= _OPEN:
            return (OPENING if length == _OPEN else CLOSING, number, at, at)
        kind = CONTEXT
    elif length > _LONG or number > OBJECT:
        raise Malformed(f"0x{octet:02X} is no application tag (20.2.1.4)")
    elif number == BOOLEAN:
        if length > 1:
            raise Malformed("a boolean is 0 or 1 (20.2.3)")
        return APPLICATION, BOOLEAN, length, at
    if length == _LONG:
        length, at = _long_length(data, at, end)
    if at + length > end:
        raise Truncated("a value is longer than what is left of the message (20.2.1.3)")
    return kind, number, at, at + length


def read_tags(data: bytes, at: int, end: int, into: list[Tag] | None = None) -> list[Tag]:
    """All tags from `at` to `end`, each group closed by its own number.  Raises `Malformed`.

    `into` gets those that stand in front of what raised.
    """
    tags: list[Tag] = [] if into is None else into
    opened: list[int] = []
    while at < end:
        tag = read_tag(data, at, end)
        kind, number = tag[0], tag[1]
        at = tag[3]
        if kind == OPENING:
            opened.append(number)
            if len(opened) > MAX_DEPTH:
                raise Malformed(f"groups are nested more than {MAX_DEPTH} deep")
        elif kind == CLOSING and (not opened or opened.pop() != number):
            raise Malformed(f"closing tag {number} closes no group (20.2.1.3.2)")
        tags.append(tag)
    if opened:
        raise Malformed(f"group {opened[-1]} is not closed (20.2.1.3.2)")
    return tags


def value_of(data: bytes, tag: Tag) -> Value:
    """The value of an application tag; that of a context tag, whose type is not known, as text in hexadecimal."""
    kind, number, start, end = tag
    if kind == CONTEXT:
        return "0x" + data[start:end].hex()
    return bool(start) if number == BOOLEAN else primitive(number, data, start, end)


def primitive(number: int, data: bytes, start: int, end: int) -> Value:
    """The content of a value of the type `number` (an application tag number).  Raises `Malformed`.

    Numbers are numbers, booleans booleans; ``null``; text; bits ``0b0101``; octets ``0x1a2b``; dates ``2026-11-23 mon``
    and times ``14:05:00.00`` with ``*`` for what is unspecified; objects ``analog-value:1``.
    """
    size = end - start
    if number == REAL and size == _WORD:
        return float(_real(data, start)[0])
    if number in {UNSIGNED, ENUMERATED}:
        return unsigned(data, start, end)
    return _rarer(number, data, start, size)


def unsigned(data: bytes, start: int, end: int) -> int:
    """20.2.4: one to eight octets.  Old software pads small numbers to four octets: that is unambiguous."""
    size = end - start
    if size == 1:
        return data[start]
    if not 0 < size <= _MAX_NUMBER_BYTES or (size > _WORD and not data[start]):
        raise Malformed(f"{size} octets are no unsigned number (20.2.4)")
    return int.from_bytes(data[start:end], "big")


def object_of(data: bytes, start: int, end: int) -> tuple[int, int]:
    """20.2.14: type and instance."""
    if end - start != _WORD:
        raise Malformed(f"an object identifier has {end - start} octets (20.2.14)")
    word = _word(data, start)[0]
    return word >> INSTANCE_BITS, word & MAX_INSTANCE


def type_name(number: int) -> str:
    """``analog-value``, or the number of a type without a name."""
    return OBJECT_TYPES.get(number) or str(number)


def _extended_number(data: bytes, at: int, end: int) -> int:
    if at >= end or data[at] < _EXTENDED or data[at] == _RESERVED_NUMBER:
        raise Malformed("an extended tag number is from 15 to 254 (20.2.1.2)")
    return data[at]


def _long_length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """20.2.1.3.1: one octet, or 254 and two, or 255 and four, always the shortest form."""
    if at >= end:
        raise Truncated("the message ends within a length (20.2.1.3.1)")
    first = data[at]
    size = 2 if first == _LENGTH_16 else _WORD if first == _LENGTH_32 else 0
    if at + 1 + size > end:
        raise Truncated("the message ends within a length (20.2.1.3.1)")
    length = int.from_bytes(data[at + 1 : at + 1 + size], "big") if size else first
    if length < (_LONG, 0, _LENGTH_16, 0, 1 << 16)[size]:
        raise Malformed(f"a length of {length} stands in a longer form than it needs (20.2.1.3.1)")
    return length, at + 1 + size


def _rarer(number: int, data: bytes, start: int, size: int) -> Value:
    content = data[start : start + size]
    if not _SIZES[number][0] <= size <= _SIZES[number][1]:
        raise Malformed(f"{size} octets are no value of type {number} (20.2)")
    return _READERS[number](content)


def _boolean(content: bytes) -> bool:
    if content[0] > 1:
        raise Malformed("a boolean is 0 or 1 (20.2.3)")
    return content == b"\1"


def _object_text(content: bytes) -> str:
    kind, instance = object_of(content, 0, _WORD)
    return f"{type_name(kind)}:{instance}"


def _text(content: bytes) -> str:
    """20.2.9; text that is not what its character set says stays in hexadecimal."""
    try:
        return content[1:].decode(_CHARACTER_SETS[content[0]])
    except (KeyError, UnicodeDecodeError):
        return "0x" + content.hex()


def _bits(content: bytes) -> str:
    unused, size = content[0], 8 * (len(content) - 1)
    if unused > 7 or unused > size:  # noqa: PLR2004 - bits of an octet
        raise Malformed(f"{unused} unused bits of {size} (20.2.10)")
    return "0b" + format(int.from_bytes(content[1:], "big"), f"0{size}b")[: size - unused] if size else "0b"


def _date(content: bytes) -> str:
    """20.2.12: years since 1900, month, day, weekday."""
    year, month, day, weekday = content
    years = "*" if year == _UNSPECIFIED else str(1900 + year)
    return f"{years}-{_part(month, _MONTHS)}-{_part(day, _DAYS)} {_part(weekday, _WEEKDAYS)}"


def _time(content: bytes) -> str:
    hour, minute, second, hundredth = content
    return f"{_part(hour)}:{_part(minute)}:{_part(second)}.{_part(hundredth)}"


def _part(number: int, words: dict[int, str] | None = None) -> str:
    if number == _UNSPECIFIED:
        return "*"
    return (words or {}).get(number) or f"{number:02}"


_ANY_SIZE: Final = 1 << 32
#: How many octets each type has at least and at most; real, unsigned and enumerated have their own way when they fit.
_SIZES: Final = {
    NULL: (0, 0),
    BOOLEAN: (1, 1),
    SIGNED: (1, _MAX_NUMBER_BYTES),
    REAL: (_WORD, _WORD),
    DOUBLE: (8, 8),
    OCTETS: (0, _ANY_SIZE),
    TEXT: (1, _ANY_SIZE),
    BITS: (1, _ANY_SIZE),
    DATE: (_WORD, _WORD),
    TIME: (_WORD, _WORD),
    OBJECT: (_WORD, _WORD),
}
_READERS: Final[dict[int, Callable[[bytes], Value]]] = {
    NULL: lambda _: "null",
    BOOLEAN: _boolean,
    SIGNED: lambda content: int.from_bytes(content, "big", signed=True),
    REAL: lambda content: float(_real(content)[0]),
    DOUBLE: lambda content: float(_double(content)[0]),
    OCTETS: lambda content: "0x" + content.hex(),
    TEXT: _text,
    BITS: _bits,
    DATE: _date,
    TIME: _time,
    OBJECT: _object_text,
}
