"""BACnet/IP over UDP: datagrams to frames, pairs of request and reply, segments put together.

Pure.  ANSI/ASHRAE 135-2020, clauses 5 (transactions, segmentation), 20.1 (APDUs) and annex J (BACnet/IP).  What a
request means is in `operations`, how one is refused in `refusals`; this file must stay small, for every inspected
datagram goes through it.  A datagram is read on its own: one that is broken breaks nothing but itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.model import Malformed, Reason
from penstock.wire.bacnet import codes
from penstock.wire.bacnet.answers import answer
from penstock.wire.bacnet.frames import ACCEPTS_SEGMENTS, MORE, SEGMENTED, BacnetFrame, Kind
from penstock.wire.bacnet.functions import Functions
from penstock.wire.bacnet.network import envelope, is_plain
from penstock.wire.bacnet.procedures import PROCEDURE_SERVICES, Procedures
from penstock.wire.bacnet.refusals import refusal
from penstock.wire.bacnet.segments import MAX_KEPT_BYTES, Segments, Step
from penstock.wire.decoder import NO_ANSWER, Answer, Frame, Role, Side

#: Of each side: its unfinished requests and its unfinished answers.
MAX_HELD_BYTES: Final = 2 * MAX_KEPT_BYTES
#: Requests whose service is remembered, to know what is rejected or aborted: all invoke ids of sixteen devices.
MAX_ASKED: Final = 16 * 256
#: 20.1: the upper half of the first octet of an APDU.
CONFIRMED, UNCONFIRMED, SIMPLE_ACK, COMPLEX_ACK, SEGMENT_ACK, ERROR, REJECT, ABORT = range(8)
#: 20.1.9: set in what a server sends.
_FROM_SERVER: Final = 1
_PLAIN_AT: Final = 6
_NO_SERVICE: Final = 0xFF
_MAX_WINDOW: Final = 127
#: The shortest APDU of each type, and whether it may be longer (20.1.2 to 20.1.9).
_SIZES: Final = {
    CONFIRMED: (4, True),
    UNCONFIRMED: (2, True),
    SIMPLE_ACK: (3, False),
    COMPLEX_ACK: (3, True),
    SEGMENT_ACK: (4, False),
    ERROR: (4, True),
    REJECT: (3, False),
    ABORT: (3, False),
}
_FROM_ASSET: Final = b"\0"
#: Most flows never have one; nothing is ever added to this.
_NO_SEGMENTS: Final = Segments()
#: A member of an enumeration is slow to look up by its class.
_CLIENT: Final = Side.CLIENT
_REQUEST: Final = Role.REQUEST
_REPLY: Final = Role.REPLY
_LINK: Final = Role.LINK
_CONFIRMED: Final = Kind.CONFIRMED


class _Half:
    """What is remembered of one side: the services it asked for, and its segmented messages."""

    __slots__ = ("answers", "asked", "functions", "requests")

    def __init__(self) -> None:
        #: Service by peer and invoke id.
        self.asked: dict[int, int] = {}
        self.requests, self.answers = _NO_SEGMENTS, _NO_SEGMENTS
        self.functions: Functions | None = None

    def of_requests(self) -> Segments:
        """The segmented requests, made when there are any."""
        if self.requests is _NO_SEGMENTS:
            self.requests = Segments()
        return self.requests

    def of_answers(self) -> Segments:
        """The segmented answers, made when there are any."""
        if self.answers is _NO_SEGMENTS:
            self.answers = Segments(makes_room=True)
        return self.answers

    def of_functions(self) -> Functions:
        """The functions of the BVLL that wait, made when there are any."""
        if self.functions is None:
            self.functions = Functions()
        return self.functions


class BacnetDecoder:
    """The BACnet/IP messages of one flow."""

    __slots__ = ("_asset", "_client", "_procedures")
    rewrites = False

    def __init__(self) -> None:
        self._client, self._asset = _Half(), _Half()
        self._procedures = Procedures()

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """The frame of one datagram.  Raises `Malformed` or `WrongProtocol`; the next datagram is another matter."""
        if is_plain(data):
            return (self._frame(side, data, _PLAIN_AT, 0),)
        if not data:
            return ()
        sealed = envelope(data)
        if sealed.function not in codes.CARRIERS:
            return (self._of(side).of_functions().frame(self._of_other(side).of_functions(), side, sealed, data),)
        if sealed.message >= 0:
            frame = _unanswered(side, data, Kind.MESSAGE, 0)
            frame.sealed = sealed
            return (frame,)
        frame = self._frame(side, data, sealed.at, sealed.asked if _is_own_end(data[sealed.at]) else sealed.answered)
        if frame.role is _LINK and sealed.from_client.is_shared:
            return (BacnetFrame(data, side, b"", NO_ANSWER, False, _REQUEST, True, Kind.STRAY),)
        frame.sealed = sealed
        return (frame,)

    def pending(self, side: Side) -> int:
        """How many bytes of unfinished requests are held for this side.

        Unfinished answers are not held back: their segments were passed on, and are kept only to be read whole.
        """
        return self._of(side).requests.unfinished_bytes

    def held(self, side: Side) -> int:
        """All bytes that are kept of this side."""
        half = self._of(side)
        return half.requests.kept_bytes + half.answers.kept_bytes

    def forward(self, frame: Frame) -> bytes:
        """The datagram as it came."""
        return frame.data

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """An error, a reject or an abort in the name of the device that was asked; nothing where none is defined."""
        if not isinstance(frame, BacnetFrame):
            return b""
        if frame.transaction >= 0 and frame.kind is _CONFIRMED:
            self._of(frame.side).requests.abandon(frame.transaction)
        self._procedures.refused(frame)
        return refusal(frame, reason)

    def due(self, side: Side) -> bytes:
        """Nothing: BACnet/IP has no counters of a connection."""
        del side
        return b""

    def answer(self, request: Frame, reply: Frame) -> Answer:
        """The error, or the values that were read."""
        return answer(request, reply)

    def _of(self, side: Side) -> _Half:
        return self._client if side is _CLIENT else self._asset

    def _of_other(self, side: Side) -> _Half:
        return self._asset if side is _CLIENT else self._client

    def _frame(self, side: Side, data: bytes, at: int, peer: int) -> BacnetFrame:
        """The frame of an APDU, which begins at `at`."""
        kind = data[at] >> 4
        least, may_be_longer = _SIZES.get(kind, (1, True))
        size = len(data) - at
        if size < least or (size > least and not may_be_longer):
            raise Malformed(f"an APDU of type {kind} with {size} bytes (135 20.1)")
        if kind == CONFIRMED:
            return self._request(side, data, at, peer << 8 | data[at + 2])
        if kind == UNCONFIRMED:
            return _unanswered(side, data, Kind.UNCONFIRMED, at + 1)
        if kind in _SIZES:
            return self._reply(side, data, at, peer << 8 | data[at + 1])
        return _unanswered(side, data, Kind.UNKNOWN, at)

    def _request(self, side: Side, data: bytes, at: int, key: int) -> BacnetFrame:
        half = self._of(side)
        if data[at] & SEGMENTED:
            return self._segment(side, data, at, key)
        answers = self._of_other(side).answers
        if answers is not _NO_SEGMENTS:
            answers.forget(key)
        service = data[at + 3]
        half.asked[key] = service
        if len(half.asked) > MAX_ASKED:
            del half.asked[next(iter(half.asked))]
        frame = BacnetFrame(
            data, side, data[: at + 2] + data[at + 3 :], key << 8 | service, False, _REQUEST, True, _CONFIRMED, at + 2
        )
        if side is not _CLIENT or service in PROCEDURE_SERVICES:
            self._mark(frame, service)
        return frame

    def _mark(self, frame: BacnetFrame, service: int) -> None:
        """Put in front what the request's meaning depends on beside its bytes."""
        if frame.side is not _CLIENT:
            frame.what, frame.at = _FROM_ASSET + frame.what, frame.at + 1
        elif service == codes.REINITIALIZE_DEVICE:
            self._procedures.asked(frame)
        elif service in PROCEDURE_SERVICES and (procedure := self._procedures.of(frame)):
            frame.what, frame.at = bytes((procedure,)) + frame.what, frame.at + 1

    def _segment(self, side: Side, data: bytes, at: int, key: int) -> BacnetFrame:
        """A segment of a request (20.1.2): flags, sizes, invoke id, number, window, service, and a part of the rest."""
        if len(data) < at + 6:
            raise Malformed("the datagram ends within the header of a segment (135 20.1.2)")
        number, window, service = data[at + 3], data[at + 4], data[at + 5]
        head = bytes((data[at] & ACCEPTS_SEGMENTS, data[at + 1], service))
        half = self._of(side)
        if not 1 <= window <= _MAX_WINDOW:
            step = Step.CONFLICT
        else:
            step = half.of_requests().add(key, number, head, data[at + 6 :], is_last=not data[at] & MORE)
        exchange = key << 8 | service
        if step is Step.PART or step is Step.AGAIN:
            return BacnetFrame(data, side, b"", exchange, False, _LINK, True, Kind.OTHER, at, key)
        if step is not Step.WHOLE:
            return BacnetFrame(data, side, _BROKEN[step], exchange, False, _REQUEST, True, Kind.BROKEN, at, key)
        half.asked[key] = service
        self._of_other(side).answers.forget(key)
        what = data[:at] + head + half.requests.content(key)
        frame = BacnetFrame(data, side, what, exchange, False, _REQUEST, True, _CONFIRMED, at + 2, key)
        self._mark(frame, service)
        return frame

    def _reply(self, side: Side, data: bytes, at: int, key: int) -> BacnetFrame:
        """What answers a request of the other side, or keeps a transaction going."""
        kind, other = data[at] >> 4, self._of_other(side)
        if kind == SEGMENT_ACK:
            return BacnetFrame(data, side, b"", NO_ANSWER, False, _LINK)
        if kind == ABORT and _is_own_end(data[at]):
            self._of(side).requests.abandon(key)
            return BacnetFrame(data, side, b"", NO_ANSWER, False, _LINK)
        if kind == COMPLEX_ACK and data[at] & SEGMENTED:
            return self._answer_segment(side, data, at, key)
        if other.requests is not _NO_SEGMENTS:
            other.requests.forget(key)
        service = other.asked.get(key, _NO_SERVICE) if kind >= REJECT else data[at + 2]
        exchange = key << 8 | service
        if service == codes.REINITIALIZE_DEVICE and side is not _CLIENT:
            self._procedures.answered(exchange, was_done=kind == SIMPLE_ACK)
        return BacnetFrame(data, side, data[at:], exchange, kind >= ERROR, _REPLY)

    def _answer_segment(self, side: Side, data: bytes, at: int, key: int) -> BacnetFrame:
        """A segment of an answer (20.1.5): flags, invoke id, number, window, service, and a part of the rest."""
        if len(data) < at + 5:
            raise Malformed("the datagram ends within the header of a segment (135 20.1.5)")
        number, service, body = data[at + 2], data[at + 4], data[at + 5 :]
        is_last = not data[at] & MORE
        answers, exchange = self._of(side).of_answers(), key << 8 | service
        self._of_other(side).requests.forget(key)
        step = answers.add(key, number, bytes((service,)), body, is_last=is_last)
        if step is Step.AGAIN:
            return BacnetFrame(data, side, b"", exchange, False, _LINK)
        if step is Step.WHOLE:
            what = bytes((COMPLEX_ACK << 4, data[at + 1], service)) + answers.content(key)
            answers.close(key)
            return BacnetFrame(data, side, what, exchange, False, _REPLY, True, Kind.OTHER, 0, key)
        is_end = is_last and step is not Step.PART
        return BacnetFrame(data, side, data[at:], exchange, False, _REPLY, is_end, Kind.OTHER, 0, key)


_BROKEN: Final = {
    Step.CONFLICT: b"a segment contradicts its message (135 5.4.5.2)",
    Step.FULL: b"there is no room for a segmented message of this size (135 5.4.5.2)",
}


def _is_own_end(octet: int) -> bool:
    """Whether this is of a transaction that its own sender began: a request, or what goes on or ends it (20.1)."""
    return octet >> 4 == CONFIRMED or (octet >> 4 in {ABORT, SEGMENT_ACK} and not octet & _FROM_SERVER)


def _unanswered(side: Side, data: bytes, kind: Kind, at: int) -> BacnetFrame:
    """What nobody answers: a request of the client, a notice of the asset."""
    if side is _CLIENT:
        return BacnetFrame(data, side, data, NO_ANSWER, False, _REQUEST, True, kind, at)
    return BacnetFrame(data, side, _FROM_ASSET + data, NO_ANSWER, False, Role.NOTICE, True, kind, at + 1)
