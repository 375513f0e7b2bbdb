"""The check of a DNP3 link frame, two octets at a time.

Pure.  IEEE 1815-2012, 9.2.4.3: a CRC of 16 bits, polynomial 0x3D65 (reflected 0xA6BC), from 0, complemented, sent with
its low octet first.  A step over two octets is one look-up, for all 16 bits of the state are used up by it.  This file
must stay small: every octet of every inspected flow goes through it.
"""

from __future__ import annotations

from array import array
from struct import Struct, iter_unpack
from typing import Final

_REFLECTED: Final = 0xA6BC
_ONES: Final = 0xFFFF
BLOCK_BYTES: Final = 16
CHECK_BYTES: Final = 2
_WHOLE: Final = BLOCK_BYTES + CHECK_BYTES


def _step(state: int) -> int:
    for _ in range(8):
        state = state >> 1 ^ (_REFLECTED if state & 1 else 0)
    return state


_ONE: Final = array("H", (_step(octet) for octet in range(256)))
#: Linear: what two octets do is what each of them does.
_TWO: Final = array("H", (high ^ low >> 8 ^ _ONE[low & 0xFF] for high in _ONE for low in _ONE))
#: What is left in the state after data and its own CRC.
_RIGHT: Final = _TWO[_ONES]
#: A last block of so many octets, and its CRC, as words (in front of them the odd octet).
_LAST: Final = tuple(Struct(f"<{'B' * (size % 2)}{size // 2 + 1}H") for size in range(BLOCK_BYTES + 1))
_blocks: Final = Struct("<9H").iter_unpack
#: The user data of a frame without its CRCs, by its size.
_DATA: Final = tuple(
    Struct("16s2x" * (size // BLOCK_BYTES) + (f"{size % BLOCK_BYTES}s2x" if size % BLOCK_BYTES else ""))
    for size in range(251)
)


def crc(data: bytes) -> int:
    """The CRC of `data` as it is sent."""
    state = 0
    odd = len(data) % 2
    if odd:
        state = _ONE[data[0]]
    for (word,) in iter_unpack("<H", data[odd:]):
        state = _TWO[state ^ word]
    return state ^ _ONES


def is_right(block: bytes) -> bool:
    """Whether a block ends with its own CRC."""
    return len(block) > CHECK_BYTES and crc(block[:-CHECK_BYTES]) == int.from_bytes(block[-CHECK_BYTES:], "little")


def user_data(data: bytes, start: int, count: int) -> bytes | None:
    """`count` octets (1 to 250) of user data in blocks of 16 from `start` on; ``None`` if a CRC is wrong."""
    two = _TWO
    whole, rest = divmod(count, BLOCK_BYTES)
    at = start
    if whole:
        at += whole * _WHOLE
        for a, b, c, d, e, f, g, h, check in _blocks(data[start:at]):
            if two[two[two[two[two[two[two[two[a] ^ b] ^ c] ^ d] ^ e] ^ f] ^ g] ^ h] ^ check != _ONES:
                return None
    if rest:
        words = _LAST[rest].unpack_from(data, at)
        state = 0
        if rest % 2:
            state = _ONE[words[0]]
            words = words[1:]
        for word in words:
            state = two[state ^ word]
        if state != _RIGHT:
            return None
        if not whole:
            return data[at : at + rest]
    return b"".join(_DATA[count].unpack_from(data, start))


def in_blocks(data: bytes) -> bytes:
    """User data with a CRC behind each 16 octets."""
    blocks = (data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES))
    return b"".join(block + crc(block).to_bytes(CHECK_BYTES, "little") for block in blocks)
