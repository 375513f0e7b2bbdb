"""Control requests of DNP3: relay output blocks, analog output blocks, patterns.

Pure.  IEEE 1815-2012, annex A.8 (group 12) and A.21 (group 41), 4.4.2 to 4.4.5.  A select counts as the operate that it
arms.  The value of a relay is the word of its control code; its count and its times stand in the target's name.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from penstock.model import Malformed, OperationClass, Target, Value
from penstock.wire.dnp3.objects import ALL_POINTS, CONTROL_WORDS, LAYOUTS, TABLES
from penstock.wire.dnp3.walk import Kind, Piece, runs, values, walk

_WRITE: Final = OperationClass.WRITE
_UNKNOWN: Final = OperationClass.UNKNOWN
RELAYS: Final = 12
ANALOGS: Final = 41
_AUTHENTICATION: Final = 120
_BLOCK: Final = 1
_PATTERN: Final = 2
_MASK: Final = 3
#: The highest bit of a status is reserved.
_STATUS: Final = 0x7F
#: Qualifiers that say which points are meant.
_POINTED: Final = (Kind.INDEXED, Kind.RANGE)
#: Control code, count, milliseconds on and off, status.
_relay = Struct("<BBIIB").unpack_from

Targets = list[Target]
#: Heads of one control with an index of one or two octets, as nearly every master sends it, and how long all is.
_INDEX_8: Final = 0x17
_ONE_8: Final = {
    bytes((group, variation, _INDEX_8, 1)): 5 + LAYOUTS[group << 8 | variation].size
    for group, variation in ((RELAYS, _BLOCK), *((ANALOGS, each) for each in range(1, 5)))
}
_ONE_16: Final = {head[:2] + b"\x28\x01\x00": size + 2 for head, size in _ONE_8.items()}


def _is_one(body: bytes, at: int) -> bool:
    """Whether exactly one control with its index is all that there is."""
    size = len(body) - at
    return _ONE_16.get(body[at : at + 5]) == size or _ONE_8.get(body[at : at + 4]) == size


def _one(body: bytes, at: int) -> Target:
    """The only control that there is."""
    index, start = body[at + 4], at + 5
    if body[at + 2] != _INDEX_8:
        index, start = body[at + 5] | body[at + 6] << 8, at + 7
    if body[at] == RELAYS:
        return _moved(body, index, start)
    value = LAYOUTS[ANALOGS << 8 | body[at + 1]].read(body, start)
    return Target(_WRITE, "analog_outputs", index, 1, "", (value,))


def controls(body: bytes, at: int) -> Targets:
    """The points that functions 3 to 6 move.  Raises `Malformed`."""
    return [_one(body, at)] if _is_one(body, at) else _several(body, at)


def _several(body: bytes, at: int) -> Targets:
    targets: Targets = []
    pattern: tuple[Value, str, OperationClass] | None = None
    for piece in walk(body, at, None):
        group, variation = piece.group, piece.variation
        if group == RELAYS and variation == _MASK and piece.kind is Kind.RANGE:
            if pattern is None:
                raise Malformed("a pattern mask without a pattern (A.8.3)")
            targets += _masked(body, piece, pattern)
            pattern = None
        elif pattern is not None:
            raise Malformed("a pattern without its mask (A.8.2)")
        elif group == RELAYS and variation == _BLOCK and piece.kind in _POINTED:
            indexes = piece.indexes or range(piece.first, piece.first + piece.count)
            targets += [_moved(body, index, spot[0]) for index, spot in zip(indexes, piece.spots, strict=True)]
        elif group == ANALOGS and piece.kind in _POINTED:
            shown = values(body, piece)
            for first, count, start in runs(piece):
                targets.append(Target(_WRITE, "analog_outputs", first, count, "", shown[start : start + count]))
        elif group == RELAYS and variation == _PATTERN and piece.kind is Kind.COUNT and piece.count == 1:
            pattern = _block(body, piece.spots[0][0])
        else:
            is_secure = group == _AUTHENTICATION and piece.is_known
            targets.append(_secure() if is_secure else _other(piece))
    if pattern is not None:
        raise Malformed("a pattern without its mask (A.8.2)")
    return targets


def _block(body: bytes, at: int) -> tuple[Value, str, OperationClass]:
    """The word of a control block, its count and times, and its class: a reserved code is unknown."""
    code, count, on_ms, off_ms, _ = _relay(body, at)
    name = f"{count}x {on_ms}/{off_ms} ms"
    word = CONTROL_WORDS[code]
    return (f"0x{code:02x}", name, _UNKNOWN) if word is None else (word, name, _WRITE)


def _moved(body: bytes, index: int, at: int) -> Target:
    word, name, found = _block(body, at)
    return Target(found, "binary_outputs", index, 1, name, (word,))


def _masked(body: bytes, piece: Piece, pattern: tuple[Value, str, OperationClass]) -> Targets:
    word, name, found = pattern
    wanted = [piece.first + i for i, bit in enumerate(values(body, piece)) if bit == "on"]
    if not wanted:
        raise Malformed("a pattern mask that names no point (A.8.3)")
    return [Target(found, "binary_outputs", index, 1, name, (word,)) for index in wanted]


def _secure() -> Target:
    return Target(OperationClass.AUTH, "authentication")


def _other(piece: Piece) -> Target:
    """An object that no control takes."""
    return Target(_UNKNOWN, TABLES.get(piece.group, f"group_{piece.group}"), 0, ALL_POINTS)


def with_status(body: bytes, at: int, status: int) -> bytes | None:
    """The objects of a control request as its answer repeats them, with `status` in each; ``None`` if it cannot."""
    echo = bytearray(body[at:])
    is_any = False
    try:
        for piece in walk(body, at, None):
            if piece.group not in {RELAYS, ANALOGS} or not piece.is_known:
                return None
            if piece.layout is None or not piece.layout.bits:
                for start, size in piece.spots:
                    echo[start + size - 1 - at] = status
                    is_any = True
    except Malformed:
        return None
    return bytes(echo) if is_any else None


def status_of(body: bytes, at: int) -> int:
    """The first status but success in the control objects of an answer; 0 where there is none.

    Raises `Malformed`.
    """
    if _is_one(body, at):
        return body[-1] & _STATUS
    for piece in walk(body, at, None):
        if piece.is_known and piece.group in {RELAYS, ANALOGS} and not (piece.layout and piece.layout.bits):
            for start, size in piece.spots:
                status = body[start + size - 1] & _STATUS
                if status:
                    return status
    return 0
