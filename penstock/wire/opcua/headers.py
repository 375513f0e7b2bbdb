"""The header that each request and response begins with, and what of it may never be on record.

Pure.  A request's header holds the session's authentication token: whoever knows it is the session (OPC 10000-4,
5.7.2), so it is skipped and never shown.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from penstock.model import Malformed
from penstock.wire.opcua.binary import (
    ENDS_EARLY,
    NodeId,
    end_of_node,
    ends_early,
    read_diagnostic,
    read_extension,
    read_length,
    read_node,
    read_string,
)
from penstock.wire.opcua.objects import check_objects

#: Time, handle, diagnostics, the length of the audit entry, timeout; behind them no additional header.
_request_layout = Struct("<8xI4xiI")
_request_fields, _REQUEST_FIELDS = _request_layout.unpack_from, _request_layout.size
_NO_AUDIT: Final = -1
_NO_ADDITION: Final = b"\x00\x00\x00"
#: Time, handle, status.
_response_layout = Struct("<8xII")
_response_fields, _RESPONSE_FIELDS = _response_layout.unpack_from, _response_layout.size
#: A ResponseHeader without diagnostics, texts and additions behind its status.
PLAIN_END: Final = b"\x00\xff\xff\xff\xff\x00\x00\x00"


class Message(msgspec.Struct, frozen=True, gc=False):
    """A request or response in the clear: the number of its type, its handle, where its body begins.

    `service` is 0 where the type is none of namespace 0.  `timestamp` is as it came.  `status` is a response's.
    `token_end` is where the authentication token of a request ends, from `token_start` on.
    """

    service: int
    type_id: NodeId
    handle: int
    body: int
    timestamp: bytes
    status: int = 0
    token_start: int = 0
    token_end: int = 0


def read_type(data: bytes, at: int) -> tuple[int, NodeId, int]:
    """The number of a message's type (0: none of namespace 0), its node id, and the place behind it."""
    node, end = read_node(data, at)
    return (node.number if node.kind == "i" and not node.namespace else 0), node, end


def read_request(data: bytes, at: int) -> Message:
    """The type and RequestHeader of a request (OPC 10000-4, 7.33).  Raises `Malformed`."""
    try:
        service, node, start = read_type(data, at)
        token_end = end_of_node(data, start)
        if token_end == start:
            raise Malformed(f"0x{data[start]:02x} is no encoding of a NodeId (OPC 10000-6, 5.2.2.9)")
        handle, audit, _ = _request_fields(data, token_end)
        end = token_end + _REQUEST_FIELDS
        if audit != _NO_AUDIT or data[end : end + 3] != _NO_ADDITION:
            _, end = read_string(data, end - 8)
            addition, end = read_extension(data, end + 4)
            check_objects((addition,), is_last=False)
        else:
            end += 3
    except ENDS_EARLY as error:
        raise ends_early("a RequestHeader") from error
    return Message(service, node, handle, end, data[token_end : token_end + 8], 0, start, token_end)


def read_response(data: bytes, at: int) -> Message:
    """The type and ResponseHeader of a response (OPC 10000-4, 7.34).  Raises `Malformed`."""
    try:
        service, node, start = read_type(data, at)
        handle, status = _response_fields(data, start)
        end = start + _RESPONSE_FIELDS + len(PLAIN_END)
        if data[end - len(PLAIN_END) : end] != PLAIN_END:
            end = _behind_response(data, start + _RESPONSE_FIELDS)
    except ENDS_EARLY as error:
        raise ends_early("a ResponseHeader") from error
    return Message(service, node, handle, end, data[start : start + 8], status)


def _behind_response(data: bytes, at: int) -> int:
    """Where a ResponseHeader ends that has diagnostics, texts or additions."""
    _, at = read_diagnostic(data, at)
    count, at = read_length(data, at)
    for _ in range(count):
        _, at = read_string(data, at)
    return read_extension(data, at)[1]


_fault = Struct("<4sIIIIIBBH8sII")


def service_fault(head: tuple[int, int, int, int], message: Message, status: int) -> bytes:
    """A ServiceFault (OPC 10000-4, 7.35) with `status`, in answer to `message`.

    `head` is the channel, the token, the sequence number and the request id.  The time is the request's own: the gate
    has no clock here, and clients do not judge a fault by its time.
    """
    type_id = (1, 0, 397)
    size = _fault.size + len(PLAIN_END)
    return _fault.pack(b"MSGF", size, *head, *type_id, message.timestamp, message.handle, status) + PLAIN_END


def masked(data: bytes, spans: tuple[tuple[int, int], ...]) -> bytes:
    """`data` with ``*`` over each of `spans` (start and end)."""
    shown = bytearray(data)
    for start, end in spans:
        shown[start:end] = b"*" * (end - start)
    return bytes(shown)


def no_handle(timestamp: bytes = bytes(8)) -> Message:
    """What is known of a message whose header is none."""
    return Message(0, NodeId(0, "i", 0), 0, 0, timestamp)
