"""Refusals in the words of S7comm: an error class and code for jobs, an error code for userdata.

Pure.  The codes are those with which controllers refuse the same (public dissectors; 0xD241 and 0xD20C stand in
captures), so that clients have a text for them.  A client that hears one shows it and stays connected.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from penstock.model import Reason
from penstock.wire.s7comm.codes import ACK, ACK_DATA, END_UPLOAD, READ_VAR, REQUEST_DOWNLOAD, USERDATA, WRITE_VAR
from penstock.wire.s7comm.userdata import KIND_AT, SEQUENCE_AT, SUB_AT
from penstock.wire.tpkt import packet

#: "The function is not permitted in the current protection level": of whatever a conduit does not allow.
NOT_PERMITTED: Final = 0xD241
#: "Access to the object is refused", "illegal tag value", "wrong frames".
_ACCESS_REFUSED: Final = 0x8703
_ILLEGAL_VALUE: Final = 0xD044
_WRONG_FRAME: Final = 0x8500
#: "Too few resources are available": invites to ask again later.
_NO_RESOURCES: Final = 0x8302
#: "The service cannot execute owing to the status of the addressed object".
_STATUS: Final = 0x8402
CODES: Final = {
    Reason.OBJECT_OUT_OF_RANGE: _ACCESS_REFUSED,
    Reason.VALUE_OUT_OF_RANGE: _ILLEGAL_VALUE,
    Reason.MALFORMED: _WRONG_FRAME,
    Reason.INSPECTION_UNAVAILABLE: _STATUS,
    Reason.RATE_EXCEEDED: _NO_RESOURCES,
    Reason.TOO_MANY_IN_FLIGHT: _NO_RESOURCES,
    Reason.EVIDENCE_UNAVAILABLE: _NO_RESOURCES,
    Reason.HOLD_TIMED_OUT: _NO_RESOURCES,
}
_ack = Struct(">BBHHHHH")
_head = Struct(">BBHHHH")
_PROTOCOL: Final = 0x32
_FUNCTION_AT: Final = 4
_TRANSFERS: Final = frozenset(range(REQUEST_DOWNLOAD, END_UPLOAD + 1))
_WITH_ITEMS: Final = frozenset({READ_VAR, WRITE_VAR})
#: Parameters of a userdata response: head, length, "response", kind and group, sub-function, sequence, unit, last.
_response = Struct(">BHBBBBBBBH")
_RESPONSE_KIND: Final = 0x80
_GROUP_MASK: Final = 0x3F
#: No data: "object does not exist", transport size 0, length 0, as controllers send it with an error code.
_NO_DATA: Final = b"\x0a\0\0\0"


def refuse_job(body: bytes, reference: int, reason: Reason) -> bytes:
    """An answer to the job whose lengths and parameters are `body`: the error, and what its readers need beside it.

    An answer to Read Var and Write Var has the number of items.  Transfers are refused without parameters, as
    controllers do it in captures; their answers would have fields of their own.
    """
    size = body[0] << 8 | body[1]
    function = body[_FUNCTION_AT] if size else -1
    shown = 0 if function in _TRANSFERS or not size else 2 if function in _WITH_ITEMS else 1
    parameters = body[_FUNCTION_AT : _FUNCTION_AT + min(shown, size)]
    kind = ACK_DATA if parameters else ACK
    code = CODES.get(reason, NOT_PERMITTED)
    return packet(_ack.pack(_PROTOCOL, kind, 0, reference, len(parameters), 0, code) + parameters)


def refuse_userdata(body: bytes, reference: int, reason: Reason) -> bytes:
    """A response to the userdata request whose lengths and parameters are `body`."""
    kind_and_group = body[KIND_AT] & _GROUP_MASK | _RESPONSE_KIND
    code = CODES.get(reason, NOT_PERMITTED)
    parameters = _response.pack(0, 0x0112, 8, 0x12, kind_and_group, body[SUB_AT], body[SEQUENCE_AT], 0, 0, code)
    head = _head.pack(_PROTOCOL, USERDATA, 0, reference, len(parameters), len(_NO_DATA))
    return packet(head + parameters + _NO_DATA)
