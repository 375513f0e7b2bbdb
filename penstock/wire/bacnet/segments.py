"""Segmented BACnet messages put together: the requests of one side, or the answers of one side.

Pure.  ANSI/ASHRAE 135-2020, 5.2 and 5.4.  The segments of a request pass as they come, but the one that makes it whole
is kept back until it was judged: a device does nothing before it has all of them.  So that what was judged is what the
device puts together, a segment that comes again must say the same again, until the device itself has ended the
message: were a sender's word enough for that, it could mix the segments of two messages.  What is kept is bounded.
"""

from __future__ import annotations

from enum import Enum
from hashlib import blake2b
from typing import Final

import msgspec

#: Sequence numbers have eight bits (20.1.2.7); with one less than they can count, none means two segments.
MAX_SEGMENTS: Final = 255
#: All that is kept of one side's messages of one kind, in bytes: some ninety segments of full size.
MAX_KEPT_BYTES: Final = 1 << 17
#: Messages at a time; clients have few under way.
MAX_MESSAGES: Final = 64
#: What it costs to remember a segment beside its content.
_SEGMENT_BYTES: Final = 128
_DIGEST_BYTES: Final = 16


class Step(Enum):
    """What a segment is to its message."""

    PART = "part"
    """It is new, and others are missing."""
    AGAIN = "again"
    """It came before, with the same content."""
    WHOLE = "whole"
    """Nothing is missing any more, or nothing was missing when it came again."""
    CONFLICT = "conflict"
    """It says something else than the segment of that number that came before, or its message was given up."""
    FULL = "full"
    """There is no room for it."""


class Fate(Enum):
    """How far a message is."""

    UNFINISHED = "unfinished"
    WHOLE = "whole"
    CLOSED = "closed"
    ABANDONED = "abandoned"


class Message(msgspec.Struct, gc=False):
    """One message under way.  `bodies` are emptied when it is whole; digests stay, to know what comes again."""

    bodies: dict[int, bytes]
    digests: dict[int, bytes]
    size: int = 0
    last: int = -1
    content: bytes = b""
    fate: Fate = Fate.UNFINISHED


class Segments:
    """The segmented messages of one kind and side, by exchange.

    `kept_bytes` is all that is kept, `unfinished_bytes` what is kept of messages that are not whole.  Where there is no
    room for a segment it is refused, or with `makes_room` the oldest message is forgotten.
    """

    __slots__ = ("_makes_room", "_messages", "kept_bytes", "unfinished_bytes")

    def __init__(self, *, makes_room: bool = False) -> None:
        self._makes_room = makes_room
        self._messages: dict[int, Message] = {}
        self.kept_bytes = self.unfinished_bytes = 0

    def add(self, exchange: int, number: int, head: bytes, body: bytes, *, is_last: bool) -> Step:
        """Take one segment; `head` is what all segments of a message have in common."""
        message = self._messages.pop(exchange, None)
        if message is None:
            if not self._make_room(_SEGMENT_BYTES, MAX_MESSAGES - 1):
                return Step.FULL
            message = Message({}, {-1: head})
            self.kept_bytes += _SEGMENT_BYTES
        self._messages[exchange] = message  # the youngest now
        digest = blake2b(body, digest_size=_DIGEST_BYTES, key=b"last" if is_last else b"more").digest()
        known = message.digests.get(number)
        is_other = message.digests[-1] != head or (known is not None and known != digest)
        if is_other or message.fate is Fate.ABANDONED:
            return Step.CONFLICT
        if known is not None:
            return Step.WHOLE if message.fate is Fate.WHOLE else Step.AGAIN
        return self._add_new(message, number, digest, body, is_last=is_last)

    def content(self, exchange: int) -> bytes:
        """The whole message, without what its segments had in common.  Empty when it is not whole."""
        message = self._messages.get(exchange)
        return b"" if message is None else message.content

    def close(self, exchange: int) -> None:
        """Its content is not needed any more; its segments are still known when they come again."""
        message = self._messages.get(exchange)
        if message is not None:
            self._drop(message, Fate.CLOSED)

    def abandon(self, exchange: int) -> None:
        """It was refused, or its sender gave it up; but the device may still have parts of it: add nothing to them."""
        message = self._messages.get(exchange)
        if message is not None:
            self._drop(message, Fate.ABANDONED)

    def forget(self, exchange: int) -> None:
        """The device answered or ended it, so it is over there as well."""
        message = self._messages.pop(exchange, None)
        if message is not None:
            self._drop(message, Fate.CLOSED)
            self.kept_bytes -= _SEGMENT_BYTES * len(message.digests)

    def _make_room(self, size: int, others: int) -> bool:
        """Whether so many bytes may be kept beside so many messages; the oldest give way where that is allowed."""
        while len(self._messages) > others or self.kept_bytes + size > MAX_KEPT_BYTES:
            if not self._makes_room or len(self._messages) <= min(others, 1):
                return False
            self.forget(next(iter(self._messages)))
        return True

    def _drop(self, message: Message, fate: Fate) -> None:
        self.kept_bytes -= message.size
        if message.fate is Fate.UNFINISHED:
            self.unfinished_bytes -= message.size
        message.size, message.fate, message.content, message.bodies = 0, fate, b"", {}

    def _add_new(self, message: Message, number: int, digest: bytes, body: bytes, *, is_last: bool) -> Step:
        if number >= MAX_SEGMENTS or not self._make_room(len(body) + _SEGMENT_BYTES, MAX_MESSAGES):
            self._drop(message, Fate.ABANDONED)
            return Step.FULL
        highest = max(message.bodies, default=-1)
        if (is_last and (message.last >= 0 or number < highest)) or 0 <= message.last < number:
            return Step.CONFLICT
        message.digests[number] = digest
        message.bodies[number] = body
        message.size += len(body)
        self.unfinished_bytes += len(body)
        self.kept_bytes += len(body) + _SEGMENT_BYTES
        if is_last:
            message.last = number
        if len(message.bodies) <= message.last or message.last < 0:
            return Step.PART
        message.content = b"".join(message.bodies[i] for i in range(message.last + 1))
        message.bodies, message.fate = {}, Fate.WHOLE
        self.unfinished_bytes -= message.size
        return Step.WHOLE
