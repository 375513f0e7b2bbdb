"""Pure: capture files as any analyser reads them (pcapng), written and read block by block.

Stands under the payload store.  Format: draft-ietf-opsawg-pcapng, sections 4.1 (Section Header), 4.2 (Interface
Description) and 4.3 (Enhanced Packet); link type 101, raw IP.  Little-endian, one interface, microseconds.  What is
read may be cut anywhere: it must never take a block for whole that is not.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from penstock.model import Json

SECTION, INTERFACE, PACKET = 0x0A0D_0D0A, 1, 6
_MAGIC: Final = 0x1A2B_3C4D
_RAW_IP: Final = 101  # LINKTYPE_RAW
_END_OF_OPTIONS, _COMMENT, _NAME, _RESOLUTION = 0, 1, 2, 9
_MICROSECONDS: Final = b"\x06"
_block = struct.Struct("<II")
_packet = struct.Struct("<IIIIIII")
_length = struct.Struct("<I")
_option = struct.Struct("<HH")
_section = struct.Struct("<IHHq")
_interface = struct.Struct("<HHI")
#: A block with its type, its two lengths and nothing in it; and one with a packet but without its bytes.
_LEAST_BYTES: Final = 12
PACKET_BYTES: Final = _packet.size + 4
#: The largest block that is ever written here: one packet.
_MOST_BYTES: Final = 1 << 18


class Block(NamedTuple):
    """One whole block: its type, and where it stands from its type up to behind its last length."""

    kind: int
    start: int
    end: int


def preamble(interface: str, about: dict[str, Json]) -> bytes:
    """The beginning of a file: who wrote what about whom (`about`, as a comment in JSON), and the one interface."""
    comment = json.dumps(about, sort_keys=True).encode()
    section = _section.pack(_MAGIC, 1, 0, -1) + _options((_COMMENT, comment))
    described = _interface.pack(_RAW_IP, 0, 0) + _options((_NAME, interface.encode()), (_RESOLUTION, _MICROSECONDS))
    return _whole(SECTION, section) + _whole(INTERFACE, described)


def packet_block(at_us: int, data: bytes, length: int) -> bytes:
    """One packet of `length` bytes, of which `data` is the beginning."""
    padding = -len(data) % 4
    total = PACKET_BYTES + len(data) + padding
    head = _packet.pack(PACKET, total, 0, at_us >> 32, at_us & 0xFFFF_FFFF, len(data), length)
    return b"".join((head, data, b"\0" * padding, _length.pack(total)))


def blocks(data: bytes, start: int = 0) -> Iterator[Block]:
    """The whole blocks of `data`; ends in front of the first that is cut short or broken."""
    while start + _LEAST_BYTES <= len(data):
        kind, length = _block.unpack_from(data, start)
        end = start + length
        if not _LEAST_BYTES <= length <= _MOST_BYTES or length % 4 or end > len(data):
            return
        if _length.unpack_from(data, end - 4)[0] != length:
            return
        yield Block(kind, start, end)
        start = end


def packet_of(data: bytes, block: Block) -> tuple[int, int] | None:
    """Time (microseconds since the epoch) and captured bytes of a packet block; ``None`` if it is none, or broken."""
    if block.kind != PACKET or block.end - block.start < PACKET_BYTES:
        return None
    _, _, _, high, low, captured, _ = _packet.unpack_from(data, block.start)
    if captured > block.end - block.start - PACKET_BYTES:
        return None
    return high << 32 | low, captured


def about_of(data: bytes) -> dict[str, Json]:
    """What the file's first comment says of it; empty where it says nothing that is ours."""
    first = next(blocks(data), None)
    if first is None or first.kind != SECTION:
        return {}
    offset, end = first.start + 8 + _section.size, first.end - 4
    while offset + _option.size <= end:
        number, length = _option.unpack_from(data, offset)
        offset += _option.size
        if number == _COMMENT and offset + length <= end:
            return _object(data[offset : offset + length])
        if number == _END_OF_OPTIONS:
            break
        offset += (length + 3) & ~3
    return {}


def _object(text: bytes) -> dict[str, Json]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _options(*options: tuple[int, bytes]) -> bytes:
    written = [_option.pack(number, len(value)) + value + b"\0" * (-len(value) % 4) for number, value in options]
    return b"".join(written) + _option.pack(_END_OF_OPTIONS, 0)


def _whole(kind: int, body: bytes) -> bytes:
    total = _LEAST_BYTES + len(body)
    return _block.pack(kind, total) + body + _length.pack(total)
