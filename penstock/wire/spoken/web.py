"""The course of HTTP/1: a request is told when its head is whole, before its last line goes on.

Pure.  RFC 9112 (request line 3, fields 5, framing 6).  Heads that two readers may understand in two ways end the flow,
for the one behind the gate might see a request in them that is not on record: two lengths, a length beside a coding,
folded lines, blanks in front of a colon, bare carriage returns, chunks in HTTP/1.0.  Where a connection would go on as
something else, it ends: CONNECT, and every upgrade but WebSocket, which is held to its frames (RFC 6455 5.2).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Final

from penstock.model import Malformed
from penstock.wire.decoder import Frame, Side, WrongProtocol
from penstock.wire.recognised.http import BEHIND_CHUNK, MAX_REQUESTS, SWITCHING, WEBSOCKET, HttpDissector
from penstock.wire.recognised.reading import UNTOLD
from penstock.wire.spoken.course import LengthOf, Piece, Walker

_REQUEST: Final = re.compile(rb"[A-Z][A-Z_-]{0,19} [!-~\x80-\xff]+ HTTP/1\.[01]")
_FIELD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*")
_FRAMING: Final = (b"content-length:", b"transfer-encoding:")
_LENGTH: Final = re.compile(rb"content-length:[ \t]*[0-9]{1,15}[ \t]*")
_CODING: Final = re.compile(rb"transfer-encoding:[ \t]*chunked[ \t]*")
_STATUS: Final = slice(len("HTTP/1.1 "), len("HTTP/1.1 200"))
_FINAL: Final = 200
#: RFC 6455 section 5.2: the longest head without its mask, and what stands in it.
_FRAME_HEAD_BYTES: Final = 10
_OPCODES: Final = frozenset({0, 1, 2, 8, 9, 10})
_END, _RESERVED, _CONTROL, _MASK = 0x80, 0x30, 0x08, 0x80
_LONGEST_SHORT: Final = 125
_LENGTH_BYTES: Final = {126: 2, 127: 8}
_MASK_BYTES: Final = 4


class HttpCourse:
    """One connection."""

    __slots__ = ("_reader", "told")

    def __init__(self) -> None:
        self._reader = _Reader()
        self.told: dict[str, str] = {}

    def feed(self, side: Side, data: bytes) -> Iterable[Piece]:
        """See `Course.feed`."""
        self._reader.feed(side, data)
        asked = tuple(self._reader.asked)
        self._reader.asked.clear()
        return (Piece(data, asked),)

    def pending(self, side: Side) -> int:  # noqa: ARG002 - nothing is held but a copy of a head
        """See `Course.pending`."""
        return 0


class _Reader(HttpDissector):
    """The dissector, with an ear for requests that begin, for what is no message, and for what comes behind HTTP."""

    __slots__ = ("_walkers", "_want_websocket", "asked")

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Frame] = []
        #: Of every request without an answer, in order.
        self._want_websocket: deque[bool] = deque()
        self._walkers: dict[Side, Walker] = {}

    def begun(self, head: bytes, side: Side, frame: Frame | None) -> None:
        """A head is whole."""
        if side is Side.CLIENT:
            _expect_one_meaning(head)
            if len(self._methods) >= MAX_REQUESTS:
                raise Malformed(f"{MAX_REQUESTS} requests wait for their answers")
            asked = None if frame is None else frame.operation
            if asked is not None and asked.code == "CONNECT":
                raise WrongProtocol("behind CONNECT anything may come (RFC 9110 section 9.3.6)")
            self._want_websocket.append(asked is not None and asked.name == WEBSOCKET)
        else:
            self._hear(int(head[_STATUS]))
        if frame is not None:
            self.asked.append(frame)

    def _hear(self, status: int) -> None:
        """An answer: a connection that goes on as WebSocket was asked to, and its client waited for that."""
        if status < _FINAL and status != SWITCHING:
            return
        was_wanted = bool(self._want_websocket) and self._want_websocket.popleft()
        if status != SWITCHING:
            return
        client = self._halves[Side.CLIENT]
        if not was_wanted or self._want_websocket or client.head or client.line or client.left:
            raise WrongProtocol("the connection would go on as another protocol (RFC 9110 section 7.8)")
        self._walkers = {each: Walker(_frame_length(each), _FRAME_HEAD_BYTES) for each in Side}

    def opaque(self, side: Side, data: bytes) -> None:
        """Behind an upgrade there are frames, else an answer that ends with the connection."""
        if self._walkers:
            self._walkers[side].walk(data)

    def chunked(self, line: bytes, left: int, side: Side) -> None:
        """A line between chunks: of a client it must end where every reader says that it does (RFC 9112 7.1)."""
        is_plain = line.endswith(b"\r\n") and b"\r" not in line[:-2]
        if side is Side.CLIENT and not (is_plain and (left != BEHIND_CHUNK or line == b"\r\n")):
            raise Malformed("chunks whose ends readers find in different places (RFC 9112 section 7.1)")

    def broken(self, side: Side) -> None:
        """What is there is no message."""
        raise WrongProtocol(f"what the {side.value} sent is no message of HTTP/1 (RFC 9112 section 2)")


def _expect_one_meaning(head: bytes) -> None:
    """RFC 9112 sections 2.2, 3, 5.1, 5.2, 6.1 and 6.3.  Raises `Malformed`."""
    framing = 0
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if not head.endswith(b"\r\n\r\n") or not _REQUEST.fullmatch(first):
        raise Malformed("a request line or an end that readers understand in different ways (RFC 9112 sections 2, 3)")
    for line in lines:
        if not _FIELD.fullmatch(line):
            raise Malformed("a field that readers understand in different ways (RFC 9112 section 5)")
        small = line.lower()
        if small.startswith(_FRAMING):
            framing += 1
            if not (_LENGTH.fullmatch(small) or _CODING.fullmatch(small)):
                raise Malformed("a body whose end readers find in different places (RFC 9112 section 6.3)")
            if first.endswith(b"1.0") and small.startswith(b"transfer"):
                raise Malformed("chunks in HTTP/1.0, whose readers do not know them (RFC 9112 section 6.1)")
    if framing > 1:
        raise Malformed("a body with two lengths (RFC 9112 section 6.3)")


def _frame_length(side: Side) -> LengthOf:
    """How long a frame of WebSocket is that this side sent: a client masks what it sends, a server does not."""
    mask = _MASK if side is Side.CLIENT else 0

    def length_of(stream: bytes, start: int) -> int:
        if len(stream) < start + 2:
            return UNTOLD
        first, second = stream[start], stream[start + 1]
        size = second & ~_MASK
        is_whole = first & _END and size <= _LONGEST_SHORT
        if first & _RESERVED or first & 0x0F not in _OPCODES or second & _MASK != mask:
            raise Malformed("no frame of WebSocket (RFC 6455 section 5.2)")
        if first & _CONTROL and not is_whole:
            raise Malformed("a control frame in parts, or a long one (RFC 6455 section 5.5)")
        begin = start + 2
        more = _LENGTH_BYTES.get(size, 0)
        if more:
            if len(stream) < begin + more:
                return UNTOLD
            size = int.from_bytes(stream[begin : begin + more])
        return 2 + more + (_MASK_BYTES if mask else 0) + size

    return length_of
