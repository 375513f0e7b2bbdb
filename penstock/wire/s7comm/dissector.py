"""S7comm as captures show it: every unit with the fields that tshark gives it.

Pure.  For passive use only; what decides is in `decoder` and `operations`.  It must never raise; of a message that ends
too early the fields in front of the end are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from penstock.model import Malformed
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.s7comm.decoder import S7Decoder
from penstock.wire.s7comm.fields import KINDS, pdu_fields
from penstock.wire.tpkt import TransportUnit
from penstock.wire.tpkt_dissector import TransportDissector

_PROTOCOL: Final = 0x32
_PDU_HEAD: Final = 10


class S7Dissector(TransportDissector):
    """The messages of one flow; each side is read for itself."""

    __slots__ = ("_decoder", "_parts")

    def __init__(self) -> None:
        super().__init__()
        self._decoder = S7Decoder()
        self._parts: dict[tuple[Side, bytes], bytes] = {}

    def message(self, side: Side, unit: TransportUnit) -> Sequence[Shown]:
        """A message of S7comm."""
        pdu = unit.payload
        if len(pdu) < _PDU_HEAD or pdu[0] != _PROTOCOL or pdu[1] not in KINDS:
            return ()
        try:
            frame = self._decoder.frame(side, unit)
        except Malformed:
            frame = None
        fields: dict[str, Any] = {"p": "s7comm"}
        is_whole = pdu_fields(fields, pdu, side, self._parts)
        return (Shown(fields, frame, is_malformed=not is_whole),)
