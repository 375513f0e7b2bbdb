"""PCCC inside CIP: DF1 commands of SLC 500, MicroLogix and PLC-5 with their file addresses.

Pure.  Rockwell 1770-6.5.16 (DF1 Protocol and Command Set), chapter 7; the requester in front of the command is that of
the PCCC object (class 0x67, service 0x4B).  A file is spelled ``n7`` here, the range is one of its elements.  Where a
command addresses memory in a way that names no file, no object is named, so that a conduit that limits files cannot
be met by it.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack
from typing import Final

import msgspec

from penstock.model import Malformed, OperationClass, Target, Value
from penstock.wire.enip import values
from penstock.wire.enip.codes import CARRIES, PCCC_MEANINGS, Classes
from penstock.wire.enip.names import PCCC_FUNCTIONS

Targets = tuple[Target, ...]

#: Commands that have a function code behind the transaction number (7-2).
WITH_FUNCTION: Final = frozenset({0x06, 0x07, 0x0F})
REPLY_BIT: Final = 0x40
_REQUESTER_BYTES: Final = 7
_HEAD_BYTES: Final = 4
_MULTIPLE: Final = 0x88
#: File types (7-21): code → letters, bytes of an element, letter of `struct` for its value.
FILE_TYPES: Final = {
    0x82: ("o", 2, "h"),
    0x83: ("i", 2, "h"),
    0x84: ("s", 2, "h"),
    0x85: ("b", 2, "h"),
    0x86: ("t", 6, ""),
    0x87: ("c", 6, ""),
    0x88: ("r", 6, ""),
    0x89: ("n", 2, "h"),
    0x8A: ("f", 4, "f"),
    0x8B: ("o", 2, "h"),
    0x8C: ("i", 2, "h"),
    0x8D: ("st", 84, ""),
    0x8E: ("a", 2, ""),
    0x8F: ("d", 2, ""),
    0x91: ("l", 4, "i"),
    0x92: ("mg", 50, ""),
    0x93: ("pd", 46, ""),
}
#: A byte of an address that says that 16 bits follow (7-17).
_WIDE: Final = 0xFF
#: Typed logical reads with two and with three address fields.
LOGICAL_READS: Final = (0xA1, 0xA2)
_WHOLE_MASK: Final = b"\xff\xff"
_ASCII_ADDRESS: Final = b"\0$"


class Command(msgspec.Struct, frozen=True, gc=False):
    """One DF1 command: where it begins in the service's data, its codes, transaction number and data."""

    head: bytes
    command: int
    function: int | None
    number: int
    data: bytes

    @property
    def code(self) -> str:
        """``0x0F/0xAA``."""
        return f"0x{self.command:02X}" if self.function is None else f"0x{self.command:02X}/0x{self.function:02X}"

    @property
    def name(self) -> str:
        """The name of the command in the manual."""
        if self.function is None:
            return f"unknown PCCC command {self.code}"
        named = PCCC_FUNCTIONS.get(self.command, {}).get(self.function)
        return named or f"unknown PCCC command {self.code}"

    @property
    def classes(self) -> Classes:
        """What class of operation it is; a container of commands whose form is not public is `unknown`."""
        found = PCCC_MEANINGS.get((self.command, -1 if self.function is None else self.function))
        return (OperationClass.UNKNOWN,) if found is None or found is CARRIES else found


class Address(msgspec.Struct, frozen=True, gc=False):
    """A file and an element in it, and the part of it that is meant: sub-element, in words."""

    letters: str
    file: int
    element: int
    part: int = 0
    size: int = 0
    letter: str = ""


def read_command(data: bytes) -> Command:
    """The command in the data of Execute PCCC: requester, command, status, transaction, function.

    Raises `Malformed`.
    """
    size = data[0] if data else 0
    if size < _REQUESTER_BYTES or len(data) < size + _HEAD_BYTES:
        raise Malformed("Execute PCCC ends before its command")
    command, status, number = data[size], data[size + 1], data[size + 2] | data[size + 3] << 8
    if command & REPLY_BIT or status:
        raise Malformed("a PCCC reply where a command should be")
    at = size + _HEAD_BYTES
    if command not in WITH_FUNCTION:
        return Command(data[:size], command, None, number, data[at:])
    if len(data) <= at:
        raise Malformed("a PCCC command without its function")
    return Command(data[:size], command, data[at], number, data[at + 1 :])


def targets_of(asked: Command) -> Targets:
    """The objects of a command, with what it writes there.  Raises `Malformed`."""
    parse = _PARSERS.get(asked.function) if asked.command == 0x0F and asked.function is not None else None  # noqa: PLR2004
    return () if parse is None else parse(asked.classes[0], asked.data)


