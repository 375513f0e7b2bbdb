"""DNP3 over TCP and UDP: link frames, transport segments, application fragments, and pairs of them.

Pure.  IEEE 1815-2012, clauses 4 (application), 8 (transport) and 9 (link), 13 (over IP).  A fragment is one frame with
the bytes of all link frames that carried it: nothing of it is forwarded before all of it was judged, and the segments
of one fragment reach the asset in their order and together.  `penstock.wire.dnp3.operations` knows what it means; the
short way in `feed` must stay short, for every byte of every inspected flow goes through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.model import Malformed, Reason
from penstock.wire.decoder import NO_ANSWER, Answer, Frame, Role, Side
from penstock.wire.dnp3.answers import answer
from penstock.wire.dnp3.codes import (
    ACK,
    CONFIRMED_DATA,
    LINK_ANSWERS,
    LINK_SESSION,
    NOT_SUPPORTED,
    RESET_LINK,
    SELECT,
    UNCONFIRMED_DATA,
)
from penstock.wire.dnp3.conversation import Conversation
from penstock.wire.dnp3.crc import user_data
from penstock.wire.dnp3.frames import LinkFrame, RequestFrame
from penstock.wire.dnp3.link import (
    FUNCTION,
    HEADER_BYTES,
    IS_COUNTED,
    MAX_FRAME_BYTES,
    PRIMARY,
    SEQUENCE,
    Header,
    expect_start,
    known_header,
    link_frame,
    link_frames,
    read_header,
    segments,
    with_count_turned,
)
from penstock.wire.dnp3.operations import STATE_AT, UNSELECTED
from penstock.wire.dnp3.refusal import response
from penstock.wire.dnp3.transport import MAX_HELD_SEGMENTS, Reassembly

MAX_HELD_BYTES: Final = MAX_FRAME_BYTES + MAX_HELD_SEGMENTS
#: Headers that were found right and are looked up from then on: a link has one for each length of a message.
_MAX_HEADERS: Final = 512
_CLIENT: Final = Side.CLIENT
_LINK: Final = Role.LINK
_WHOLE: Final = 0xC0


class Half:
    """One direction: what is left of a frame, segments that wait for more, headers that are known."""

    __slots__ = ("broken", "headers", "reassembly", "rest", "side")

    def __init__(self, side: Side, *, is_stream: bool) -> None:
        self.side = side
        self.rest = b""
        self.broken: Malformed | None = None
        self.headers: dict[bytes, Header] = {}
        self.reassembly = Reassembly(is_stream=is_stream)


class Dnp3Decoder:
    """The DNP3 messages of one TCP connection, to one outstation or to several behind it."""

    __slots__ = ("_asset", "_client", "_conversation", "_number", "_turned")
    is_stream = True
    #: Frames that `forward` may change never take the short way: their `data` is not the object that was fed.
    rewrites = False

    def __init__(self) -> None:
        self._client = Half(Side.CLIENT, is_stream=self.is_stream)
        self._asset = Half(Side.ASSET, is_stream=self.is_stream)
        self._conversation = Conversation(is_stream=self.is_stream)
        #: Transport sequence of what the gate says itself.
        self._number = 0
        #: Stations (destination, source) whose frame count bits the gate has to turn: it kept an odd number back.
        self._turned: set[tuple[int, int]] = set()

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`.  One fragment in one link frame, the usual case, takes the short way."""
        half = self._client if side is _CLIENT else self._asset
        if not half.rest:
            header = half.headers.get(data[:HEADER_BYTES])
            if header is not None and header.is_plain and header.end == len(data):
                try:
                    found = self._user_frame(half, header, data)
                except Malformed as error:
                    half.broken, half.rest = error, data
                    raise
                return () if found is None else (found,)
        return self._feed_parts(half, data)

    def pending(self, side: Side) -> int:
        """How many bytes of an incomplete (or broken) frame, and of incomplete fragments, are held for this side."""
        half = self._client if side is _CLIENT else self._asset
        return len(half.rest) + half.reassembly.held

    def forward(self, frame: Frame) -> bytes:
        """The frame as it came, but for the frame count bit where the gate kept a counted frame back before it."""
        if not self._turned or frame.side is not _CLIENT:
            return frame.data
        header = read_header(frame.data[:HEADER_BYTES])
        ends = header.destination, header.source
        if not header.control & PRIMARY or ends not in self._turned:
            return frame.data
        if header.function == RESET_LINK:
            self._turned.discard(ends)
        if not header.control & IS_COUNTED:
            return frame.data
        return b"".join(map(with_count_turned, link_frames(frame.data)))

    def is_counted(self, frame: Frame) -> bool:
        """What carries a frame count bit, or begins that count anew (9.2.4.1.3)."""
        header = read_header(frame.data[:HEADER_BYTES])
        if frame.side is not _CLIENT or not header.control & PRIMARY:
            return False
        return bool(header.control & IS_COUNTED) or header.function == RESET_LINK

    def due(self, side: Side) -> bytes:
        """Nothing: the gate acknowledges a link frame where it refuses it."""
        del side
        return b""

    def answer(self, request: Frame, reply: Frame) -> Answer:
        """Internal indications and statuses that say no, or the values that were read."""
        return answer(request, reply)

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """A response of the outstation with an error in its indications, or in the status of each control."""
        if frame.side is not _CLIENT or frame.role is not Role.REQUEST:
            return b""
        header = read_header(frame.data[:HEADER_BYTES])
        if not header.has_data:
            return _link_answer(header, NOT_SUPPORTED)
        said = b""
        if header.function == CONFIRMED_DATA:
            count = sum(1 for _ in link_frames(frame.data))
            said = _link_answer(header, ACK) * count
            self._turned ^= {(header.destination, header.source)} if count % 2 else set()
        if frame.exchange == NO_ANSWER:
            return said
        return said + self._response(frame, header, reason)

    def _response(self, frame: Frame, header: Header, reason: Reason) -> bytes:
        assert isinstance(frame, RequestFrame)
        code, objects = frame.asked
        if code == SELECT:
            self._conversation.forget_select(header)
        is_unselected = frame.what[STATE_AT] == UNSELECTED
        fragment = response(code, objects, frame.exchange & 0x0F, reason, is_unselected=is_unselected)
        parts = list(segments(PRIMARY | UNCONFIRMED_DATA, header.source, header.destination, fragment, self._number))
        self._number = self._number + len(parts) & SEQUENCE
        return b"".join(parts)

    def _feed_parts(self, half: Half, data: bytes) -> Sequence[Frame]:
        if half.broken is not None:
            raise type(half.broken)(str(half.broken))
        stream = half.rest + data
        frames: list[Frame] = []
        at = 0
        try:
            while (header := _header(half, stream, at)) is not None and at + header.end <= len(stream):
                found = self._link_frame(half, header, stream[at : at + header.end])
                at += header.end
                if found is not None:
                    frames.append(found)
            self._expect_end(stream, at)
        except Malformed as error:
            half.broken, half.rest = error, stream[at : at + MAX_FRAME_BYTES]
            if not frames or not self.is_stream:
                self._forget(frames)
                raise
            return frames
        half.rest = stream[at:]
        return frames

    def _forget(self, frames: Sequence[Frame]) -> None:
        """These never go on: they stand in a datagram that is broken behind them."""
        for frame in frames:
            if isinstance(frame, RequestFrame) and frame.asked[0] == SELECT:
                self._conversation.forget_select(read_header(frame.data[:HEADER_BYTES]))

    def _expect_end(self, stream: bytes, at: int) -> None:
        """Over TCP a frame may go on in the next segment."""

    def _user_frame(self, half: Half, header: Header, data: bytes) -> Frame | None:
        """The frame of user data that `data` is, or completes; ``None`` where more segments must come."""
        user = user_data(data, HEADER_BYTES, header.count)
        if user is None:
            raise Malformed("the CRC of user data is wrong (9.2.4.3)")
        if user[0] & _WHOLE != _WHOLE or half.reassembly.held:
            put = half.reassembly.add(header, user, data)
            if put is None:
                return None
            user, data = put
        if half.side is _CLIENT:
            return self._conversation.asked(header, user, data)
        return self._conversation.answered(header, user, data)

    def _link_frame(self, half: Half, header: Header, data: bytes) -> Frame | None:
        """The same of any link frame."""
        if header.is_plain:
            return self._user_frame(half, header, data)
        if not header.has_data:
            return _link_only(half, header, data)
        #: Not the object that was fed: `forward` may have to turn a bit of it.
        return self._user_frame(half, header, bytes(bytearray(data)))


