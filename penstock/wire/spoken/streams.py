"""Courses of protocols whose bytes go on as they come: TLS, SSH, SMB, VNC, Telnet.

Pure.  Where messages begin is walked over, without holding them; what is readable of them is read.  What a message asks
for is said before its last byte goes on.  RFC 5246 and RFC 8446 (records), RFC 4253 (banner 4.2, packets 6), MS-SMB2
(2.1), RFC 6143, RFC 854.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from penstock.model import Malformed
from penstock.wire.decoder import Frame, Side, WrongProtocol
from penstock.wire.protocol import Dissector, Shown
from penstock.wire.recognised import smb, ssh, tls
from penstock.wire.recognised.reading import UNTOLD
from penstock.wire.recognised.telnet import TelnetDissector
from penstock.wire.recognised.vnc import VncDissector
from penstock.wire.spoken.course import ENDLESS, Piece, Walker, tell

TLS_HEAD_BYTES: Final = 5
_APPLICATION_DATA: Final = 23
_SMB_HEAD_BYTES: Final = 8
#: Commands of a compound are read as far as they begin in so much of a message; names have at most 512 bytes mostly.
SMB_KEPT_BYTES: Final = 4096
_SSH_HEAD_BYTES: Final = 6
_NEW_KEYS: Final = 21
#: RFC 4253 section 4.2: lines in front of a server's banner; nobody sends more in earnest.
_MAX_BANNER_BYTES: Final = 8192
#: A clipboard that is larger than this ends what is read of a session, not the session.
VNC_HELD_BYTES: Final = 64 << 10


def asked_by(shown: Iterable[Shown]) -> tuple[Frame, ...]:
    """What the client asks for in these units."""
    return tuple(each.frame for each in shown if each.frame is not None)


class TelnetCourse:
    """A session in clear text.  Nothing in it tells that it is something else."""

    __slots__ = ("_dissector", "told")

    def __init__(self) -> None:
        self._dissector = TelnetDissector()
        self.told: dict[str, str] = {}

    def feed(self, side: Side, data: bytes) -> Iterable[Piece]:
        """See `Course.feed`."""
        return (Piece(data, asked_by(self._dissector.feed(side, data)) if side is Side.CLIENT else ()),)

    def pending(self, side: Side) -> int:  # noqa: ARG002 - nothing is held
        """See `Course.pending`."""
        return 0


class VncCourse:
    """From the versions on; updates of the screen are not read, nor what extensions say."""

    __slots__ = ("_dissector", "told")

    def __init__(self) -> None:
        self._dissector = VncDissector(VNC_HELD_BYTES)
        self.told: dict[str, str] = {}

    def feed(self, side: Side, data: bytes) -> Iterable[Piece]:
        """See `Course.feed`."""
        shown = self._dissector.feed(side, data)
        for each in shown:
            for key, name in (("client_ver", "client_version"), ("server_ver", "asset_version")):
                tell(self.told, name, each.pdu.get(key, ""))
            tell(self.told, "security", each.pdu.get("sec_chosen_name", ""))
        return (Piece(data, asked_by(shown)),)

    def pending(self, side: Side) -> int:  # noqa: ARG002 - nothing is held
        """See `Course.pending`."""
        return 0


class TlsCourse:
    """Records without end: read until both sides are encrypted, then walked over."""

    __slots__ = ("_dissector", "_is_read", "_walkers", "told")

    def __init__(self) -> None:
        self._dissector: Dissector = tls.TlsDissector()
        self._walkers = {side: tls_walker() for side in Side}
        self._is_read = dict.fromkeys(Side, True)
        self.told: dict[str, str] = {}

    def feed(self, side: Side, data: bytes) -> Iterable[Piece]:
        """See `Course.feed`."""
        self._walkers[side].walk(data)
        if not self._is_read[side]:
            return (Piece(data),)
        shown = self._dissector.feed(side, data)
        for each in shown:
            self._note(each, side)
        return (Piece(data, asked_by(shown)),)

    def pending(self, side: Side) -> int:  # noqa: ARG002 - nothing is held
        """See `Course.pending`."""
        return 0

    def _note(self, shown: Shown, side: Side) -> None:
        tell(self.told, "server_name", shown.pdu.get("sni", ""))
        if side is Side.ASSET and tls.SERVER_HELLO in shown.pdu.get("hs", ()):
            tell(self.told, "tls_version", shown.column)
        is_data = shown.frame is not None and shown.frame.data[0] == _APPLICATION_DATA
        if is_data or (side is Side.ASSET and not self._is_read[Side.CLIENT]):
            self._is_read[side] = False


def tls_walker() -> Walker:
    """Over the records of one side."""
    return Walker(tls_length, TLS_HEAD_BYTES)


def tls_length(stream: bytes, start: int) -> int:
    """How long a record is.  Raises `Malformed` also where it is longer than any."""
    length = tls.length_of(stream, start)
    if length > tls.MAX_RECORD_BYTES:
        raise Malformed("a record that is too long for any (RFC 5246 section 6.2.3)")
    return length


class SshCourse:
    """Banner, packets of the key exchange, and behind New Keys what nobody can tell."""

    __slots__ = ("_dissector", "_halves", "told")

    def __init__(self) -> None:
        self._dissector = ssh.SshDissector()
        self._halves = {side: _SshHalf() for side in Side}
        self.told: dict[str, str] = {}

    def feed(self, side: Side, data: bytes) -> Iterable[Piece]:
        """See `Course.feed`."""
        half = self._halves[side]
        half.walk(data)
        if half.is_quiet:
            return (Piece(data),)
        shown = self._dissector.feed(side, data)
        for each in shown:
            tell(self.told, f"{side.value}_banner", each.pdu.get("banner", ""))
        asked = asked_by(shown)
        is_told = side is Side.ASSET or any(each.operation.code == "encrypted" for each in asked)
        half.is_quiet = half.is_encrypted and is_told
        return (Piece(data, asked),)

    def pending(self, side: Side) -> int:  # noqa: ARG002 - nothing is held
        """See `Course.pending`."""
        return 0


class _SshHalf:
    """One side of a session: its banner, then packets up to New Keys."""

    __slots__ = ("_before", "_walker", "is_encrypted", "is_quiet")

    def __init__(self) -> None:
        self._before: bytes | None = b""
        self._walker = Walker(self._length_of, _SSH_HEAD_BYTES)
        self.is_encrypted = self.is_quiet = False

    def walk(self, data: bytes) -> None:
        """Go over `data`.  Raises `WrongProtocol`."""
        if self._before is not None:
            lines = self._before + data
            at = 0 if lines.startswith(b"SSH-") else lines.find(b"\nSSH-") + 1
            end = lines.find(b"\n", at) + 1 if lines.startswith(b"SSH-", at) else 0
            if not end:
                if len(lines) > _MAX_BANNER_BYTES:
                    raise WrongProtocol("no banner (RFC 4253 section 4.2)")
                self._before = lines
                return
            data, self._before = lines[end:], None
        self._walker.walk(data)

    def _length_of(self, stream: bytes, start: int) -> int:
        if self.is_encrypted:
            return ENDLESS
        length = ssh.length_of(stream, start)
        if length > ssh.MAX_PACKET_BYTES:
            raise Malformed("no packet of a key exchange (RFC 4253 section 6)")
        self.is_encrypted = length != UNTOLD and stream[start + 5] == _NEW_KEYS
        return length


class SmbCourse:
    """Messages behind session heads: the beginning of each is read, contents of files are walked over."""

    __slots__ = ("_walkers", "told")

    def __init__(self) -> None:
        self._walkers = {
            Side.CLIENT: Walker(_smb_length, _SMB_HEAD_BYTES, SMB_KEPT_BYTES),
            Side.ASSET: Walker(_smb_length, _SMB_HEAD_BYTES),
        }
        self.told: dict[str, str] = {}

    def feed(self, side: Side, data: bytes) -> Iterable[Piece]:
        """See `Course.feed`."""
        asked = [frame for each in self._walkers[side].walk(data) for frame in asked_by(smb.show(each, side))]
        return (Piece(data, tuple(asked)),)

    def pending(self, side: Side) -> int:  # noqa: ARG002 - nothing is held
        """See `Course.pending`."""
        return 0


def _smb_length(stream: bytes, start: int) -> int:
    length = smb.length_of(stream, start)
    if length > smb.MAX_MESSAGE_BYTES:
        raise Malformed("a message that is too long for any (MS-SMB2 2.1)")
    return length