def target(operation_class: OperationClass, address: Address, size: int, data: bytes | None = None) -> Target:
    """The elements that `size` bytes from an address on touch, with the values in `data`."""
    wide = address.size or 2
    start = 2 * address.part
    first = address.element + start // wide
    count = max(1, (start % wide + size + wide - 1) // wide)
    name = f"{address.letters}{address.file}"
    return Target(operation_class, "files", first, count, name, None if data is None else decoded(address, data))


def decoded(address: Address, data: bytes) -> tuple[Value, ...]:
    """The values of elements; what has no plain number is one text in hexadecimal."""
    if address.letter and data and len(data) % address.size == 0:
        return unpack(f"<{len(data) // address.size}{address.letter}", data)
    return (values.raw(data),)


def _short(data: bytes, at: int) -> tuple[int, int]:
    """A number of a logical address: one byte, or 0xFF and two (7-17)."""
    if at >= len(data):
        raise Malformed("a PCCC address ends early")
    if data[at] != _WIDE:
        return data[at], at + 1
    if at + 3 > len(data):
        raise Malformed("a PCCC address ends early")
    return data[at + 1] | data[at + 2] << 8, at + 3


def logical_address(data: bytes, *, has_part: bool) -> tuple[int, Address, int]:
    """Size, address and where it ends: size, file number, file type, element and, with three fields, sub-element."""
    if not data:
        raise Malformed("a PCCC command without an address")
    file, at = _short(data, 1)
    if at >= len(data):
        raise Malformed("a PCCC address ends early")
    kind = data[at]
    element, at = _short(data, at + 1)
    part, at = _short(data, at) if has_part else (0, at)
    letters, size, letter = FILE_TYPES.get(kind, (f"type-0x{kind:02x}-", 2, ""))
    return data[0], Address(letters, file, element, part, size, letter), at


def _read_logical(*, has_part: bool) -> Callable[[OperationClass, bytes], Targets]:
    def parse(operation_class: OperationClass, data: bytes) -> Targets:
        size, address, at = logical_address(data, has_part=has_part)
        if at != len(data):
            raise Malformed("data behind the address of a PCCC read")
        return (target(operation_class, address, size),)

    return parse


def _write_logical(*, has_part: bool) -> Callable[[OperationClass, bytes], Targets]:
    def parse(operation_class: OperationClass, data: bytes) -> Targets:
        size, address, at = logical_address(data, has_part=has_part)
        if len(data) - at != size:
            raise Malformed(f"a PCCC write announces {size} bytes and has {len(data) - at}")
        return (target(operation_class, address, size, data[at:]),)

    return parse


def _masked_logical(operation_class: OperationClass, data: bytes) -> Targets:
    """Only where the mask covers whole words is it known what they will be."""
    size, address, at = logical_address(data, has_part=True)
    mask, written = data[at : at + 2], data[at + 2 :]
    if len(mask) != 2 or len(written) != size:  # noqa: PLR2004 - a mask of one word
        raise Malformed(f"a PCCC masked write announces {size} bytes and has {len(written)} behind its mask")
    return (target(operation_class, address, size, written if mask == _WHOLE_MASK else None),)


def plc5_address(data: bytes, at: int) -> tuple[Address | None, int]:
    """A PLC-5 system address and where it ends: logical binary levels (7-10), or text as in ``$N7:0`` (7-15).

    ``None`` where it names no file.
    """
    if data[at : at + 2] == _ASCII_ADDRESS:
        end = data.find(b"\0", at + 2)
        if end < 0:
            raise Malformed("a PLC-5 address in text has no end")
        return _spelled(data[at + 2 : end]), end + 1
    if at >= len(data):
        raise Malformed("a PCCC command without an address")
    flags, at = data[at], at + 1
    levels: dict[int, int] = {}
    for level in range(8):
        if flags >> level & 1:
            levels[level], at = _short(data, at)
    # Level 0 is the area (0: data), 1 the file, 2 the element, 3 the sub-element.
    if levels.get(0, 0) or 1 not in levels or max(levels) > 3:  # noqa: PLR2004
        return None, at
    return Address("", levels[1], levels.get(2, 0), levels.get(3, 0)), at


def _spelled(text: bytes) -> Address | None:
    """``N7:0`` as an address; ``None`` for what reaches into an element (``T4:0.ACC``, ``B3:0/1``) or is no file."""
    letters = text.rstrip(b"0123456789:").decode("latin-1").lower()
    file, colon, element = text[len(letters) :].partition(b":")
    if not (letters.isalpha() and letters.isascii() and colon and file.isdigit() and element.isdigit()):
        return None
    if len(file) > 4 or len(element) > 5:  # noqa: PLR2004 - 16 bits
        return None
    kind = next((each for each in FILE_TYPES.values() if each[0] == letters), ("", 2, ""))
    return Address(letters, int(file), int(element), 0, kind[1], kind[2])


def _typed(operation_class: OperationClass, data: bytes) -> Targets:
    """Typed read and write (7-28): offset and number of elements, an address, then a size or the data with its type."""
    if len(data) < 5:  # noqa: PLR2004 - offset, total and an address
        raise Malformed("a typed PCCC command ends before its address")
    offset, total = unpack("<HH", data[:4])
    address, at = plc5_address(data, 4)
    if at >= len(data):
        raise Malformed("a typed PCCC command ends at its address")
    if address is None:
        return ()
    first = address.element + offset
    return (Target(operation_class, "files", first, max(1, total), f"{address.letters}{address.file}"),)


def _word_range(operation_class: OperationClass, data: bytes) -> Targets:
    """Word range read and write (7-32): offset and number of words, an address, a size or the data."""
    return _typed(operation_class, data)


_PARSERS: Final[dict[int, Callable[[OperationClass, bytes], Targets]]] = {
    0x00: _word_range,
    0x01: _word_range,
    0x67: _typed,
    0x68: _typed,
    0xA1: _read_logical(has_part=False),
    0xA2: _read_logical(has_part=True),
    0xA9: _write_logical(has_part=False),
    0xAA: _write_logical(has_part=True),
    0xAB: _masked_logical,
}
