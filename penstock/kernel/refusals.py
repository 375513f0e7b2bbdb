"""I/O: copies of refused first packets (NFLOG), and counting them per source and service.

Stands between the chain ``refuse`` and the enforcer's `FlowsRefused`.  Formats: linux/netfilter/nfnetlink_log.h;
RFC 791 section 3.1, RFC 9293 section 3.1, RFC 768 for the packet.

It must never grow with the number of packets or sources: the table is bounded, and what does not fit counts as one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from socket import AF_INET, inet_ntoa

from penstock.kernel.elements import TRANSPORT_NAMES
from penstock.kernel.netlink import ACK, ULOG_SUBSYSTEM, NetlinkSocket, attribute, each_message, payload
from penstock.model import FlowsRefused

#: The group that the chain ``refuse`` writes to.
GROUP = 1
#: The longest IPv4 header and the ports behind it.
_SNAPSHOT_BYTES = 96
_BUFFER_BYTES = 4 << 20
_CONFIGURE = 1  # NFULNL_MSG_CONFIG
_BIND, _COPY_PACKET = b"\x01", 2
_FLUSH_CENTISECONDS, _FLUSH_PACKETS = 20, 64
_PAYLOAD = 9  # NFULA_PAYLOAD
_IPV4, _IPV4_LEAST_BYTES = 4, 20
_ports = struct.Struct("!HH")

#: Distinct (source, destination, transport, port) that are told apart in one second.
MAX_DISTINCT = 1024
#: The source of whatever did not fit.
OTHERS = "0.0.0.0"  # noqa: S104 - a value in a record, nothing listens there


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who tried what."""

    source: str
    destination: str
    transport: str
    port: int


class RefusalLog:
    """The copies, from an NFLOG group of this network namespace.  For an event loop."""

    def __init__(self, group: int = GROUP) -> None:
        self._socket = NetlinkSocket(receive_bytes=_BUFFER_BYTES)
        for number, value in (
            (1, _BIND),
            (2, struct.pack("!IBB", _SNAPSHOT_BYTES, _COPY_PACKET, 0)),
            (4, struct.pack("!I", _FLUSH_CENTISECONDS)),
            (5, struct.pack("!I", _FLUSH_PACKETS)),
        ):
            self._socket.command(
                self._socket.message(ULOG_SUBSYSTEM, _CONFIGURE, ACK, AF_INET, attribute(number, value), group)
            )
        self._socket.only_listen()

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the socket back; the kernel unbinds the group."""
        self._socket.close()

    def received(self) -> list[Refusal] | None:
        """The refusals of one datagram, or ``None`` when there are no more.  Raises ENOBUFS when some were lost."""
        data = self._socket.received()
        return None if data is None else list(refusals(data))


class RefusalCount:
    """Refusals since the last `drained`, per who and what."""

    def __init__(self, limit: int = MAX_DISTINCT) -> None:
        self._limit = limit
        self._counts: dict[Refusal, int] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, refusal: Refusal) -> None:
        """Count one; beyond the limit of distinct ones it counts among the others."""
        if refusal not in self._counts and len(self._counts) >= self._limit:
            refusal = Refusal(OTHERS, OTHERS, "", 0)
        self._counts[refusal] = self._counts.get(refusal, 0) + 1

    def drained(self, at_us: int) -> list[FlowsRefused]:
        """Everything counted so far, as events; counting starts anew."""
        counts, self._counts = self._counts, {}
        return [
            FlowsRefused(
                source=refusal.source,
                destination=refusal.destination,
                transport=refusal.transport,
                port=refusal.port,
                count=count,
                at_us=at_us,
            )
            for refusal, count in counts.items()
        ]


def refusals(data: bytes) -> Iterator[Refusal]:
    """What the packets in a datagram of the kernel tried; packets that are not IPv4 are left out."""
    for kind, _, body in each_message(data):
        if kind == ULOG_SUBSYSTEM << 8:
            refusal = refusal_of(payload(body).get(_PAYLOAD, memoryview(b"")))
            if refusal is not None:
                yield refusal


def refusal_of(packet: memoryview) -> Refusal | None:
    """Addresses, transport and destination port (0 where there is none) of an IPv4 packet's beginning."""
    if len(packet) < _IPV4_LEAST_BYTES or packet[0] >> 4 != _IPV4:
        return None
    transport, header_bytes = packet[9], (packet[0] & 0x0F) * 4
    has_ports = transport in TRANSPORT_NAMES and len(packet) >= header_bytes + _ports.size
    return Refusal(
        source=inet_ntoa(packet[12:16]),
        destination=inet_ntoa(packet[16:20]),
        transport=TRANSPORT_NAMES.get(transport, str(transport)),
        port=_ports.unpack_from(packet, header_bytes)[1] if has_ports else 0,
    )
