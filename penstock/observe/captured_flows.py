"""Pure: the flows of a capture: who said what in which packet, in order.

Stands on `links`, `internet` and `reassembly`; `dissection` reads what it gives.  Flows are numbered as Wireshark
numbers its streams: from 0, TCP and UDP each for itself, by their first packet, and the same ports with a new SYN are
a new one.  Bounded: the flow that was silent longest is forgotten.  It must never give bytes out of order.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple

from penstock.observe.capture_files import Packet
from penstock.observe.internet import TCP, UDP, Datagram, Internet
from penstock.observe.links import IPV4, IPV6, LinkPacket, link_packet
from penstock.observe.packets import RST, SYN
from penstock.observe.reassembly import Came, Piece, Stream
from penstock.wire import Side

MAX_FLOWS: Final = 16_384
#: What all flows together hold of segments that came too early.
MAX_WAITING_BYTES: Final = 16 << 20
_PUSH, _ACK = 8, 16
_LEAST_TCP, _UDP_BYTES = 20, 8
_MODULO: Final = 1 << 32
_tcp_head = struct.Struct("!HHIIBB").unpack_from
_udp_head = struct.Struct("!HHH").unpack_from
_End = tuple[bytes, int]


@dataclass(slots=True, eq=False, weakref_slot=True)
class Flow:
    """One conversation.  `carrier` is ``tcp``, ``udp``, ``ether/8892`` or ``llc/82`` (the latter have no number).

    `client` is the end that opened it, as far as can be known: an address and a port (0 on a link).
    """

    carrier: str
    number: int | None
    client: _End
    bases: dict[_End, int] = field(default_factory=dict)
    """The sequence number in front of each end's first byte."""
    acknowledged: dict[_End, int] = field(default_factory=dict)
    """What each end said it expects next."""
    streams: dict[_End, Stream] = field(default_factory=dict)

    def side_of(self, end: _End) -> Side:
        """Which side this end is."""
        return Side.CLIENT if end == self.client else Side.ASSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What one packet of a flow made readable of one side: its number and time, that side's ends as text, the bytes.

    Behind a gap it is the packet that brought the bytes, though later ones were read before.
    """

    number: int
    at_ns: int
    flow: Flow
    side: Side
    source: str
    source_port: int | None
    destination: str
    port: int | None
    pieces: Sequence[Piece]
    is_again: bool = False
    """Whether some of the packet's bytes had been there before."""


class _Segment(NamedTuple):
    source: _End
    destination: _End
    sequence: int
    acknowledged: int
    flags: int
    data: bytes


