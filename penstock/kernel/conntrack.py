"""I/O: the kernel's table of connections: what opens, what closes with which counters, and forgetting by mark.

Stands between the enforcer and nf_conntrack.  Formats: linux/netfilter/nfnetlink_conntrack.h (CTA_*), read by
`entries`.  Deleting entries is housekeeping, never the cut: a packet that finds no entry is judged anew, so the grant
must be gone before.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from socket import AF_INET, IPPROTO_ICMP, inet_aton

from penstock.kernel.entries import Change, Direction, Entry, change_of, entry_of
from penstock.kernel.event_filter import filter_program
from penstock.kernel.netlink import ACK, CONNTRACK_SUBSYSTEM, DUMP, NetlinkSocket, attribute, nested
from penstock.model import ENDED_BIT, GRANT_MASK

__all__ = ["Change", "ConnectionEvents", "Connections", "Direction", "Entry"]

#: Holds some 20,000 events: a reader that stands still for 2 s at 5,000 connections per second loses none (measured).
EVENT_BUFFER_BYTES = 8 << 20

_CHANGE, _GET, _DELETE = 0, 1, 2  # IPCTNL_MSG_CT_*; 0 is both a new and a changed entry
_NEW_GROUP, _UPDATE_GROUP, _DESTROY_GROUP = 1, 2, 3
_ORIGINAL, _MARK, _ID, _MARK_MASK = 1, 8, 12, 21
_ECHO_REQUEST = 8
_PORT, _LONG = struct.Struct("!H"), struct.Struct("!I")
_SO_ATTACH_FILTER, _SO_MEMINFO, _MEMINFO_DROPS = 26, 55, 8
#: Deletions in one request: their errors must fit into the socket's receive buffer.
_DELETE_AT_ONCE = 64


class Connections:
    """The table itself: look and delete.  One socket, kept."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def marked(self, value: int, mask: int = GRANT_MASK) -> list[Entry]:
        """Every entry whose mark is `value` under `mask`; a walk of the table, 25 ms at 100,000 entries."""
        return list(self.each_marked(value, mask))

    def each_marked(self, value: int, mask: int) -> Iterator[Entry]:
        """The same, as the kernel gives them; the socket is busy until the end."""
        body = attribute(_MARK, _LONG.pack(value)) + attribute(_MARK_MASK, _LONG.pack(mask))
        request = self._socket.message(CONNTRACK_SUBSYSTEM, _GET, DUMP, AF_INET, body)
        # kernels before 4.20 ignore the filter where it is empty, so it is asked again here
        return (entry for entry in self._each(request) if entry.mark & mask == value)

    def everything(self, mask: int = GRANT_MASK) -> Iterator[Entry]:
        """Every entry with a mark under `mask`, as the kernel gives them; the socket is busy until the end."""
        request = self._socket.message(CONNTRACK_SUBSYSTEM, _GET, DUMP, AF_INET, b"")
        return (entry for entry in self._each(request) if entry.mark & mask)

    def counted(self, entry: Entry) -> Entry | None:
        """This connection with its counters as they are now; ``None`` where it is gone."""
        try:
            for body in self._socket.answers(
                self._socket.message(CONNTRACK_SUBSYSTEM, _GET, ACK, AF_INET, _tuple(entry.original))
            ):
                found = entry_of(body, 4, len(body))
                if found is not None and found.identity == entry.identity:
                    return found
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        return None

    def _each(self, request: bytes) -> Iterator[Entry]:
        for body in self._socket.dump(request):
            entry = entry_of(body, 4, len(body))
            if entry is not None:
                yield entry

    def end(self, entry: Entry) -> bool:
        """Let no packet of this one connection pass any more, though its grant lives.  Whether it was there."""
        bit = _LONG.pack(ENDED_BIT)
        return self._found(_CHANGE, _tuple(entry.original) + attribute(_MARK, bit) + attribute(_MARK_MASK, bit))

    def delete(self, entry: Entry) -> bool:
        """Forget one connection, and only that one, even if its ports were used again.  Whether it was there."""
        return self._found(_DELETE, _tuple(entry.original) + attribute(_ID, _LONG.pack(entry.identity)))

    def delete_all(self, entries: Sequence[Entry]) -> None:
        """Forget these connections, and only these; those that are gone already are no error."""
        for first in range(0, len(entries), _DELETE_AT_ONCE):
            part = entries[first : first + _DELETE_AT_ONCE]
            bodies = [_tuple(entry.original) + attribute(_ID, _LONG.pack(entry.identity)) for entry in part]
            flags = [0] * (len(bodies) - 1) + [ACK]  # of the others the kernel answers errors only
            self._socket.attempt(
                [
                    self._socket.message(CONNTRACK_SUBSYSTEM, _DELETE, flag, AF_INET, body)
                    for flag, body in zip(flags, bodies, strict=True)
                ]
            )

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
        """Only events of flows on the kernel path, and of these only openings, closings and ends, wake the reader."""
        self._socket = NetlinkSocket(
            receive_bytes=EVENT_BUFFER_BYTES, groups=(_NEW_GROUP, _UPDATE_GROUP, _DESTROY_GROUP)
        )
        kept, program = filter_program()
        self._socket.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        del kept  # the kernel has copied it
        self._socket.only_listen()
        self._lost = 0

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def received(self) -> tuple[Change, Entry] | bool | None:
        """The next event; ``False`` for one that says nothing to us, ``None`` when there are no more.

        Raises ENOBUFS when some were lost.
        """
        data = self._socket.received()
        if data is None:
            return None
        return change_of(data) or False

    def lost(self) -> int:
        """How many events the kernel had to throw away since this was asked last (SK_MEMINFO_DROPS)."""
        counts = self._socket.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
        drops: int = struct.unpack_from("=I", counts, 4 * _MEMINFO_DROPS)[0]
        lost, self._lost = (drops - self._lost) & 0xFFFF_FFFF, drops
        return lost


def _tuple(way: Direction) -> bytes:
    if way.transport == IPPROTO_ICMP:  # only requests open a flow: echo is the one that is ever admitted
        ends = attribute(4, _PORT.pack(way.source_port)), attribute(5, bytes((_ECHO_REQUEST,))), attribute(6, b"\0")
    else:
        ends = attribute(2, _PORT.pack(way.source_port)), attribute(3, _PORT.pack(way.port)), b""
    return nested(
        _ORIGINAL,
        nested(1, attribute(1, inet_aton(way.source)), attribute(2, inet_aton(way.destination))),
        nested(2, attribute(1, bytes((way.transport,))), *ends),
    )
