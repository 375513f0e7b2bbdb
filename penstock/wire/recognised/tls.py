"""TLS: its records, its handshake as far as it is readable, and the name that a client asks for.

Pure.  RFC 5246 (records 6.2.1, handshake 7.4), RFC 8446 (records 5.1, supported versions 4.2.1), RFC 6066 (server name
3).  What is encrypted stays unseen: from then on a client's data may ask for anything, so it is `unknown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.model import Malformed
from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.reading import (
    UNTOLD,
    Messages,
    Pdu,
    RecognisedFrame,
    RecognisedProtocol,
    asking,
    operation_of,
    shown_text,
)

_CHANGE, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
RECORDS: Final = {20: "Change Cipher Spec", 21: "Alert", 22: "Handshake", 23: "Application Data", 24: "Heartbeat"}
_CLIENT_HELLO, SERVER_HELLO = 1, 2
HANDSHAKES: Final = {
    0: "Hello Request",
    1: "Client Hello",
    2: "Server Hello",
    3: "Hello Verify Request",
    4: "New Session Ticket",
    5: "End of Early Data",
    6: "Hello Retry Request",
    8: "Encrypted Extensions",
    11: "Certificate",
    12: "Server Key Exchange",
    13: "Certificate Request",
    14: "Server Hello Done",
    15: "Certificate Verify",
    16: "Client Key Exchange",
    20: "Finished",
    21: "Certificate URL",
    22: "Certificate Status",
    23: "Supplemental Data",
    24: "Key Update",
    25: "Compressed Certificate",
}
_HEAD_BYTES: Final = 5
#: RFC 5246 section 6.2.3: 2^14 bytes and what encryption adds.
MAX_RECORD_BYTES: Final = _HEAD_BYTES + (1 << 14) + 2048
#: What is put together of one handshake message; a larger one is named and passed over.
MAX_HANDSHAKE_BYTES: Final = 32 << 10
_MAJOR: Final = 3
_MAX_MINOR: Final = 4
_TLS_1_3: Final = 0x0304
_SERVER_NAME, _SUPPORTED_VERSIONS = 0, 43
VERSIONS: Final = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
#: What Wireshark's protocol column says of each, and an error that it finds.
_COLUMNS: Final = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
_EMPTY: Final = "Zero-length Handshake fragments are not allowed"
_CLIENT_HELLO_NAME: Final = ("Client Hello", (Is.SESSION,))


def fits(data: bytes, side: Side) -> bool | None:
    """See `Known.fits`: a record of a kind and version that there are, with the first message of its side in it.

    In mid-stream, records that follow each other, or one whole one.
    """
    if not _may_be_head(data[:_HEAD_BYTES]):
        return False
    length = int.from_bytes(data[3:_HEAD_BYTES], "big")
    if len(data) < _HEAD_BYTES or not length:  # an empty record says nothing, and nothing of what follows it
        return None
    following = data[_HEAD_BYTES + length :]
    if len(following) >= _HEAD_BYTES:
        return _may_be_head(following[:_HEAD_BYTES])
    return fits(following, side) if following else _is_first(data, length)


def _is_first(data: bytes, length: int) -> bool | None:
    """Whether one record, or the beginning of one, says enough."""
    if data[0] == _HANDSHAKE and len(data) >= _HEAD_BYTES + 4:
        kind, size = data[_HEAD_BYTES], int.from_bytes(data[6:9], "big")
        if kind in HANDSHAKES and size + 4 <= MAX_HANDSHAKE_BYTES:
            return True
    return True if len(data) == _HEAD_BYTES + length else None


def _may_be_head(head: bytes) -> bool:
    """The head of a record as far as it is there: a kind and version that there are, a length that the kind can have.

    RFC 5246 sections 7.1 and 7.2: a change of cipher has one byte, an alert two when it is not encrypted.
    """
    if head[0] not in RECORDS or head[1:2] not in {b"", b"\x03"} or any(minor > _MAX_MINOR for minor in head[2:3]):
        return False
    if len(head) < _HEAD_BYTES:
        return True
    length = head[3] << 8 | head[4]
    return length in {0, 1} if head[0] == _CHANGE else length != 1 and length <= MAX_RECORD_BYTES - _HEAD_BYTES


def length_of(stream: bytes, start: int) -> int:
    """How long the record at `start` is, `UNTOLD` while too few bytes tell.  Raises `Malformed`."""
    if stream[start] not in RECORDS or (len(stream) > start + 1 and stream[start + 1] != _MAJOR):
        raise Malformed("no record of TLS (RFC 5246 section 6.2.1)")
    if len(stream) - start < _HEAD_BYTES:
        return UNTOLD
    return _HEAD_BYTES + (stream[start + 3] << 8 | stream[start + 4])


class _Half:
    """One side: records, the handshake message that is being put together, and whether it is encrypted already."""

    __slots__ = ("encrypted", "handshake", "has_asked", "records", "skip")

    def __init__(self) -> None:
        self.records = Messages(length_of, MAX_RECORD_BYTES)
        self.handshake = bytearray()
        self.skip = 0
        self.encrypted = False
        self.has_asked = False


class TlsDissector:
    """One connection.  The records of one packet are shown together, but one that came in parts for itself."""

    __slots__ = ("_halves", "_version")

    def __init__(self) -> None:
        self._halves = {side: _Half() for side in Side}
        self._version = 0
        """What the server has chosen, 0 before."""

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        half = self._halves[side]
        was_held = len(half.records) > 0
        records = half.records.take(data)
        groups = [records[:1], records[1:]] if was_held else [records]
        return [self._show(half, group, side) for group in groups if group]

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        half = self._halves[side]
        half.records.lost()
        half.handshake.clear()
        half.skip = 0

    def _show(self, half: _Half, records: list[bytes], side: Side) -> Shown:
        pdu: Pdu = {"p": "tls"}
        asked: RecognisedFrame | None = None
        for record in records:
            kind = record[0]
            if not (self._version == _TLS_1_3 and kind == _DATA):
                pdu.setdefault("rec", []).append(kind)
                pdu.setdefault("rec_name", []).append(RECORDS[kind])
            pdu.setdefault("ver", []).append(record[1] << 8 | record[2])
            if kind == _HANDSHAKE and not half.encrypted:
                asked = self._handshake(half, pdu, record, side) or asked
            elif kind == _CHANGE:
                half.encrypted = self._version != _TLS_1_3
            elif kind == _DATA and side is Side.CLIENT and not half.has_asked:
                half.has_asked = True
                asked = asking(record, side, operation_of("tls", ("encrypted data", (Is.UNKNOWN,)), "23"))
        errors = (_EMPTY,) if any(record[0] == _HANDSHAKE and len(record) == _HEAD_BYTES for record in records) else ()
        return Shown(pdu, asked, _COLUMNS.get(self._version or pdu["ver"][0], ""), errors=errors)

    def _handshake(self, half: _Half, pdu: Pdu, record: bytes, side: Side) -> RecognisedFrame | None:
        """The messages that a record completes (they may span records)."""
        data = record[_HEAD_BYTES:]
        step = min(half.skip, len(data))
        half.skip -= step
        half.handshake += data[step:]
        asked: RecognisedFrame | None = None
        while len(half.handshake) >= 4:  # noqa: PLR2004 - kind and length
            size = 4 + int.from_bytes(half.handshake[1:4], "big")
            kind = half.handshake[0]
            if size > MAX_HANDSHAKE_BYTES:
                half.skip = size - len(half.handshake)
                half.handshake.clear()
            elif size > len(half.handshake):
                break
            pdu.setdefault("hs", []).append(kind)
            pdu.setdefault("hs_name", []).append(HANDSHAKES.get(kind, "Unknown"))
            message = bytes(half.handshake[4:size])
            del half.handshake[:size]
            if kind == _CLIENT_HELLO and side is Side.CLIENT:
                asked = _client_hello(pdu, record, message)
            elif kind == SERVER_HELLO:
                chosen = _extensions(message, False).get(_SUPPORTED_VERSIONS) or message[:2]
                self._version = _number(chosen, 0, 2)
        return asked


def _extensions(hello: bytes, is_clients: bool) -> dict[int, bytes]:  # noqa: FBT001 - two layouts of one message
    """The extensions of a hello (RFC 8446 sections 4.1.2 and 4.1.3); what ends too early has none behind the end."""
    at = 34
    at += 1 + _number(hello, at, 1)
    if is_clients:
        at += 2 + _number(hello, at, 2)
        at += 1 + _number(hello, at, 1)
    else:
        at += 3
    end = min(at + 2 + _number(hello, at, 2), len(hello))
    at += 2
    found: dict[int, bytes] = {}
    while at + 4 <= end:
        size = _number(hello, at + 2, 2)
        found[_number(hello, at, 2)] = hello[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _client_hello(pdu: Pdu, record: bytes, message: bytes) -> RecognisedFrame:
    extensions = _extensions(message, True)
    versions = extensions.get(_SUPPORTED_VERSIONS, b"")[1:]
    offered = [_number(versions, at, 2) for at in range(0, len(versions) - 1, 2)] or [_number(message, 0, 2)]
    best = max((each for each in offered if each in VERSIONS), default=0)
    entry = extensions.get(_SERVER_NAME, b"")
    name = shown_text(entry[5 : 5 + _number(entry, 3, 2)]) if entry[2:3] == b"\0" else ""
    targets = [("version", VERSIONS.get(best, "unknown"))]
    if name:
        pdu["sni"] = name
        targets.insert(0, ("server", name))
    return asking(record, Side.CLIENT, operation_of("tls", _CLIENT_HELLO_NAME, "1", *targets))


TLS: Final = RecognisedProtocol(
    name="tls",
    title="TLS",
    column="TLS",
    ports=("tcp/443",),
    fits=fits,
    dissectors={"tcp": TlsDissector},
)
