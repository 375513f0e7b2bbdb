"""Pure: the parts of a copied IPv4 packet that passive decoding needs.

Formats: RFC 791 section 3.1, RFC 9293 section 3.1, RFC 768.  Whatever is not a whole TCP segment or UDP datagram is
left out here (the payload
store has it all the same).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

FIN, SYN, RST = 1, 2, 4
_ports = struct.Struct("!HHI").unpack_from
_IPV4, _TCP, _UDP = 4, 6, 17
_LEAST_IP, _LEAST_TCP, _UDP_BYTES = 20, 20, 8
_FRAGMENT: Final = 0x3FFF  # more fragments, or an offset
_user = struct.Struct("!HHH").unpack_from
_short = struct.Struct("!H").unpack_from


class Segment(NamedTuple):
    """One TCP segment: its ends as they are between client and asset, its flags and its payload."""

    source: bytes
    source_port: int
    destination: bytes
    port: int
    sequence: int
    flags: int
    data: bytes


class UserDatagram(NamedTuple):
    """One UDP datagram: its ends as they are between client and asset, and its payload."""

    source: bytes
    source_port: int
    destination: bytes
    port: int
    data: bytes


def length_of(packet: bytes) -> int:
    """The length that an IPv4 packet says it has, of which the copy may be the beginning."""
    return max(len(packet), _short(packet, 2)[0]) if len(packet) >= _LEAST_IP else len(packet)


def segment_of(packet: bytes) -> Segment | None:
    """The TCP segment in a whole IPv4 packet; ``None`` for everything else."""
    found = _carried(packet, _TCP)
    if found is None:
        return None
    head, total = found
    if total < head + _LEAST_TCP:
        return None
    data = head + (packet[head + 12] >> 4) * 4
    if not head + _LEAST_TCP <= data <= total:
        return None
    source_port, port, sequence = _ports(packet, head)
    return Segment(
        packet[12:16], source_port, packet[16:20], port, sequence, packet[head + 13] & 0x3F, packet[data:total]
    )


def datagram_of(packet: bytes) -> UserDatagram | None:
    """The UDP datagram in a whole IPv4 packet; ``None`` for everything else."""
    found = _carried(packet, _UDP)
    if found is None:
        return None
    head, total = found
    if total < head + _UDP_BYTES:
        return None
    source_port, port, length = _user(packet, head)
    if not _UDP_BYTES <= length <= total - head:
        return None
    return UserDatagram(packet[12:16], source_port, packet[16:20], port, packet[head + _UDP_BYTES : head + length])


def _carried(packet: bytes, protocol: int) -> tuple[int, int] | None:
    """Where what an unfragmented, whole IPv4 packet carries begins and ends; ``None`` if it is another protocol's."""
    if len(packet) < _LEAST_IP or packet[0] >> 4 != _IPV4 or packet[9] != protocol:
        return None
    head, total = (packet[0] & 15) * 4, _short(packet, 2)[0]
    if total > len(packet) or _short(packet, 6)[0] & _FRAGMENT or not _LEAST_IP <= head <= total:
        return None
    return head, total
