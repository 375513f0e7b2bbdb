"""I/O: the kernel's table of connections: what opens, what closes with which counters, and forgetting by mark.

Stands between the enforcer and nf_conntrack.  Formats: linux/netfilter/nfnetlink_conntrack.h (CTA_*).  Deleting entries
is housekeeping, never the cut: a packet that finds no entry is judged anew, so the grant must be gone before.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from socket import AF_INET, inet_aton, inet_ntoa

from penstock.kernel.netlink import (
    ACK,
    CONNTRACK_SUBSYSTEM,
    CREATE,
    DUMP,
    Attributes,
    NetlinkSocket,
    attribute,
    attributes,
    each_message,
    nested,
    payload,
)
from penstock.model import ENDED_BIT, GRANT_MASK

#: Holds some 20,000 events: a reader that stands still for 2 s at 5,000 connections per second loses none (measured).
EVENT_BUFFER_BYTES = 8 << 20

_CHANGE, _GET, _DELETE = 0, 1, 2  # IPCTNL_MSG_CT_*; 0 is both a new and a changed entry
_NEW_GROUP, _UPDATE_GROUP, _DESTROY_GROUP = 1, 2, 3
_ORIGINAL, _REPLY, _PROTOCOL_INFO, _MARK, _COUNT_ORIGINAL, _COUNT_REPLY, _ID, _MARK_MASK = 1, 2, 4, 8, 9, 10, 12, 21
_TIMESTAMP, _TIMESTAMP_START = 20, 1
_TCP_FIN_WAIT, _TCP_TIME_WAIT, _TCP_CLOSE = 4, 7, 8  # enum tcp_conntrack
_SOURCE_PORT, _DESTINATION_PORT = 2, 3  # CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT
_PORT, _LONG, _COUNTER = struct.Struct("!H"), struct.Struct("!I"), struct.Struct("!Q")


class Change(Enum):
    """What happened to an entry.  CLOSING: both ends are done with it, the kernel would keep it a while."""

    OPENED = auto()
    CLOSING = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """Source and destination of the packets of one direction; `transport` is the IP protocol number."""

    source: str
    source_port: int
    destination: str
    port: int
    transport: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One connection: its two directions, its mark, its counters (of both) and the kernel's identity.

    `is_ending`: one end at least is done with it; `is_closing`: both are.  `opened_at_us` is when it began,
    microseconds since the epoch; 0 where the kernel was not told to keep that.
    """

    original: Direction
    reply: Direction
    mark: int
    packets: int
    bytes: int
    identity: int
    is_closing: bool
    is_ending: bool = False
    opened_at_us: int = 0


class Connections:
    """The table itself: look and delete.  One socket, kept."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def marked(self, value: int, mask: int = GRANT_MASK) -> list[Entry]:
        """Every entry whose mark is `value` under `mask`; a walk of the table, 25 ms at 100,000 entries."""
        body = attribute(_MARK, _LONG.pack(value)) + attribute(_MARK_MASK, _LONG.pack(mask))
        request = self._socket.message(CONNTRACK_SUBSYSTEM, _GET, DUMP, AF_INET, body)
        entries = (_entry(payload(found)) for found in list(self._socket.dump(request)))
        # kernels before 4.20 ignore the filter where it is empty, so it is asked again here
        return [entry for entry in entries if entry is not None and entry.mark & mask == value]

    def delete_marked(self, value: int, mask: int = GRANT_MASK) -> None:
        """Forget every connection whose mark is `value` under `mask`."""
        body = attribute(_MARK, _LONG.pack(value)) + attribute(_MARK_MASK, _LONG.pack(mask))
        self._socket.command(self._socket.message(CONNTRACK_SUBSYSTEM, _DELETE, ACK, AF_INET, body))

    def end(self, entry: Entry) -> bool:
        """Let no packet of this one connection pass any more, though its grant lives.  Whether it was there."""
        bit = _LONG.pack(ENDED_BIT)
        return self._found(_CHANGE, _tuple(entry.original) + attribute(_MARK, bit) + attribute(_MARK_MASK, bit))

    def delete(self, entry: Entry) -> bool:
        """Forget one connection, and only that one, even if its ports were used again.  Whether it was there."""
        return self._found(_DELETE, _tuple(entry.original) + attribute(_ID, _LONG.pack(entry.identity)))

    def _found(self, kind: int, body: bytes) -> bool:
        try:
            self._socket.command(self._socket.message(CONNTRACK_SUBSYSTEM, kind, ACK, AF_INET, body))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return False
        return True


class ConnectionEvents:
    """What happens in the table, as it happens.  For an event loop: read when `fileno` is readable."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(
            receive_bytes=EVENT_BUFFER_BYTES, groups=(_NEW_GROUP, _UPDATE_GROUP, _DESTROY_GROUP)
        )
        self._socket.only_listen()

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def received(self) -> list[tuple[Change, Entry]] | None:
        """The events of one datagram, or ``None`` when there are no more.  Raises ENOBUFS when some were lost."""
        data = self._socket.received()
        return None if data is None else list(_changes(data))


