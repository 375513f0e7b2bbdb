"""OPC UA as captures show it: every chunk with the fields that tshark gives it.

Pure.  For passive use only; what decides is in `decoder` and `operations`.  A flow may begin anywhere and lose bytes;
what is no chunk is given up.  It must never raise, and never show a session's token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from penstock.model import Malformed
from penstock.wire.decoder import Frame, Role, Side
from penstock.wire.opcua import transport as t
from penstock.wire.opcua.binary import BROKEN, printable, read_string
from penstock.wire.opcua.codes import (
    BAD,
    MESSAGE_NAMES,
    POLICY_PREFIX,
    RESPONSES,
    SERVICE_FAULT,
    SERVICES,
    SIGNATURE_BYTES,
)
from penstock.wire.opcua.frames import MARK, OpcUaFrame, encrypted_frame, link_frame
from penstock.wire.opcua.headers import read_request, read_response, read_type
from penstock.wire.opcua.names import Learner
from penstock.wire.opcua.opaque import Ends, thumbprint
from penstock.wire.opcua.schema import FIELDS, read_message
from penstock.wire.opcua.tracing import Trace, trace_structure
from penstock.wire.protocol import Shown

_Pdu = dict[str, Any]

#: Requests of which the response may still tell names.
MAX_ASKED: Final = 256
_CLIENT: Final = Side.CLIENT
_BROKEN: Final = ("Malformed Packet (Exception occurred)",)
_XML_SUFFIX: Final = " (XML Encoding)"
_HELLO_TEXT: Final = t.HEAD_BYTES + 20
#: Node ids of the XML encodings lie in front of the binary ones: by 1, or by 12 where services were added later.
_XML_NAMES: Final = {
    code - (1 if code < 10_000 else 12): name + _XML_SUFFIX  # noqa: PLR2004
    for code, name in MESSAGE_NAMES.items()
}
_NAMES: Final = MESSAGE_NAMES | _XML_NAMES


def fits(data: bytes, side: Side) -> bool | None:
    """Whether a side's first bytes are OPC UA: a kind of message, a kind of chunk, and a size that can be."""
    try:
        size = t.chunk_size(data[: t.HEAD_BYTES])
    except Malformed:
        return False
    kind = data[:3]
    if kind == (t.ACKNOWLEDGE if side is _CLIENT else t.HELLO) or (kind == t.REVERSE and side is _CLIENT):
        return False
    if size is None:
        return None
    if kind == t.MESSAGE and len(data) >= t.SECURED_HEAD_BYTES + 4 and data[24:26] == b"\x01\x00":
        service = int.from_bytes(data[26:28], "little")
        foreign = RESPONSES if side is _CLIENT else SERVICES
        return service not in foreign and not (service == SERVICE_FAULT and side is _CLIENT)
    return True


