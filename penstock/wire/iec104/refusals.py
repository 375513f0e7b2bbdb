"""The ASDU with which a station says no: the mirror of what was asked, with the cause and the bit that say so.

Pure.  IEC 60870-5-101:2003, 7.2.3 and 7.4.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Reason
from penstock.wire.iec104 import codes
from penstock.wire.iec104.operations import OBJECT_AT, carried

#: What is answered with a confirmation; everything else has only the four ways not to know.
_CONFIRMED: Final = {
    codes.ACTIVATION: codes.ACTIVATION_CON,
    codes.DEACTIVATION: codes.DEACTIVATION_CON,
}


def refused(asdu: bytes, reason: Reason) -> bytes:
    """The negative mirror of `asdu`; empty where it cannot be mirrored (too short, or broken in itself)."""
    if asdu[0] == codes.AGGRESSIVE_REQUEST:
        asdu = carried(asdu) or b""
    if len(asdu) < OBJECT_AT or (asdu[0] in codes.SECURITY):
        return b""
    if reason is Reason.MALFORMED and not _is_mirrored(asdu):
        return b""
    cause = _cause(asdu[0], asdu[2] & codes.CAUSE_BITS, reason)
    return asdu[:2] + bytes((asdu[2] & codes.TEST | codes.NEGATIVE | cause,)) + asdu[3:]


def _cause(kind: int, cause: int, reason: Reason) -> int:
    causes = codes.ASKING_CAUSES.get(kind)
    if causes is None:
        return codes.UNKNOWN_TYPE
    if cause not in causes:
        return codes.UNKNOWN_CAUSE
    if reason is Reason.OBJECT_OUT_OF_RANGE:
        return codes.UNKNOWN_OBJECT
    if kind == codes.READ:
        return codes.UNKNOWN_OBJECT
    return _CONFIRMED.get(cause, codes.UNKNOWN_TYPE)


def _is_mirrored(asdu: bytes) -> bool:
    """Whether its length is that of its type, so that the client can read its mirror."""
    size = codes.TYPES.get(asdu[0], ("", "", None))[2]
    return size is not None and asdu[1] == 1 and len(asdu) == OBJECT_AT + size
