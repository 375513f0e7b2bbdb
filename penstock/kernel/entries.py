"""Pure: entries of the connection table and what happened to them, out of the kernel's bytes.

Stands under `conntrack`.  Formats: linux/netfilter/nfnetlink_conntrack.h (CTA_*).  Thousands of these are read in a
second, so the usual layout (IPv4 with ports) is read at fixed places once its lengths are right; every other layout
goes the long way.  It must never read outside of the message, whatever its lengths say.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from penstock.kernel.netlink import CONNTRACK_SUBSYSTEM, CREATE, HEADER_BYTES, attributes, header

#: The number of ICMP (RFC 792) among the IP protocols.
ICMP: Final = 1
_DELETE: Final = 2  # IPCTNL_MSG_CT_DELETE
_ORIGINAL, _REPLY, _PROTOCOL_INFO, _MARK, _COUNT_ORIGINAL, _COUNT_REPLY, _ID, _TIMES = 1, 2, 4, 8, 9, 10, 12, 20
_TCP_FIN_WAIT, _TCP_TIME_WAIT, _TCP_CLOSE = 4, 7, 8  # enum tcp_conntrack
_SOURCE_PORT, _DESTINATION_PORT, _ICMP_ID = 2, 3, 4  # CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_ID
_GENERIC_BYTES: Final = 4
_TYPE_MASK: Final = 0x3FFF
_pair = struct.Struct("=HH").unpack_from
_long = struct.Struct("!I").unpack_from
_PORT, _LONG_LONG = struct.Struct("!H"), struct.Struct("!Q")
#: A whole tuple attribute of IPv4 with two ports: its own header, the addresses and the ports, each with headers.
_TUPLE_BYTES: Final = 52
_tuple = struct.Struct("!12x4s4x4s8xB7xH6xH2x").unpack_from
#: Two 64-bit numbers in one attribute: packets and bytes, or start and stop.
_TWO_BYTES: Final = 28
_two = struct.Struct("!8xQ4xQ").unpack_from
_NS_PER_US: Final = 1000


class Change(Enum):
    """What happened to an entry.  CLOSING: both ends are done with it, the kernel would keep it a while."""

    OPENED = auto()
    CLOSING = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """Source and destination of the packets of one direction; `transport` is the IP protocol number.

    ICMP has no ports: there `source_port` is the identifier and `port` is 0.
    """

    source: str
    source_port: int
    destination: str
    port: int
    transport: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One connection: its two directions, its mark, its counters (of both) and the kernel's identity.

    `is_ending`: one end at least has closed it (TCP only).  `is_closing`: both have, and nothing more comes.

    Of the packets and bytes the client has sent `packets_sent` and `bytes_sent`.  Times are microseconds since the
    epoch, and 0 where the kernel does not say.
    """

    original: Direction
    reply: Direction
    mark: int
    packets: int
    bytes: int
    identity: int
    is_closing: bool
    packets_sent: int = 0
    bytes_sent: int = 0
    is_ending: bool = False
    opened_at_us: int = 0
    closed_at_us: int = 0


@lru_cache(maxsize=8192)
def _address(packed: bytes) -> str:
    return ".".join(map(str, packed))


def change_of(data: bytes) -> tuple[Change, Entry] | None:
    """What the one event in a datagram says; ``None`` for what is no event of ours."""
    if len(data) < HEADER_BYTES + _GENERIC_BYTES:
        return None
    length, kind, flags = header(data)
    if kind >> 8 != CONNTRACK_SUBSYSTEM:
        return None
    entry = entry_of(data, HEADER_BYTES + _GENERIC_BYTES, min(length, len(data)))
    if entry is None:
        return None
    if kind & 0xFF == _DELETE:
        return Change.ENDED, entry
    if flags & CREATE:
        return Change.OPENED, entry
    return (Change.CLOSING, entry) if entry.is_closing else None


