"""Telnet: its commands and its text.

Pure.  RFC 854 (commands), RFC 855 (options).  Text has no structure: a whole session counts as `execute`.  It must
never keep what was typed: a password looks like any other text, so of text only its length is on record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.reading import Pdu, RecognisedFrame, RecognisedProtocol, asking, operation_of, shown_text

_IAC: Final = 0xFF
_SUBOPTION: Final = 0xFA
_SUBOPTION_END: Final = 0xF0
_WILL: Final = 0xFB
_DONT: Final = 0xFE
COMMANDS: Final = {
    236: "End of File",
    237: "Suspend Current Process",
    238: "Abort Process",
    239: "End of Record",
    240: "Suboption End",
    241: "No Operation",
    242: "Data Mark",
    243: "Break",
    244: "Interrupt Process",
    245: "Abort Output",
    246: "Are You There?",
    247: "Escape Character",
    248: "Erase Line",
    249: "Go Ahead",
    250: "Suboption",
    251: "Will",
    252: "Won't",
    253: "Do",
    254: "Don't",
}
#: Options that IANA lists (telnet-options): 0 to 49, 138 to 140, 255.
_OPTIONS: Final = frozenset({*range(50), 138, 139, 140, 255})
#: A suboption is not longer in real use (the environment is the longest); more of one is given up.
MAX_SUBOPTION_BYTES: Final = 4096
_LINE: Final = re.compile(rb"[^\n\0]*?(?:\r\0|\n|\Z)|[^\n]+")
_NEGOTIATION_BYTES: Final = 3
_PLAIN: Final = frozenset({*range(0x20, 0x7F), *range(7, 14), 0, 27, *range(0x80, 0xFF)})
_SESSION: Final = ("option negotiation", (Is.SESSION,))
_ANY: Final = ("session in clear text", (Is.EXECUTE,))


def fits(data: bytes, side: Side) -> bool | None:  # noqa: ARG001 - both sides begin alike
    """See `Known.fits`: negotiation of options that there are, and nothing behind it that is neither that nor text.

    Text alone is nobody's: a session that begins with it, or in the middle of it, is not known.
    """
    if data[0] != _IAC or data[1:2] == b"\xff":  # text that begins with the letter 255
        return False
    if len(data) < _NEGOTIATION_BYTES:
        return None if len(data) == 1 or data[1] in COMMANDS else False
    negotiated, at = 0, 0
    while at < len(data):
        if data[at] != _IAC:
            if data[at] not in _PLAIN:
                return False
            at += 1
            continue
        end = _end_of_command(data, at)
        if end == at:
            return True if negotiated else None
        code = data[at + 1]
        if code != _IAC and (code not in COMMANDS or (code >= _WILL and data[at + 2] not in _OPTIONS)):
            return False
        negotiated += code >= _SUBOPTION
        at = end
    return True if negotiated else None


def _end_of_command(data: bytes, at: int) -> int:
    """Behind the command at `at`; `at` itself while it is not whole."""
    left = len(data) - at
    if left == 1:
        return at
    code = data[at + 1]
    if _WILL <= code <= _DONT:
        return at + 3 if left > 2 else at  # noqa: PLR2004 - IAC, command, option
    if code != _SUBOPTION:
        return at + 2
    end = data.find(b"\xff\xf0", at + 2)
    return at if end < 0 else end + 2


class TelnetDissector:
    """One session.  A command that a packet cuts is put together; text is shown packet by packet, as it came."""

    __slots__ = ("_held", "_searched")

    def __init__(self) -> None:
        self._held = {side: bytearray() for side in Side}

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        held = self._held[side]
        if held and data and not _may_complete(held, data):
            held += data
            if len(held) > MAX_SUBOPTION_BYTES:
                held.clear()
            return ()
        stream = bytes(held) + data
        held.clear()
        pdu: Pdu = {"p": "telnet"}
        at, text, commands = 0, 0, 0
        while at < len(stream):
            if stream[at] == _IAC:
                end = _end_of_command(stream, at)
                if end == at:
                    held += stream[at : at + MAX_SUBOPTION_BYTES]
                    break
                commands += _commands(pdu, stream[at:end])
            else:
                end = stream.find(b"\xff", at)
                end = len(stream) if end < 0 else end
                _lines(pdu, stream[at:end])
                text += end - at
            at = end
        if at == 0:
            return ()
        return [Shown(pdu, _asked(stream[:at], side, text, commands) if side is Side.CLIENT else None)]

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        self._held[side].clear()


def _may_complete(held: bytearray, data: bytes) -> bool:
    """Whether a command that is held can end with `data` (a suboption only where its end comes)."""
    is_suboption = held[1:2] == b"\xfa"
    return not is_suboption or (b"\xff\xf0" in data or (held[-1] == _IAC and data[0] == _SUBOPTION_END))


def _commands(pdu: Pdu, command: bytes) -> int:
    codes = [command[1]] if command[1] != _SUBOPTION else [_SUBOPTION, _SUBOPTION_END]
    for code in codes:
        pdu.setdefault("cmd", []).append(code)
        pdu.setdefault("cmd_name", []).append(COMMANDS.get(code, "Unknown"))
    return len(codes)


def _lines(pdu: Pdu, text: bytes) -> None:
    for found in _LINE.finditer(text):
        line = found[0]
        if line:
            pdu.setdefault("data", []).append(shown_text(line))


def _asked(data: bytes, side: Side, text: int, commands: int) -> RecognisedFrame | None:
    operation = operation_of("telnet", _ANY if text else _SESSION, "text" if text else "options")
    kept = b"*" * len(data) if text else None
    return asking(data, side, operation, kept) if text or commands else None


TELNET: Final = RecognisedProtocol(
    name="telnet",
    title="Telnet",
    column="TELNET",
    ports=("tcp/23",),
    fits=fits,
    dissectors={"tcp": TelnetDissector},
)
