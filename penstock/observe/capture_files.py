"""Pure: the packets of a capture file that somebody else made, one after the other (pcap and pcapng).

Stands beside `pcapng`, which reads and writes the gate's own files by seeking; this one reads any file as a stream and
keeps one packet at a time.  Formats: draft-ietf-opsawg-pcap (classic, also with nanoseconds and Kuznetzov's longer
record head), draft-ietf-opsawg-pcapng sections 4.1 to 4.4 and appendix A (the obsolete Packet Block).  It must never
read ahead without bound because a length says so, nor go on behind bytes that are no record.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

#: No packet of a network is longer (tshark's own bound, WTAP_MAX_PACKET_SIZE_STANDARD); a block holds one and options.
MAX_PACKET_BYTES: Final = 1 << 18
MAX_BLOCK_BYTES: Final = 1 << 24
#: One section describes no more interfaces than this.
MAX_INTERFACES: Final = 4096
_NS: Final = 1_000_000_000

#: (byte order, units of a second, bytes behind the lengths of a record) by the four bytes a classic file begins with.
_CLASSIC: Final = {
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000, 0),
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000, 0),
    b"\xa1\xb2\x3c\x4d": (">", _NS, 0),
    b"\x4d\x3c\xb2\xa1": ("<", _NS, 0),
    b"\xa1\xb2\xcd\x34": (">", 1_000_000, 8),
    b"\x34\xcd\xb2\xa1": ("<", 1_000_000, 8),
}
_SECTION_BYTES: Final = b"\x0a\x0d\x0d\x0a"
_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D_0D0A, 1, 2, 3, 6
_RESOLUTION, _OFFSET = 9, 14
#: Bits 0 to 15 of the classic head's last word are the link type; the upper ones tell of a frame check sequence.
_LINK_MASK: Final = 0xFFFF

Read = Callable[[int], bytes]


class CaptureFileError(ValueError):
    """The bytes are no capture file, or one that is cut or broken: `why`, and how many whole packets came before."""

    def __init__(self, why: str, packets: int) -> None:
        super().__init__(why)
        self.why, self.packets = why, packets


class Packet(NamedTuple):
    """One captured packet.  `number` counts from 1; `length` is what it had on the wire, `data` what was kept."""

    number: int
    at_ns: int
    link: int
    data: bytes
    length: int


@dataclass(slots=True)
class _Interface:
    link: int
    units: int = 1_000_000
    offset_s: int = 0


def packets_of(read: Read) -> Iterator[Packet]:
    """The packets of the file whose bytes `read(count)` gives (fewer only at the end).  Raises `CaptureFileError`."""
    first = read(4)
    if first in _CLASSIC:
        return _classic(read, *_CLASSIC[first])
    if first == _SECTION_BYTES:
        return _Sections(read).packets()
    raise CaptureFileError("it begins neither like pcap nor like pcapng", 0)


def _classic(read: Read, order: str, units: int, extra: int) -> Iterator[Packet]:
    head = read(20)
    if len(head) < 20:  # noqa: PLR2004 - the file's head without its magic number
        raise CaptureFileError("it ends within its head", 0)
    link = struct.unpack(order + "I", head[16:])[0] & _LINK_MASK
    record = struct.Struct(order + "IIII")
    number = 0
    while head := read(record.size + extra):
        if len(head) < record.size + extra:
            raise CaptureFileError("it ends within the head of a packet", number)
        seconds, part, captured, length = record.unpack_from(head)
        if captured > MAX_PACKET_BYTES:
            raise CaptureFileError(f"a packet of {captured} bytes is longer than any", number)
        data = read(captured)
        if len(data) < captured:
            raise CaptureFileError("it ends within a packet", number)
        number += 1
        yield Packet(number, seconds * _NS + part * _NS // units, link, data, length)


class _Sections:
    """A pcapng file: sections, each with its byte order and its interfaces."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._order = "<"
        self._interfaces: list[_Interface] = []
        self._number = 0

    def packets(self) -> Iterator[Packet]:
        kind, body = _SECTION, self._section()
        while True:
            if kind == _INTERFACE:
                self._describe(body)
            elif kind in _PACKETS:
                yield self._packet(kind, body)
            head = self._read(8)
            if not head:
                return
            if head[:4] == _SECTION_BYTES:
                kind, body = _SECTION, self._section(head[4:])
                continue
            kind, body = self._block(head)

    def _section(self, length: bytes = b"") -> bytes:
        """The rest of a Section Header Block behind its type: the byte order stands in it."""
        head = length + self._read(8 - len(length))
        order = _ORDERS.get(head[4:8])
        if order is None:
            raise self._broken("a section says no byte order")
        self._order, self._interfaces = order, []
        return self._body(struct.unpack(order + "I", head[:4])[0], 4)

    def _block(self, head: bytes) -> tuple[int, bytes]:
        if len(head) < 8:  # noqa: PLR2004 - type and length
            raise self._broken("it ends within the head of a block")
        kind, length = struct.unpack(self._order + "II", head)
        return kind, self._body(length, 0)

    def _body(self, length: int, known: int) -> bytes:
        """What stands in a block of `length` bytes behind type, length and `known` more bytes; both lengths agree."""
        left = length - 8 - known
        if length % 4 or left < 4 or length > MAX_BLOCK_BYTES:  # noqa: PLR2004 - the length at the end
            raise self._broken(f"a block of {length} bytes is none")
        body = self._read(left)
        if len(body) < left:
            raise self._broken("it ends within a block")
        if struct.unpack(self._order + "I", body[-4:])[0] != length:
            raise self._broken("the two lengths of a block differ")
        return body[:-4]

    def _describe(self, body: bytes) -> None:
        if len(body) < 8 or len(self._interfaces) >= MAX_INTERFACES:  # noqa: PLR2004 - link, reserved, snap length
            raise self._broken("an interface is not described, or too many are")
        found = _Interface(struct.unpack(self._order + "H", body[:2])[0])
        for number, value in self._options(body, 8):
            if number == _RESOLUTION and len(value) == 1:
                found.units = 1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
            elif number == _OFFSET and len(value) == 8:  # noqa: PLR2004 - a 64-bit number
                found.offset_s = struct.unpack(self._order + "q", value)[0]
        self._interfaces.append(found)

    def _options(self, body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
        while at + 4 <= len(body):
            number, length = struct.unpack_from(self._order + "HH", body, at)
            at += 4
            if not number or at + length > len(body):
                return
            yield number, body[at : at + length]
            at += (length + 3) & ~3

    def _packet(self, kind: int, body: bytes) -> Packet:
        layout = struct.Struct(self._order + _PACKETS[kind])
        if len(body) < layout.size:
            raise self._broken("a block is too short for a packet")
        fields = layout.unpack_from(body)
        if kind == _SIMPLE_PACKET:
            number, high, low, length = 0, 0, 0, fields[0]
            captured = min(length, len(body) - layout.size)
        else:
            number, high, low, captured, length = fields
        if captured > min(len(body) - layout.size, MAX_PACKET_BYTES) or number >= len(self._interfaces):
            raise self._broken("a packet is longer than its block, or of no interface")
        interface = self._interfaces[number]
        at_ns = (high << 32 | low) * _NS // interface.units + interface.offset_s * _NS
        self._number += 1
        return Packet(self._number, at_ns, interface.link, body[layout.size : layout.size + captured], length)

    def _broken(self, why: str) -> CaptureFileError:
        return CaptureFileError(why, self._number)


#: How the fields in front of a packet's bytes stand in each block that has one; all five but for the simple one.
_PACKETS: Final = {_OLD_PACKET: "HxxIIII", _SIMPLE_PACKET: "I", _PACKET: "IIIII"}
