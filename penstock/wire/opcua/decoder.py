"""OPC UA over TCP, UA Binary: hello, secure channel, chunks, requests and their refusal (OPC 10000-6, 6.7 and 7.1).

Pure.  A channel with the policy None is clear; a signed one is read with its signatures taken off; of an encrypted one
nothing is known but its policy.  Messages count in both directions, so where the gate keeps a request back, or answers
in the asset's place, later sequence numbers of a clear channel are made right on their way, and nothing else of them.
In a signed channel that is impossible: there a refusal ends the connection with an Error message.
It must never let a message pass whose bytes it did not account for, and it never keeps more than the stated bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from struct import Struct
from typing import Final

from penstock.model import Malformed, Reason
from penstock.wire.decoder import Answer, Frame, Role, Side
from penstock.wire.opcua import transport as t
from penstock.wire.opcua.answers import UNREADABLE, answer, says_no
from penstock.wire.opcua.binary import BROKEN, ends_early
from penstock.wire.opcua.channel import Channel, Mode
from penstock.wire.opcua.codes import (
    ACCESS_DENIED,
    BAD,
    BROWSE,
    CLOSE_CHANNEL,
    ENCRYPTED_REFUSALS,
    MESSAGE_NAMES,
    OPEN_CHANNEL,
    REFUSALS,
    REGISTER_NODES,
    RESPONSES,
    SERVICE_FAULT,
    SERVICES,
    SIGNATURE_BYTES,
    TRANSLATE_PATHS,
    status_text,
)
from penstock.wire.opcua.frames import ENCRYPTED, LINK, MARK, OpcUaFrame, encrypted_frame, link_frame
from penstock.wire.opcua.headers import (
    PLAIN_END,
    Message,
    no_handle,
    read_request,
    read_response,
    read_type,
    service_fault,
)
from penstock.wire.opcua.names import Learner
from penstock.wire.opcua.opaque import Passing
from penstock.wire.opcua.schema import read_message

#: Requests that may wait for their response; the gate itself lets fewer through.
MAX_WAITING: Final = 4096
#: The messages of the channel itself, which no MSG holds.
CHANNEL: Final = frozenset({OPEN_CHANNEL, CLOSE_CHANNEL})
#: Services whose responses tell names of nodes.
TELLING: Final = frozenset({BROWSE, TRANSLATE_PATHS, REGISTER_NODES})
_WHOLE: Final = int.from_bytes(b"MSGF", "little")
#: A type id in the usual form, four bytes in namespace 0, as one number: its high half is the service.
_FOUR_BYTES: Final = 1
_FAULT: Final = SERVICE_FAULT << 16 | _FOUR_BYTES
#: Write and Call have a status for each part: all that is not one of them is decided by the service's status.
ITEMIZED: Final = frozenset((676, 715))
_ITEMIZED_TYPES: Final = frozenset(code << 16 | _FOUR_BYTES for code in ITEMIZED)
#: Behind the token of a request: time, handle, diagnostics, no audit entry, timeout, no additional header.
_NO_AUDIT: Final = b"\xff\xff\xff\xff"
_NO_ADDITION: Final = b"\x00\x00\x00"
_REST_BYTES: Final = 27
_CLIENT: Final = Side.CLIENT
_ASSET: Final = Side.ASSET
_REQUEST: Final = Role.REQUEST
_REPLY: Final = Role.REPLY
_MISSING: Final = (0, b"", b"")
_request_head = Struct("<IIIIIII").unpack_from
_reply_head = Struct("<IIIIIII12xI").unpack_from
_REQUEST_BYTES: Final = 28 + 2 + _REST_BYTES
_STATUS_END: Final = 44
_REPLY_BYTES: Final = _STATUS_END + len(PLAIN_END)


#: What a request's `what` begins with, by its type id: its service; the version of the names follows.
_MARKS: Final = {code << 16 | _FOUR_BYTES: code.to_bytes(2, "little") for code in SERVICES if code not in CHANNEL}
_NO_MARKS: Final[dict[int, bytes]] = {}
_TELLING_TYPES: Final = frozenset(code << 16 | _FOUR_BYTES for code in TELLING)


class OpcUaDecoder:
    """The messages of one connection.  At most 1 MiB of a request is held, and 4 MiB of a response."""

    __slots__ = (
        "_channel",
        "_ended",
        "_from_asset",
        "_from_client",
        "_is_clear",
        "_learner",
        "_marks",
        "_next_out",
        "_passing",
        "_token",
        "_version",
        "_waiting",
        "rewrites",
    )

    def __init__(self) -> None:
        self._from_client, self._from_asset = t.Stream(t.MAX_REQUEST_BYTES), t.Stream()
        self._channel = Channel()
        self._passing = {side: Passing() for side in Side}
        self._learner = Learner()
        #: Empty while no authentication token is known: without one nobody can say where a header ends.
        self._marks = _NO_MARKS
        self._version = _version_of(self._learner)
        self._token = b""
        #: Requests that wait for their response: service, body and session where the response tells names.
        self._waiting: dict[int, tuple[int, bytes, bytes] | None] = {}
        #: Next sequence number of each side where the gate has changed the count.
        self._next_out: dict[Side, int] = {}
        self._is_clear = self._ended = False
        #: What is sent on has other sequence numbers once the gate has said or kept back something itself.
        self.rewrites = False

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`.  One whole message at a time in a clear channel, the usual case, takes the short way."""
        if self._is_clear:
            frame = self._read_request(data) if side is _CLIENT else self._read_reply(data)
            return (frame,) if frame is not None else self._feed_several(side, data)
        return self._feed_parts(side, data)

    def _feed_several(self, side: Side, data: bytes) -> Sequence[Frame]:
        """Whole messages of the usual form, one behind the other, then what is not of that form."""
        frames, start = list[Frame](), 0
        while len(data) - start >= t.SECURED_HEAD_BYTES:
            end = start + int.from_bytes(data[start + 4 : start + 8], "little")
            if end > len(data) or end - start < t.SECURED_HEAD_BYTES or (not start and end == len(data)):
                break
            piece = data[start:end]
            frame = self._read_request(piece) if side is _CLIENT else self._read_reply(piece)
            if frame is None:
                break
            frames.append(frame)
            start = end
        if start < len(data) or not data:
            try:
                frames += self._feed_parts(side, data[start:])
            except Malformed:
                if not frames:
                    raise
        return frames

    def _read_request(self, data: bytes) -> OpcUaFrame | None:
        """A whole request of the usual form; ``None``, and nothing has happened, where it is anything else."""
        stream, waiting = self._from_client, self._waiting
        if len(data) < _REQUEST_BYTES or stream.buffer or stream.parts or len(waiting) >= MAX_WAITING:
            return None
        kind, size, channel, _, sequence, request, type_id = _request_head(data)
        mark = self._marks.get(type_id)
        at = 28 + len(self._token)
        if (
            mark is None
            or kind != _WHOLE
            or size != len(data)
            or channel != self._channel.number
            or sequence - 1 != stream.sequence
            or request in waiting
            or not data.startswith(self._token, 28)
            or data[at + 16 : at + 20] != _NO_AUDIT
            or data[at + 24 : at + 27] != _NO_ADDITION
        ):
            return None
        stream.sequence = sequence
        body = data[at + _REST_BYTES :]
        waiting[request] = (type_id >> 16, body, self._token) if type_id in _TELLING_TYPES else None
        what = mark + self._version + body
        return OpcUaFrame(data, _CLIENT, what, request, False, _REQUEST, True, type_id >> 16, self._learner.names)

    def _read_reply(self, data: bytes) -> OpcUaFrame | None:
        """A whole response of the usual form; ``None``, and nothing has happened, where it is anything else."""
        stream = self._from_asset
        if len(data) < _REPLY_BYTES or stream.buffer or stream.parts:
            return None
        kind, size, channel, _, sequence, request, type_id, status = _reply_head(data)
        asked = self._waiting.get(request, _MISSING)
        if (
            kind != _WHOLE
            or size != len(data)
            or channel != self._channel.number
            or sequence - 1 != stream.sequence
            or type_id & 0xFFFF != _FOUR_BYTES
            or (asked is not None and (asked is _MISSING or data[_STATUS_END:_REPLY_BYTES] != PLAIN_END))
        ):
            return None
        del self._waiting[request]
        stream.sequence = sequence
        if asked is not None and status < BAD:
            self._learn(asked, type_id >> 16, data[_REPLY_BYTES:])
        no = status >= BAD or type_id == _FAULT or (type_id in _ITEMIZED_TYPES and says_no(data))
        return OpcUaFrame(data, _ASSET, b"", request, no, _REPLY, True, type_id >> 16, self._learner.names)

    def pending(self, side: Side) -> int:
        """How many bytes of an incomplete (or broken) message are held for this side."""
        return self._stream(side).held

    def forward(self, frame: Frame) -> bytes:
        """The frame as it came, with other sequence numbers where the gate has changed the count of a clear channel."""
        side = frame.side
        if self._ended or not isinstance(frame, OpcUaFrame):
            return b""
        if frame.is_dropped:
            self.rewrites = True
            self._next_out.setdefault(side, t.read_secured(frame.data).sequence)
            return b""
        number = self._next_out.get(side)
        if number is None or not frame.chunks:
            return frame.data
        data, self._next_out[side] = t.renumbered(frame.data, number)
        return data

    def is_counted(self, frame: Frame) -> bool:
        """All but the greetings: a channel that misses a sequence number is closed (OPC 10000-6, 6.7.2.4)."""
        return frame.data[:3] in {t.OPEN, t.MESSAGE, t.CLOSE}

    def due(self, side: Side) -> bytes:  # noqa: ARG002 - the contract's
        """Nothing: a message of OPC UA acknowledges none."""
        return b""

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """A ServiceFault with the request's handle; in a channel that the gate cannot write in, an Error message."""
        if self._ended or not isinstance(frame, OpcUaFrame) or frame.side is not _CLIENT:
            return b""
        status, self.rewrites = REFUSALS.get(reason, ACCESS_DENIED), True
        if self._channel.mode is not Mode.CLEAR:
            self._ended = True
            if self._channel.mode is Mode.ENCRYPTED:
                status = ENCRYPTED_REFUSALS.get(reason, status)
            return t.failure(status, f"not allowed by the access gate: {status_text(status)}")
        if not frame.chunks or frame.role is not _REQUEST:
            return b""
        head = t.read_secured(frame.data)
        self._waiting.pop(head.request, None)
        self._next_out.setdefault(_CLIENT, head.sequence)
        number = self._next_out.get(_ASSET)
        if number is None:
            number = self._from_asset.first_unsent
        self._next_out[_ASSET] = t.next_number(number)
        return service_fault((head.channel, head.token, number, head.request), self._asked(frame), status)

    def _asked(self, frame: OpcUaFrame) -> Message:
        """The header of a request in the clear; without a handle where it has none."""
        try:
            return read_request(frame.message, 0)
        except BROKEN:
            return no_handle()

    def answer(self, request: Frame, reply: Frame) -> Answer:
        """The status, and the values that were read."""
        if not isinstance(request, OpcUaFrame) or not isinstance(reply, OpcUaFrame):
            return UNREADABLE
        if request.service in {LINK, ENCRYPTED}:
            return Answer()
        last = t.last_chunk(reply.data)
        if last[3:4] == t.ABORT:
            return Answer(status_text(int.from_bytes(last[24:28], "little")))
        try:
            return answer(request.operation.targets, request.service, reply.message)
        except Malformed:
            return UNREADABLE

    def _stream(self, side: Side) -> t.Stream:
        return self._from_client if side is _CLIENT else self._from_asset

    def _feed_parts(self, side: Side, data: bytes) -> Sequence[Frame]:
        stream = self._stream(side)
        if stream.broken is not None:
            raise stream.broken
        if self._ended and side is _CLIENT:
            raise Malformed("the gate has ended this connection")
        frames: list[Frame] = []
        try:
            chunk = stream.whole_chunk(data)
            if chunk is None:
                stream.buffer += data
                chunk = stream.next_chunk()
            while chunk is not None:
                frame = self._take(side, stream, chunk)
                if frame is not None:
                    frames.append(frame)
                chunk = stream.next_chunk() if stream.buffer else None
        except BROKEN as error:
            broken = error if isinstance(error, Malformed) else ends_early("a message")
            stream.give_up(broken)
            self._is_clear = False
            if not frames:
                raise broken from error
        return frames

    def _take(self, side: Side, stream: t.Stream, chunk: bytes) -> Frame | None:
        """The frame that a chunk completes."""
        kind = chunk[:3]
        if kind == t.MESSAGE:
            return self._take_message(side, stream, chunk)
        if stream.parts:
            raise Malformed(f"{kind.decode()} within a message that is not whole (OPC 10000-6, 6.7.3)")
        if kind == t.CLOSE:
            return self._take_close(side, stream, chunk)
        if kind != t.OPEN:
            self._channel.greet(side, chunk)
            return link_frame(side, chunk, 0)
        sequence = self._channel.open(side, chunk)
        if sequence is not None:
            stream.count(sequence)
        elif stream.sequence is not None:  # an encrypted OPN takes a number as well
            stream.sequence = t.next_number(stream.sequence)
        self._is_clear = self._channel.mode is Mode.CLEAR and not self._channel.is_closed
        return link_frame(side, chunk, 1)

    def _take_message(self, side: Side, stream: t.Stream, chunk: bytes) -> Frame | None:
        channel = self._channel
        head = self._check_head(side, chunk)
        if channel.mode is Mode.ENCRYPTED:
            self._count_encrypted(side, stream, (chunk,))
            return encrypted_frame(side, chunk, channel.ends)
        if stream.parts and t.read_secured(stream.parts[0]).request != head.request:
            raise Malformed("chunks of two messages are mixed (OPC 10000-6, 6.7.3)")
        if channel.mode is not Mode.UNDECIDED:
            stream.count(head.sequence)
        if chunk[3:4] == t.PART:
            stream.keep_part(chunk)
            return None
        chunks = stream.take_parts(chunk)
        if channel.mode is Mode.UNDECIDED and not self._is_signed(stream, chunks):
            self._count_encrypted(side, stream, chunks)
            return encrypted_frame(side, b"".join(chunks), channel.ends)
        if chunk[3:4] == t.ABORT:
            return self._aborted(side, head, chunks)
        return self._request(head, chunks) if side is _CLIENT else self._reply(head, chunks)

    def _count_encrypted(self, side: Side, stream: t.Stream, chunks: Sequence[bytes]) -> None:
        """What can be held to its bounds without reading it: tokens, and the size of a message."""
        for chunk in chunks:
            self._channel.tokens.check(t.read_secured(chunk).token)
            self._passing[side].take(chunk, stream.max_bytes)

    def _check_head(self, side: Side, chunk: bytes) -> t.Secured:
        """MSG and CLO belong to the one channel of the connection, which must be open."""
        head = t.read_secured(chunk)
        mode = self._channel.mode
        is_late = self._channel.is_closed if side is _CLIENT else mode is Mode.UNDECIDED
        if mode is Mode.UNOPENED or is_late:
            raise Malformed(f"a message from the {side.value} in a channel that is not open (OPC 10000-6, 6.7.4)")
        if head.channel != self._channel.number:
            raise Malformed(f"channel {head.channel} is not {self._channel.number} (OPC 10000-6, 6.7.2.2)")
        if len(chunk) < t.SECURED_HEAD_BYTES + self._channel.cut:
            raise Malformed("a chunk is too short for its signature (OPC 10000-6, 6.7.2.5)")
        return head

    def _is_signed(self, stream: t.Stream, chunks: list[bytes]) -> bool:
        """The first message of a channel with a policy: a request that makes sense behind clear heads is signed."""
        channel, numbers = self._channel, [t.read_secured(each).sequence for each in chunks]
        channel.mode = Mode.SIGNED
        body = t.joined(b"".join(chunks), channel.cut)
        try:
            service = read_request(body, 0).service
            is_counted = all(t.follows(*pair) for pair in pairwise(numbers))
        except BROKEN:
            service, is_counted = 0, False
        if channel.cut and service in SERVICES and is_counted and chunks[-1][3:4] == t.FINAL:
            stream.sequence = numbers[-1]
            return True
        channel.mode = Mode.ENCRYPTED
        return False

    def _request(self, head: t.Secured, chunks: list[bytes]) -> Frame:
        data = b"".join(chunks)
        body = t.joined(data, self._channel.cut)
        if head.request in self._waiting or len(self._waiting) >= MAX_WAITING:
            raise Malformed(f"request {head.request} is under way already (OPC 10000-6, 6.7.2.4)")
        service, _, end = read_type(body, 0)
        if service not in SERVICES or service in CHANNEL:
            service, end = 0, 0
        else:
            asked = read_request(body, 0)
            end = asked.body
            self._token = body[asked.token_start : asked.token_end]
            self._marks = _MARKS
            if self._learner.turn_to(self._token):
                self._version = _version_of(self._learner)
        names = self._learner.names
        self._waiting[head.request] = (service, body[end:], self._token) if service in TELLING else None
        what = MARK.pack(service, names.version) + body[end:]
        count, cut = len(chunks), self._channel.cut
        return OpcUaFrame(
            data, _CLIENT, what, head.request, False, _REQUEST, True, service, names, count, is_dropped=False, cut=cut
        )

    def _reply(self, head: t.Secured, chunks: list[bytes]) -> Frame:
        data = b"".join(chunks)
        body = t.joined(data, self._channel.cut)
        message = read_response(body, 0)
        asked = self._waiting.pop(head.request, None)
        if asked is not None and message.status < BAD:
            self._learn(asked, message.service, body[message.body :])
        no = message.status >= BAD or message.service == SERVICE_FAULT
        if not no and len(chunks) == 1 and message.service in ITEMIZED:
            no = says_no(data[: len(data) - self._channel.cut])
        names = self._learner.names
        count, cut, service = len(chunks), self._channel.cut, message.service
        return OpcUaFrame(
            data, _ASSET, b"", head.request, no, _REPLY, True, service, names, count, is_dropped=False, cut=cut
        )

    def _learn(self, asked: tuple[int, bytes, bytes], answered: int, body: bytes) -> None:
        """What a response tells of nodes; one to something else, or that cannot be read, tells nothing."""
        service, wanted, session = asked
        if RESPONSES.get(answered) != service:
            return
        try:
            question = read_message(MESSAGE_NAMES[service], wanted)
            told = read_message(MESSAGE_NAMES[answered], body)
        except Malformed:
            return
        if self._learner.learn(service, question, told, session):
            self._version = _version_of(self._learner)

    def _aborted(self, side: Side, head: t.Secured, chunks: list[bytes]) -> Frame:
        """A message that its sender broke off (6.7.3): it asks for nothing, or it answers with no."""
        data = b"".join(chunks)
        if side is _CLIENT:
            return link_frame(side, data, len(chunks), is_dropped=self._channel.mode is Mode.CLEAR)
        self._waiting.pop(head.request, None)
        names = self._learner.names
        return OpcUaFrame(data, side, b"", head.request, True, _REPLY, True, SERVICE_FAULT, names, len(chunks))

    def _take_close(self, side: Side, stream: t.Stream, chunk: bytes) -> Frame:
        """CLO: nobody answers it, and nothing comes behind it."""
        head, channel = self._check_head(side, chunk), self._channel
        is_read = channel.mode in {Mode.CLEAR, Mode.SIGNED}
        if is_read:
            stream.count(head.sequence)
        is_close = _is_close(chunk, SIGNATURE_BYTES.get(channel.policy, 0))
        if is_read and not is_close:
            raise Malformed("CLO holds something else than CloseSecureChannelRequest (OPC 10000-6, 6.7.4)")
        if side is _CLIENT:
            channel.is_closed, self._is_clear = True, False
        if is_close and channel.mode is not Mode.ENCRYPTED:
            return link_frame(side, chunk, 1)
        channel.mode = Mode.ENCRYPTED
        self._count_encrypted(side, stream, (chunk,))
        return encrypted_frame(side, chunk, channel.ends)


def _version_of(learner: Learner) -> bytes:
    """The version of the names as it stands in `what`."""
    return learner.names.version.to_bytes(MARK.size - 2, "little")


def _is_close(chunk: bytes, cut: int) -> bool:
    """Whether CLO holds what it should, which nobody can tell of an encrypted one."""
    body = t.joined(chunk, cut)
    try:
        message = read_request(body, 0)
    except BROKEN:
        return False
    return message.service == CLOSE_CHANNEL and message.body == len(body)
