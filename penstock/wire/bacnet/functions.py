"""Functions of the BVLL that are asked and answered without an APDU: registrations and the tables of a BBMD.

Pure.  ANSI/ASHRAE 135-2020, annex J.2 and J.4 to J.5.  They carry no number, so an answer belongs to the first of its
kind that waits for one.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from penstock.wire.bacnet import codes
from penstock.wire.bacnet.frames import BacnetFrame, Kind
from penstock.wire.bacnet.network import Envelope
from penstock.wire.decoder import NO_ANSWER, Role, Side

#: What a result says (J.2.1.1): the function that was not carried out.
REFUSED: Final = {
    0x0010: codes.WRITE_BDT,
    0x0020: codes.READ_BDT,
    0x0030: codes.REGISTER,
    0x0040: codes.READ_FDT,
    0x0050: codes.DELETE_FDT,
    0x0060: codes.DISTRIBUTE,
}
#: Those to which a result also says "done", and those that have an answer of their own.
_RESULTS: Final = frozenset({codes.WRITE_BDT, codes.REGISTER, codes.DELETE_FDT})
_TABLES: Final = {codes.READ_BDT_ACK: codes.READ_BDT, codes.READ_FDT_ACK: codes.READ_FDT}
_ASKED: Final = _RESULTS | frozenset(_TABLES.values())
#: Above every exchange of an APDU without a network, below every one with.
_EXCHANGE: Final = 1 << 16


class Functions:
    """The functions that one side asked for and that a result may answer, oldest first."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()

    def frame(self, of_other: Functions, side: Side, sealed: Envelope, data: bytes) -> BacnetFrame:
        """The frame of one function that this side sent; `of_other` are those of the other side."""
        function = sealed.function
        if function == codes.BVLC_RESULT:
            return of_other._result(side, data, int.from_bytes(data[4:6], "big"))
        if function in _TABLES:
            return BacnetFrame(data, side, data, _EXCHANGE | _TABLES[function], False, Role.REPLY)
        what = data if side is Side.CLIENT else b"\0" + data
        if function in _ASKED:
            self._expect(function)
            return BacnetFrame(data, side, what, _EXCHANGE | function, False, Role.REQUEST, True, Kind.FUNCTION)
        role = Role.REQUEST if side is Side.CLIENT else Role.NOTICE
        return BacnetFrame(data, side, what, NO_ANSWER, False, role, True, Kind.FUNCTION)

    def _expect(self, function: int) -> None:
        """One of each: who asks again has given up on the first."""
        if function in self._waiting:
            self._waiting.remove(function)
        if function in _RESULTS:
            self._waiting.append(function)

    def _result(self, side: Side, data: bytes, code: int) -> BacnetFrame:
        function = REFUSED.get(code, codes.BVLC_RESULT)
        if function == codes.DISTRIBUTE:
            return BacnetFrame(data, side, data, NO_ANSWER, True, Role.LINK)
        if not code and self._waiting:
            function = self._waiting.popleft()
        elif function in self._waiting:
            self._waiting.remove(function)
        return BacnetFrame(data, side, data, _EXCHANGE | function, bool(code), Role.REPLY)