class Flows:
    """All flows of one capture.

    `service_ports` has the (carrier, port) pairs where assets usually listen.  Who asked whom is known from the
    handshake; where that is missing it is taken from such a port, then from the lower one.
    """

    def __init__(self, service_ports: Container[tuple[str, int]] = ()) -> None:
        self._service_ports = service_ports
        self._internet = Internet()
        self._flows: OrderedDict[tuple[str, frozenset[_End]], Flow] = OrderedDict()
        self._numbers = {"tcp": 0, "udp": 0}
        self._waiting_bytes = 0
        self._left: list[Arrival] = []
        """What still waited in flows that were forgotten."""

    def take(self, packet: Packet) -> list[Arrival]:
        """What this packet brings, of both sides where it shows that something of the other one will never come.

        Where it makes a flow be forgotten, what waited there stands in front.
        """
        found = self._carried(packet)
        if self._left:
            found = self._left + found
            self._left = []
        return found

    def _carried(self, packet: Packet) -> list[Arrival]:
        carried = link_packet(packet.link, packet.data)
        if carried is None:
            return []
        if carried.is_llc or carried.kind not in {IPV4, IPV6}:
            return [self._linked(packet, carried)]
        datagram = self._internet.take(carried.kind, carried.data)
        if datagram is None:
            return []
        if datagram.protocol == TCP:
            return self._segment(packet, datagram)
        return self._user_datagram(packet, datagram) if datagram.protocol == UDP else []

    def end(self) -> list[Arrival]:
        """What still waits when there are no more packets: what is missing in front of it will never come."""
        while self._flows:
            self._forget(self._flows.popitem(last=False)[1])
        found, self._left = self._left, []
        return found

    def _linked(self, packet: Packet, carried: LinkPacket) -> Arrival:
        name = f"llc/{carried.kind:02x}" if carried.is_llc else f"ether/{carried.kind:04x}"
        ends = (carried.source, 0), (carried.destination, 0)
        flow = self._find(name, ends) or self._open(name, ends, ends[0])
        return _arrival((packet.number, packet.at_ns), flow, ends, [Piece(0, carried.data)])

    def _user_datagram(self, packet: Packet, datagram: Datagram) -> list[Arrival]:
        if len(datagram.data) < _UDP_BYTES:
            return []
        source_port, port, length = _udp_head(datagram.data)
        ends = (datagram.source, source_port), (datagram.destination, port)
        flow = self._find("udp", ends) or self._open("udp", ends, self._asking("udp", ends))
        data = datagram.data[_UDP_BYTES : length if length >= _UDP_BYTES else None]
        return [_arrival((packet.number, packet.at_ns), flow, ends, [Piece(0, data)])] if data else []

    def _segment(self, packet: Packet, datagram: Datagram) -> list[Arrival]:
        segment = _segment_of(datagram)
        if segment is None:
            return []
        ends = segment.source, segment.destination
        flow = self._find("tcp", ends)
        if flow is None or _is_anew(flow, segment):
            flow = self._open("tcp", ends, self._opener(segment))
        if _is_keep_alive(flow, segment):
            return []
        _number(flow, segment)
        own, other = flow.streams[segment.source], flow.streams[segment.destination]
        waited = own.waiting_bytes + other.waiting_bytes
        given_up = self._given_up(flow, segment)
        pieces, behind = _parted(self._read(flow, segment, packet))
        self._waiting_bytes += own.waiting_bytes + other.waiting_bytes - waited
        found = _behind_gap(flow, (ends[1], ends[0]), given_up) if given_up else []
        if pieces:
            is_again = not own.is_waiting and not behind and _bytes(pieces) < len(segment.data)
            found.append(_arrival((packet.number, packet.at_ns), flow, ends, pieces, is_again=is_again))
        return found + _behind_gap(flow, ends, behind) if behind else found

    def _read(self, flow: Flow, segment: _Segment, packet: Packet) -> list[Piece]:
        """What the segment makes readable of its own side."""
        stream = flow.streams[segment.source]
        if segment.flags & RST or not segment.data:  # what stands in a reset is no data (RFC 9293 section 3.5.2)
            return []
        sequence = (segment.sequence + bool(segment.flags & SYN)) % _MODULO
        pieces = stream.take(sequence, segment.data, (packet.number, packet.at_ns))
        known = flow.acknowledged.get(segment.destination)
        if stream.is_waiting and known is not None:
            pieces += stream.give_up_before(known)
        if stream.is_waiting and self._waiting_bytes > MAX_WAITING_BYTES:
            pieces += stream.skip()
        return pieces

    def _given_up(self, flow: Flow, segment: _Segment) -> list[Piece]:
        """What the other side has said, seen from this acknowledgement: a gap in it was never captured."""
        if not segment.flags & _ACK:
            return []
        flow.acknowledged[segment.source] = segment.acknowledged
        other = flow.streams[segment.destination]
        return other.give_up_before(segment.acknowledged) if other.is_waiting else []

    def _find(self, carrier: str, ends: tuple[_End, _End]) -> Flow | None:
        key = carrier, frozenset(ends)
        flow = self._flows.get(key)
        if flow is not None:
            self._flows.move_to_end(key)
        return flow

    def _open(self, carrier: str, ends: tuple[_End, _End], client: _End) -> Flow:
        number = self._numbers.get(carrier)
        if number is not None:
            self._numbers[carrier] = number + 1
        flow = Flow(carrier, number, client)
        if carrier == "tcp":
            flow.streams = {end: Stream() for end in ends}
        key = carrier, frozenset(ends)
        self._forget(self._flows.pop(key, None))
        self._flows[key] = flow
        if len(self._flows) > MAX_FLOWS:
            self._forget(self._flows.popitem(last=False)[1])
        return flow

    def _forget(self, flow: Flow | None) -> None:
        """Give up what it waited for; what came is told."""
        if flow is None:
            return
        for source, stream in flow.streams.items():
            self._waiting_bytes -= stream.waiting_bytes
            (destination,) = flow.streams.keys() - {source}
            while stream.is_waiting:
                self._left += _behind_gap(flow, (source, destination), stream.skip())

    def _opener(self, segment: _Segment) -> _End:
        """The end that opened a connection: it sent a SYN alone."""
        if segment.flags & SYN:
            return segment.destination if segment.flags & _ACK else segment.source
        return self._asking("tcp", (segment.source, segment.destination))

    def _asking(self, carrier: str, ends: tuple[_End, _End]) -> _End:
        source, destination = ends
        is_served = (carrier, destination[1]) in self._service_ports
        if is_served != ((carrier, source[1]) in self._service_ports):
            return source if is_served else destination
        return source if source[1] >= destination[1] else destination


