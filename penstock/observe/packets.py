"""Pure: the parts of a copied IPv4 packet that passive decoding needs.

Formats: RFC 791 section 3.1, RFC 9293 section 3.1.  Whatever is not a whole TCP segment is left out here (the payload
store has it all the same).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

FIN, SYN, RST = 1, 2, 4
_ports = struct.Struct("!HHI").unpack_from
_IPV4, _TCP = 4, 6
_LEAST_IP, _LEAST_TCP = 20, 20
_FRAGMENT: Final = 0x3FFF  # more fragments, or an offset
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


def length_of(packet: bytes) -> int:
    """The length that an IPv4 packet says it has, of which the copy may be the beginning."""
    return max(len(packet), _short(packet, 2)[0]) if len(packet) >= _LEAST_IP else len(packet)


def segment_of(packet: bytes) -> Segment | None:
    """The TCP segment in a whole IPv4 packet; ``None`` for everything else."""
    if len(packet) < _LEAST_IP or packet[0] >> 4 != _IPV4 or packet[9] != _TCP:
        return None
    head, total = (packet[0] & 15) * 4, _short(packet, 2)[0]
    if total > len(packet) or _short(packet, 6)[0] & _FRAGMENT or head < _LEAST_IP or total < head + _LEAST_TCP:
        return None
    data = head + (packet[head + 12] >> 4) * 4
    if not head + _LEAST_TCP <= data <= total:
        return None
    source_port, port, sequence = _ports(packet, head)
    return Segment(
        packet[12:16], source_port, packet[16:20], port, sequence, packet[head + 13] & 0x3F, packet[data:total]
    )
