"""S7 memory and blocks as people write them: ``DB10.DBX4.1``, ``MW4-MW8:INT``, ``T5``, ``FC1-FC9``.

Pure.  The way back from `penstock.wire.s7comm.addresses`, for screens and records.
"""

from __future__ import annotations

from typing import Final

from penstock.wire.s7comm.addresses import BLOCK_KINDS, BYTE_BITS, ELEMENTS, LAST_BIT, LAST_NUMBER

_NUMBERED: Final = frozenset({"T", "C", *BLOCK_KINDS.values()})
_AREAS: Final = frozenset({"M", "I", "Q", "P", "L", "V"})
_LETTERS: Final = {8: "B", 16: "W", 32: "D"}
#: What a letter means where no type stands behind it.
_PLAIN: Final = frozenset({"", "bit", "byte", "word", "dword"})


def spell(table: str, first: int, last: int, element: str) -> str:
    """See `WireProtocol.spell`."""
    if table in _NUMBERED:
        if (first, last) == (0, LAST_NUMBER):
            return table
        return f"{table}{first}" if first == last else f"{table}{first}-{table}{last}"
    is_block = table[:2] in {"DB", "DI"} and table[2:].isdecimal()
    if not is_block and table not in _AREAS:
        return ""
    suffix = "" if element in _PLAIN else f":{element.upper()}"
    if is_block and (first, last) == (0, LAST_BIT):
        return f"{table}:{element.upper()}" if element not in {"", "byte"} else table
    before, letters = (f"{table}.", "DB") if is_block else ("", table)
    bits = _width(first, last + 1 - first, element)
    start, end = _place(letters, first, bits, is_block), _place(letters, last + 1 - bits, bits, is_block)
    return before + (start if start == end else f"{start}-{end}") + suffix


def _width(first: int, size: int, element: str) -> int:
    """The bits of the elements in which memory is told: those of the type, else of a letter that fits, else bytes."""
    named = ELEMENTS[element][0] if element in ELEMENTS else size if size in _LETTERS else BYTE_BITS
    if first % BYTE_BITS or size % BYTE_BITS:
        return 1
    return named if not size % named else BYTE_BITS


def _place(letters: str, first: int, bits: int, is_block: bool) -> str:  # noqa: FBT001 - two spellings of a bit
    byte, bit = divmod(first, BYTE_BITS)
    if bits == 1:
        return f"{letters}{'X' if is_block else ''}{byte}.{bit}"
    return f"{letters}{_LETTERS[bits]}{byte}"
