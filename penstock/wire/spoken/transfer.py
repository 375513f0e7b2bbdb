"""The course of FTP's control connection: commands line by line, up to where AUTH makes TLS of it.

Pure.  RFC 959 (commands 4.1), RFC 4217 (AUTH TLS 4).  A data connection is a flow of its own, which this does not open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from penstock.wire.decoder import Side, WrongProtocol
from penstock.wire.recognised import ftp
from penstock.wire.recognised.reading import UNTOLD, Lines
from penstock.wire.spoken.course import Piece, Walker, Whole
from penstock.wire.spoken.streams import asked_by, tls_walker

#: A path and a verb; nobody's file system has longer ones.
MAX_LINE_BYTES: Final = 4608
_MAX_VERB_BYTES: Final = 4
#: RFC 959 section 4.1.3: the signals of Telnet that stand in front of ABOR.
_SIGNALS: Final = b"\xff\xf4\xf2\xf1\xf3"
_ACCEPTED: Final = b"234"


class FtpCourse:
    """One control connection.  A client's command goes on when its line is whole."""

    __slots__ = ("_asks_for_tls", "_lines", "_replies", "_walkers", "told")

    def __init__(self) -> None:
        self._lines = Whole(_length_of, MAX_LINE_BYTES)
        self._replies = Lines()
        self._asks_for_tls = False
        self._walkers: dict[Side, Walker] | None = None
        self.told: dict[str, str] = {}

    def feed(self, side: Side, data: bytes) -> Iterable[Piece]:
        """See `Course.feed`."""
        if self._walkers is not None:
            self._walkers[side].walk(data)
            return (Piece(data),)
        if side is Side.CLIENT:
            return self._commands(data)
        self._hear(data)
        return (Piece(data),)

    def pending(self, side: Side) -> int:
        """See `Course.pending`."""
        return len(self._lines) if side is Side.CLIENT else 0

    def _commands(self, data: bytes) -> Iterator[Piece]:
        for line in self._lines.take(data):
            command = line.lstrip(_SIGNALS)
            verb = command.split(maxsplit=1)[0] if command.strip() else b"NOOP"
            if not verb.isalpha() or len(verb) > _MAX_VERB_BYTES or b"\0" in line:
                raise WrongProtocol("a line that is no command of FTP (RFC 959 section 4.1)")
            self._asks_for_tls = verb.upper() == b"AUTH"
            yield Piece(line, asked_by([ftp.command(command)]))

    def _hear(self, data: bytes) -> None:
        """The reply to AUTH decides what comes next on both sides, and in what is left of `data`."""
        at = 0
        while (end := data.find(b"\n", at) + 1) > 0:
            (line,) = self._replies.take(data[at:end])
            at = end
            if self._asks_for_tls and line.startswith(_ACCEPTED):
                self._walkers = {side: tls_walker() for side in Side}
                self._walkers[Side.ASSET].walk(data[at:])
                return
        self._replies.take(data[at:])


def _length_of(stream: bytes, start: int) -> int:
    return stream.find(b"\n", start) + 1 - start if stream.find(b"\n", start) >= 0 else UNTOLD
