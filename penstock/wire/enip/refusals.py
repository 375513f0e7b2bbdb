"""The asset's answer to a request that is not forwarded: CIP general status, PCCC status, or encapsulation status.

Pure.  ODVA CIP Volume 1, 2-4.2 and appendix B; Volume 2, 2-3.3; Rockwell 1770-6.5.16, chapter 8.  The answer has the
form that the request's container wants, so that the real client finds the status where it looks for it, shows an
error, and goes on.
"""

from __future__ import annotations

from struct import pack
from typing import Final

from penstock.model import Malformed, Reason
from penstock.wire.decoder import Frame
from penstock.wire.enip import pccc
from penstock.wire.enip.codes import CONNECTION_MANAGER, PCCC_OBJECT
from penstock.wire.enip.connections import Connections
from penstock.wire.enip.containers import unconnected
from penstock.wire.enip.opening import read_closing, read_opening
from penstock.wire.enip.operations import split_multiple
from penstock.wire.enip.packets import HEADER_BYTES, RR_DATA, UNIT_DATA, connected
from penstock.wire.enip.packets import unconnected as cip_of
from penstock.wire.enip.path import path_of

_PRIVILEGE_VIOLATION: Final = 0x0F
_EMBEDDED_ERROR: Final = 0x1E
_INVALID_PARAMETER: Final = 0x20
_RESOURCE_UNAVAILABLE: Final = 0x02
_NOT_SUPPORTED: Final = 0x08
_INVALID_VALUE: Final = 0x09
#: General status by reason.  Everything else is "privilege violation": a client that hears it does not try again,
#: whereas "resource unavailable" invites it to ask later.
STATUS: Final = {
    Reason.UNKNOWN_OPERATION: _NOT_SUPPORTED,
    Reason.VALUE_OUT_OF_RANGE: _INVALID_VALUE,
    Reason.MALFORMED: _INVALID_PARAMETER,
    Reason.INSPECTION_UNAVAILABLE: _RESOURCE_UNAVAILABLE,
    Reason.RATE_EXCEEDED: _RESOURCE_UNAVAILABLE,
    Reason.TOO_MANY_IN_FLIGHT: _RESOURCE_UNAVAILABLE,
    Reason.EVIDENCE_UNAVAILABLE: _RESOURCE_UNAVAILABLE,
    Reason.HOLD_TIMED_OUT: _RESOURCE_UNAVAILABLE,
}
#: 1770-6.5.16, 8-3: the extended status byte says more; 0x0B is "access denied, improper privilege".
_PCCC_REFUSED: Final = b"\xf0"
_PCCC_ACCESS_DENIED: Final = b"\x0b"
#: Volume 2, 2-3.3: the requester issued a command that is not supported; the data are not right.
_UNSUPPORTED_COMMAND: Final = 0x01
_INCORRECT_DATA: Final = 0x03
_REPLY_BIT: Final = 0x80
_MULTIPLE, _SENT, _PCCC = 0x0A, 0x52, 0x4B
_OPENING: Final = (0x54, 0x5B)
_CLOSING: Final = 0x4E
#: NOP and Unregister Session: nobody waits for an answer (2-4).
_UNANSWERED: Final = (0x00, 0x66)
_MAX_DEPTH: Final = 4


def refusal(frame: Frame, reason: Reason, connections: Connections) -> bytes:
    """The whole encapsulated answer; empty where the command has none."""
    data = frame.data
    status = STATUS.get(reason, _PRIVILEGE_VIOLATION)
    if data[0] in _UNANSWERED:
        return b""
    try:
        if data[0] == RR_DATA:
            reply = cip_refusal(cip_of(data), status)
            return _header(data, 16 + len(reply)) + _UNCONNECTED + pack("<H", len(reply)) + reply
        if data[0] == UNIT_DATA:
            number, count, message = connected(data)
            known = connections.to_target.get(number)
            # A client that names a connection that nobody opened has no number of its own to look for.
            answered = number if known is None else known.to_originator
            reply = cip_refusal(message, status)
            body = pack("<IHHH", answered, 0xB1, 2 + len(reply), count) + reply
            return _header(data, len(_CONNECTED) + len(body)) + _CONNECTED + body
    except (Malformed, IndexError):
        return _header(data, 0, _INCORRECT_DATA)
    return _header(data, 0, _INCORRECT_DATA if reason is Reason.MALFORMED else _UNSUPPORTED_COMMAND)


def cip_refusal(message: bytes, status: int, depth: int = 0) -> bytes:
    """The reply to one CIP request, in the form that its service has."""
    service = message[0] & ~_REPLY_BIT
    try:
        end = 2 + 2 * message[1]
        number, data = path_of(message[2:end]).number, message[end:]
        if depth < _MAX_DEPTH:
            if service == _MULTIPLE:
                return _multiple(data, status, depth)
            if service == _SENT and number == CONNECTION_MANAGER:
                return cip_refusal(unconnected(data)[0], status, depth + 1)
        if service == _PCCC and number == PCCC_OBJECT:
            return _pccc(data)
        if number == CONNECTION_MANAGER and service in (*_OPENING, _CLOSING):
            triad = read_closing(data)[0] if service == _CLOSING else read_opening(service, data).triad
            # 3-5.5.2: which opening it was, and how many words of the path were left.
            return bytes((service | _REPLY_BIT, 0, status, 0)) + pack("<HHIBB", *triad, 0, 0)
    except (Malformed, IndexError):
        pass
    return bytes((service | _REPLY_BIT, 0, status, 0))


def _multiple(data: bytes, status: int, depth: int) -> bytes:
    """Each request of the packet gets its own answer, and the packet says that there are errors inside."""
    replies = [cip_refusal(each, status, depth + 1) for each in split_multiple(data)]
    at = 2 + 2 * len(replies)
    offsets = []
    for each in replies:
        offsets.append(at)
        at += len(each)
    head = bytes((_MULTIPLE | _REPLY_BIT, 0, _EMBEDDED_ERROR, 0))
    return head + pack(f"<{len(offsets) + 1}H", len(offsets), *offsets) + b"".join(replies)


def _pccc(data: bytes) -> bytes:
    """CIP succeeds, PCCC does not: that is where a client of the PCCC object looks."""
    asked = pccc.read_command(data)
    reply = bytes((asked.command | pccc.REPLY_BIT,)) + _PCCC_REFUSED + pack("<H", asked.number)
    return bytes((_PCCC | _REPLY_BIT, 0, 0, 0)) + asked.head + reply + _PCCC_ACCESS_DENIED


def _header(data: bytes, size: int, status: int = 0) -> bytes:
    """The header of the request, with another length and status."""
    return data[:2] + pack("<H", size) + data[4:8] + pack("<I", status) + data[12:HEADER_BYTES]


#: Interface, timeout, two items: no address, and the unconnected message whose length follows.
_UNCONNECTED: Final = bytes(6) + pack("<HHHH", 2, 0, 0, 0xB2)
#: Interface, timeout, two items: the connection whose number follows.
_CONNECTED: Final = bytes(6) + pack("<HHH", 2, 0xA1, 4)
