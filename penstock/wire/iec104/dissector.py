"""IEC 60870-5-104 as a bystander reads it: also from the middle of a stream, and on behind broken bytes.

Pure.  Keys and names are those of the reference decode (tshark 4.0, fields ``iec60870_104`` and ``iec60870_asdu``).
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

import msgspec

from penstock.model import Malformed, Operation
from penstock.wire.decoder import Role, Side
from penstock.wire.iec104 import codes
from penstock.wire.iec104.answers import shown as shown_values
from penstock.wire.iec104.elements import SHOWN
from penstock.wire.iec104.frames import (
    ASDU_AT,
    HEAD_BYTES,
    MAX_FRAME_BYTES,
    START,
    Iec104Frame,
    check_control,
    end_of_frame,
    frame_of,
)
from penstock.wire.iec104.operations import HEAD_BYTES as ASDU_HEAD_BYTES
from penstock.wire.iec104.pairs import Pairs
from penstock.wire.protocol import Shown

_unpack = Struct("<HH").unpack_from
_SEQUENCE: Final = 0x80
_ASDU_COLUMN: Final = "IEC 60870-5 ASDU"
_OBJECT_BYTES: Final = 3
_UNKNOWN: Final = "Unknown"
#: Types of -101 that -104 left out, and the reference does not know.
_NAMELESS: Final = frozenset({17, 18, 19, 104, 106})
#: Of these it shows the first address only.
_FIRST_ONLY: Final = _NAMELESS | {20, 38, 39, 40, 41} | codes.FILES
_SHORT: Final = "Malformed Packet (Exception occurred)"
#: The short names of the reference decode.
_CAUSES: Final = {
    1: "Per/Cyc",
    2: "Back",
    3: "Spont",
    4: "Init",
    5: "Req",
    6: "Act",
    7: "ActCon",
    8: "Deact",
    9: "DeactCon",
    10: "ActTerm",
    11: "Retrem",
    12: "Retloc",
    13: "File",
    14: "Auth",
    15: "Seskey",
    16: "Usrkey",
    20: "Inrogen",
    **{20 + group: f"Inro{group}" for group in range(1, 17)},
    37: "Reqcogen",
    **{37 + group: f"Reqco{group}" for group in range(1, 5)},
    44: "UkTypeId",
    45: "UkCauseTx",
    46: "UkComAdrASDU",
    47: "UkIOA",
}


class ShownFrame(Iec104Frame, gc=False):
    """A message of the asset with the values that it tells, which decide nothing and so are not judged."""

    @property
    def operation(self) -> Operation:
        """What the message tells.  Raises `Malformed`."""
        operation, asdu = super().operation, self.data[ASDU_AT:]
        return msgspec.structs.replace(operation, targets=shown_values(asdu)) if asdu[0] in SHOWN else operation


class Iec104Dissector:
    """One flow, read passively.  At most 255 bytes are held for each side."""

    __slots__ = ("_held", "_pairs")

    def __init__(self) -> None:
        self._held = {Side.CLIENT: b"", Side.ASSET: b""}
        self._pairs = Pairs()

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        stream = self._held[side] + data
        found: list[Shown] = []
        start = 0
        while True:
            try:
                end = end_of_frame(stream, start)
                if end is None:
                    break
                whole = stream[start:end]
                check_control(whole)
            except Malformed:
                start = stream.find(START, start + 1)
                if start < 0:
                    start = len(stream)
                continue
            found.append(shown(whole, self._frame(side, whole)))
            start = end
        self._held[side] = stream[start : start + MAX_FRAME_BYTES]
        return found

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        self._held[side] = b""

    def _frame(self, side: Side, data: bytes) -> Iec104Frame:
        frame = frame_of(side, data)
        if not frame.is_numbered:
            return frame
        if side is Side.CLIENT:
            self._pairs.asked(data[ASDU_AT], frame.exchange)
            return frame
        self._pairs.place(frame)
        if frame.role is not Role.NOTICE:
            return frame
        return ShownFrame(data, side, frame.what, frame.exchange, frame.is_refusal, frame.role, frame.is_last)


def shown(data: bytes, frame: Iec104Frame) -> Shown:
    """One whole frame in the keys of the reference decode."""
    first, second = _unpack(data, HEAD_BYTES)
    pdu: dict[str, Any] = {"p": "iec60870_104", "len": data[1]}
    if first & 3 == 3:  # noqa: PLR2004 - the U format
        function = first >> 2
        return Shown(
            pdu | {"type": 3, "type_name": "U", "utype": function, "utype_name": codes.U_FUNCTIONS[function]}, frame
        )
    if first & 1:
        return Shown(pdu | {"type": 1, "type_name": "S", "rx": second >> 1}, frame)
    pdu |= {"type": 0, "type_name": "I", "tx": first >> 1, "rx": second >> 1}
    asdu = data[ASDU_AT:]
    if len(asdu) < ASDU_HEAD_BYTES:
        return Shown(pdu, frame, _ASDU_COLUMN, is_malformed=True)
    pdu |= _head(asdu)
    addresses, end = _addresses(asdu)
    if addresses:
        pdu["ioa"] = addresses
    errors = () if end in {None, len(asdu)} else (f"Invalid Apdulen ({len(asdu)} != {end})",)
    is_short = len(asdu) < ASDU_HEAD_BYTES + _OBJECT_BYTES or (end is not None and end > len(asdu))
    return Shown(pdu, frame, _ASDU_COLUMN, is_short, (_SHORT,) if is_short else errors)


def _head(asdu: bytes) -> dict[str, Any]:
    kind, cause = asdu[0], asdu[2] & codes.CAUSE_BITS
    return {
        "typeid": kind,
        "typeid_name": _UNKNOWN if kind in _NAMELESS else codes.TYPES.get(kind, (_UNKNOWN,))[0],
        "sq": asdu[1] >> 7,
        "n": asdu[1] & ~_SEQUENCE,
        "cot": cause,
        "cot_name": _CAUSES.get(cause, _UNKNOWN),
        "neg": asdu[2] >> 6 & 1,
        "test": asdu[2] >> 7,
        "oa": asdu[3],
        "ca": asdu[4] | asdu[5] << 8,
    }


def _addresses(asdu: bytes) -> tuple[list[int], int | None]:
    """The addresses as far as they are there and the reference shows them; where the last object must end."""
    kind, count = asdu[0], asdu[1] & ~_SEQUENCE
    size = None if kind in _FIRST_ONLY else codes.TYPES.get(kind, ("", "", None))[2]
    at = ASDU_HEAD_BYTES
    first = int.from_bytes(asdu[at : at + _OBJECT_BYTES], "little")
    if size is None:
        return [first] if len(asdu) >= at + _OBJECT_BYTES else [], None
    if not count:
        return [], at
    if asdu[1] & _SEQUENCE:
        end = at + _OBJECT_BYTES + count * size
        return [*range(first, first + count)] if len(asdu) >= end else [first], end
    step = _OBJECT_BYTES + size
    starts = range(at, at + count * step, step)
    found = [
        int.from_bytes(asdu[at : at + _OBJECT_BYTES], "little") for at in starts if at + _OBJECT_BYTES <= len(asdu)
    ]
    return found, at + count * step
