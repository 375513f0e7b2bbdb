"""CIP data types: the bytes of a tag as numbers and texts, and back from nothing: never a guess.

Pure.  ODVA CIP Volume 1, appendix C-2 and C-6 (type codes, little-endian); strings of Logix controllers as Rockwell
1756-PM020 describes them.  What has no public type is one text in hexadecimal.
"""

from __future__ import annotations

from struct import Struct, unpack
from typing import Final

import msgspec

from penstock.model import Malformed, Value

#: Type code → letter of `struct`; what is no plain number is read as bytes of its size.
_LETTERS: Final = {
    0xC1: "B",  # BOOL
    0xC2: "b",  # SINT
    0xC3: "h",  # INT
    0xC4: "i",  # DINT
    0xC5: "q",  # LINT
    0xC6: "B",  # USINT
    0xC7: "H",  # UINT
    0xC8: "I",  # UDINT
    0xC9: "Q",  # ULINT
    0xCA: "f",  # REAL
    0xCB: "d",  # LREAL
    0xCC: "i",  # STIME
    0xCD: "H",  # DATE
    0xCE: "I",  # TIME_OF_DAY
    0xD1: "B",  # BYTE
    0xD2: "H",  # WORD
    0xD3: "I",  # DWORD
    0xD4: "Q",  # LWORD
    0xD6: "i",  # FTIME
    0xD7: "q",  # LTIME
    0xD8: "h",  # ITIME
    0xDB: "i",  # TIME
    0xDD: "H",  # ENGUNIT
}
_BOOL: Final = 0xC1
_DATE_AND_TIME: Final = 0xCF
_STRING: Final = 0xD0
_SHORT_STRING: Final = 0xDA
#: A structure: a handle of 16 bits follows, which tells its template (PM020: 0x02A0).
STRUCTURE: Final = 0x02A0
#: The handle of the predefined STRING of Logix: a length of 32 bits, 82 characters, 2 bytes of padding or none.
LOGIX_STRING: Final = 0x0FCE
_LOGIX_STRING_SIZES: Final = (88, 86)
_LOGIX_CHARACTERS: Final = 82
_BIT_NUMBER: Final = 0x1F00

ONE: Final = {code: Struct("<" + letter) for code, letter in _LETTERS.items()}
SIZES: Final = {**{code: layout.size for code, layout in ONE.items()}, _DATE_AND_TIME: 6}
_TWO_TEXTS: Final = {_STRING: 2, _SHORT_STRING: 1}


class Kind(msgspec.Struct, frozen=True, gc=False):
    """The type of a tag's data: its code, the handle of a structure (else 0), and how many bytes say so."""

    code: int
    handle: int
    size: int


def kind_of(data: bytes) -> Kind:
    """The type in front of a tag's data.  Raises `Malformed`."""
    if len(data) < 2:  # noqa: PLR2004 - a type code
        raise Malformed("tag data without a type")
    code = data[0] | data[1] << 8
    if code == STRUCTURE:
        if len(data) < 4:  # noqa: PLR2004 - type code and handle
            raise Malformed("a structure without a handle")
        return Kind(code, data[2] | data[3] << 8, 4)
    # A BOOL may say which bit it is (C-6.1).
    return Kind(code & ~_BIT_NUMBER if code & 0xFF == _BOOL else code, 0, 2)


def sizes_of(kind: Kind) -> tuple[int, ...]:
    """How many bytes an element has; several where there is a choice, none where it is not public."""
    if kind.handle == LOGIX_STRING:
        return _LOGIX_STRING_SIZES
    size = SIZES.get(kind.code)
    return () if size is None else (size,)


def read(kind: Kind, count: int, data: bytes) -> tuple[Value, ...]:
    """The `count` elements of `data`, or its bytes as one text in hexadecimal.  Raises `Malformed`."""
    code = kind.code
    size = SIZES.get(code)
    if size is not None:
        wanted = size * count
        if len(data) != wanted:
            # Some clients fill an odd number of bytes up.
            if not (wanted % 2 and len(data) == wanted + 1 and not data[-1]):
                raise Malformed(f"{count} elements of type 0x{code:02X} have {len(data)} bytes, not {wanted}")
            data = data[:wanted]
        return _numbers(code, count, data)
    if code in _TWO_TEXTS:
        return _texts(count, data, _TWO_TEXTS[code])
    if kind.handle == LOGIX_STRING:
        found = _logix_texts(count, data)
        if found is not None:
            return found
    return (raw(data),)


def raw(data: bytes) -> str:
    """Bytes without a meaning: ``0x1a2b``."""
    return f"0x{data.hex()}"


def _numbers(code: int, count: int, data: bytes) -> tuple[Value, ...]:
    if code == _BOOL:
        return tuple(1 if each else 0 for each in data)
    if code == _DATE_AND_TIME:
        return tuple(raw(data[at : at + 6]) for at in range(0, len(data), 6))
    return unpack(f"<{count}{_LETTERS[code]}", data)


def _texts(count: int, data: bytes, heading: int) -> tuple[Value, ...]:
    """STRING and SHORT_STRING (C-5.2.1): a length, then the characters."""
    texts: list[Value] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + heading], "little")
        at += heading
        if at + size > len(data):
            raise Malformed("a string ends before its length")
        texts.append(_text(data[at : at + size]))
        at += size
    if len(texts) != count:
        raise Malformed(f"{len(texts)} strings, not {count}")
    return tuple(texts)


def _logix_texts(count: int, data: bytes) -> tuple[Value, ...] | None:
    for size in _LOGIX_STRING_SIZES:
        if len(data) == count * size:
            each = [data[at : at + size] for at in range(0, len(data), size)]
            lengths = [int.from_bytes(one[:4], "little") for one in each]
            if max(lengths, default=0) <= _LOGIX_CHARACTERS:
                return tuple(_text(one[4 : 4 + length]) for one, length in zip(each, lengths, strict=True))
    return None


def _text(characters: bytes) -> str:
    """The text; bytes that are no text stand as they are in hexadecimal."""
    try:
        return characters.decode()
    except UnicodeDecodeError:
        return raw(characters)
