"""RDP: its connection request and negotiation, and the channels that a client opens.

Pure.  MS-RDPBCGR (connection request 2.2.1.1, confirm 2.2.1.2, MCS connect 2.2.1.3 and 2.2.1.4, channels 2.2.1.3.4) and
ITU-T T.125.  After the negotiation most connections go on in TLS, and are read as such.  Input and graphics are not
read.  It must never raise: of a message that ends too early the fields in front of the end are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from penstock.model import Malformed, Operation, Target
from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.ber import element_at, elements
from penstock.wire.recognised.reading import Pdu, RecognisedProtocol, asking, named, shown_text
from penstock.wire.recognised.tls import TLS, TlsDissector
from penstock.wire.tpkt import Tpdu, TransportUnit, carried
from penstock.wire.tpkt_dissector import TransportDissector, connection_fields

#: (channel, classes): the taxonomy; every session has graphics and input.
CODES: Final = (
    ("graphics and input", (Is.EXECUTE,)),
    ("cliprdr", (Is.FILE_READ, Is.FILE_WRITE)),
    ("rdpdr", (Is.FILE_READ, Is.FILE_WRITE)),
    ("drdynvc", (Is.VENDOR,)),
)
CHANNELS: Final = dict(CODES)
NEGOTIATIONS: Final = {
    1: "RDP Negotiation Request",
    2: "RDP Negotiation Response",
    3: "RDP Negotiation Failure",
    6: "RDP Correlation Info",
}
FAILURES: Final = {
    1: "TLS required by server",
    2: "TLS not allowed by server",
    3: "TLS certificate not on server",
    4: "Inconsistent flags",
    5: "Server requires Enhanced RDP Security with CredSSP",
    6: "Server requires Enhanced RDP Security with TLS and certificate-based client authentication",
}
BLOCKS: Final = {
    0xC001: "clientCoreData",
    0xC002: "clientSecurityData",
    0xC003: "clientNetworkData",
    0xC004: "clientClusterData",
    0xC005: "clientMonitorData",
    0xC006: "clientMsgChannelData",
    0xC008: "clientMonitorExData",
    0xC00A: "clientMultiTransportData",
    0x0C01: "serverCoreData",
    0x0C02: "serverSecurityData",
    0x0C03: "serverNetworkData",
    0x0C04: "serverMsgChannelData",
    0x0C08: "serverMultiTransportData",
}
_CONNECTS: Final = {101: "connect-initial", 102: "connect-response"}
_CONNECT_MARKS: Final = (b"\x7f\x65", b"\x7f\x66")
#: Where the variable part of a connection request begins, from the beginning of the packet.
_VARIABLE_AT: Final = 11
_COOKIE: Final = b"Cookie: "
_COOKIES: Final = (b"Cookie: mstshash=", b"Cookie: msts=")
_NEGOTIATION_BYTES: Final = 8
_REQUEST, _RESPONSE, _FAILURE = 1, 2, 3
_CONNECT_FIXED: Final = 7
#: T.124: the marks of the conference data of a client and of a server (H.221 keys).
_CLIENT_KEY, _SERVER_KEY = b"Duca", b"McDn"
_CORE, _NETWORK = 0xC001, 0xC003
_NAME_AT, _NAME_BYTES = 24, 32
_CHANNEL_BYTES: Final = 12
_MAX_CHANNELS: Final = 31


def fits(data: bytes, side: Side) -> bool | None:
    """See `Known.fits`: a cookie or a negotiation in the connection request or confirm, or the connect of MCS."""
    if not b"\x03\0".startswith(data[:2]):
        return False
    if len(data) > 5 and data[5] in {Tpdu.CONNECT_REQUEST, Tpdu.CONNECT_CONFIRM}:  # noqa: PLR2004 - the unit's code
        return _fits_connection(data, side)
    try:
        payload = carried(data)
    except Malformed:
        return False
    if payload is None or len(payload) < 2:  # noqa: PLR2004 - a mark
        return None if payload in {None, b"\x7f"} else False
    return payload.startswith(_CONNECT_MARKS)


def _fits_connection(data: bytes, side: Side) -> bool | None:
    is_client = side is Side.CLIENT
    if data[5] != (Tpdu.CONNECT_REQUEST if is_client else Tpdu.CONNECT_CONFIRM):
        return False
    end = min(4 + 1 + data[4], data[2] << 8 | data[3])
    found = data[_VARIABLE_AT:end]
    if is_client and any(found[: len(each)] == each[: len(found)] for each in _COOKIES) and found:
        return True if len(found) > len(_COOKIE) else None
    if len(found) < _NEGOTIATION_BYTES:
        is_short = len(data) < end or end == _VARIABLE_AT
        return None if is_short and _may_negotiate(found, is_client=is_client) else False
    return _may_negotiate(found, is_client=is_client)


def _may_negotiate(found: bytes, *, is_client: bool) -> bool:
    """Type, flags and the length 8, as far as they are there."""
    kinds = {_REQUEST} if is_client else {_RESPONSE, _FAILURE}
    return (not found or found[0] in kinds) and b"\x08\0".startswith(found[2:4])


class RdpDissector(TransportDissector):
    """One connection, up to where it goes on in TLS, and from there on."""

    __slots__ = ("_tls",)

    def __init__(self) -> None:
        super().__init__()
        self._tls: TlsDissector | None = None

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        if self._tls is None and data and not self._held[side] and data[0] != 3 and TLS.fits(data, side) is not False:  # noqa: PLR2004
            self._tls = TlsDissector()
        return super().feed(side, data) if self._tls is None else self._tls.feed(side, data)

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        super().lost(side)
        if self._tls is not None:
            self._tls.lost(side)

    def connection(self, side: Side, unit: TransportUnit) -> Sequence[Shown]:
        """The transport's own unit, and what RDP has put into it."""
        shown = Shown(connection_fields(unit), column="")
        if unit.kind not in {Tpdu.CONNECT_REQUEST, Tpdu.CONNECT_CONFIRM}:
            return (shown,)
        pdu: Pdu = {"p": "rdp"}
        _variable(pdu, unit.payload[_CONNECT_FIXED:])
        asked = asking(unit.data, side, _request(pdu)) if unit.kind is Tpdu.CONNECT_REQUEST else None
        return (shown, Shown(pdu, asked)) if len(pdu) > 1 else (shown,)

    def message(self, side: Side, unit: TransportUnit) -> Sequence[Shown]:
        """A message of MCS: of the two that connect, what they hold."""
        if not unit.payload.startswith(_CONNECT_MARKS):
            return ()
        pdu: Pdu = {"p": "t125"}
        rdp: Pdu = {"p": "rdp"}
        try:
            element = element_at(unit.payload, 0)[0]
            named(pdu, "connect", element.tag, _CONNECTS)
            for part in elements(element.content)[-1:]:  # the user data comes last
                _conference(rdp, part.content)
        except Malformed:
            return (Shown(pdu, is_malformed=True),)
        asked = asking(unit.data, side, _session(rdp)) if unit.payload[1] == 0x65 else None  # noqa: PLR2004
        return (Shown(pdu), Shown(rdp, asked))


