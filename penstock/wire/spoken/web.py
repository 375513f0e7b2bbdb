"""The course of HTTP/1: a request is told when its head is whole, before its last line goes on.

Pure.  RFC 9112 (request line 3, fields 5, framing 6).  Heads that two readers may understand in two ways end the flow,
for the one behind the gate might see a request in them that is not on record: two lengths, a length beside a coding,
folded lines, blanks in front of a colon, bare carriage returns.  Behind CONNECT and an upgrade nothing is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from penstock.model import Malformed
from penstock.wire.decoder import Frame, Side, WrongProtocol
from penstock.wire.recognised.http import BEHIND_CHUNK, MAX_REQUESTS, HttpDissector
from penstock.wire.spoken.course import Piece

_REQUEST: Final = re.compile(rb"[A-Z][A-Z_-]{0,19} [!-~\x80-\xff]+ HTTP/1\.[01]")
_FIELD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*")
_FRAMING: Final = (b"content-length:", b"transfer-encoding:")
_LENGTH: Final = re.compile(rb"content-length:[ \t]*[0-9]{1,15}[ \t]*")
_CODING: Final = re.compile(rb"transfer-encoding:[ \t]*chunked[ \t]*")


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
    """The dissector, with an ear for requests that begin and for what is no message."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Frame] = []

    def begun(self, head: bytes, side: Side, frame: Frame | None) -> None:
        """A head is whole."""
        if side is Side.CLIENT:
            _expect_one_meaning(head)
            if len(self._methods) >= MAX_REQUESTS:
                raise Malformed(f"{MAX_REQUESTS} requests wait for their answers")
        if frame is not None:
            self.asked.append(frame)

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
    if framing > 1:
        raise Malformed("a body with two lengths (RFC 9112 section 6.3)")
