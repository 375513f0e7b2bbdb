"""Addresses of S7 memory: as a site document writes them, and the memory behind them read as an element.

Pure.  Memory is counted in bits: byte 4, bit 1 of a data block is number 33 of the table ``DB10``.  Timers and counters
are counted one by one.  Within a byte bit 0 is the lowest; elements of several bytes begin with the highest (S7-300
System Software Reference, "Memory areas").  Both mnemonics are read: ``IW4`` and ``EW4``, ``Q0.1`` and ``A0.1``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from struct import unpack
from typing import Final

from penstock.model import Span, Target, Value
from penstock.wire.protocol import UnreadableError

BYTE_BITS: Final = 8
#: An address has 24 bits on the wire; numbers of blocks, timers and counters have 16.
LAST_BIT: Final = 0xFF_FFFF
LAST_NUMBER: Final = 0xFFFF

BIT: Final = "bit"
#: The format of a floating-point number.
REAL: Final = "f"
_REAL_BYTES: Final = 4
#: Elements: how many bits each has, and its format.
ELEMENTS: Final = {
    BIT: (1, ""),
    "byte": (8, "B"),
    "char": (8, "B"),
    "word": (16, "H"),
    "int": (16, "h"),
    "dword": (32, "I"),
    "dint": (32, "i"),
    "real": (32, REAL),
}
#: Letters of an address: the element that is meant where the document says no other.
_BY_WIDTH: Final = {"X": BIT, "": BIT, "B": "byte", "W": "word", "D": "dword"}
_AREAS: Final = {"M": "M", "I": "I", "E": "I", "Q": "Q", "A": "Q", "P": "P"}
_COUNTED: Final = {"T": "T", "C": "C", "Z": "C"}
#: Kinds of blocks as block names on the wire call them.
BLOCK_KINDS: Final = {
    b"08": "OB",
    b"09": "CMod",
    b"0A": "DB",
    b"0B": "SDB",
    b"0C": "FC",
    b"0D": "SFC",
    b"0E": "FB",
    b"0F": "SFB",
}
_KINDS: Final = frozenset(BLOCK_KINDS.values()) - {"CMod"}

_BLOCK: Final = re.compile(r"DB([0-9]{1,5})(?:\.(.+))?\Z", re.ASCII)
_MEMORY: Final = re.compile(r"([A-Z]?)([XBWD]?)([0-9]{1,7})(?:\.([0-7]))?\Z", re.ASCII)
_NUMBERED: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,5})\Z", re.ASCII)
_HOW: Final = "write it as DB10.DBX4.0, DB10.DBW6-DBW10, DB10.DBD4:REAL, DB10, M0.0-M20.7, IW4, QB0, T5 or C7"


def read_address(text: str) -> Sequence[Span]:
    """Spans of ``DB10.DBX4.0``, ``DB10.DBW6-DBW10``, ``DB10.DBD4:REAL``, ``DB10``, ``M0.0-M20.7``, ``T5``, ``C1-C7``.

    Raises `UnreadableError`.
    """
    plain = text.upper().replace(" ", "")
    where, _, named = plain.partition(":")
    element = named.lower()
    if element and element not in ELEMENTS:
        why = f"{named!r} is no type of {text!r}"
        raise UnreadableError(why, f"use one of {', '.join(each.upper() for each in ELEMENTS)}")
    block = _BLOCK.match(where)
    if block is None:
        return (_counted(where, text) if where[:1] in _COUNTED else _memory(where, "", element, text),)
    table = f"DB{_number(block[1], text)}"
    if block[2] is None:
        return (Span(table=table, first=0, last=LAST_BIT, element=element or "byte"),)
    return (_memory(block[2], table, element, text),)


def read_blocks(text: str) -> Sequence[Span]:
    """Spans of ``DB10``, ``OB1``, ``FC1-FC9`` (or ``FC1-9``), ``SDB``.  Raises `UnreadableError`."""
    first, last = _ends(text.upper().replace(" ", ""))
    if first in _KINDS and not last:
        return (Span(table=first, first=0, last=LAST_NUMBER),)
    low = _NUMBERED.match(first)
    high = _NUMBERED.match(last if not last.isdigit() or low is None else low[1] + last) if last else low
    if low is None or high is None or low[1] != high[1] or low[1] not in _KINDS:
        why = f"{text!r} names no blocks"
        raise UnreadableError(why, f"write it as DB10, OB1 or FC1-FC9, or one of {', '.join(sorted(_KINDS))} for all")
    return (_ordered(low[1], _number(low[2], text), _number(high[2], text), "", text),)


def _counted(where: str, text: str) -> Span:
    first, last = _ends(where)
    low, high = _NUMBERED.match(first), _NUMBERED.match(last or first)
    if low is None or high is None or low[1] != high[1] or low[1] not in _COUNTED:
        raise UnreadableError(f"{text!r} is no address", _HOW)
    return _ordered(_COUNTED[low[1]], _number(low[2], text), _number(high[2], text), "", text)


def _memory(where: str, block: str, element: str, text: str) -> Span:
    """A span of memory; `block` is the table of a data block, whose places are written with ``DB`` in front."""
    first, last = _ends(where)
    low, high = _place(first, block), _place(last or first, block)
    if low is None or high is None or (low[0], low[2]) != (high[0], high[2]):
        raise UnreadableError(f"{text!r} is no address", _HOW)
    table, start, letter = low
    natural = _BY_WIDTH[letter]
    width = ELEMENTS[natural][0]
    if element and ELEMENTS[element][0] != width:
        why = f"{element.upper()} has {ELEMENTS[element][0]} bits, {first} has {width}"
        raise UnreadableError(why, "the letter and the type must agree: DBX, DBB:CHAR, DBW:INT, DBD:REAL")
    return _ordered(table, start, high[1] + width - 1, element or natural, text)


def _place(text: str, block: str) -> tuple[str, int, str] | None:
    """Table, bit and letter of one place: ``DBX4.0`` in a block, ``MW4`` and ``M4.0`` elsewhere."""
    found = _MEMORY.match(text.removeprefix("DB") if block else text)
    if found is None or (block and not text.startswith("DB")):
        return None
    area, letter, byte, bit = found.groups()
    if block:
        if area and letter:
            return None
        area, letter = "", letter or area
    table = block or _AREAS.get(area)
    is_bit = letter == "X" or (not letter and not block)
    if table is None or letter not in _BY_WIDTH or (not letter and block) or (bit is not None) != is_bit:
        return None
    start = int(byte) * BYTE_BITS + int(bit or 0)
    return (table, start, letter or "X") if start <= LAST_BIT else None


def _ends(text: str) -> tuple[str, str]:
    first, dash, last = text.partition("-")
    return first, last or dash


def _number(text: str, shown: str) -> int:
    number = int(text)
    if number > LAST_NUMBER:
        raise UnreadableError(f"{shown!r} has a number beyond {LAST_NUMBER}", _HOW)
    return number


def _ordered(table: str, first: int, last: int, element: str, text: str) -> Span:
    if last < first:
        raise UnreadableError(f"{text!r} is backwards", "write the smaller address first")
    return Span(table=table, first=first, last=last, element=element)


def read_memory(target: Target, span: Span) -> tuple[Value, ...] | None:
    """See `WireProtocol.read_memory`: big-endian, the first element at the beginning of the span."""
    first, last = max(target.first, span.first), min(target.last, span.last)
    if first > last or span.table not in {"", target.table}:
        return ()
    bits, layout = ELEMENTS.get(span.element, (0, ""))
    if not bits or bits == target.count == 1:
        return target.values
    if target.memory is None or (first - span.first) % bits or (last + 1 - span.first) % bits:
        return None
    if bits == 1:
        places = range(first - target.first, last + 1 - target.first)
        return tuple(target.memory[at // BYTE_BITS] >> at % BYTE_BITS & 1 for at in places)
    start, end = (first - target.first) // BYTE_BITS, (last + 1 - target.first) // BYTE_BITS
    memory = target.memory[start:end]
    return reals(memory) if layout == REAL else unpack(f">{len(memory) * BYTE_BITS // bits}{layout}", memory)


def reals(memory: bytes) -> tuple[Value, ...]:
    """Floating-point numbers of four bytes; what is no number (NaN, infinity) is its bytes in hexadecimal."""
    values = unpack(f">{len(memory) // _REAL_BYTES}{REAL}", memory)
    if len(values) == 1 and isfinite(values[0]):
        return values
    if all(map(isfinite, values)):
        return values
    places = range(0, len(memory), _REAL_BYTES)
    return tuple(
        value if isfinite(value) else f"0x{memory[at : at + _REAL_BYTES].hex()}"
        for value, at in zip(values, places, strict=True)
    )
