"""I/O: copies of refused first packets (NFLOG).

Stands between the chain ``tell`` and `attempts`, which counts them.  Formats: linux/netfilter/nfnetlink_log.h;
RFC 791 section 3.1, RFC 9293 section 3.1, RFC 768 for the packet.  A log statement whose prefix is a value of `Reason`
says why; without a prefix nothing admits the packet.

It must never guess: what is not the beginning of an IPv4 packet is left out here, and only the kernel's counter has it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from socket import AF_INET, IPPROTO_TCP, IPPROTO_UDP, inet_ntoa

from penstock.kernel.attempts import Refusal
from penstock.kernel.elements import TRANSPORT_NAMES
from penstock.kernel.netlink import ACK, ULOG_SUBSYSTEM, NetlinkSocket, attribute, each_message, payload
from penstock.model import Reason

#: The group that the chain ``refuse`` writes to.
GROUP = 1
#: The longest IPv4 header and the ports behind it.
_SNAPSHOT_BYTES = 96
_BUFFER_BYTES = 4 << 20
_CONFIGURE = 1  # NFULNL_MSG_CONFIG
_BIND, _COPY_PACKET = b"\x01", 2
_FLUSH_CENTISECONDS, _FLUSH_PACKETS = 20, 64
_PAYLOAD, _PREFIX = 9, 10  # NFULA_PAYLOAD, NFULA_PREFIX
_REASONS = {reason.value: reason for reason in Reason}
_IPV4, _IPV4_LEAST_BYTES = 4, 20
_ports = struct.Struct("!HH")


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


def refusals(data: bytes) -> Iterator[Refusal]:
    """What the packets in a datagram of the kernel tried; packets that are not IPv4 are left out."""
    for kind, _, body in each_message(data):
        if kind == ULOG_SUBSYSTEM << 8:
            found = payload(body)
            refusal = refusal_of(found.get(_PAYLOAD, memoryview(b"")), _reason(found.get(_PREFIX)))
            if refusal is not None:
                yield refusal


def _reason(prefix: memoryview | None) -> Reason:
    text = "" if prefix is None else bytes(prefix).rstrip(b"\0 ").decode("ascii", "replace")
    return _REASONS.get(text, Reason.GRANT_UNKNOWN)


def refusal_of(packet: memoryview, reason: Reason = Reason.GRANT_UNKNOWN) -> Refusal | None:
    """Addresses, transport and destination port (0 where there is none) of an IPv4 packet's beginning."""
    if len(packet) < _IPV4_LEAST_BYTES or packet[0] >> 4 != _IPV4:
        return None
    transport, header_bytes = packet[9], (packet[0] & 0x0F) * 4
    has_ports = transport in (IPPROTO_TCP, IPPROTO_UDP) and len(packet) >= header_bytes + _ports.size
    return Refusal(
        source=inet_ntoa(packet[12:16]),
        destination=inet_ntoa(packet[16:20]),
        transport=TRANSPORT_NAMES.get(transport, str(transport)),
        port=_ports.unpack_from(packet, header_bytes)[1] if has_ports else 0,
        reason=reason.value,
    )
