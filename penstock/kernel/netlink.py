"""I/O: netlink messages to and from netfilter, with the standard library alone.

Stands under `elements`, `conntrack`, `refusals` and `destroy`, which know what the messages mean.  Formats: netlink(7),
linux/netlink.h, linux/netfilter/nfnetlink.h.  Everything is in host byte order unless a name says otherwise.

One socket is opened once and kept: closing one after a delete waits for an RCU grace period (24 ms measured).  A socket
belongs to the network namespace in which it was made.  Nothing here may be called while an answer is outstanding.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import TypeAlias

#: A netlink message: its type, its flags and its body after the 16-byte header.
Message: TypeAlias = tuple[int, int, memoryview]
#: Attribute number -> its bytes, of one level.
Attributes: TypeAlias = dict[int, memoryview]

# linux/netlink.h
REQUEST, ACK, DUMP, CREATE = 0x1, 0x4, 0x300, 0x400
_ERROR, _DONE = 2, 3
_NESTED, _TYPE_MASK = 0x8000, 0x3FFF
_ATTRIBUTE_BYTES = 4
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33

# linux/netfilter/nfnetlink.h
NETFILTER = 12
CONNTRACK_SUBSYSTEM, ULOG_SUBSYSTEM, NFT_SUBSYSTEM = 1, 4, 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_GENERIC_BYTES = 4

_header = struct.Struct("=IHHII")
_generic = struct.Struct("=BBH")
_short_pair = struct.Struct("=HH")
_error_number = struct.Struct("=i")

HEADER_BYTES = _header.size
_RECEIVE_BYTES = 1 << 17
#: An answer of the kernel to its own machine; only a lost message could take longer.
_ANSWER_TIMEOUT_S = 5.0


def attribute(number: int, data: bytes) -> bytes:
    """One attribute, padded to 4 bytes."""
    length = len(data) + _ATTRIBUTE_BYTES
    return _short_pair.pack(length, number) + data + b"\0" * (-length % 4)


def nested(number: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(number | _NESTED, b"".join(parts))


def attributes(data: memoryview) -> Attributes:
    """The attributes of one level; a repeated one counts once, with its last value."""
    return dict(each_attribute(data))


def each_attribute(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Every attribute of one level, in order."""
    offset = 0
    while offset + _ATTRIBUTE_BYTES <= len(data):
        length, number = _short_pair.unpack_from(data, offset)
        if length < _ATTRIBUTE_BYTES:
            return
        yield number & _TYPE_MASK, data[offset + _ATTRIBUTE_BYTES : offset + length]
        offset += (length + 3) & ~3


def each_message(data: bytes) -> Iterator[Message]:
    """The messages of one received datagram."""
    view, offset = memoryview(data), 0
    while offset + _header.size <= len(view):
        length, kind, flags, _, _ = _header.unpack_from(view, offset)
        if length < _header.size:
            return
        yield kind, flags, view[offset + _header.size : offset + length]
        offset += (length + 3) & ~3


def header(data: bytes) -> tuple[int, int, int]:
    """Length, type and flags of the first message of a datagram."""
    length, kind, flags, _, _ = _header.unpack_from(data)
    return length, kind, flags


def payload(body: memoryview) -> Attributes:
    """The attributes of a netfilter message, behind its generic header."""
    return attributes(body[_GENERIC_BYTES:])


class NetlinkSocket:
    """One long-lived netlink socket, used by one thread at a time."""

    def __init__(self, family: int = NETFILTER, receive_bytes: int | None = None, groups: tuple[int, ...] = ()) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self.socket.settimeout(_ANSWER_TIMEOUT_S)
        if receive_bytes is not None:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_bytes)
            except PermissionError:  # in a user namespace: as much as net.core.rmem_max allows
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.bind((0, 0))
        for group in groups:
            self.socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        self._sequence = 0

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return self.socket.fileno()

    def close(self) -> None:
        """Give the descriptor back."""
        self.socket.close()

    def plain(self, kind: int, flags: int, body: bytes) -> bytes:
        """One message with a header and nothing added to its body."""
        self._sequence = (self._sequence + 1) & 0xFFFF_FFFF
        return _header.pack(_header.size + len(body), kind, flags | REQUEST, self._sequence, 0) + body

    def message(self, subsystem: int, kind: int, flags: int, family: int, body: bytes, resource: int = 0) -> bytes:
        """One netfilter message.  `resource` is sent in network byte order."""
        return self.plain(subsystem << 8 | kind, flags, _generic.pack(family, 0, socket.htons(resource)) + body)

    def transaction(self, messages: list[bytes]) -> None:
        """All of the nft messages or none of them.  Each must ask for an acknowledgement.

        Raises the `OSError` of the first message that the kernel refused.
        """
        begin = self.plain(_BATCH_BEGIN, 0, _generic.pack(0, 0, socket.htons(NFT_SUBSYSTEM)))
        end = self.plain(_BATCH_END, 0, _generic.pack(0, 0, socket.htons(NFT_SUBSYSTEM)))
        self.command(begin + b"".join(messages) + end, len(messages))

    def command(self, data: bytes, acknowledgements: int = 1) -> None:
        """Send, and wait for that many acknowledgements.  Raises the first `OSError` among them."""
        self.socket.send(data)
        failure = 0
        while acknowledgements > 0:
            for kind, _, body in each_message(self.socket.recv(_RECEIVE_BYTES)):
                if kind != _ERROR:
                    continue
                number = -_error_number.unpack_from(body)[0]
                failure = failure or number
                # without the right, or without the subsystem, the kernel answers the whole batch once
                acknowledgements = 0 if number in (errno.EPERM, errno.EOPNOTSUPP) else acknowledgements - 1
        if failure:
            raise OSError(failure, os.strerror(failure))

    def attempt(self, messages: list[bytes]) -> list[int]:
        """Send these messages, of which only the last asks for an acknowledgement; the errors of those that failed."""
        self.socket.send(b"".join(messages))
        last, failed = self._sequence, []
        while True:
            for kind, _, body in each_message(self.socket.recv(_RECEIVE_BYTES)):
                if kind == _ERROR:
                    number = -_error_number.unpack_from(body)[0]
                    if number:
                        failed.append(number)
                    if _header.unpack_from(body, _error_number.size)[3] == last:
                        return failed

    def answers(self, data: bytes) -> list[memoryview]:
        """The bodies of what the kernel answers to one request, up to its acknowledgement.  Raises `OSError`."""
        self.socket.send(data)
        found: list[memoryview] = []
        while True:
            for kind, _, body in each_message(self.socket.recv(_RECEIVE_BYTES)):
                if kind != _ERROR:
                    found.append(body)
                    continue
                number = -_error_number.unpack_from(body)[0]
                if number:
                    raise OSError(number, os.strerror(number))
                return found

    def dump(self, data: bytes) -> Iterator[memoryview]:
        """The body of every message of the answer to a dump.  Read it to its end.  Raises `OSError`."""
        self.socket.send(data)
        while True:
            for kind, _, body in each_message(self.socket.recv(_RECEIVE_BYTES)):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    number = -_error_number.unpack_from(body)[0]
                    raise OSError(number, os.strerror(number))
                yield body

    def only_listen(self) -> None:
        """From now on `received` is what this socket is for."""
        self.socket.setblocking(False)

    def received(self) -> bytes | None:
        """The next datagram, or ``None`` when there is none.  For sockets that only listen.

        Raises ENOBUFS as `OSError`, once, after the kernel had to throw messages away.
        """
        try:
            return self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return None
