"""Pure: IPv4 and IPv6 packets of a capture, put together again where they came in fragments.

RFC 791 sections 3.1 and 3.2, RFC 8200 sections 4.2 to 4.5, RFC 5722.  Bounded: so many datagrams and bytes wait for a
fragment, then the oldest is given up.  It must never take fragments for whole that overlap with other bytes: an asset
might put them together otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from penstock.observe.links import IPV4, IPV6

TCP, UDP = 6, 17
MAX_WAITING: Final = 256
#: Fragments of one datagram: the longest one over the smallest usual link (576 bytes) has 119.
MAX_FRAGMENTS: Final = 128
#: RFC 791: a datagram is at most this long.
_MAX_DATAGRAM: Final = 0xFFFF
_LEAST_IPV4, _IPV6_BYTES = 20, 40
_MORE, _OFFSET = 0x2000, 0x1FFF
_FRAGMENT, _AUTHENTICATION = 44, 51
#: Hop-by-hop, routing, destination options: next header, then a length in units of eight bytes.
_EXTENSIONS: Final = frozenset({0, 43, 60})
_MAX_EXTENSIONS: Final = 16


class Datagram(NamedTuple):
    """What IP carries, whole: the `protocol` number and its bytes.  `is_cut` if the capture kept only the beginning."""

    source: bytes
    destination: bytes
    protocol: int
    data: bytes
    is_cut: bool


class _Fragment(NamedTuple):
    key: tuple[bytes, bytes, int, bytes]
    offset: int
    is_last: bool
    data: bytes


@dataclass(slots=True)
class _Parts:
    parts: dict[int, bytes] = field(default_factory=dict)
    total: int | None = None
    held_bytes: int = 0

    def whole(self) -> bytes | None:
        """All bytes, when none is missing."""
        if self.held_bytes != self.total:  # none overlaps, so as many bytes as there are is all of them
            return None
        return b"".join(self.parts[offset] for offset in sorted(self.parts))

    def add(self, fragment: _Fragment) -> bool:
        """Whether the fragment goes with those that are here; the same one again is no contradiction."""
        known = self.parts.get(fragment.offset)
        end = fragment.offset + len(fragment.data)
        if known is not None:
            return known == fragment.data
        if len(self.parts) >= MAX_FRAGMENTS:
            return False
        if any(at < end and fragment.offset < at + len(part) for at, part in self.parts.items()):
            return False
        if fragment.is_last:
            if self.total not in {None, end} or any(at >= end for at in self.parts):
                return False
            self.total = end
        self.parts[fragment.offset] = fragment.data
        self.held_bytes += len(fragment.data)
        return self.total is None or end <= self.total


class Internet:
    """The datagrams of a capture's IP packets, in the order in which they became whole."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[bytes, bytes, int, bytes], _Parts] = {}

    def take(self, kind: int, packet: bytes) -> Datagram | None:
        """The datagram that this packet of Ethernet type `kind` is or completes."""
        if kind == IPV4:
            found = _ipv4(packet)
        elif kind == IPV6:
            found = _ipv6(packet)
        else:
            return None
        return self._together(found) if isinstance(found, _Fragment) else found

    def _together(self, fragment: _Fragment) -> Datagram | None:
        if not fragment.data or fragment.offset + len(fragment.data) > _MAX_DATAGRAM:
            return None
        parts = self._waiting.get(fragment.key)
        if parts is None:
            if len(self._waiting) >= MAX_WAITING:
                del self._waiting[next(iter(self._waiting))]
            parts = self._waiting[fragment.key] = _Parts()
        if not parts.add(fragment):
            del self._waiting[fragment.key]
            return None
        whole = parts.whole()
        if whole is None:
            return None
        del self._waiting[fragment.key]
        source, destination, protocol, _ = fragment.key
        return Datagram(source, destination, protocol, whole, False)


def _ipv4(packet: bytes) -> Datagram | _Fragment | None:
    if len(packet) < _LEAST_IPV4 or packet[0] >> 4 != 4:  # noqa: PLR2004 - the version
        return None
    head, total = (packet[0] & 15) * 4, packet[2] << 8 | packet[3]
    # A length of 0 is what the sending host's own capture shows when its network card cuts the segments.
    total = total or len(packet)
    if head < _LEAST_IPV4 or total < head or len(packet) < head:
        return None
    data, protocol = packet[head:total], packet[9]
    flags = packet[6] << 8 | packet[7]
    source, destination = packet[12:16], packet[16:20]
    if not flags & (_MORE | _OFFSET):
        return Datagram(source, destination, protocol, data, len(packet) < total)
    if len(packet) < total:
        return None
    key = (source, destination, protocol, packet[4:6])
    return _Fragment(key, (flags & _OFFSET) * 8, not flags & _MORE, data)


def _ipv6(packet: bytes) -> Datagram | _Fragment | None:
    if len(packet) < _IPV6_BYTES or packet[0] >> 4 != 6:  # noqa: PLR2004 - the version
        return None
    total = _IPV6_BYTES + (packet[4] << 8 | packet[5])
    is_cut = len(packet) < total
    source, destination, kind = packet[8:24], packet[24:40], packet[6]
    at = _IPV6_BYTES
    for _ in range(_MAX_EXTENSIONS):
        if kind == _FRAGMENT and at + 8 <= len(packet) and not is_cut:
            flags = packet[at + 2] << 8 | packet[at + 3]
            if flags & 0xFFF9:
                key = (source, destination, packet[at], packet[at + 4 : at + 8])
                return _Fragment(key, flags & 0xFFF8, not flags & 1, packet[at + 8 : total])
            kind, at = packet[at], at + 8  # an atomic fragment (RFC 6946)
        elif kind in _EXTENSIONS and at + 8 <= len(packet):
            kind, at = packet[at], at + 8 + packet[at + 1] * 8
        elif kind == _AUTHENTICATION and at + 8 <= len(packet):
            kind, at = packet[at], at + 8 + packet[at + 1] * 4
        else:
            break
    return Datagram(source, destination, kind, packet[at:total], is_cut)
