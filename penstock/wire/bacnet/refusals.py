"""How a BACnet request is refused: what the client's own software shows as an error of the device.

Pure.  ANSI/ASHRAE 135-2020, clause 18 (errors, rejects, aborts), 20.1.7 to 20.1.9, J.2.1 (BVLC results) and 6.4.4.  A
refusal has the invoke id of its request and comes from the device that the request was for.  What nobody answers (an
unconfirmed request, a discovery of networks, whatever is for more than one device) is dropped.
"""

from __future__ import annotations

from typing import Any, Final

from penstock.model import Malformed, Reason
from penstock.wire.bacnet import codes
from penstock.wire.bacnet import services as s
from penstock.wire.bacnet.frames import BacnetFrame, Kind
from penstock.wire.bacnet.functions import REFUSED
from penstock.wire.bacnet.grammar import INNER, Found
from penstock.wire.bacnet.network import Envelope, bvll, envelope, reply_to
from penstock.wire.bacnet.requests import read_confirmed
from penstock.wire.bacnet.tags import INSTANCE_BITS

_ERROR, _REJECT, _ABORT_BY_SERVER = 0x50, 0x60, 0x71
#: Clause 18.9: nothing closer fits; 18.10: a buffer is full, an APDU does not fit to those before it.
_REJECT_OTHER: Final = 0
_REJECT_SERVICE: Final = 9
_ABORT_BUFFER: Final = 1
_ABORT_STATE: Final = 2
#: Clause 18: error class and code.
_DEVICE_BUSY: Final = (0, 3)
_OPERATIONAL_PROBLEM: Final = (0, 25)
_VALUE_OUT_OF_RANGE: Final = (2, 37)
_READ_DENIED: Final = (2, 27)
_WRITE_DENIED: Final = (2, 40)
_FILE_DENIED: Final = (5, 5)
_CREATION_DENIED: Final = (1, 4)
_DELETION_DENIED: Final = (1, 23)
_SERVICE_DENIED: Final = (5, 29)
#: By reason, whatever was asked; "busy" invites a client to ask again later, nothing else does.
BY_REASON: Final = {
    Reason.VALUE_OUT_OF_RANGE: _VALUE_OUT_OF_RANGE,
    Reason.RATE_EXCEEDED: _DEVICE_BUSY,
    Reason.TOO_MANY_IN_FLIGHT: _DEVICE_BUSY,
    Reason.EVIDENCE_UNAVAILABLE: _DEVICE_BUSY,
    Reason.HOLD_TIMED_OUT: _DEVICE_BUSY,
    Reason.INSPECTION_UNAVAILABLE: _OPERATIONAL_PROBLEM,
}
#: By service; what is not here is "service request denied".
BY_SERVICE: Final = {
    5: _READ_DENIED,
    codes.ATOMIC_READ_FILE: _FILE_DENIED,
    codes.ATOMIC_WRITE_FILE: _FILE_DENIED,
    codes.ADD_LIST_ELEMENT: _WRITE_DENIED,
    codes.REMOVE_LIST_ELEMENT: _WRITE_DENIED,
    codes.CREATE_OBJECT: _CREATION_DENIED,
    codes.DELETE_OBJECT: _DELETION_DENIED,
    codes.READ_PROPERTY: _READ_DENIED,
    codes.READ_PROPERTY_MULTIPLE: _READ_DENIED,
    codes.WRITE_PROPERTY: _WRITE_DENIED,
    codes.WRITE_PROPERTY_MULTIPLE: _WRITE_DENIED,
    codes.READ_RANGE: _READ_DENIED,
    28: _READ_DENIED,
    codes.SUBSCRIBE_COV_PROPERTY_MULTIPLE: _READ_DENIED,
}
_NAKS: Final = {function: code for code, function in REFUSED.items()}
#: 6.4.4: the reason "other error" of a network message that is refused.
_REJECT_NETWORK: Final = bytes((codes.REJECT_MESSAGE, 0))
#: 20.2.1: opening and closing of groups 0 and 1.
_OPEN_0, _CLOSE_0, _OPEN_1, _CLOSE_1 = b"\x0e", b"\x0f", b"\x1e", b"\x1f"


