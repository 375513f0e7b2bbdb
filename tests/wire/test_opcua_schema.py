"""Readers that are written out, or read several fields at once, read what the table of structures says."""

from __future__ import annotations

import random
from struct import pack
from typing import Any

import pytest

from penstock.wire.opcua.binary import BROKEN, Reader
from penstock.wire.opcua.schema import FIELDS, READERS, UNROLLED, Field, structure_reader

NODES = (b"\x00\x54", b"\x01\x02\x34\x12", b"\x02\x01\x00\x78\x56\x34\x12", b"\x03\x02\x00\x01\x00\x00\x00s")
EXPANDED = (*NODES, b"\x81\x00\x54\x00\x01\x00\x00\x00u", b"\x40\x54\x01\x00\x00\x00")
NAMES = (b"\x02\x00\x05\x00\x00\x00Level", b"\x00\x00\xff\xff\xff\xff")
TEXTS = (b"\x00", b"\x02\x01\x00\x00\x00t", b"\x03\x02\x00\x00\x00de\x01\x00\x00\x00t")
#: By type, bytes that are it.
SAMPLES = {
    "NodeId": NODES,
    "ExpandedNodeId": EXPANDED,
    "QualifiedName": NAMES,
    "LocalizedText": TEXTS,
    "Boolean": (b"\x00", b"\x01", b"\x07"),
    "SByte": (b"\xff",),
    "Byte": (b"\xff",),
    "Int16": (b"\xff\x7f",),
    "UInt16": (b"\xff\xff",),
    "Int32": (pack("<i", -1), pack("<i", 2)),
    "UInt32": (pack("<I", 3_000_000_000),),
    "StatusCode": (pack("<I", 0x80340000),),
    "Int64": (pack("<q", -5),),
    "UInt64": (pack("<Q", 1 << 63),),
    "Float": (pack("<f", 1.5),),
    "Double": (pack("<d", -2.5),),
    "DateTime": (pack("<q", 1 << 56),),
    "String": (b"\xff\xff\xff\xff", b"\x02\x00\x00\x00\xc3\xbc"),
    "ByteString": (b"\xff\xff\xff\xff", b"\x01\x00\x00\x00\x00"),
}
PLAIN = sorted(name for name, fields in FIELDS.items() if fields and {kind for _, kind, _ in fields} <= set(SAMPLES))


def one_by_one(fields: tuple[Field, ...]) -> Reader:
    """The plainest reader of a structure that there can be."""

    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        found = {}
        for label, _, field in fields:
            found[label], at = field(data, at)
        return found, at

    return read


def outcome(read: Reader, data: bytes) -> object:
    """What a reader makes of bytes, or that they are broken."""
    try:
        return repr(read(data, 0))  # as text: a number that is none differs from itself
    except BROKEN:
        return "broken"


def variants(name: str) -> list[bytes]:
    """Right bytes of a structure, each cut off everywhere, and each with other bytes in it."""
    chance = random.Random(name)
    made = []
    for _ in range(20):
        data = b"".join(chance.choice(SAMPLES[kind]) for _, kind, _ in FIELDS[name])
        made += [data, *(data[:end] for end in range(len(data)))]
        for _ in range(20):
            other = bytearray(data)
            other[chance.randrange(len(other))] = chance.randrange(256)
            made.append(bytes(other))
    return made


@pytest.mark.parametrize("name", PLAIN)
def test_a_structure_is_read_as_its_fields_one_by_one(name: str) -> None:
    plain = one_by_one(FIELDS[name])
    found = [(outcome(READERS[name], data), outcome(plain, data)) for data in variants(name)]
    assert all(one == other for one, other in found)
    assert any(one != "broken" for one, _ in found)


@pytest.mark.parametrize("name", sorted(UNROLLED))
def test_what_is_written_out_is_what_the_table_makes(name: str) -> None:
    assert name in PLAIN
    made = structure_reader(FIELDS[name])
    assert READERS[name] is UNROLLED[name]
    assert all(outcome(UNROLLED[name], data) == outcome(made, data) for data in variants(name))
