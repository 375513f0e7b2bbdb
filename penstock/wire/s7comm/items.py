"""Items of Read Var and Write Var: which memory they name, and what is written there.

Pure.  An item is a variable specification (0x12, its length, a syntax id) in the parameters; what is written stands in
the data, an entry for each item.  Facts: public dissectors, checked against captures.  An item of a kind that cannot be
read names the table ``unknown`` and makes the operation `unknown`; lengths that do not add up are `Malformed`, because
an asset might find the items elsewhere than the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, unpack
from typing import Final

import msgspec

from penstock.model import Malformed, OperationClass, Target, Value
from penstock.wire.s7comm.addresses import BYTE_BITS, LAST_BIT, REAL, reals

_SPECIFICATION: Final = 0x12
_ANY: Final = 0x10
_DB_READ: Final = 0xB0
_SYMBOL: Final = 0xB2
#: Numerical control and drive variables: recognised by these ids, named by their bytes.
_NAMED: Final = {0x82: "nck", 0x83: "nck", 0x84: "nck", 0xA2: "drive"}
_ANY_LENGTH: Final = 10
_SYMBOL_HEAD: Final = 10
_LID_BYTES: Final = 4
_DB_AREA_BYTES: Final = 5
#: Behind specification, length and syntax id: transport size, count, block, area and address.
_any = Struct(">3xBHHI").unpack_from
_db_area = Struct(">BHH")

#: Areas of memory in bits, the two of S7-300 and S7-400 that are counted one by one, and those of the 200 family.
AREAS: Final = {
    0x01: "record",
    0x03: "SI200",
    0x05: "SF200",
    0x06: "AI200",
    0x07: "AO200",
    0x80: "P",
    0x81: "I",
    0x82: "Q",
    0x83: "M",
    0x84: "DB",
    0x85: "DI",
    0x86: "L",
    0x87: "V",
}
_BLOCK_AREAS: Final = frozenset({0x84, 0x85})
#: Area and the transport size that belongs to it.  Any other pair is unknown.
_COUNTED: Final = {(0x1C, 28): "C", (0x1D, 29): "T"}
#: What a write to these does is not public (they set up modules, and load firmware into some).
_RECORD: Final = 0x01
_COUNTED_BYTES: Final = 2
#: Transport sizes of items: bits and format of an element.
SIZES: Final = {
    1: (1, ""),
    2: (8, "B"),
    3: (8, "B"),
    4: (16, "H"),
    5: (16, "h"),
    6: (32, "I"),
    7: (32, "i"),
    8: (32, REAL),
    9: (16, "H"),
    10: (32, "I"),
    11: (32, "i"),
    12: (16, "H"),
    15: (64, ""),
}
#: Area and transport size in one number: the table, the bits of an element, whether the table has a number, and the
#: class that it adds.
_LAYOUTS: Final = {
    area << 8 | size: (table, bits, area in _BLOCK_AREAS, OperationClass.VENDOR if area == _RECORD else None)
    for area, table in AREAS.items()
    for size, (bits, _) in SIZES.items()
}
_BIT: Final = 1
_BYTE: Final = 2
_DATE_AND_TIME: Final = 15

#: Transport sizes of data: whether the length counts bits.
_DATA_BIT: Final = 3
_IN_BITS: Final = {0: False, _DATA_BIT: True, 4: True, 5: True, 6: False, 7: False, 9: False}
_DATA_HEAD: Final = 4
#: What stands in front of data that is written: nothing, or "success" by some clients.
_WRITE_CODES: Final = frozenset({0x00, 0xFF})
SUCCESS: Final = 0xFF


class Item(msgspec.Struct, gc=False):
    """One item: the `table`, and from where how much of it.

    `size` is its transport size, 0 where it is no memory; `byte_count` is what its data must have, -1 where that is
    not known.  `extra` is the class that it adds to the operation.  `also` are the other areas of the same item.
    """

    table: str
    first: int
    count: int
    name: str
    size: int
    byte_count: int
    extra: OperationClass | None = None
    also: tuple[Item, ...] = ()


def read_items(body: bytes, at: int, end: int, count: int) -> list[Item]:
    """The `count` items that fill `body` from `at` to `end`.  Raises `Malformed`."""
    items: list[Item] = []
    while len(items) < count:
        if at + 3 > end or body[at] != _SPECIFICATION or not at + 3 <= (stop := at + 2 + body[at + 1]) <= end:
            raise Malformed(f"item {len(items) + 1} of {count} is no variable specification that fits in")
        if body[at + 1] == _ANY_LENGTH and body[at + 2] == _ANY:
            items.append(_read_any(body, at))
        else:
            items.append(_read_other(body[at:stop]))
        at = stop + (stop - at) % 2 if len(items) < count else stop
    if at != end:
        raise Malformed(f"{end - at} bytes behind {count} items")
    return items


def _read_any(body: bytes, at: int) -> Item:
    size, count, block, where = _any(body, at)
    address = where & 0xFF_FFFF
    layout = _LAYOUTS.get(where >> 24 << 8 | size)
    if layout is None:
        return _read_counted(body, at)
    table, bits, is_block, extra = layout
    if bits == 1:
        if count != 1:
            raise Malformed(f"an item of {count} single bits: what an asset would take for them is not defined")
    elif address % BYTE_BITS or not count:
        raise Malformed(f"an item of {count} elements of whole bytes that begins at bit {address % BYTE_BITS} of one")
    total = bits * count
    if address + total > LAST_BIT + 1:
        raise Malformed(f"{total} bits of {table} from {address} on go past the last address")
    if is_block:
        table = f"{table}{block}"
    return Item(table, address, total, "", size, (total + 7) // BYTE_BITS, extra)


def _read_counted(body: bytes, at: int) -> Item:
    """Timers and counters; every other pair of area and transport size is unknown."""
    size, count, _, where = _any(body, at)
    area, address = where >> 24, where & 0xFF_FFFF
    table = _COUNTED.get((area, size))
    if table is None:
        return _unknown(body[at : at + 2 + _ANY_LENGTH])
    if not count or address + count > LAST_BIT:
        raise Malformed(f"{count} of {table} from {address} on: none, or past the last one")
    return Item(table, address, count, "", size, _COUNTED_BYTES * count)


def _read_other(item: bytes) -> Item:
    syntax = item[2]
    if syntax == _DB_READ:
        return _read_areas(item)
    if syntax == _SYMBOL and len(item) >= _SYMBOL_HEAD + 2 + _LID_BYTES and not (len(item) - 12) % _LID_BYTES:
        return _read_symbol(item)
    table = _NAMED.get(syntax)
    if table is not None:
        return Item(table, 0, 1, f"0x{item[2:].hex()}", 0, -1)
    return _unknown(item)


def _read_areas(item: bytes) -> Item:
    """Several areas of data blocks in one item: each with length, block and first byte."""
    count = item[3] if len(item) > 3 else 0  # noqa: PLR2004 - the number of areas follows the syntax id
    if not count or len(item) != 4 + _DB_AREA_BYTES * count:
        return _unknown(item)
    areas = []
    for at in range(4, len(item), _DB_AREA_BYTES):
        length, block, first = _db_area.unpack_from(item, at)
        if not length:
            raise Malformed("an area of no bytes")
        areas.append(Item(f"DB{block}", first * BYTE_BITS, length * BYTE_BITS, "", _BYTE, -1))
    areas[0].also = tuple(areas[1:])
    return areas[0]


def _read_symbol(item: bytes) -> Item:
    """A symbol of an S7-1200: root area, its number, a checksum of the symbol, and the steps from the root to it.

    Which memory that is only the project file knows: it is an object with a name of its own, and in no address range.
    """
    root, number, checksum = int.from_bytes(item[4:6]), int.from_bytes(item[6:8]), item[8:12].hex()
    place = f"DB{number}" if root == 0x8A0E else f"0x{root:04x}.{number:04x}"  # noqa: PLR2004 - the root of data blocks
    steps = ".".join(item[at : at + _LID_BYTES].hex() for at in range(12, len(item), _LID_BYTES))
    return Item("symbol", 0, 1, f"{place}/{checksum}/{steps}", 0, -1)


def _unknown(item: bytes) -> Item:
    return Item("unknown", 0, 1, f"0x{item.hex()}", 0, -1, OperationClass.UNKNOWN)


def read_targets(found: OperationClass, items: Sequence[Item]) -> tuple[Target, ...]:
    """The targets of items that are read."""
    if len(items) == 1 and not items[0].also:
        item = items[0]
        return (Target(found, item.table, item.first, item.count, item.name),)
    spread = [each for item in items for each in (item, *item.also)]
    return tuple(Target(found, each.table, each.first, each.count, each.name) for each in spread)


def write_targets(items: Sequence[Item], body: bytes, at: int, end: int) -> tuple[Target, ...]:
    """The targets of items that are written, with the data in `body` from `at` to `end`.  Raises `Malformed`."""
    if len(items) == 1:
        kind, start, stop = _entry(body, at, end)
        if end != stop and end - stop != (stop - start) % 2:
            raise Malformed(f"{end - stop} bytes behind the data of an item")
        return (_written(items[0], kind, body[start:stop]),)
    targets = []
    start = stop = at
    for item in items:
        # An entry of an odd length is followed by a byte that fills it up, unless it is the last one.
        kind, start, stop = _entry(body, stop + (stop - start) % 2, end)
        targets.append(_written(item, kind, body[start:stop]))
    if end != stop and end - stop != (stop - start) % 2:
        raise Malformed(f"{end - stop} bytes behind the data of {len(items)} items")
    return tuple(targets)


def _entry(body: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Transport size, start and end of the data at `at`."""
    if at + _DATA_HEAD > end:
        raise Malformed("less data than items")
    in_bits = _IN_BITS.get(body[at + 1])
    length = body[at + 2] << 8 | body[at + 3]
    if in_bits is None or body[at] not in _WRITE_CODES:
        raise Malformed(f"data with code 0x{body[at]:02x} and transport size {body[at + 1]}")
    kind, start = body[at + 1], at + _DATA_HEAD
    if kind == _DATA_BIT:
        if length != 1:
            raise Malformed(f"{length} single bits of data")
        length = 1
    elif in_bits:
        if length % BYTE_BITS:
            raise Malformed(f"{length} bits of data are no whole bytes")
        length //= BYTE_BITS
    if start + length > end:
        raise Malformed("data that goes past the end of its message")
    return kind, start, start + length