def _tuple(way: Direction) -> bytes:
    return nested(
        _ORIGINAL,
        nested(1, attribute(1, inet_aton(way.source)), attribute(2, inet_aton(way.destination))),
        nested(
            2,
            attribute(1, bytes((way.transport,))),
            attribute(2, _PORT.pack(way.source_port)),
            attribute(3, _PORT.pack(way.port)),
        ),
    )


def _changes(data: bytes) -> Iterator[tuple[Change, Entry]]:
    for kind, flags, body in each_message(data):
        if kind >> 8 != CONNTRACK_SUBSYSTEM:
            continue
        entry = _entry(payload(body))
        if entry is None:
            continue
        if kind & 0xFF == _DELETE:
            yield Change.ENDED, entry
        elif flags & CREATE:
            yield Change.OPENED, entry
        elif entry.is_closing:
            yield Change.CLOSING, entry


def _entry(found: Attributes) -> Entry | None:
    """``None`` for what is not IPv4."""
    original, reply = _direction(found.get(_ORIGINAL)), _direction(found.get(_REPLY))
    if original is None or reply is None:
        return None
    counts = [attributes(found[number]) for number in (_COUNT_ORIGINAL, _COUNT_REPLY) if number in found]
    state = _tcp_state(found)
    return Entry(
        original=original,
        reply=reply,
        mark=_LONG.unpack(found[_MARK])[0] if _MARK in found else 0,
        packets=sum(_COUNTER.unpack(count[1])[0] for count in counts),
        bytes=sum(_COUNTER.unpack(count[2])[0] for count in counts),
        identity=_LONG.unpack(found[_ID])[0] if _ID in found else 0,
        is_closing=state in (_TCP_TIME_WAIT, _TCP_CLOSE),
        is_ending=state is not None and _TCP_FIN_WAIT <= state <= _TCP_CLOSE,
        opened_at_us=_opened_at_us(found.get(_TIMESTAMP)),
    )


def _opened_at_us(data: memoryview | None) -> int:
    start = None if data is None else attributes(data).get(_TIMESTAMP_START)
    nanoseconds: int = 0 if start is None else _COUNTER.unpack(start)[0]
    return nanoseconds // 1000


def _direction(data: memoryview | None) -> Direction | None:
    if data is None:
        return None
    parts = attributes(data)
    addresses, transport = attributes(parts[1]), attributes(parts[2])
    if 1 not in addresses:
        return None
    return Direction(
        source=inet_ntoa(addresses[1]),
        destination=inet_ntoa(addresses[2]),
        transport=transport[1][0],
        source_port=_PORT.unpack(transport[_SOURCE_PORT])[0] if _SOURCE_PORT in transport else 0,
        port=_PORT.unpack(transport[_DESTINATION_PORT])[0] if _DESTINATION_PORT in transport else 0,
    )


def _tcp_state(found: Attributes) -> int | None:
    if _PROTOCOL_INFO not in found:
        return None
    tcp = attributes(found[_PROTOCOL_INFO]).get(1)
    state = attributes(tcp).get(1) if tcp is not None else None
    return state[0] if state is not None else None