class OpcUaDissector:
    """Shows one flow."""

    __slots__ = ("_asked", "_endpoint", "_learner", "_policy", "_streams", "_thumbprints")

    def __init__(self) -> None:
        self._streams = {side: t.Stream() for side in Side}
        self._learner = Learner()
        self._policy = self._endpoint = ""
        self._thumbprints: dict[Side, str] = {}
        self._asked: dict[int, tuple[int, bytes]] = {}

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`: each chunk that is whole now; a message's fields stand with its last chunk."""
        stream, found = self._streams[side], list[Shown]()
        stream.buffer += data
        try:
            while (chunk := stream.next_chunk()) is not None:
                found.append(self._show(side, stream, chunk))
        except Malformed:
            self.lost(side)
        return found

    def lost(self, side: Side) -> None:
        """Give up what is held."""
        self._streams[side] = t.Stream()

    def _show(self, side: Side, stream: t.Stream, chunk: bytes) -> Shown:
        kind = chunk[:3]
        pdu: _Pdu = {"p": "opcua", "type": kind.decode(), "chunk": chunk[3:4].decode(), "size": len(chunk)}
        try:
            if kind in {t.MESSAGE, t.CLOSE}:
                return Shown(pdu, self._show_secured(side, stream, chunk, pdu))
            frame = link_frame(side, chunk, 1)
            if kind == t.OPEN:
                self._show_open(side, chunk, pdu)
            elif kind == t.FAILURE:
                pdu["error"] = int.from_bytes(chunk[8:12], "little")
                t.read_failure(chunk)
            elif kind != t.ACKNOWLEDGE:
                self._show_greeting(kind, chunk, pdu)
            return Shown(pdu, frame)
        except BROKEN:
            return Shown(pdu, None, is_malformed=True, errors=_BROKEN)

    def _show_greeting(self, kind: bytes, chunk: bytes, pdu: _Pdu) -> None:
        at = _HELLO_TEXT
        if kind == t.REVERSE:
            _, at = read_string(chunk, t.HEAD_BYTES)
        url, _ = read_string(chunk, at)
        pdu["endpoint"] = url or ""
        self._endpoint = printable(url or "")

    def _show_open(self, side: Side, chunk: bytes, pdu: _Pdu) -> None:
        head = t.read_asymmetric(chunk)
        pdu |= {"channel": head.channel, "policy": head.policy}
        pdu["seq"] = int.from_bytes(chunk[head.end : head.end + 4], "little")
        pdu["request"] = int.from_bytes(chunk[head.end + 4 : head.end + 8], "little")
        self._policy = printable(head.policy.removeprefix(POLICY_PREFIX))
        self._thumbprints[side] = thumbprint(head.certificate)
        if self._policy == "None":
            _show_message(side, chunk[head.end + 8 :], pdu)

    def _show_secured(self, side: Side, stream: t.Stream, chunk: bytes, pdu: _Pdu) -> Frame | None:
        head = t.read_secured(chunk)
        pdu |= {"channel": head.channel, "token": head.token, "seq": head.sequence, "request": head.request}
        if chunk[3:4] == t.PART:
            stream.keep_part(chunk)
            return None
        chunks = stream.take_parts(chunk)
        if chunk[3:4] == t.ABORT:
            pdu["error"] = int.from_bytes(chunk[24:28], "little")
            return link_frame(side, b"".join(chunks), len(chunks))
        bodies = [each[t.SECURED_HEAD_BYTES :] for each in chunks]
        if self._policy not in {"", "None"} and not _is_clear(b"".join(bodies), side):
            client, server = (self._thumbprints.get(each, "") for each in Side)
            ends = Ends(self._policy, self._endpoint, client, server)
            return encrypted_frame(side, b"".join(chunks), ends)
        cut = SIGNATURE_BYTES.get(self._policy, 0)
        body = b"".join(each[: len(each) - cut] for each in bodies)
        _show_message(side, body, pdu)
        if chunk[:3] == t.CLOSE:
            return link_frame(side, chunk, 1)
        return self._frame(side, chunks, head, body)

    def _frame(self, side: Side, chunks: list[bytes], head: t.Secured, body: bytes) -> Frame:
        data, count, cut = b"".join(chunks), len(chunks), SIGNATURE_BYTES.get(self._policy, 0)
        names = self._learner.names
        if side is not _CLIENT:
            answered = read_response(body, 0)
            self._learn(head.request, answered.service, body[answered.body :])
            no = answered.status >= BAD
            service = answered.service
            return OpcUaFrame(
                data, side, b"", head.request, no, Role.REPLY, True, service, names, count, is_dropped=False, cut=cut
            )
        service, end = read_type(body, 0)[0], 0
        if service in SERVICES:
            end = read_request(body, 0).body
            if len(self._asked) >= MAX_ASKED:
                self._asked.clear()
            self._asked[head.request] = service, body[end:]
        else:
            service = 0
        what = MARK.pack(service, names.version) + body[end:]
        return OpcUaFrame(
            data, side, what, head.request, False, Role.REQUEST, True, service, names, count, is_dropped=False, cut=cut
        )

    def _learn(self, request: int, response: int, body: bytes) -> None:
        service, asked = self._asked.pop(request, (0, b""))
        if RESPONSES.get(response) == service and MESSAGE_NAMES[service] in FIELDS:
            try:
                told = read_message(MESSAGE_NAMES[response], body)
                self._learner.learn(service, read_message(MESSAGE_NAMES[service], asked), told)
            except BROKEN:
                return


def _is_clear(body: bytes, side: Side) -> bool:
    """Whether a message of a channel with a policy makes sense as it is: then it is signed only."""
    try:
        message = read_request(body, 0) if side is _CLIENT else read_response(body, 0)
    except BROKEN:
        return False
    return message.service in MESSAGE_NAMES


def _show_message(side: Side, body: bytes, pdu: _Pdu) -> None:
    """The type of a request or response, and the fields that it is shown with.  Raises `Malformed`."""
    service, node, _ = read_type(body, 0)
    if node.kind == "i":
        pdu |= {"svc": node.number, "svc_name": _NAMES.get(node.number, "Unknown")}
    if service not in MESSAGE_NAMES:
        return
    trace = Trace([], [])
    try:
        if side is _CLIENT and service in SERVICES:
            at = read_request(body, 0).body
        else:
            message = read_response(body, 0)
            at, pdu["result"] = message.body, message.status
        if MESSAGE_NAMES[service] in FIELDS:
            trace_structure(MESSAGE_NAMES[service], body, at, trace)
    finally:
        if trace.mode is not None:
            pdu["mode"] = trace.mode
        if trace.nodes:
            pdu["nodes"] = trace.nodes
        if trace.attributes:
            pdu["attrs"] = trace.attributes
