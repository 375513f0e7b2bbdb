"""What a write leaves in the memory of an S7 controller, and how memory that was read before looks as that type.

Pure.  A read of twenty bytes shows what stood in the word that is written later.  What a type of memory is called
differs from message to message, so the bytes decide.
"""

from __future__ import annotations

from struct import unpack

from penstock.model import Operation, Target, Value
from penstock.wire.objects import Left
from penstock.wire.s7comm.addresses import BYTE_BITS, REAL, reals

#: Elements by their bits; ``DATE_AND_TIME`` has no reading of its own.
_LAYOUTS = {8: ("B",), 16: ("H", "h"), 32: ("I", "i", REAL)}


def left(_operation: Operation, target: Target) -> Left:
    """A symbol, or a kind of item that is not known, may lie in any memory: only the project file says where."""
    if target.name or target.table == "unknown":
        return Left.ANYTHING
    return Left.UNKNOWN if target.values is None else Left.VALUES


def reread(memory: bytes, like: Target) -> tuple[Value, ...] | None:
    """`memory` as elements of the type that `like` was written with; ``None`` where that is not to be told.

    A positive number does not say whether it has a sign: then the older bytes are a number only where both readings
    agree, and else they stand in hexadecimal.
    """
    if like.memory is None or not like.values or like.count % len(like.values):
        return None
    bits = like.count // len(like.values)
    wanted = like.values, [type(value) for value in like.values]
    readings = {_read(layout, memory) for layout in _LAYOUTS.get(bits, ()) if _typed(layout, like.memory) == wanted}
    size = bits // BYTE_BITS
    if not size or len(memory) % size:
        return None
    if len(readings) == 1:
        return readings.pop()
    return tuple(f"0x{memory[at : at + size].hex()}" for at in range(0, len(memory), size))


def _read(layout: str, memory: bytes) -> tuple[Value, ...]:
    if layout == REAL:
        return reals(memory)
    return unpack(f">{len(memory) * BYTE_BITS // _BITS[layout]}{layout}", memory)


def _typed(layout: str, memory: bytes) -> tuple[tuple[Value, ...], list[type]]:
    """The values and their types: 0 is as good a number as 0.0, and no reading of the same bytes."""
    values = _read(layout, memory)
    return values, [type(value) for value in values]


_BITS = {layout: bits for bits, layouts in _LAYOUTS.items() for layout in layouts}
