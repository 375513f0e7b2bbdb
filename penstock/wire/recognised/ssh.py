"""SSH: its banners and key exchange; behind them everything is encrypted.

Pure.  RFC 4253 (banner 4.2, packets 6, messages 12), RFC 4419 and RFC 5656 (key exchange).  What an encrypted session
asks for cannot be seen, so its first packet counts as everything that a session may ask for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from penstock.model import Malformed
from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.reading import (
    UNTOLD,
    Lines,
    Messages,
    Pdu,
    RecognisedFrame,
    RecognisedProtocol,
    asking,
    operation_of,
    shown_text,
)

_BANNER: Final = re.compile(rb"SSH-(?:2\.0|1\.99)-[\x21-\x7e]")
_MARK: Final = b"SSH-"
#: RFC 4253 section 4.2: a banner has at most 255 bytes.
_MAX_BANNER_BYTES: Final = 255
_MAX_LINES: Final = 50
#: RFC 4253 section 6.1: what everybody must take; packets of a key exchange are smaller.
MAX_PACKET_BYTES: Final = 35_000 + 4
_MIN_LENGTH: Final = 12
_MIN_PADDING: Final = 4
_KEXINIT, _NEWKEYS = 20, 21
_MAX_PLAIN: Final = 49
MESSAGES: Final = {
    1: "Disconnect",
    2: "Ignore",
    3: "Unimplemented",
    4: "Debug",
    5: "Service Request",
    6: "Service Accept",
    20: "Key Exchange Init",
    21: "New Keys",
}
_CLASSIC: Final = {30: "Diffie-Hellman Key Exchange Init", 31: "Diffie-Hellman Key Exchange Reply"}
_ELLIPTIC: Final = {
    30: "Elliptic Curve Diffie-Hellman Key Exchange Init",
    31: "Elliptic Curve Diffie-Hellman Key Exchange Reply",
}
_GROUP: Final = {
    30: "Diffie-Hellman Group Exchange Request (Old)",
    31: "Diffie-Hellman Group Exchange Group",
    32: "Diffie-Hellman Group Exchange Init",
    33: "Diffie-Hellman Group Exchange Reply",
    34: "Diffie-Hellman Group Exchange Request",
}
_COOKIE_END: Final = 22
_SESSION: Final = (Is.SESSION,)
#: The taxonomy's classes of everything that an encrypted session may hold: shell and commands, sftp, tunnels.
_ANY: Final = ("encrypted session", (Is.EXECUTE, Is.FILE_READ, Is.FILE_WRITE, Is.VENDOR))
#: (channel or request, classes): the taxonomy, for whoever terminates SSH.
CODES: Final = (
    ("session/shell", (Is.EXECUTE,)),
    ("session/exec", (Is.EXECUTE,)),
    ("session/subsystem sftp", (Is.FILE_READ, Is.FILE_WRITE)),
    ("direct-tcpip", (Is.VENDOR,)),
    ("forwarded-tcpip", (Is.VENDOR,)),
    ("x11-req", (Is.VENDOR,)),
    ("auth-agent-req", (Is.VENDOR,)),
)


def fits(data: bytes, side: Side) -> bool | None:
    """See `Known.fits`: a banner.

    Lines in front of a server's banner (RFC 4253 section 4.2) are seen through only when it comes together with them.
    """
    if data.startswith(_MARK) or _MARK.startswith(data):
        if _BANNER.match(data):
            return True
        return None if len(data) < len(b"SSH-1.99-x") and b"\n" not in data and _may_be_banner(data) else False
    return bool(side is Side.ASSET and re.search(rb"\nSSH-(?:2\.0|1\.99)-[\x21-\x7e]", data))


def _may_be_banner(data: bytes) -> bool:
    return any(each.startswith(data) for each in (b"SSH-2.0-", b"SSH-1.99-"))


def length_of(stream: bytes, start: int) -> int:
    """How long the packet at `start` is, before New Keys; `UNTOLD` while too few bytes tell.  Raises `Malformed`."""
    if len(stream) - start < 6:  # noqa: PLR2004 - length, padding, message
        return UNTOLD
    length = int.from_bytes(stream[start : start + 4], "big")
    padding, code = stream[start + 4], stream[start + 5]
    if length < _MIN_LENGTH or not _MIN_PADDING <= padding < length - 1 or not 1 <= code <= _MAX_PLAIN:
        raise Malformed("no packet of a key exchange (RFC 4253 section 6)")
    return 4 + length


class _Half:
    """One side: lines up to its banner, then packets, then what is encrypted."""

    __slots__ = ("algorithms", "lines", "packets", "seen", "state")

    def __init__(self) -> None:
        self.lines = Lines()
        self.packets = Messages(length_of, MAX_PACKET_BYTES)
        self.state = "banner"
        self.seen = 0
        self.algorithms: list[bytes] = []


class SshDissector:
    """One connection.  What one packet completes is shown together."""

    __slots__ = ("_halves",)

    def __init__(self) -> None:
        self._halves = {side: _Half() for side in Side}

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        half = self._halves[side]
        found: list[Shown] = []
        if half.state == "banner":
            data = self._banner(half, side, data, found)
        if data and half.state == "packets":
            found += self._packets(half, side, data)
        elif data and half.state in {"first", "encrypted"}:
            found.append(Shown({"p": "ssh"}, _encrypted(half, side, data)))
        return found

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        half = self._halves[side]
        half.lines.lost()
        half.packets.lost()
        if half.state == "packets":
            half.state = "first"

    def _banner(self, half: _Half, side: Side, data: bytes, found: list[Shown]) -> bytes:
        """Takes lines up to the banner; gives what stands behind it."""
        while data and half.state == "banner":
            end = data.find(b"\n") + 1
            line, data = (data[:end], data[end:]) if end else (data, b"")
            for whole in half.lines.take(line):
                half.seen += 1
                if _BANNER.match(whole) and len(whole) <= _MAX_BANNER_BYTES:
                    half.state = "packets"
                    found.append(_shown_banner(whole, side))
                elif side is Side.CLIENT or half.seen > _MAX_LINES:
                    half.state = "nothing"
        return data

    def _packets(self, half: _Half, side: Side, data: bytes) -> list[Shown]:
        codes: list[int] = []
        sent = b""
        encrypted = b""
        for packet in half.packets.take(data):
            if half.state != "packets":  # behind New Keys these are no packets that can be told
                encrypted += packet
                continue
            codes.append(packet[5])
            sent += packet
            if packet[5] == _KEXINIT:
                size = int.from_bytes(packet[_COOKIE_END : _COOKIE_END + 4], "big")
                half.algorithms = packet[_COOKIE_END + 4 : _COOKIE_END + 4 + size].split(b",")
            elif packet[5] == _NEWKEYS:
                half.state = "first"
        if half.state != "packets":
            half.packets.lost()
        if not codes:
            return []
        names = self._names()
        pdu: Pdu = {"p": "ssh", "msg": codes, "msg_name": [names.get(code, "Unknown") for code in codes]}
        asked = None
        if side is Side.CLIENT:
            asked = asking(sent, side, operation_of("ssh", ("key exchange", _SESSION), "/".join(map(str, codes))))
        return [Shown(pdu, asked)]

    def _names(self) -> Mapping[int, str]:
        """The names of the numbers 30 to 49 depend on the method: the client's first one that the server has too."""
        server = self._halves[Side.ASSET].algorithms
        method = next((each for each in self._halves[Side.CLIENT].algorithms if each in server), b"")
        if method.startswith(b"diffie-hellman-group-exchange"):
            return MESSAGES | _GROUP
        return MESSAGES | (_ELLIPTIC if method.startswith((b"ecdh-", b"curve", b"sntrup")) else _CLASSIC)


def _shown_banner(line: bytes, side: Side) -> Shown:
    banner = shown_text(line.rstrip(b"\r\n"))
    operation = operation_of("ssh", ("banner", _SESSION), "-".join(banner.split("-")[:2]), ("software", banner))
    return Shown({"p": "ssh", "banner": banner}, asking(line, side, operation) if side is Side.CLIENT else None, "SSH")


def _encrypted(half: _Half, side: Side, data: bytes) -> RecognisedFrame | None:
    if side is not Side.CLIENT or half.state != "first":
        return None
    half.state = "encrypted"
    return asking(data, side, operation_of("ssh", _ANY, "encrypted"))


SSH: Final = RecognisedProtocol(
    name="ssh",
    title="SSH",
    column="SSHv2",
    ports=("tcp/22",),
    fits=fits,
    dissectors={"tcp": SshDissector},
)
