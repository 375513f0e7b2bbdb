"""I/O: what a connection needs of its worker: the hall, a clock, and a way to the asset.

It must never dial without the grant's mark: that is what the kernel goes by.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from penstock.model import Grant
from penstock.proxy.hall import Hall

#: Of a grant's asset, the port that is meant.
Dial = Callable[[Grant, int], Awaitable[socket.socket]]
#: The same for datagrams, where nothing has to be waited for; and whether from the very port that is asked.
DialDatagrams = Callable[[Grant, int, bool], socket.socket]
#: The client's address and port, the overlay address and the port there.
Ends: TypeAlias = tuple[str, int, str, int]
#: A socket that answers the client in the name of the overlay address, and hears nobody else.
AnswerDatagrams = Callable[[Ends, Grant], socket.socket]
Ancillary: TypeAlias = list[tuple[int, int, bytes]]

SO_MARK: Final = 36
#: Linux 5.19: each datagram comes with its mark.
SO_RCVMARK: Final = 75
IP_TRANSPARENT: Final = 19
_IP_MTU_DISCOVER: Final = 10
_MARK: Final = struct.Struct("=I")
_ADDRESS_BYTES: Final = 16
ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_ADDRESS_BYTES) + socket.CMSG_SPACE(_MARK.size)
#: What an asset has not acknowledged by then is thrown away, with the connection: as long as an answer is waited for.
#: Otherwise the kernel would go on sending it for minutes, also for a client, or a worker, that is gone.
UNTAKEN_MS: Final = 5000
_NS_PER_US: Final = 1000
#: Datagrams of strangers that a socket may have heard: more than the system's buffer of one holds.
_MAX_OVERHEARD: Final = 4096


class Clock:
    """Microseconds since the epoch that never run backwards between two settings; `set` follows the system's clock.

    `steady_ns` counts nanoseconds and nobody sets it; with `offset_ns` it is since the epoch.
    """

    def __init__(self, steady_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.steady_ns = steady_ns
        self.offset_ns = 0
        self.set()

    def set(self) -> int:
        """Follow the system's clock; by how many microseconds it was stepped since the last time."""
        before, self.offset_ns = self.offset_ns, time.time_ns() - self.steady_ns()
        return (self.offset_ns - before) // _NS_PER_US

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return (self.steady_ns() + self.offset_ns) // _NS_PER_US


def send_now_or_never(dialled: socket.socket, grant: Grant) -> None:
    """Let nothing wait in this socket: not for more to send, and commands not for an asset that is out of reach."""
    dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if grant.is_inspected:
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNTAKEN_MS)


async def dial_asset(grant: Grant, port: int) -> socket.socket:
    """A connection to the asset that carries the grant's number as its mark: without a live grant the kernel drops it.

    Needs CAP_NET_ADMIN.  Raises `OSError`.
    """
    dialled = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        dialled.setblocking(False)
        dialled.setsockopt(socket.SOL_SOCKET, SO_MARK, grant.upstream_mark)
        send_now_or_never(dialled, grant)
        await asyncio.get_running_loop().sock_connect(dialled, (grant.underlay, port))
    except BaseException:
        dialled.close()
        raise
    return dialled


def dial_datagrams(grant: Grant, port: int, from_own_port: bool) -> socket.socket:  # noqa: FBT001 - see DialDatagrams
    """A UDP socket that is connected to the asset and marked with the grant's number.

    Needs CAP_NET_ADMIN.  Raises `OSError`.
    """
    return connected_datagrams(grant, port, from_own_port, grant.upstream_mark)


def connected_datagrams(
    grant: Grant,
    port: int,
    from_own_port: bool = False,  # noqa: FBT001, FBT002 - see DialDatagrams
    mark: int | None = None,
) -> socket.socket:
    """A UDP socket that hears this port of the asset and nobody else.  Raises `OSError`.

    `from_own_port`: from the same port on this side, where it is to be had.
    """
    dialled = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        dialled.setblocking(False)
        if mark is not None:
            dialled.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        if from_own_port:
            dialled.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # for other assets' sockets beside it
            with suppress(OSError):  # somebody else's, or below 1024
                dialled.bind(("", port))
        dialled.connect((grant.underlay, port))
        if from_own_port:
            _forget_what_came(dialled)
    except BaseException:
        dialled.close()
        raise
    return dialled


def _forget_what_came(dialled: socket.socket) -> None:
    """Between being bound and being connected it heard everybody, and nothing was asked yet."""
    with suppress(BlockingIOError, ConnectionError):
        for _ in range(_MAX_OVERHEARD):
            dialled.recv(1)


def answer_transparently(ends: Ends, grant: Grant) -> socket.socket:
    """A UDP socket between the overlay address and one client; it is closed for the worker when the grant ends.

    Needs CAP_NET_ADMIN.  Raises `OSError`.
    """
    answering = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        answering.setblocking(False)
        answering.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # other clients ask there as well
        answering.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        answering.setsockopt(socket.SOL_SOCKET, SO_MARK, grant.number)
        answering.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
        # errors about packets that are too large find no connection, so routers may cut these
        answering.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, 0)
        answering.bind(ends[2:])
        answering.connect(ends[:2])
    except BaseException:
        answering.close()
        raise
    return answering


def mark_in(ancillary: Ancillary) -> int:
    """The mark that the kernel put on a datagram; 0, which no grant has, where it says none."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_MARK and len(data) == _MARK.size:
            mark: int = _MARK.unpack(data)[0]
            return mark
    return 0


def mark_of(accepted: socket.socket) -> int:
    """The mark that the kernel put on an accepted connection (net.ipv4.tcp_fwmark_accept)."""
    return accepted.getsockopt(socket.SOL_SOCKET, SO_MARK)


def port_behind(grant: Grant, overlay: str, port: int) -> int | None:
    """The asset's own port behind this one of an overlay address, ``None`` where the grant does not lead there."""
    offset = port - grant.reached_at
    last_offset = 0 if grant.last_port is None else grant.last_port - grant.port
    return grant.port + offset if overlay == grant.overlay and 0 <= offset <= last_offset else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What a connection needs of its worker; tests, which may not set marks, bring their own ways."""

    hall: Hall
    clock: Clock
    group: asyncio.TaskGroup
    dial: Dial = dial_asset
    dial_datagrams: DialDatagrams = dial_datagrams
    answer_datagrams: AnswerDatagrams = answer_transparently
    mark: Callable[[socket.socket], int] = mark_of
    mark_in: Callable[[Ancillary], int] = mark_in
