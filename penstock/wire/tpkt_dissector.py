"""TPKT and the ISO transport protocol as captures show them: what passive readers of S7comm, MMS and RDP share.

Pure.  A stream may begin anywhere: what is no packet is given up until one begins.  It must never raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from penstock.model import Malformed
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.tpkt import (
    CALLED_TSAP,
    CALLING_TSAP,
    END_OF_DATA,
    HEAD_BYTES,
    MIN_PACKET_BYTES,
    Tpdu,
    TransportReader,
    TransportUnit,
    is_length_of,
    parameters,
)

#: Messages that a passive reader puts together at most; the gate's own bound is lower.
_MAX_BYTES: Final = 0xFFFF
#: Enough to tell a packet: head, length indicator and code.
_TELLING_BYTES: Final = 6
_BEGIN: Final = b"\x03\0"
_CODES: Final = frozenset(int(each) for each in Tpdu)
NAMES: Final = {
    Tpdu.CONNECT_REQUEST: "CR Connect Request",
    Tpdu.CONNECT_CONFIRM: "CC Connect Confirm",
    Tpdu.DISCONNECT_REQUEST: "DR Disconnect Request",
    Tpdu.DISCONNECT_CONFIRM: "DC Disconnect Confirm",
    Tpdu.ERROR: "ER TPDU Error",
    Tpdu.DATA: "DT Data",
}
_COLUMN: Final = "COTP"


class TransportDissector:
    """The units of one flow, each side for itself; whoever inherits says what the messages in them are."""

    __slots__ = ("_held", "_readers")

    def __init__(self) -> None:
        self._held = {side: bytearray() for side in Side}
        self._readers = {side: TransportReader(_MAX_BYTES) for side in Side}

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        held = self._held[side]
        held += data
        shown: list[Shown] = []
        at = 0
        while (found := _next_packet(held, at))[1]:
            shown += self._packet(side, bytes(held[found[0] : found[1]]))
            at = found[1]
        del held[: found[0]]
        return shown

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        self._held[side].clear()
        self._readers[side] = TransportReader(_MAX_BYTES)

    def _packet(self, side: Side, packet: bytes) -> list[Shown]:
        try:
            units = self._readers[side].feed(packet)
        except Malformed:
            self._readers[side] = TransportReader(_MAX_BYTES)
            return []
        if packet[HEAD_BYTES + 1] == Tpdu.DATA and packet[HEAD_BYTES + 2] != END_OF_DATA:
            fields = {"p": "cotp", "type": Tpdu.DATA >> 4, "type_name": NAMES[Tpdu.DATA], "eot": 0}
            return [Shown(fields, column=_COLUMN)]
        return [shown for unit in units for shown in self._unit(side, unit)]

    def _unit(self, side: Side, unit: TransportUnit) -> Sequence[Shown]:
        return self.message(side, unit) if unit.kind is Tpdu.DATA else self.connection(side, unit)

    def connection(self, side: Side, unit: TransportUnit) -> Sequence[Shown]:  # noqa: ARG002 - for whoever inherits
        """A unit that carries no message."""
        return (Shown(connection_fields(unit), column=_COLUMN),)

    def message(self, side: Side, unit: TransportUnit) -> Sequence[Shown]:
        """The message that a unit carries."""
        raise NotImplementedError


def _next_packet(held: bytearray, at: int) -> tuple[int, int]:
    """Where the next packet begins and ends.  An end of 0: it is not whole, and what is in front of it is none."""
    while True:
        start = held.find(_BEGIN, at)
        if start < 0:
            return len(held) - held.endswith(_BEGIN[:1]), 0
        if start + _TELLING_BYTES > len(held):
            return start, 0
        length = held[start + 2] << 8 | held[start + 3]
        if _is_packet(length, held[start + 4], held[start + 5]):
            return (start, start + length) if start + length <= len(held) else (start, 0)
        at = start + 1


def _is_packet(length: int, indicator: int, code: int) -> bool:
    return code in _CODES and length >= MIN_PACKET_BYTES and is_length_of(code, indicator, length)


def connection_fields(unit: TransportUnit) -> dict[str, Any]:
    """A connection request or confirm, or a disconnect and its confirm, as the reference decode shows it."""
    fields: dict[str, Any] = {"p": "cotp", "type": unit.kind >> 4, "type_name": NAMES[unit.kind]}
    if unit.kind in {Tpdu.CONNECT_REQUEST, Tpdu.CONNECT_CONFIRM}:
        try:
            found = parameters(unit.payload)
        except Malformed:
            return fields
        for key, code in (("src_tsap", CALLING_TSAP), ("dst_tsap", CALLED_TSAP)):
            if code in found:
                fields[key] = _selector(found[code])
    return fields


def _selector(tsap: bytes) -> str:
    """As text where all of it is; else its bytes."""
    text = tsap.decode("latin-1")
    return text if tsap and text.isascii() and text.isprintable() else tsap.hex(":")
