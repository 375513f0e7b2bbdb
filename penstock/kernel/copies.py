"""I/O: copies of the packets of kernel path flows (NFLOG), with the connection mark that says whose they are.

Stands between the chain ``copy`` and the observer.  Formats: linux/netfilter/nfnetlink_log.h (NFULA_*, NFULNL_CFG_*).
The kernel numbers the copies of the group, so that a gap in the numbers is exactly what was lost.  A copy that nobody
takes in time is lost, never waited for: it must never slow a packet down.
"""

from __future__ import annotations

import struct
from socket import AF_INET
from typing import Final, NamedTuple

from penstock.kernel.netlink import ACK, HEADER_BYTES, ULOG_SUBSYSTEM, NetlinkSocket, attribute
from penstock.model import GRANT_MASK

#: The group that the chain ``copy`` writes to.
GROUP: Final = 2
#: Whole packets: the largest that IPv4 has.
COPY_BYTES: Final = 0xFFFF
#: A second of 110,000 small packets.  The kernel counts a batch with what it is made of, some 1.5 times its bytes.
BUFFER_BYTES: Final = 64 << 20
#: What the kernel collects before it sends: so many packets, so many bytes, or so many hundredths of a second.
BATCH_PACKETS: Final = 64
BATCH_BYTES: Final = 128 << 10
BATCH_CENTISECONDS: Final = 5

_CONFIGURE: Final = 1  # NFULNL_MSG_CONFIG
_COMMAND, _MODE, _BATCH_BYTES, _TIMEOUT, _THRESHOLD, _FLAGS = 1, 2, 3, 4, 5, 6  # NFULA_CFG_*
_BIND, _UNBIND, _COPY_PACKET, _NUMBERED = b"\x01", b"\x02", 2, 1  # NFULNL_CFG_CMD_*, NFULNL_COPY_PACKET, ..._F_SEQ
_MARK, _TIME, _PAYLOAD, _NUMBER = 2, 3, 9, 12  # NFULA_*
_PACKET_KIND: Final = ULOG_SUBSYSTEM << 8
_FIRST: Final = HEADER_BYTES + 4
_pair = struct.Struct("=HH").unpack_from
_long = struct.Struct("!I").unpack_from
_time = struct.Struct("!QQ").unpack_from
_header = struct.Struct("=IHHII").unpack_from
_US_PER_S: Final = 1_000_000


class Copy(NamedTuple):
    """One copied packet.

    `number` counts the copies of the group modulo 2**32, `at_us` is the kernel's time (0: it says none), `grant` the
    number in the connection mark, `data` the IPv4 packet.
    """

    grant: int
    number: int
    at_us: int
    data: bytes


class CopyLog:
    """The copies of one group of this network namespace.  For an event loop."""

    def __init__(self, group: int = GROUP) -> None:
        self._socket, self._group = NetlinkSocket(receive_bytes=BUFFER_BYTES), group
        for number, value in (
            (_COMMAND, _BIND),
            (_MODE, struct.pack("!IBB", COPY_BYTES, _COPY_PACKET, 0)),
            (_BATCH_BYTES, struct.pack("!I", BATCH_BYTES)),
            (_TIMEOUT, struct.pack("!I", BATCH_CENTISECONDS)),
            (_THRESHOLD, struct.pack("!I", BATCH_PACKETS)),
            (_FLAGS, struct.pack("!H", _NUMBERED)),
        ):
            self._socket.command(
                self._socket.message(ULOG_SUBSYSTEM, _CONFIGURE, ACK, AF_INET, attribute(number, value), group)
            )
        self._socket.only_listen()

    def end(self) -> None:
        """Let the kernel copy no more; it sends what it has collected, which is still to be received."""
        request = self._socket.message(
            ULOG_SUBSYSTEM, _CONFIGURE, 0, AF_INET, attribute(_COMMAND, _UNBIND), self._group
        )
        self._socket.socket.send(request)

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the socket back; the kernel unbinds the group, and nothing is copied any more."""
        self._socket.close()

    def received(self) -> list[Copy] | None:
        """The copies of one datagram, or ``None`` when there are no more.  Raises ENOBUFS when some were lost."""
        data = self._socket.received()
        return None if data is None else copies_in(data)


def copies_in(data: bytes) -> list[Copy]:
    """The copies in one datagram of the kernel.

    All packets of a group have the same attributes in the same order, so where they stood in the last one is tried
    first; nothing is read before its header is right and within the message.
    """
    found: list[Copy] = []
    start, end = 0, len(data)
    places: tuple[int, int, int, int] | None = None
    while start + _FIRST <= end:
        length, kind, _, _, _ = _header(data, start)
        if length < HEADER_BYTES or start + length > end:
            break
        if kind == _PACKET_KIND:
            if places is None or not _fits(data, start, start + length, places):
                places = _places(data, start, start + length)
            if places is not None:
                found.append(_copy(data, start, places))
        start += (length + 3) & ~3
    return found


def _copy(data: bytes, start: int, places: tuple[int, int, int, int]) -> Copy:
    mark, time, number, payload = places
    at = start + payload
    seconds, microseconds = _time(data, start + time + 4) if time else (0, 0)
    return Copy(
        _long(data, start + mark + 4)[0] & GRANT_MASK,
        _long(data, start + number + 4)[0],
        seconds * _US_PER_S + microseconds,
        data[at + 4 : at + _pair(data, at)[0]],
    )


def _fits(data: bytes, start: int, end: int, places: tuple[int, int, int, int]) -> bool:
    mark, time, number, payload = places
    if start + payload + 4 > end:
        return False
    length, kind = _pair(data, start + payload)
    return (
        kind == _PAYLOAD
        and start + payload + length <= end
        and _pair(data, start + mark) == (8, _MARK)
        and _pair(data, start + number) == (8, _NUMBER)
        and (not time or _pair(data, start + time) == (20, _TIME))
    )


def _places(data: bytes, start: int, end: int) -> tuple[int, int, int, int] | None:
    """Where mark, time, number and packet stand in the message that begins at `start`; ``None`` if one is missing."""
    places: dict[int, int] = {}
    offset = start + _FIRST
    while offset + 4 <= end:
        length, kind = _pair(data, offset)
        if length < 4 or offset + length > end:  # noqa: PLR2004  the header of an attribute
            break
        places[kind & 0x3FFF] = offset - start
        offset += (length + 3) & ~3
    if not {_MARK, _NUMBER, _PAYLOAD} <= places.keys():
        return None
    found = places[_MARK], places.get(_TIME, 0), places[_NUMBER], places[_PAYLOAD]
    return found if _fits(data, start, end, found) else None
