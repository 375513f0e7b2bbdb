"""IEC 60870-5-104 for one flow: framing, numbering, pairs of request and reply, and refusals in the station's name.

Pure.  A command that is refused is answered with its own mirror, negatively confirmed, in a frame that the gate adds
to the link; a message of the asset that is kept back is acknowledged.  `forward` then rewrites the four control octets
of every frame of that link, so that each side sees numbers without a gap and acknowledgements of what it sent, and
never any other byte (see `penstock.wire.iec104.link`).  In a link in which nothing was kept back and nothing was
added, it changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from penstock.model import Malformed, Reason
from penstock.wire.decoder import Answer, Frame, Side
from penstock.wire.iec104 import codes
from penstock.wire.iec104.answers import answer
from penstock.wire.iec104.frames import (
    ASDU_AT,
    HEAD_BYTES,
    MAX_FRAME_BYTES,
    START,
    Iec104Frame,
    check_control,
    end_of_frame,
    frame_of,
)
from penstock.wire.iec104.link import MAX_OWN, Way
from penstock.wire.iec104.pairs import Pairs
from penstock.wire.iec104.refusals import refused

#: A broken frame is held whole, so that it is broken for every later call.
MAX_HELD_BYTES: Final = MAX_FRAME_BYTES
_MIN_FRAME_BYTES: Final = ASDU_AT
_control = Struct("<HH")
_unpack = _control.unpack_from
_pack = _control.pack
_CLIENT: Final = Side.CLIENT
_U_FORMAT: Final = 3
_S_FORMAT: Final = 1


class Iec104Decoder:
    """The frames of one link.  At most 255 bytes are held for each side."""

    rewrites = True
    __slots__ = ("_down", "_fault", "_from_asset", "_from_client", "_pairs", "_up")

    def __init__(self) -> None:
        self._from_client = self._from_asset = b""
        #: The client's frames on their way to the asset, and the asset's to the client.
        self._up, self._down = Way(), Way()
        self._pairs = Pairs()
        self._fault = ""

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`.  One whole message at a time, the usual case, takes the short way.

        What acknowledges a frame that was never sent is found when it is passed on; then the next call raises.
        """
        if self._fault:
            raise Malformed(self._fault)
        if (
            len(data) >= _MIN_FRAME_BYTES
            and data[0] == START
            and data[1] + HEAD_BYTES == len(data) <= MAX_FRAME_BYTES
            and not (self._from_client if side is _CLIENT else self._from_asset)
        ):
            try:
                return (self._take(side, data),)
            except Malformed:
                pass
        return self._feed_parts(side, data)

    def pending(self, side: Side) -> int:
        """How many bytes of an incomplete (or broken) frame are held for this side."""
        return len(self._from_client if side is _CLIENT else self._from_asset)

    def forward(self, frame: Frame) -> bytes:
        """The frame with the numbers that its receiver expects; the same bytes where nothing was refused before it.

        Only the four control octets of the APCI (-104, 5.1) are ever rewritten.
        """
        data = frame.data
        first, second = _unpack(data, HEAD_BYTES)
        if first & _U_FORMAT == _U_FORMAT:
            return data
        way, back = (self._up, self._down) if frame.side is _CLIENT else (self._down, self._up)
        if not back.acknowledge(second >> 1):
            self._fault = f"{second >> 1} acknowledges what was never sent (-104, 5.1)"
        told = back.tell() << 1
        if first & _S_FORMAT:
            number = first
        else:
            number = way.carry(first >> 1) << 1
            if data[ASDU_AT] >= codes.INTERROGATION and frame.side is _CLIENT:
                self._pairs.asked(data[ASDU_AT], frame.exchange)
        if number == first and told == second:
            return data
        return data[:HEAD_BYTES] + _pack(number, told) + data[ASDU_AT:]

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """The negative confirmation of a command (-101, 7.2.3); of anything else, its acknowledgement.

        While k own frames wait for the client's acknowledgement there is no confirmation, and a client that sends
        on without reading waits for it in vain.
        """
        data = frame.data
        first, second = _unpack(data, HEAD_BYTES)
        if first & 1:
            return b""
        way, back = (self._up, self._down) if frame.side is _CLIENT else (self._down, self._up)
        if not back.acknowledge(second >> 1):
            self._fault = f"{second >> 1} acknowledges what was never sent (-104, 5.1)"
        way.drop(first >> 1)
        if frame.side is _CLIENT and back.own < MAX_OWN:
            asdu = refused(data[ASDU_AT:], reason)
            if asdu:
                return bytes((START, len(asdu) + 4)) + _pack(back.add() << 1, way.tell() << 1) + asdu
        return self.due(frame.side)

    def due(self, side: Side) -> bytes:
        """An acknowledgement (S format) where this side has not yet been told of what it may count as received."""
        way = self._up if side is _CLIENT else self._down
        if not way.is_owing:
            return b""
        return bytes((START, 4)) + _pack(_S_FORMAT, way.tell() << 1)

    def is_counted(self, frame: Frame) -> bool:
        """Frames of the I format are numbered."""
        return not frame.data[HEAD_BYTES] & 1

    def keep_waiting(self, frame: Frame) -> bytes:
        """An acknowledgement (S format) of a request that is held: without one its sender closes the link after t1.

        The other side would, too: what the request itself acknowledges is due to it from now on.
        """
        first, second = _unpack(frame.data, HEAD_BYTES)
        way, back = (self._up, self._down) if frame.side is _CLIENT else (self._down, self._up)
        if not back.acknowledge(second >> 1):
            self._fault = f"{second >> 1} acknowledges what was never sent (-104, 5.1)"
        return bytes((START, 4)) + _pack(_S_FORMAT, way.tell_of(first >> 1) << 1)

    def answer(self, request: Frame, reply: Frame) -> Answer:
        """Confirmed or how refused, or the values of the objects."""
        return answer(request, reply)

    def _take(self, side: Side, data: bytes) -> Iec104Frame:
        """One whole frame, in its place in the link.  Raises `Malformed`, and then nothing has changed."""
        first, second = _unpack(data, HEAD_BYTES)
        if first & 1 or second & 1 or len(data) == ASDU_AT or not data[ASDU_AT]:
            check_control(data)
        frame = frame_of(side, data)
        if first & _U_FORMAT == _U_FORMAT:
            return frame
        way, back = (self._up, self._down) if side is _CLIENT else (self._down, self._up)
        second >>= 1
        if second != back.heard:
            back.hear(second)
        if not first & 1:
            way.came(first >> 1)
            if side is not _CLIENT:
                self._pairs.place(frame)
        return frame

    def _feed_parts(self, side: Side, data: bytes) -> Sequence[Frame]:
        stream = (self._from_client if side is _CLIENT else self._from_asset) + data
        frames: list[Frame] = []
        start = 0
        broken: Malformed | None = None
        try:
            while (end := end_of_frame(stream, start)) is not None:
                frames.append(self._take(side, stream[start:end]))
                start = end
        except Malformed as error:
            broken = error
        rest = stream[start : start + MAX_HELD_BYTES]
        if side is _CLIENT:
            self._from_client = rest
        else:
            self._from_asset = rest
        if broken is not None and not frames:
            raise broken
        return frames
