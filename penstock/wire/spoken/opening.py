"""How a flow begins that is seen from its first byte on: stricter than `Known.fits`, which knows the middle as well.

Pure.  ISO 8073 (13.3, 13.4), X.225 section 8.3, RFC 8446 section 4.1, MS-SMB2 section 3.2.4.2.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed
from penstock.wire.decoder import Side
from penstock.wire.recognised import http, mms, smb, tls
from penstock.wire.tpkt import HEAD_BYTES, Tpdu, TransportReader, carried

_RECORD_HEAD_BYTES: Final = 5
_ALERT, _HANDSHAKE = 21, 22
_HELLOS: Final = {Side.CLIENT: 1, Side.ASSET: 2}
#: A session unit of an asset that does not take the association: refuse, abort.
_REFUSALS: Final = frozenset({0x0C, 0x19})
#: RFC 1002 4.3.1: the session request, and what answers it.
_SESSION: Final = {Side.CLIENT: frozenset({0x81}), Side.ASSET: frozenset({0x82, 0x83, 0x84})}
_NEGOTIATE_1: Final = b"\xffSMB\x72"
_MARK_2: Final = b"\xfeSMB"
_COMMAND_AT: Final = 12
_PASSING: Final = {
    Side.CLIENT: frozenset({Tpdu.CONNECT_REQUEST}),
    Side.ASSET: frozenset({Tpdu.CONNECT_CONFIRM, Tpdu.DISCONNECT_REQUEST, Tpdu.ERROR}),
}


def nothing(data: bytes, side: Side) -> int:  # noqa: ARG001 - the form of a prelude
    """No byte goes on before it is known what it begins."""
    return 0


def transport_connect(data: bytes, side: Side) -> int:
    """The first packet of a side where it is the connect of COTP, or what declines it: it asks for nothing."""
    length = data[2] << 8 | data[3] if len(data) > HEAD_BYTES else 0
    if not 0 < length <= len(data):
        return 0
    try:
        units = TransportReader(length).feed(data[:length])
    except Malformed:
        return 0
    return length if units and units[0].kind in _PASSING[side] else 0


def opens_mms(data: bytes, side: Side) -> bool | None:
    """An association that names MMS, and what answers it."""
    try:
        payload = carried(data)
    except Malformed:
        return False
    if payload is None:
        return None
    if side is Side.ASSET and payload[0] in _REFUSALS:
        return True
    if payload[0] != (mms.CONNECT if side is Side.CLIENT else mms.ACCEPT):
        return False
    return mms.fits(data, side)


def opens_tls(data: bytes, side: Side) -> bool | None:
    """The hello of this side; a server may say by an alert that it does not like the client's."""
    found = tls.fits(data, side)
    if found is False or data[0] not in {_HANDSHAKE, _ALERT} or (data[0] == _ALERT and side is Side.CLIENT):
        return False
    if len(data) <= _RECORD_HEAD_BYTES:
        return None
    return False if data[0] == _HANDSHAKE and data[_RECORD_HEAD_BYTES] != _HELLOS[side] else found


def opens_http(data: bytes, side: Side) -> bool | None:
    """A message of HTTP/1: the fields of HTTP/2 are compressed, so nobody could say what was asked for."""
    found = http.fits(data, side)
    is_2 = data.startswith(http.PREFACE) if side is Side.CLIENT else data[:1] == b"\0"
    return False if is_2 else found


def opens_smb(data: bytes, side: Side) -> bool | None:
    """The session request of NetBIOS, or a negotiation."""
    if data[0] in _SESSION[side]:
        return smb.fits(data, side)
    found = smb.fits(data, side)
    message = data[HEAD_BYTES:]
    if data[0] or not found:
        return False if data[0] else found
    if message.startswith(_NEGOTIATE_1):
        return True
    if not message.startswith(_MARK_2):
        return None if _NEGOTIATE_1.startswith(message[: len(_NEGOTIATE_1)]) else False
    if len(message) < _COMMAND_AT + 2:
        return None
    return not any(message[_COMMAND_AT : _COMMAND_AT + 2])
