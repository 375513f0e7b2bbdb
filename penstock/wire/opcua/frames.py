"""Frames of OPC UA: what a message is beside its bytes, and which of its bytes may go on record.

Pure.  `what` of a request in the clear is its service, the version of the names that the traffic told, and its body;
session tokens, handles and times are not in it.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from penstock.model import Operation, OperationClass
from penstock.wire.decoder import NO_ANSWER, Frame, Role, Side
from penstock.wire.opcua import transport as t
from penstock.wire.opcua.binary import BROKEN, read_node
from penstock.wire.opcua.codes import ACTIVATE_SESSION, CREATE_SESSION, RESPONSES
from penstock.wire.opcua.headers import masked, read_request, read_response
from penstock.wire.opcua.names import NO_NAMES, Names
from penstock.wire.opcua.opaque import Ends, ends_of
from penstock.wire.opcua.operations import operation
from penstock.wire.opcua.schema import end_of

#: What stands in front of a body in `what`: the service (0: not known), the version of the names.
MARK: Final = Struct("<HI")
#: Services of frames that are none: the messages that keep a channel, and those that nobody can read.
LINK, ENCRYPTED = -1, -2
_SESSION_RESPONSE: Final = next(code for code, request in RESPONSES.items() if request == CREATE_SESSION)
_CLIENT: Final = Side.CLIENT


class OpcUaFrame(Frame, gc=False):
    """One message with all its chunks.

    `service` is the number of the message's type, 0 where it is unknown, `LINK` or `ENCRYPTED`.  `chunks` is how many
    sequence numbers it takes.  `is_dropped`: it asks for nothing and is not sent on (a message that was broken off).
    `cut` is the length of the signature behind each chunk.
    """

    service: int = 0
    names: Names = NO_NAMES
    chunks: int = 1
    is_dropped: bool = False
    cut: int = 0

    @property
    def operation(self) -> Operation:
        """What the request asks for.  Raises `Malformed`."""
        if self.service == ENCRYPTED:
            return ends_of(self.what).operation
        if self.service == LINK:
            return Operation("opcua", (OperationClass.SESSION,), self.data[:3].decode(), "secure channel")
        return operation(self.service, self.what, MARK.size, self.names)

    @property
    def message(self) -> bytes:
        """The message behind the heads of its chunks and without their signatures, from its type on."""
        return t.joined(self.data, self.cut)

    @property
    def recorded(self) -> bytes:
        """The message without the session's authentication token, passwords and other tokens of users."""
        if self.service in {LINK, ENCRYPTED}:
            return self.data
        if self.chunks > 1:
            return _heads_only(self.data)
        try:
            return masked(self.data, _secrets(self.data, self.side))
        except BROKEN:
            return _heads_only(self.data)


def link_frame(side: Side, data: bytes, chunks: int, *, is_dropped: bool = False) -> OpcUaFrame:
    """A message that keeps the connection or its channel."""
    return OpcUaFrame(data, side, data[:4], NO_ANSWER, False, Role.LINK, True, LINK, NO_NAMES, chunks, is_dropped)


def encrypted_frame(side: Side, data: bytes, ends: Ends) -> OpcUaFrame:
    """A chunk that nobody but its two ends can read: from the client a request that is judged by these ends."""
    role = Role.REQUEST if side is _CLIENT else Role.LINK
    return OpcUaFrame(data, side, ends.what, NO_ANSWER, False, role, True, ENCRYPTED)


def _secrets(data: bytes, side: Side) -> tuple[tuple[int, int], ...]:
    """Where the secrets of a message in one chunk stand: its tokens, each without the byte that says its encoding."""
    if side is not _CLIENT:
        message = read_response(data, t.SECURED_HEAD_BYTES)
        if message.service != _SESSION_RESPONSE:
            return ()
        _, start = read_node(data, message.body)
        _, end = read_node(data, start)
        return ((start + 1, end),)
    asked = read_request(data, t.SECURED_HEAD_BYTES)
    token = (asked.token_start + 1, asked.token_end)
    if asked.service != ACTIVATE_SESSION:
        return (token,)
    start = end_of("ActivateSessionRequest", "LocaleIds", data, asked.body)
    end = end_of("ActivateSessionRequest", "UserIdentityToken", data, asked.body)
    _, type_end = read_node(data, start)
    return (token, (min(type_end + 5, end), end))


def _heads_only(data: bytes) -> bytes:
    """The head of every chunk, and ``*`` for the rest: nobody looks for a secret that lies across chunks."""
    spans, start = [], 0
    while start < len(data):
        end = start + t.said_size(data, start)
        spans.append((start + t.SECURED_HEAD_BYTES, end))
        start = end
    return masked(data, tuple(spans))
