"""FTP: the lines of its control connection.

Pure.  RFC 959 (commands 4.1, replies 4.2), RFC 2228, RFC 2428, RFC 3659.  The data connection has no form of its own.
It must never keep a password: the argument of PASS and ACCT is not on record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.reading import (
    Lines,
    Pdu,
    RecognisedProtocol,
    asking,
    operation_of,
    shown_text,
    whole_text,
)

#: (verbs, name, classes): the taxonomy.
CODES: Final[tuple[tuple[tuple[str, ...], str, tuple[Is, ...]], ...]] = (
    (("USER", "PASS", "ACCT", "AUTH", "REIN"), "log in", (Is.AUTH,)),
    (
        (
            *("QUIT", "NOOP", "TYPE", "MODE", "STRU", "PWD", "CWD", "CDUP", "FEAT", "OPTS", "HELP", "SYST", "PBSZ"),
            *("PROT", "ABOR", "REST"),
        ),
        "session",
        (Is.SESSION,),
    ),
    (("PORT", "EPRT", "PASV", "EPSV"), "data connection", (Is.SESSION,)),
    (("RETR", "LIST", "NLST", "MLSD", "MLST", "SIZE", "MDTM", "STAT"), "read a file or list", (Is.FILE_READ,)),
    (
        ("STOR", "STOU", "APPE", "DELE", "RNFR", "RNTO", "MKD", "RMD", "ALLO"),
        "write, rename or delete a file",
        (Is.FILE_WRITE,),
    ),
    (("SITE",), "site", (Is.VENDOR,)),
)
MEANINGS: Final = {verb: (f"{verb} ({name})", classes) for verbs, name, classes in CODES for verb in verbs}
#: Commands of RFC 959, 2228, 2428, 2640 and 3659, and the old names of RFC 775, that tell FTP from other lines.
_VERBS: Final = frozenset(MEANINGS) | {
    "ADAT",
    "CCC",
    "CONF",
    "ENC",
    "LANG",
    "MIC",
    "SMNT",
    "XCUP",
    "XCWD",
    "XMKD",
    "XPWD",
}
#: What SITE takes is the server's own; some take passwords.
_SECRET: Final = frozenset({"PASS", "ACCT", "ADAT", "SITE"})
_FILES: Final = frozenset({Is.FILE_READ, Is.FILE_WRITE})
#: 4.2.2.
STATUS: Final = {
    110: "Restart marker reply",
    120: "Service ready in nnn minutes",
    125: "Data connection already open; transfer starting",
    150: "File status okay; about to open data connection",
    200: "Command okay",
    202: "Command not implemented, superfluous at this site",
    211: "System status, or system help reply",
    212: "Directory status",
    213: "File status",
    214: "Help message",
    215: "NAME system type",
    220: "Service ready for new user",
    221: "Service closing control connection",
    225: "Data connection open; no transfer in progress",
    226: "Closing data connection",
    227: "Entering Passive Mode",
    229: "Entering Extended Passive Mode",
    230: "User logged in, proceed",
    250: "Requested file action okay, completed",
    257: "PATHNAME created",
    331: "User name okay, need password",
    332: "Need account for login",
    350: "Requested file action pending further information",
    421: "Service not available, closing control connection",
    425: "Can't open data connection",
    426: "Connection closed; transfer aborted",
    450: "Requested file action not taken",
    451: "Requested action aborted: local error in processing",
    452: "Requested action not taken. Insufficient storage space in system",
    500: "Syntax error, command unrecognized",
    501: "Syntax error in parameters or arguments",
    502: "Command not implemented",
    503: "Bad sequence of commands",
    504: "Command not implemented for that parameter",
    530: "Not logged in",
    532: "Need account for storing files",
    550: "Requested action not taken: File unavailable",
    551: "Requested action aborted: page type unknown",
    552: "Requested file action aborted: Exceeded storage allocation",
    553: "Requested action not taken: File name not allowed",
}
_REPLY: Final = re.compile(rb"([1-5][0-9]{2})([ -])(.*)", re.DOTALL)
_SHOWN_REPLY: Final = re.compile(rb"([0-9]{3})(?:[ -](.*))?", re.DOTALL)
_GREETINGS: Final = (b"220", b"120")
_REPLY_HEAD_BYTES: Final = 4
_MAX_VERB_BYTES: Final = 4


def fits(data: bytes, side: Side) -> bool | None:
    """See `Known.fits`: a command of FTP at the beginning of a line, or the greeting of a server that is none of mail.

    Replies in the middle are shared with other protocols that number their replies.
    """
    line, end, _ = data.partition(b"\n")
    if side is Side.CLIENT:
        return _fits_command(line.rstrip(b"\r"), is_whole=bool(end))
    if not all(0x20 <= byte < 0x7F or byte in b"\t\r" or byte >= 0x80 for byte in line):  # noqa: PLR2004 - ASCII
        return False
    if len(line) < _REPLY_HEAD_BYTES and not end:
        return None if any(line[at : at + 1].isdigit() for at in range(len(line))) and line.isdigit() else False
    found = _REPLY.match(line)
    if found is None or b"SMTP" in data.upper() or b"NNTP" in data.upper():
        return False
    return True if end and found[1] in _GREETINGS else None


def _fits_command(line: bytes, *, is_whole: bool) -> bool | None:
    verb, space, _ = line.partition(b" ")
    if not verb.isalpha() or len(verb) > _MAX_VERB_BYTES:
        return False
    text = verb.decode("ascii", "replace").upper()
    if space or is_whole:
        if text not in _VERBS or (not line.isascii() and b"\0" in line):
            return False
        return True if is_whole else None
    return None if any(each.startswith(text) for each in _VERBS) else False


class FtpDissector:
    """The lines of one control connection, each side for itself."""

    __slots__ = ("_sides",)

    def __init__(self) -> None:
        self._sides = {side: Lines() for side in Side}

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        show = command if side is Side.CLIENT else _reply
        return [show(line) for line in self._sides[side].take(data)]

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        self._sides[side].lost()


def command(line: bytes) -> Shown:
    """A client's line, with its end."""
    verb, space, argument = line.rstrip(b"\r\n").partition(b" ")
    pdu: Pdu = {"p": "ftp"}
    code = whole_text(verb).upper()
    if verb:
        pdu["cmd"] = shown_text(verb)
    if space:
        pdu["arg"] = shown_text(argument.lstrip(b" "))
    meaning = MEANINGS.get(code)
    is_secret = code in _SECRET
    is_file = meaning is not None and meaning[1][0] in _FILES and argument
    operation = operation_of("ftp", meaning, code, *((("path", whole_text(argument)),) if is_file else ()))
    at = len(verb) + len(space)
    kept = line[:at] + b"*" * len(argument) + line[at + len(argument) :] if is_secret else None
    return Shown(pdu, asking(line, Side.CLIENT, operation, kept) if verb else None)


def _reply(line: bytes) -> Shown:
    text = line.rstrip(b"\r\n")
    found = _SHOWN_REPLY.fullmatch(text)
    pdu: Pdu = {"p": "ftp"}
    if found is None:
        if text:
            pdu["text"] = shown_text(text)
        return Shown(pdu)
    code = int(found[1])
    pdu |= {"status": code, "status_name": STATUS.get(code, "Unknown")}
    if found[2]:
        pdu["text"] = shown_text(found[2])
    return Shown(pdu)


FTP: Final = RecognisedProtocol(
    name="ftp",
    title="FTP",
    column="FTP",
    ports=("tcp/21",),
    fits=fits,
    dissectors={"tcp": FtpDissector},
)