def _variable(pdu: Pdu, data: bytes) -> None:
    """The cookie, and behind it the negotiation."""
    if data.startswith(_COOKIE):
        end = data.find(b"\r\n") + 2
        if end < 2:  # noqa: PLR2004 - no end
            return
        pdu["cookie"] = shown_text(data[: end - 2])
        data = data[end:]
    if len(data) < _NEGOTIATION_BYTES or data[0] not in NEGOTIATIONS:
        return
    named(pdu, "neg", data[0], NEGOTIATIONS)
    value = int.from_bytes(data[4:8], "little")
    if data[0] == _REQUEST:
        pdu["requested"] = value
    elif data[0] == _RESPONSE:
        pdu["selected"] = value
    elif data[0] == _FAILURE:
        named(pdu, "failure", value, FAILURES)


def _conference(pdu: Pdu, data: bytes) -> None:
    """The blocks behind the conference's key (2.2.1.3, 2.2.1.4): kind, length, content, little endian."""
    at = max(data.find(_CLIENT_KEY), data.find(_SERVER_KEY))
    if at < 0 or at + 5 > len(data):
        return
    at += 4
    at += 2 if data[at] & 0x80 else 1  # the length in PER (X.691 10.9)
    while at + 4 <= len(data):
        kind, size = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 2 : at + 4], "little")
        if size < 4 or at + size > len(data):  # noqa: PLR2004 - its own head
            return
        pdu.setdefault("headers", []).append(kind)
        pdu.setdefault("headers_name", []).append(BLOCKS.get(kind, "Unknown"))
        _block(pdu, kind, data[at : at + size])
        at += size


def _block(pdu: Pdu, kind: int, block: bytes) -> None:
    if kind == _CORE and len(block) >= _NAME_AT + _NAME_BYTES:
        name = block[_NAME_AT : _NAME_AT + _NAME_BYTES].decode("utf-16-le", "replace")
        pdu["client"] = name.partition("\0")[0]
    elif kind == _NETWORK:
        count = min(int.from_bytes(block[4:8], "little"), (len(block) - 8) // _CHANNEL_BYTES, _MAX_CHANNELS)
        names = [block[8 + _CHANNEL_BYTES * each :][:8] for each in range(count)]
        pdu["channels"] = [shown_text(name) for name in names]


def _request(pdu: Pdu) -> Operation:
    cookie = str(pdu.get("cookie", "")).partition("=")[2].strip()
    targets = (Target(Is.SESSION, "user", name=cookie),) if cookie else ()
    return Operation("rdp", (Is.SESSION,), "connect", "connection request", None, targets)


def _session(pdu: Pdu) -> Operation:
    """What the channels of a session allow, with graphics and input, which every one has."""
    targets = tuple(_opened(pdu.get("channels", ())))
    classes = tuple(dict.fromkeys(target.operation_class for target in targets))
    return Operation("rdp", classes, "channels", "graphics, input and channels", None, targets)


def _opened(channels: Sequence[str]) -> Iterator[Target]:
    for name in ("graphics and input", *channels):
        for meant in CHANNELS.get(name, ()):
            yield Target(meant, "channel", name=name)


RDP: Final = RecognisedProtocol(
    name="rdp",
    title="RDP",
    column="RDP",
    ports=("tcp/3389",),
    fits=fits,
    dissectors={"tcp": RdpDissector},
)
