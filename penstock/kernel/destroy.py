"""I/O: closing the gate's own sockets by their mark, without the help of the process that holds them.

Stands behind `CloseGrant`: both legs of every inspected flow carry the grant's number as their mark.  Both ends of a
connection get a RST at once, also when the worker hangs; a socket of datagrams hears nothing more, and its worker gets
an error.  Formats: sock_diag(7), linux/inet_diag.h; does what ``ss -K fwmark`` does.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from socket import AF_INET, IPPROTO_TCP, IPPROTO_UDP

from penstock.kernel.netlink import ACK, DUMP, NetlinkSocket, attribute, attributes
from penstock.model import GRANT_MASK

_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY, _DESTROY = 20, 21
_BYTECODE = 1  # INET_DIAG_REQ_BYTECODE
_MARK_CONDITION = 10  # INET_DIAG_BC_MARK_COND
#: Every TCP state but TIME_WAIT (6), CLOSE (7) and LISTEN (10): what still holds a connection.
_STATES = 0x1FFF & ~(1 << 0 | 1 << 6 | 1 << 7 | 1 << 10)

_request = struct.Struct("=BBBxI")
_condition = struct.Struct("=BBHII")  # struct inet_diag_bc_op and struct inet_diag_markcond
_MARK = 15  # INET_DIAG_MARK; told only to whoever has CAP_NET_ADMIN
_MESSAGE_BYTES = 72  # struct inet_diag_msg
_SOCKET_IDENTITY = slice(4, 52)  # struct inet_diag_sockid inside struct inet_diag_msg
_ANY_SOCKET = bytes(48)


class Sockets:
    """The sockets of this network namespace.  One netlink socket, kept."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(_SOCK_DIAG)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def marked(self, numbers: AbstractSet[int]) -> list[bytes]:
        """Every connected socket of the gate whose mark carries one of these grant numbers, for `destroy`."""
        if len(numbers) == 1:
            (value,) = numbers
            # one condition; yes: go on behind it, which is the end (fits), no: go on behind the end (does not fit)
            condition = _condition.pack(_MARK_CONDITION, _condition.size, _condition.size + 4, value, GRANT_MASK)
            return [identity for identity, _ in self._dump(attribute(_BYTECODE, condition))]
        return [identity for identity, mark in self._dump() if mark & GRANT_MASK in numbers]

    def held(self) -> list[bytes]:
        """The same for any grant: whatever a worker holds."""
        return [identity for identity, mark in self._dump() if mark & GRANT_MASK]

    def destroy(self, connections: Iterable[bytes]) -> int:
        """Reset these; how many there still were.

        Raises `OSError` where the kernel was built without INET_DIAG_DESTROY.
        """
        destroyed = 0
        for identity in connections:
            body = _request.pack(AF_INET, identity[0], 0, _STATES) + identity[1:]
            try:
                self._socket.command(self._socket.plain(_DESTROY, ACK, body))
            except OSError as error:
                if error.errno != errno.ENOENT:  # it closed by itself meanwhile
                    raise
            else:
                destroyed += 1
        return destroyed

    def _dump(self, condition: bytes = b"") -> Iterator[tuple[bytes, int]]:
        """The transport and identity of each connected socket, and its mark."""
        for transport in (IPPROTO_TCP, IPPROTO_UDP):
            body = _request.pack(AF_INET, transport, 0, _STATES) + _ANY_SOCKET + condition
            try:
                for found in self._socket.dump(self._socket.plain(_BY_FAMILY, DUMP, body)):
                    yield bytes((transport,)) + bytes(found[_SOCKET_IDENTITY]), _mark_of(found)
            except OSError as error:
                if transport == IPPROTO_TCP or error.errno != errno.ENOENT:  # a kernel without CONFIG_INET_UDP_DIAG
                    raise


def _mark_of(message: memoryview) -> int:
    """The mark in an answer; 0, which no grant has, where there is none."""
    found = attributes(message[_MESSAGE_BYTES:]).get(_MARK)
    return 0 if found is None else struct.unpack("=I", found)[0]
