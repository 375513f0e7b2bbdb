"""Courses of what stands on TPKT and COTP: MMS and S7comm-plus, message by message.

Pure.  A message goes on when it is whole and can be read; what is neither of the protocol nor of the transport below it
ends the flow.  RFC 1006, ISO 8073, X.225 (session units 8.3), X.226, ISO 9506-2.  What cannot be read to its end is
never taken for something harmless: it is `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from penstock.model import Malformed, Operation, OperationClass
from penstock.wire.decoder import Frame, Side, WrongProtocol
from penstock.wire.recognised import mms, s7comm_plus
from penstock.wire.recognised.reading import asking
from penstock.wire.spoken.course import Piece, tell
from penstock.wire.tpkt import CALLED_TSAP, Tpdu, TransportReader, TransportUnit, parameters

#: MMS negotiates 64 KB at most (ISO 9506-2, 8.2), S7comm-plus fragments below.
MAX_MESSAGE_BYTES: Final = 0xFFFF
#: X.225 section 8.3: finish, disconnect, abort, abort accept, refuse.
_CLOSING: Final = frozenset({0x09, 0x0A, 0x19, 0x1A, 0x0C})
_BEGINS: Final = {Side.CLIENT: Tpdu.CONNECT_REQUEST, Side.ASSET: Tpdu.CONNECT_CONFIRM}
_UNKNOWN: Final = (OperationClass.UNKNOWN,)
_SESSION: Final = (OperationClass.SESSION,)


class OsiCourse:
    """The units of one flow; whoever inherits says what the messages in them ask for."""

    __slots__ = ("_has_begun", "_readers", "told")

    def __init__(self) -> None:
        self._readers = {side: TransportReader(MAX_MESSAGE_BYTES) for side in Side}
        self._has_begun = dict.fromkeys(Side, False)
        self.told: dict[str, str] = {}

    def feed(self, side: Side, data: bytes) -> Iterable[Piece]:
        """See `Course.feed`."""
        return self._pieces(side, data)

    def _pieces(self, side: Side, data: bytes) -> Iterator[Piece]:
        reader = self._readers[side]
        for unit in reader.feed(data):
            yield Piece(unit.data, self._asked(side, unit))
        if reader.is_broken:
            reader.feed(b"")

    def pending(self, side: Side) -> int:
        """See `Course.pending`."""
        return self._readers[side].held_bytes

    def _asked(self, side: Side, unit: TransportUnit) -> tuple[Frame, ...]:
        if not self._has_begun[side]:
            self._has_begun[side] = True
            if unit.kind is _BEGINS[side]:
                tell(self.told, "called_tsap", _called(unit).hex())
                return ()
            if unit.kind is not Tpdu.DISCONNECT_REQUEST:
                raise WrongProtocol(f"{unit.kind.name.lower()} begins no connection (ISO 8073, 13.3)")
        if unit.kind in _BEGINS.values():
            raise WrongProtocol("a connection within a connection (ISO 8073, 6.5)")
        if unit.kind is not Tpdu.DATA or not unit.payload:
            return ()
        return self._message(side, unit)

    def _message(self, side: Side, unit: TransportUnit) -> tuple[Frame, ...]:
        raise NotImplementedError


def _called(unit: TransportUnit) -> bytes:
    """The called selector of a connect.  RDP has text in the place of the parameters."""
    try:
        return parameters(unit.payload).get(CALLED_TSAP, b"")
    except Malformed as error:
        raise WrongProtocol(str(error)) from None


class MmsCourse(OsiCourse):
    """One association.  Either side may ask; what only answers asks for nothing."""

    __slots__ = ()

    def _message(self, side: Side, unit: TransportUnit) -> tuple[Frame, ...]:
        kind = unit.payload[0]
        if kind == (mms.CONNECT if side is Side.CLIENT else mms.ACCEPT):
            return (_associating(side, unit),) if side is Side.CLIENT else ()
        if kind in _CLOSING:
            return ()
        if not unit.payload.startswith(mms.GIVE_TOKENS):
            raise WrongProtocol(f"0x{kind:02x} begins no unit of an association (X.225 section 8.3)")
        operation = mms.asked_by(unit.payload)
        return () if operation is None else (asking(unit.data, side, operation),)


def _associating(side: Side, unit: TransportUnit) -> Frame:
    """It may hold a password (X.227, the calling authentication value): of it no byte is on record."""
    return asking(unit.data, side, mms.associated_by(unit.payload), b"*" * len(unit.data))


class S7PlusCourse(OsiCourse):
    """One session; newer firmware goes on in TLS within it."""

    __slots__ = ("_is_encrypted",)

    def __init__(self) -> None:
        super().__init__()
        self._is_encrypted = dict.fromkeys(Side, False)

    def _message(self, side: Side, unit: TransportUnit) -> tuple[Frame, ...]:
        payload = unit.payload
        if self._is_encrypted[side] or s7comm_plus.begins_tls(payload):
            self._is_encrypted[side] = True
            return _unread(side, unit, "tls", "encrypted data")
        if payload[0] != s7comm_plus.PROTOCOL:
            raise WrongProtocol(f"0x{payload[0]:02x} begins no message of S7comm-plus")
        if side is Side.ASSET or s7comm_plus.is_keep_alive(payload):
            return ()
        operation = s7comm_plus.operation(payload) if s7comm_plus.is_one_message(payload) else None
        if operation is None:
            return _unread(side, unit, "none", "no request that can be read")
        return (asking(unit.data, side, operation, unit.data[: s7comm_plus.RECORDED_BYTES]),)


def _unread(side: Side, unit: TransportUnit, code: str, name: str) -> tuple[Frame, ...]:
    """Of a client it may ask for anything."""
    if side is Side.ASSET:
        return ()
    return (asking(unit.data, side, Operation("s7comm_plus", _UNKNOWN, code, name)),)
