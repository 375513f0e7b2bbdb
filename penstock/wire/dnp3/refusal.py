"""What the gate answers in an outstation's name to a request that it keeps back.

Pure.  IEEE 1815-2012: a response with internal indications (4.2.2.5), and for controls the objects of the request with
a status in each (A.8.1).  A master shows either as an error of this one request and goes on.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Reason
from penstock.wire.dnp3.codes import CONTROLS, RESPONSE
from penstock.wire.dnp3.controls import with_status
from penstock.wire.dnp3.link import WHOLE

NO_SELECT: Final = 2
FORMAT_ERROR: Final = 3
_NOT_AT_THIS_POINT: Final = 4
_NOT_AUTHORIZED: Final = 9
_PROCESSING_LIMITED: Final = 11
_OUT_OF_RANGE: Final = 12
_STATUSES: Final = {
    Reason.OBJECT_OUT_OF_RANGE: _NOT_AT_THIS_POINT,
    Reason.VALUE_OUT_OF_RANGE: _OUT_OF_RANGE,
    Reason.MALFORMED: FORMAT_ERROR,
    Reason.RATE_EXCEEDED: _PROCESSING_LIMITED,
    Reason.TOO_MANY_IN_FLIGHT: _PROCESSING_LIMITED,
    Reason.EVIDENCE_UNAVAILABLE: _PROCESSING_LIMITED,
    Reason.HOLD_TIMED_OUT: _PROCESSING_LIMITED,
    Reason.INSPECTION_UNAVAILABLE: _PROCESSING_LIMITED,
}
#: Second octet of the internal indications.
_NO_FUNCTION: Final = 0x01
_OBJECT_UNKNOWN: Final = 0x02
_PARAMETER_ERROR: Final = 0x04
#: Alone it is no error to many masters, so it comes with the parameter error.
_ALREADY_EXECUTING: Final = 0x10
_BUSY: Final = _PARAMETER_ERROR | _ALREADY_EXECUTING
_INDICATIONS: Final = {
    Reason.OBJECT_OUT_OF_RANGE: _OBJECT_UNKNOWN,
    Reason.VALUE_OUT_OF_RANGE: _PARAMETER_ERROR,
    Reason.MALFORMED: _PARAMETER_ERROR,
    Reason.RATE_EXCEEDED: _BUSY,
    Reason.TOO_MANY_IN_FLIGHT: _BUSY,
    Reason.EVIDENCE_UNAVAILABLE: _BUSY,
    Reason.HOLD_TIMED_OUT: _BUSY,
    Reason.INSPECTION_UNAVAILABLE: _BUSY,
}
#: A master takes fragments up to this (4.2.1).
MAX_FRAGMENT: Final = 2048


def response(code: int, objects: bytes, number: int, reason: Reason, *, is_unselected: bool) -> bytes:
    """The response fragment to a request of function `code` with the application sequence `number`."""
    head = bytes((WHOLE | number, RESPONSE, 0))
    if code in CONTROLS:
        status = NO_SELECT if is_unselected else _STATUSES.get(reason, _NOT_AUTHORIZED)
        echo = with_status(objects, 0, status)
        if echo is not None and len(echo) < MAX_FRAGMENT - len(head):
            return head + b"\0" + echo
    return head + bytes((_INDICATIONS.get(reason, _NO_FUNCTION),))
