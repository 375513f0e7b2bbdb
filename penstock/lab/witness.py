"""I/O: a witness on one node's interface, who saw every packet: AF_PACKET, not what any program says of itself.

Stands at a controller or a station of the plant; serves the story and the tests.  It must never send.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from penstock.lab.netns import Node

#: linux/if_ether.h: every protocol, and IPv4.
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_ETHERNET_BYTES = 14
_TCP, _UDP = 6, 17
_FLAGS = ((0x02, "S"), (0x10, "A"), (0x08, "P"), (0x01, "F"), (0x04, "R"))
_MAX_PACKET_BYTES = 1 << 16
_RECEIVE_BUFFER_BYTES = 8 << 20
_LOOK_EVERY_S = 0.05
#: A packet crosses a veth pair within the sender's own system call; this is for the witness' thread to read it.
SETTLE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One IPv4 packet as it was on the wire; `flags` are letters out of SAPFR.  Without TCP or UDP the ports are 0."""

    at: float
    source: str
    source_port: int
    destination: str
    destination_port: int
    protocol: int
    flags: str
    sequence: int
    payload: bytes


def segment_of(packet: bytes, at: float = 0.0) -> Segment | None:
    """The segment in an Ethernet frame; ``None`` where it holds no IPv4 packet, or not all of its headers.

    RFC 791 section 3.1 (IPv4), RFC 9293 section 3.1 (TCP), RFC 768 (UDP).
    """
    if len(packet) < _ETHERNET_BYTES + 20 or int.from_bytes(packet[12:14], "big") != _ETH_P_IP:
        return None
    header_bytes = (packet[14] & 0x0F) * 4
    total_bytes, protocol = int.from_bytes(packet[16:18], "big"), packet[23]
    body = packet[_ETHERNET_BYTES + header_bytes : _ETHERNET_BYTES + total_bytes]
    ports, flags, sequence, payload = (0, 0), "", 0, body
    try:
        if protocol == _TCP:
            source_port, destination_port, sequence, _, offset, bits = struct.unpack_from(">HHIIBB", body)
            ports, payload = (source_port, destination_port), body[(offset >> 4) * 4 :]
            flags = "".join(letter for bit, letter in _FLAGS if bits & bit)
        elif protocol == _UDP:
            source_port, destination_port, _, _ = struct.unpack_from(">HHHH", body)
            ports, payload = (source_port, destination_port), body[8:]
    except struct.error:
        return None
    return Segment(
        at=at,
        source=str(ipaddress.IPv4Address(packet[26:30])),
        source_port=ports[0],
        destination=str(ipaddress.IPv4Address(packet[30:34])),
        destination_port=ports[1],
        protocol=protocol,
        flags=flags,
        sequence=sequence,
        payload=payload,
    )


class Witness:
    """Watches a node's interface from the start of the ``with`` block to its end."""

    def __init__(self, node: Node, interface: str = "eth0") -> None:
        self._socket = node.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        with node.entered():  # the interface is looked up by name in the network of the thread
            self._socket.bind((interface, _ETH_P_ALL))
        self._socket.settimeout(_LOOK_EVERY_S)
        self._seen: list[Segment] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"witness at {node.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()
        self._socket.close()

    def segments(self) -> list[Segment]:
        """Every packet that was seen until now, in order.  Inside the block it waits for the wire to settle."""
        if not self._is_over.is_set():
            time.sleep(SETTLE_S)
        return list(self._seen)

    def _watch(self) -> None:
        while not self._is_over.is_set():
            try:
                packet = self._socket.recv(_MAX_PACKET_BYTES)
            except TimeoutError:
                continue
            if (segment := segment_of(packet, time.time())) is not None:
                self._seen.append(segment)