def entry_of(data: bytes | memoryview, start: int, end: int) -> Entry | None:
    """The entry whose attributes stand from `start` to `end`; ``None`` for what is not IPv4."""
    places: dict[int, tuple[int, int]] = {}
    while start + 4 <= end:
        length, number = _pair(data, start)
        if length < 4 or start + length > end:  # noqa: PLR2004  the header of an attribute
            break
        places[number & _TYPE_MASK] = start, length
        start += (length + 3) & ~3
    original, reply = _direction(data, places.get(_ORIGINAL)), _direction(data, places.get(_REPLY))
    if original is None or reply is None:
        return None
    packets_sent, bytes_sent = _numbers(data, places.get(_COUNT_ORIGINAL))
    packets_back, bytes_back = _numbers(data, places.get(_COUNT_REPLY))
    opened_ns, closed_ns = _numbers(data, places.get(_TIMES))
    state = _state(data, places.get(_PROTOCOL_INFO))
    return Entry(
        original=original,
        reply=reply,
        mark=_number(data, places.get(_MARK)),
        packets=packets_sent + packets_back,
        bytes=bytes_sent + bytes_back,
        identity=_number(data, places.get(_ID)),
        is_closing=state in (_TCP_TIME_WAIT, _TCP_CLOSE),
        packets_sent=packets_sent,
        bytes_sent=bytes_sent,
        is_ending=state is not None and _TCP_FIN_WAIT <= state <= _TCP_CLOSE,
        opened_at_us=opened_ns // _NS_PER_US,
        closed_at_us=closed_ns // _NS_PER_US,
    )


def _number(data: bytes | memoryview, place: tuple[int, int] | None) -> int:
    if place is None or place[1] < 8:  # noqa: PLR2004  a header and 32 bits
        return 0
    number: int = _long(data, place[0] + 4)[0]
    return number


def _numbers(data: bytes | memoryview, place: tuple[int, int] | None) -> tuple[int, int]:
    if place is None:
        return 0, 0
    if place[1] == _TWO_BYTES:
        first, second = _two(data, place[0])
        return first, second
    found = attributes(memoryview(data)[place[0] + 4 : place[0] + place[1]])
    values = [_LONG_LONG.unpack(found[number])[0] if len(found.get(number, b"")) == 8 else 0 for number in (1, 2)]  # noqa: PLR2004
    return values[0], values[1]


def _direction(data: bytes | memoryview, place: tuple[int, int] | None) -> Direction | None:
    if place is None:
        return None
    if place[1] == _TUPLE_BYTES:
        source, destination, transport, source_port, port = _tuple(data, place[0])
        return Direction(
            source=_address(source),
            source_port=source_port,
            destination=_address(destination),
            port=port,
            transport=transport,
        )
    return _odd_direction(memoryview(data)[place[0] + 4 : place[0] + place[1]])


def _odd_direction(data: memoryview) -> Direction | None:
    parts = attributes(data)
    addresses, ends = attributes(parts.get(1, memoryview(b""))), attributes(parts.get(2, memoryview(b"")))
    if len(addresses.get(1, b"")) != 4 or len(addresses.get(2, b"")) != 4 or not ends.get(1):  # noqa: PLR2004  IPv4
        return None
    transport = ends[1][0]
    numbers = (_ICMP_ID, 0) if transport == ICMP else (_SOURCE_PORT, _DESTINATION_PORT)
    ports = [_PORT.unpack(ends[number])[0] if len(ends.get(number, b"")) == 2 else 0 for number in numbers]  # noqa: PLR2004
    return Direction(
        source=_address(bytes(addresses[1])),
        source_port=ports[0],
        destination=_address(bytes(addresses[2])),
        port=ports[1],
        transport=transport,
    )


def _state(data: bytes | memoryview, place: tuple[int, int] | None) -> int | None:
    if place is None:
        return None
    tcp = attributes(memoryview(data)[place[0] + 4 : place[0] + place[1]]).get(1)
    state = attributes(tcp).get(1) if tcp is not None else None
    return state[0] if state else None
