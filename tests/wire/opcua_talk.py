"""A talk of OPC UA over one connection, in bytes that asyncua encodes, fed to a decoder as a network would."""

from __future__ import annotations

import struct
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from penstock.model import Operation
from penstock.wire import Frame, OpcUaDecoder, Side

POLICY = "http://opcfoundation.org/UA/SecurityPolicy#"
CHANNEL, TOKEN = 8, 14
#: The session's authentication token; it must be nowhere in what goes on record.
SECRET = "token-that-nobody-may-see"
SIGNATURE = {"Basic256Sha256": 32, "Basic256": 20, "None": 0}


def text(value: str | None) -> bytes:
    data = (value or "").encode()
    return struct.pack("<i", len(data) if value is not None else -1) + data


def framed(kind: bytes, rest: bytes) -> bytes:
    return kind + struct.pack("<I", 8 + len(rest)) + rest


def hello(url: str = "opc.tcp://plc-1:4840") -> bytes:
    return framed(b"HELF", struct.pack("<IIIII", 0, 65536, 65536, 0, 0) + text(url))


ACKNOWLEDGE = framed(b"ACKF", struct.pack("<IIIII", 0, 65536, 65536, 0, 0))


def encoded(message: Any, handle: int = 77) -> bytes:
    """A request or response with its header, from its type on."""
    if hasattr(message, "RequestHeader"):
        message.RequestHeader.AuthenticationToken = ua.NodeId(SECRET, 1)
        message.RequestHeader.RequestHandle = handle
        message.RequestHeader.TimeoutHint = 4000
    else:
        message.ResponseHeader.RequestHandle = handle
    return bytes(struct_to_binary(message))


def chunk(body: bytes, sequence: int, request: int, *, kind: bytes = b"MSGF", channel: int = CHANNEL) -> bytes:
    return framed(kind, struct.pack("<IIII", channel, TOKEN, sequence, request) + body)


def opening(message: Any, sequence: int, policy: str, channel: int) -> bytes:
    head = struct.pack("<I", channel) + text(POLICY + policy)
    if policy != "None":  # two certificates' worth of bytes, then what nobody can read
        return framed(b"OPNF", head + text("certificate") + text("thumbprint") + bytes(range(200, 250)) * 4)
    head += struct.pack("<ii", -1, -1)
    return framed(b"OPNF", head + struct.pack("<II", sequence, 1) + encoded(message))


def open_request(*, renew: bool = False) -> Any:
    asked = ua.OpenSecureChannelRequest()
    asked.Parameters.RequestType = ua.SecurityTokenRequestType(int(renew))
    asked.Parameters.SecurityMode = ua.MessageSecurityMode.None_
    return asked


def open_response() -> Any:
    told = ua.OpenSecureChannelResponse()
    told.Parameters.SecurityToken.ChannelId = CHANNEL
    told.Parameters.SecurityToken.TokenId = TOKEN
    return told


class Talk:
    """Both sides of one connection in front of one decoder."""

    def __init__(self, policy: str = "None", first: int = 1) -> None:
        self.decoder = OpcUaDecoder()
        self.policy, self.signature = policy, b"\xaa" * SIGNATURE[policy]
        self.sequence = {Side.CLIENT: first, Side.ASSET: first}
        self.request = 100
        self.feed(Side.CLIENT, hello())
        self.feed(Side.ASSET, ACKNOWLEDGE)
        self.open()

    def open(self, *, renew: bool = False) -> None:
        channel = CHANNEL if renew else 0
        asked = opening(open_request(renew=renew), self.number(Side.CLIENT), self.policy, channel)
        self.feed(Side.CLIENT, asked)
        self.feed(Side.ASSET, opening(open_response(), self.number(Side.ASSET), self.policy, CHANNEL))

    def number(self, side: Side) -> int:
        self.sequence[side] += 1
        return self.sequence[side] - 1

    def feed(self, side: Side, data: bytes) -> list[Frame]:
        return list(self.decoder.feed(side, data))

    def asking(self, message: Any) -> bytes:
        """The bytes of a request, which takes the next sequence number and request id."""
        self.request += 1
        return self.sealed(encoded(message, handle=self.request + 1000), Side.CLIENT, self.request)

    def sealed(self, body: bytes, side: Side, request: int) -> bytes:
        head = struct.pack("<IIII", CHANNEL, TOKEN, self.number(side), request)
        return framed(b"MSGF", head + body + self.signature)

    def parts(self, body: bytes, size: int, side: Side, request: int) -> list[bytes]:
        """A message in chunks of `size` bytes of its body."""
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        kinds = [b"MSGC"] * (len(pieces) - 1) + [b"MSGF"]
        return [chunk(p, self.number(side), request, kind=k) for k, p in zip(kinds, pieces, strict=True)]

    def ask(self, message: Any) -> Frame:
        (frame,) = self.feed(Side.CLIENT, self.asking(message))
        return frame

    def tell(self, message: Any, request: int | None = None) -> Frame:
        """The asset's response to a request, the last one if it is not said."""
        wanted = self.request if request is None else request
        (frame,) = self.feed(Side.ASSET, self.sealed(encoded(message), Side.ASSET, wanted))
        return frame

    def operation(self, message: Any) -> Operation:
        return self.ask(message).operation


def reading(*nodes: str, attribute: int = 13, index_range: str | None = None) -> Any:
    asked = ua.ReadRequest()
    for node in nodes:
        item = ua.ReadValueId(ua.NodeId.from_string(node))
        item.AttributeId, item.IndexRange = ua.AttributeIds(attribute), index_range
        asked.Parameters.NodesToRead.append(item)
    return asked


def writing(*pairs: tuple[str, Any], attribute: int = 13, index_range: str | None = None) -> Any:
    asked = ua.WriteRequest()
    for node, value in pairs:
        item = ua.WriteValue(ua.NodeId.from_string(node))
        item.AttributeId, item.IndexRange = ua.AttributeIds(attribute), index_range
        item.Value = value if isinstance(value, ua.DataValue) else ua.DataValue(value)
        asked.Parameters.NodesToWrite.append(item)
    return asked


def calling(node: str, method: str, *arguments: Any) -> Any:
    asked = ua.CallRequest()
    one = ua.CallMethodRequest(ua.NodeId.from_string(node), ua.NodeId.from_string(method), list(arguments))
    asked.Parameters.MethodsToCall.append(one)
    return asked


def read_back(data: bytes, kind: type) -> Any:
    """A message as asyncua's client reads it, from its type on behind the head."""
    return struct_from_binary(kind, Buffer(data[24:]))
