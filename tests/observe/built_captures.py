"""Capture files and packets made for tests, byte by byte from the formats' own layouts."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from penstock.observe.capture_files import Packet

SYN, ACK, PUSH, FIN, RST = 2, 16, 8, 1, 4
CLIENT, ASSET = ("10.0.0.1", 40000), ("10.0.0.2", 502)
End = tuple[str, int]


def pcap(packets: Iterable[bytes], *, order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1, part: int = 5) -> bytes:
    """A classic file; packet n is from second n."""
    extra = b"\0" * 8 if magic == 0xA1B2CD34 else b""
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)]
    for second, data in enumerate(packets):
        parts += [struct.pack(order + "IIII", second, part, len(data), len(data)), extra, data]
    return b"".join(parts)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """One block of pcapng."""
    body += b"\0" * (-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, 0) + options, order)


def enhanced(data: bytes, units: int = 0, number: int = 0, order: str = "<") -> bytes:
    head = struct.pack(order + "IIIII", number, units >> 32, units & 0xFFFFFFFF, len(data), len(data))
    return block(6, head + data, order)


def reader(data: bytes) -> Callable[[int], bytes]:
    return io.BytesIO(data).read


def address(text: str) -> bytes:
    return bytes(map(int, text.split(".")))


def ipv4(source: str, destination: str, protocol: int, data: bytes, *, flags: int = 0, ident: int = 1) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), ident, flags, 64, protocol, 0)
    return head + address(source) + address(destination) + data


def tcp(source: End, destination: End, sequence: int, data: bytes = b"", *, flags: int = ACK, ack: int = 0) -> bytes:
    """An IPv4 packet with one segment."""
    head = struct.pack("!HHIIBBHHH", source[1], destination[1], sequence % 2**32, ack % 2**32, 0x50, flags, 8192, 0, 0)
    return ipv4(source[0], destination[0], 6, head + data)


def udp(source: End, destination: End, data: bytes) -> bytes:
    return ipv4(source[0], destination[0], 17, struct.pack("!HHHH", source[1], destination[1], 8 + len(data), 0) + data)


def ethernet(packet: bytes, kind: int = 0x0800) -> bytes:
    return bytes.fromhex("02000000000b02000000000a") + struct.pack("!H", kind) + packet


@dataclass
class Wire:
    """A capture of raw IP packets that grows packet by packet."""

    count: int = 0
    packets: list[Packet] = field(default_factory=list)

    def carry(self, data: bytes) -> Packet:
        self.count += 1
        packet = Packet(self.count, self.count * 1_000_000, 101, data, len(data))
        self.packets.append(packet)
        return packet