class Dnp3Datagrams(Dnp3Decoder):
    """The same over UDP: a datagram holds whole link frames, a fragment may take several datagrams.

    A broken one is broken as a whole, and breaks nothing but itself.
    """

    __slots__ = ()
    is_stream = False

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`: one datagram."""
        try:
            return super().feed(side, data)
        except Malformed:
            half = self._client if side is _CLIENT else self._asset
            half.broken, half.rest = None, b""
            raise

    def _expect_end(self, stream: bytes, at: int) -> None:
        if at < len(stream):
            raise Malformed("a datagram ends within a link frame (13.2.3.2)")


def _header(half: Half, stream: bytes, at: int) -> Header | None:
    """The header at `at`, ``None`` while it is incomplete.  Raises `Malformed` as soon as it can."""
    raw = stream[at : at + HEADER_BYTES]
    known = half.headers.get(raw)
    if known is not None:
        return known
    expect_start(stream, at)
    if len(raw) < HEADER_BYTES:
        return None
    header = known_header(raw, half.side)
    if len(half.headers) >= _MAX_HEADERS:
        half.headers.clear()
    half.headers[raw] = header
    return header


def _link_only(half: Half, header: Header, data: bytes) -> Frame:
    """A frame without user data.  What the taxonomy does not list is judged, as a request of unknown class."""
    is_listed = header.function in (LINK_SESSION if header.control & PRIMARY else LINK_ANSWERS)
    unlisted = Role.REQUEST if half.side is _CLIENT else Role.NOTICE
    what = bytes((header.control,)) + header.address
    return LinkFrame(data, half.side, what, NO_ANSWER, False, _LINK if is_listed else unlisted)


def _link_answer(header: Header, function: int) -> bytes:
    """What a secondary station says to a frame of the client; nothing where that is no primary one's."""
    if not header.control & PRIMARY:
        return b""
    return link_frame(function & FUNCTION, header.source, header.destination)


def fits(data: bytes, side: Side) -> bool | None:
    """See `Known.fits`: start octets, a length, the direction, and the CRC of the first header."""
    try:
        expect_start(data, 0)
        if len(data) < HEADER_BYTES:
            return None
        known_header(data[:HEADER_BYTES], side)
    except Malformed:
        return False
    return True
