"""Pure: what stands in a captured packet below IP, for the link types of the captures that engineers bring.

Link types: the registry of tcpdump.org.  Formats: IEEE 802.3 and 802.1Q, Linux cooked captures (SLL, SLL2), BSD
loopback, raw IP.  A packet that is cut short or of another link type is ``None``, never an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

IPV4, IPV6 = 0x0800, 0x86DD
#: 802.1Q, 802.1ad, and what older switches used for it: four bytes, then the real type.
_TAGS: Final = frozenset({0x8100, 0x88A8, 0x9100})
#: Below this the field is a length and an LLC head follows (IEEE 802.3 section 3.2.6); SNAP carries a type again.
_LEAST_TYPE: Final = 0x0600
_SNAP: Final = b"\xaa\xaa\x03"
_LLC_BYTES: Final = 3
_MAX_TAGS: Final = 4
#: Address families as the systems number them that write loopback captures: IPv4, then IPv6 on each BSD and Darwin.
_FAMILIES: Final = {2: IPV4, 10: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}


class LinkPacket(NamedTuple):
    """What a link carries.  `kind` is an Ethernet type, or for LLC the destination's service access point.

    Source and destination are hardware addresses, empty where the link has none.
    """

    kind: int
    is_llc: bool
    source: bytes
    destination: bytes
    data: bytes


def link_packet(link: int, packet: bytes) -> LinkPacket | None:
    """What `packet` of the link type `link` carries."""
    read = _LINKS.get(link)
    return None if read is None else read(packet)


def _ethernet(packet: bytes) -> LinkPacket | None:
    if len(packet) < 14:  # noqa: PLR2004 - two addresses and a type
        return None
    return _typed(packet, 12, packet[6:12], packet[:6])


def _typed(packet: bytes, at: int, source: bytes, destination: bytes) -> LinkPacket | None:
    """The type at `at`, behind any VLAN tags."""
    for _ in range(_MAX_TAGS):
        kind = int.from_bytes(packet[at : at + 2], "big")
        at += 2
        if kind not in _TAGS:
            break
        at += 2
    if at > len(packet):
        return None
    if kind >= _LEAST_TYPE:
        return LinkPacket(kind, False, source, destination, packet[at:])
    return _llc(packet[at : at + kind], source, destination)


def _llc(data: bytes, source: bytes, destination: bytes) -> LinkPacket | None:
    if len(data) < _LLC_BYTES:
        return None
    if data.startswith(_SNAP) and len(data) >= 8:  # noqa: PLR2004 - LLC, organisation, type
        return LinkPacket(int.from_bytes(data[6:8], "big"), False, source, destination, data[8:])
    return LinkPacket(data[0], True, source, destination, data[_LLC_BYTES:])


def _cooked(packet: bytes) -> LinkPacket | None:
    """SLL: kind of packet, hardware, length of the address, eight bytes for it, type."""
    if len(packet) < 16:  # noqa: PLR2004 - the head
        return None
    return _typed(packet, 14, packet[6 : 6 + min(packet[5], 8)], b"")


def _cooked_2(packet: bytes) -> LinkPacket | None:
    """SLL2: the type comes first, the interface behind it."""
    if len(packet) < 20:  # noqa: PLR2004 - the head
        return None
    return _typed(packet[:2] + packet[20:], 0, packet[12 : 12 + min(packet[11], 8)], b"")


def _loopback(packet: bytes) -> LinkPacket | None:
    """The family in the byte order of the machine that captured, so the one of both that is small."""
    if len(packet) < 4:  # noqa: PLR2004 - the family
        return None
    family = min(int.from_bytes(packet[:4], "big"), int.from_bytes(packet[:4], "little"))
    kind = _FAMILIES.get(family)
    return None if kind is None else LinkPacket(kind, False, b"", b"", packet[4:])


def _raw(packet: bytes) -> LinkPacket | None:
    kind = {4: IPV4, 6: IPV6}.get(packet[0] >> 4) if packet else None
    return None if kind is None else LinkPacket(kind, False, b"", b"", packet)


_LINKS: Final[dict[int, Callable[[bytes], LinkPacket | None]]] = {
    0: _loopback,
    1: _ethernet,
    12: _raw,
    14: _raw,
    101: _raw,
    108: _loopback,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked_2,
}
#: The link types that can be read.
LINK_TYPES: Final = frozenset(_LINKS)