def _segment_of(datagram: Datagram) -> _Segment | None:
    data = datagram.data
    if len(data) < _LEAST_TCP:
        return None
    source_port, port, sequence, acknowledged, offset, flags = _tcp_head(data)
    head = (offset >> 4) * 4
    if not _LEAST_TCP <= head <= len(data):
        return None
    source, destination = (datagram.source, source_port), (datagram.destination, port)
    if source == destination:
        return None  # an end that talks to itself: its two sides cannot be told apart
    return _Segment(source, destination, sequence, acknowledged, flags, data[head:])


def _is_anew(flow: Flow, segment: _Segment) -> bool:
    """Whether a SYN opens another connection on the same ports; the same number again is the same SYN again."""
    if segment.flags & (SYN | _ACK) != SYN:
        return False
    return flow.bases.get(segment.source, segment.sequence) != segment.sequence


def _is_keep_alive(flow: Flow, segment: _Segment) -> bool:
    """Whether a side's first captured byte is one of nothing, sent once more (RFC 9293 section 3.8.4).

    Later ones are seen from their number, as every retransmission is.
    """
    has_begun = flow.streams[segment.source].has_begun
    return not has_begun and not segment.flags & (SYN | _PUSH) and len(segment.data) == 1


def _number(flow: Flow, segment: _Segment) -> None:
    """Where each end's bytes begin, as far as this segment tells it first."""
    stream = flow.streams[segment.source]
    if segment.flags & SYN and not stream.has_begun:
        stream.begin(segment.sequence)
    if segment.source not in flow.bases:
        flow.bases[segment.source] = (segment.sequence - (not segment.flags & SYN)) % _MODULO
    if segment.flags & _ACK:
        flow.bases.setdefault(segment.destination, (segment.acknowledged - 1) % _MODULO)


def _bytes(pieces: Sequence[Piece]) -> int:
    return sum(len(piece.data) for piece in pieces)


def _parted(pieces: list[Piece]) -> tuple[list[Piece], list[Piece]]:
    """What follows what was read before, and what stands behind bytes that were never captured."""
    gap = next((index for index, piece in enumerate(pieces) if piece.missing), len(pieces))
    return pieces[:gap], pieces[gap:]


def _behind_gap(flow: Flow, ends: tuple[_End, _End], pieces: list[Piece]) -> list[Arrival]:
    """Each piece as the packet brought it: what it waited for will never come, so it belongs to no later one."""
    return [_arrival(piece.came, flow, ends, [piece]) for piece in pieces if piece.came is not None]


def _arrival(
    came: Came, flow: Flow, ends: tuple[_End, _End], pieces: Sequence[Piece], *, is_again: bool = False
) -> Arrival:
    source, destination = ends
    has_ports = flow.number is not None
    return Arrival(
        number=came[0],
        at_ns=came[1],
        flow=flow,
        side=flow.side_of(source),
        source=_text(source[0]),
        source_port=source[1] if has_ports else None,
        destination=_text(destination[0]),
        port=destination[1] if has_ports else None,
        pieces=pieces,
        is_again=is_again,
    )


@lru_cache(maxsize=4096)
def _text(address: bytes) -> str:
    """An IP or a hardware address as people write it."""
    return str(ip_address(address)) if len(address) in {4, 16} else address.hex(":")