def _written(item: Item, kind: int, data: bytes) -> Target:
    if item.also:
        raise Malformed("a write to several areas in one item")
    if item.byte_count < 0:
        found = item.extra or OperationClass.WRITE
        return Target(found, item.table, item.first, item.count, item.name, (f"0x{data.hex()}",))
    if len(data) != item.byte_count or (kind == _DATA_BIT) != (item.size == _BIT):
        raise Malformed(f"{len(data)} bytes of data (transport size {kind}) for an item of {item.byte_count}")
    if item.size == _BIT:
        if data[0] > 1:
            raise Malformed(f"0x{data[0]:02x} is no value of a bit")
        return Target(OperationClass.WRITE, item.table, item.first, 1, "", (data[0],))
    values = item_values(item.size, data)
    return Target(OperationClass.WRITE, item.table, item.first, item.count, "", values, data)


def item_values(size: int, data: bytes) -> tuple[Value, ...]:
    """The values of `data`, which is whole elements of the transport size `size`."""
    if size == _BYTE:
        return tuple(data)
    bits, layout = SIZES.get(size, (8 * _COUNTED_BYTES, "H"))
    if size == _BIT:
        return tuple(each & 1 for each in data)
    if layout == REAL:
        return reals(data)
    if size == _DATE_AND_TIME:
        return tuple(f"0x{data[at : at + 8].hex()}" for at in range(0, len(data), 8))
    return unpack(f">{8 * len(data) // bits}{layout}", data)


def read_entries(data: bytes, count: int) -> list[tuple[int, bytes]] | None:
    """Return codes and data of `count` items in an answer; ``None`` where they do not add up."""
    entries: list[tuple[int, bytes]] = []
    at = 0
    while len(entries) < count:
        if at + _DATA_HEAD > len(data):
            return None
        length = data[at + 2] << 8 | data[at + 3]
        if _IN_BITS.get(data[at + 1], False):
            length = (length + 7) // BYTE_BITS
        entries.append((data[at], data[at + _DATA_HEAD : at + _DATA_HEAD + length]))
        at += _DATA_HEAD + length + length % 2
    return entries
