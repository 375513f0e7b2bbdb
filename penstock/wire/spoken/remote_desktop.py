"""The course of RDP: connection request, then TLS, or units of MCS and fast-path ones.

Pure.  MS-RDPBCGR (connection 1.3.1.1, fast-path 2.2.8.1.2 and 2.2.9.1.2), T.125 (units by their number, section 11).
A unit that RDP has not ends the flow: S7comm and MMS stand on the same transport.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from penstock.model import Malformed
from penstock.wire.decoder import Side, WrongProtocol
from penstock.wire.protocol import Shown
from penstock.wire.recognised.rdp import RdpDissector
from penstock.wire.recognised.reading import UNTOLD
from penstock.wire.spoken.course import Piece, Walker, tell
from penstock.wire.spoken.streams import asked_by, tls_length
from penstock.wire.tpkt import MIN_PACKET_BYTES, VERSION, Tpdu

#: TPKT, the head of a data unit, and the first two bytes of what it carries.
_HEAD_BYTES: Final = 9
_CODE_AT, _CARRIED_AT = 5, 7
_FIRST: Final = {Side.CLIENT: Tpdu.CONNECT_REQUEST, Side.ASSET: Tpdu.CONNECT_CONFIRM}
_CONNECTS: Final = {Side.CLIENT: b"\x7f\x65", Side.ASSET: b"\x7f\x66"}
#: T.125: erect domain, disconnect, attach, join, send; and their counterparts.
_UNITS: Final = {Side.CLIENT: frozenset({1, 8, 10, 14, 25}), Side.ASSET: frozenset({8, 11, 13, 15, 26})}
#: An alert or a handshake.
_TLS_FIRST: Final = frozenset({0x15, 0x16})
_FAST_PATH_MASK: Final = 3
_LONG: Final = 0x80


class RdpCourse:
    """One connection: read up to where input and graphics begin, or encryption does, and walked over from there."""

    __slots__ = ("_dissector", "_halves", "_is_read", "_walkers", "told")

    def __init__(self) -> None:
        self._dissector = RdpDissector()
        self._halves = {side: _Half(side) for side in Side}
        self._walkers = {side: Walker(self._halves[side].length_of, _HEAD_BYTES) for side in Side}
        self._is_read = True
        self.told: dict[str, str] = {}

    def feed(self, side: Side, data: bytes) -> Iterable[Piece]:
        """See `Course.feed`."""
        self._walkers[side].walk(data)
        if not self._is_read:
            return (Piece(data),)
        shown = self._dissector.feed(side, data)
        for each in shown:
            self._note(each)
        return (Piece(data, asked_by(shown)),)

    def pending(self, side: Side) -> int:  # noqa: ARG002 - nothing is held
        """See `Course.pending`."""
        return 0

    def _note(self, shown: Shown) -> None:
        for key in ("cookie", "client", "selected", "sni"):
            tell(self.told, key, shown.pdu.get(key, ""))
        code = "" if shown.frame is None else shown.frame.operation.code
        self._is_read = self._is_read and code not in {"channels", "23"}


class _Half:
    """One side: how many units it has sent, and whether it goes on in TLS."""

    __slots__ = ("_count", "_is_tls", "_side")

    def __init__(self, side: Side) -> None:
        self._side = side
        self._count = 0
        self._is_tls = False

    def length_of(self, stream: bytes, start: int) -> int:
        """How long the unit is.  Raises `Malformed`."""
        if self._is_tls:
            return tls_length(stream, start)
        length = self._unit_length(stream, start)
        self._count += length != UNTOLD
        return length

    def _unit_length(self, stream: bytes, start: int) -> int:
        first, head = stream[start], stream[start : start + _HEAD_BYTES]
        if first == VERSION:
            return self._packet(head)
        if self._count == 1 and first in _TLS_FIRST:
            length = tls_length(stream, start)
            self._is_tls = length != UNTOLD
            return length
        if self._count > 1 and not first & _FAST_PATH_MASK:
            return _fast_path(head)
        raise WrongProtocol(f"0x{first:02x} begins no unit of RDP here (MS-RDPBCGR 1.3.1.1)")

    def _packet(self, head: bytes) -> int:
        length = head[2] << 8 | head[3] if len(head) > 3 else UNTOLD  # noqa: PLR2004 - the length in the head
        if len(head) <= _CODE_AT:
            return UNTOLD
        if length < MIN_PACKET_BYTES or head[1]:
            raise Malformed(f"a packet of {length} bytes (RFC 1006 section 6)")
        code = head[_CODE_AT]
        if not self._count:
            if code != _FIRST[self._side]:
                raise WrongProtocol(f"0x{code:02x} begins no connection of RDP (MS-RDPBCGR 2.2.1.1)")
            return length
        if code == Tpdu.DISCONNECT_REQUEST:
            return length
        if code != Tpdu.DATA or length < _HEAD_BYTES:
            raise WrongProtocol(f"0x{code:02x} is no unit of RDP (MS-RDPBCGR 1.3.1.1)")
        if len(head) < _HEAD_BYTES:
            return UNTOLD
        self._expect_unit(head[_CARRIED_AT:_HEAD_BYTES])
        return length

    def _expect_unit(self, begin: bytes) -> None:
        is_first = self._count == 1
        if begin != _CONNECTS[self._side] if is_first else begin[0] >> 2 not in _UNITS[self._side]:
            raise WrongProtocol(f"0x{begin.hex()} begins no unit of RDP (T.125 section 11)")


def _fast_path(head: bytes) -> int:
    """The length stands in one or two bytes, and counts from the head on (2.2.8.1.2)."""
    if len(head) < 2 or (head[1] & _LONG and len(head) < 3):  # noqa: PLR2004 - head and length
        return UNTOLD
    length = (head[1] & ~_LONG) << 8 | head[2] if head[1] & _LONG else head[1]
    if length <= (3 if head[1] & _LONG else 2):
        raise Malformed("an empty fast-path unit (MS-RDPBCGR 2.2.8.1.2)")
    return length