def refusal(frame: BacnetFrame, reason: Reason) -> bytes:
    """The datagram that refuses `frame`, empty where nobody answers such a message."""
    sealed = envelope(frame.data)
    match frame.kind:
        case Kind.CONFIRMED | Kind.BROKEN if not sealed.from_client.is_shared:
            return reply_to(sealed, _apdu(frame, sealed, reason))
        case Kind.FUNCTION:
            code = _NAKS.get(sealed.function)
            return b"" if code is None else bvll(codes.BVLC_RESULT, code.to_bytes(2, "big"))
        case Kind.MESSAGE if sealed.message in {codes.INITIALIZE, codes.ESTABLISH, codes.DISCONNECT}:
            network = b"\0\0" if sealed.message == codes.INITIALIZE else frame.data[sealed.at : sealed.at + 2]
            return reply_to(sealed, _REJECT_NETWORK + network.rjust(2, b"\0"), is_message=True)
        case _:
            return b""


def _apdu(frame: BacnetFrame, sealed: Envelope, reason: Reason) -> bytes:
    invoke = frame.data[sealed.at + 2]
    if frame.kind is Kind.BROKEN:
        is_full = b"no room" in frame.what
        return bytes((_ABORT_BY_SERVER, invoke, _ABORT_BUFFER if is_full else _ABORT_STATE))
    service = frame.what[frame.at]
    if service not in codes.CONFIRMED:
        return bytes((_REJECT, invoke, _REJECT_SERVICE))
    try:
        found = read_confirmed(service, frame.what, frame.at + 1, len(frame.what))
    except Malformed:
        return bytes((_REJECT, invoke, _REJECT_OTHER))
    if reason is Reason.MALFORMED:
        return bytes((_REJECT, invoke, _REJECT_OTHER))
    number = BY_REASON.get(reason) or BY_SERVICE.get(service, _SERVICE_DENIED)
    return bytes((_ERROR, invoke, service)) + _error(service, number, found)


def _error(service: int, number: tuple[int, int], found: Found) -> bytes:
    """Error class and code, with what the errors of some services have beside them (clause 21, BACnet-Error)."""
    plain = bytes((0x91, number[0], 0x91, number[1]))
    grouped = _OPEN_0 + plain + _CLOSE_0
    match service:
        case codes.ADD_LIST_ELEMENT | codes.REMOVE_LIST_ELEMENT | codes.CREATE_OBJECT:
            return grouped + _unsigned(1, 0)
        case codes.WRITE_PROPERTY_MULTIPLE:
            return grouped + _OPEN_1 + _first_write(found) + _CLOSE_1
        case codes.PRIVATE_TRANSFER:
            vendor, wanted = (value for label, value in found if label == s.CODE)
            return grouped + _unsigned(1, vendor) + _unsigned(2, wanted)
        case codes.VT_CLOSE | codes.SUBSCRIBE_COV_PROPERTY_MULTIPLE:
            return grouped
        case _:
            return plain


def _first_write(found: Found) -> bytes:
    """The first property of the request: nothing was written, not even that."""
    first: dict[str, Any] = {}
    for label, value in found:
        if label in {s.VALUES, INNER}:
            break
        first[label] = value
    kind: int = first[s.THING][0]
    instance: int = first[s.THING][1]
    written = b"\x0c" + (kind << INSTANCE_BITS | instance).to_bytes(4, "big") + _unsigned(1, first[s.PROPERTY])
    return written + (_unsigned(2, first[s.INDEX]) if s.INDEX in first else b"")


def _unsigned(context: int, number: int) -> bytes:
    """20.2.4: an unsigned or an enumerated number of up to four bytes with a context tag."""
    content = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
    tag = context << 4 | 0x08
    return bytes((tag | len(content),)) + content if len(content) < 5 else bytes((tag | 5, len(content))) + content  # noqa: PLR2004
