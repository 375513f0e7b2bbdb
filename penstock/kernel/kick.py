"""I/O: closing both ends of a withdrawn flow on the kernel path, idle ones as well, without knowing sequence numbers.

Stands behind `CloseGrant`.  The gate sends each end one ACK far outside of its window, in the name of the other end.
The receiver must answer with an ACK that carries its exact state (RFC 9293 section 3.10.7.4, first check; RFC 5961).
That answer meets the chain ``forward``, whose reset has the right numbers then.  Nothing is guessed.

The grant must be closed before, and its connections be forgotten after the answers came.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from contextlib import suppress
from socket import AF_INET, IPPROTO_RAW, IPPROTO_TCP, SO_MARK, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET, inet_aton, socket

from penstock.kernel.conntrack import Direction, Entry
from penstock.model import PROBE_MARK

_tcp = struct.Struct("!HHIIBBHHH")
_ipv4 = struct.Struct("!BBHHHBBH4s4s")
_pseudo = struct.Struct("!4s4sBBH")
_ACK_FLAG, _HEADER_WORDS, _TTL = 0x10, 0x50, 64
_CHECKSUM_OFFSET = 16


class Prober:
    """Sends the probes, untracked (`PROBE_MARK`), over one raw socket."""

    def __init__(self) -> None:
        self._socket = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)
        self._socket.setsockopt(SOL_SOCKET, SO_MARK, PROBE_MARK)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def kick(self, entries: Iterable[Entry]) -> int:
        """Make both ends of every TCP flow answer; the number of flows."""
        flows = [entry for entry in entries if entry.original.transport == IPPROTO_TCP]
        for entry in flows:
            for far in (entry.original, entry.reply):
                self.probe(far)
        return len(flows)

    def probe(self, far: Direction) -> None:
        """Make one end answer: the one that packets of this direction come from."""
        with suppress(OSError):  # an end that cannot be reached cannot be closed
            self._socket.sendto(probe(far), (far.source, 0))


def probe(far: Direction) -> bytes:
    """An ACK to the source of `far`, in the name of its destination, with sequence and acknowledgement 0."""
    source, destination = inet_aton(far.destination), inet_aton(far.source)
    segment = _tcp.pack(far.port, far.source_port, 0, 0, _HEADER_WORDS, _ACK_FLAG, 0, 0, 0)
    total = checksum(_pseudo.pack(source, destination, 0, IPPROTO_TCP, len(segment)) + segment)
    segment = segment[:_CHECKSUM_OFFSET] + total.to_bytes(2, "big") + segment[_CHECKSUM_OFFSET + 2 :]
    # total length, identification and header checksum are filled in by the kernel (raw(7), IP_HDRINCL)
    return _ipv4.pack(0x45, 0, 0, 0, 0, _TTL, IPPROTO_TCP, 0, source, destination) + segment


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total
