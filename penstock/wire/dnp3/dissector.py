"""DNP3 seen passively: each link frame as the reference decode shows it, with the message that it completes.

Pure.  It starts in mid-stream, looks for the next header whose CRC is right after bytes that are none, and goes on.
It must never be used to decide: what is broken is given up here, while `penstock.wire.dnp3.decoder` ends the flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from penstock.model import Malformed
from penstock.wire.decoder import NO_ANSWER, Frame, Side
from penstock.wire.dnp3.codes import NAMES, PRIMARY_NAMES, RESPONSE, SECONDARY_NAMES, UNSOLICITED
from penstock.wire.dnp3.conversation import CODE_AT, CONTROL_AT, OBJECTS_AT, REPORT_AT, Conversation
from penstock.wire.dnp3.crc import user_data
from penstock.wire.dnp3.link import (
    FINAL,
    FIRST,
    FROM_MASTER,
    HEADER_BYTES,
    PRIMARY,
    SEQUENCE,
    START,
    Header,
    read_header,
)
from penstock.wire.dnp3.listing import listed
from penstock.wire.dnp3.transport import Reassembly
from penstock.wire.protocol import Shown

#: What has internal indications in the reference decode.
_RESPONSES: Final = (RESPONSE, UNSOLICITED)
_NUMBER: Final = 0x0F
_WHOLE: Final = FIRST | FINAL
_LENGTH_AT: Final = 2
#: What the reference says of a message that ends too soon.
_ERROR: Final = "Malformed Packet (Exception occurred)"
_MIN_LENGTH: Final = 5


class Dnp3Dissector:
    """The link frames of one TCP connection, both directions."""

    __slots__ = ("_conversation", "_reassembly", "_rest")
    is_stream = True

    def __init__(self) -> None:
        self._rest = {Side.CLIENT: b"", Side.ASSET: b""}
        self._reassembly = {side: Reassembly(is_stream=False) for side in Side}
        self._conversation = Conversation(is_stream=False, knows_selects=False)

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        stream = self._rest[side] + data
        shown: list[Shown] = []
        at = 0
        while (at := _next_start(stream, at)) >= 0:
            raw = stream[at : at + HEADER_BYTES]
            if len(raw) < HEADER_BYTES:
                break
            header = _header(raw)
            if header is None:
                at += 1
            elif at + header.end > len(stream):
                break
            else:
                shown += self._shown(side, header, stream[at : at + header.end])
                at += header.end
        self._rest[side] = stream[at:] if at >= 0 and self.is_stream else b""
        return shown

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        self._rest[side] = b""
        self._reassembly[side] = Reassembly(is_stream=False)

    def _shown(self, side: Side, header: Header, data: bytes) -> list[Shown]:
        pdu = _link_pdu(header)
        if not header.has_data or header.count < 2:  # noqa: PLR2004 - transport header and an octet of a fragment
            return [Shown(pdu)]
        user = user_data(data, HEADER_BYTES, header.count)
        if user is None:
            return []
        pdu |= {"tr_fin": user[0] >> 7, "tr_fir": user[0] >> 6 & 1, "tr_seq": user[0] & SEQUENCE}
        put: tuple[bytes, bytes] | None = (user, data)
        if user[0] & _WHOLE != _WHOLE:
            try:
                put = self._reassembly[side].add(header, user, data)
            except Malformed:
                self._reassembly[side] = Reassembly(is_stream=False)
                put = None
        if put is None or len(put[0]) < OBJECTS_AT:
            return [Shown(pdu)]
        user, whole = put
        application, is_whole = _application_pdu(user)
        frame = self._frame(header, user, whole)
        errors = () if is_whole else (_ERROR,)
        return [Shown(pdu | application, frame, "", not is_whole, errors)]

    def _frame(self, header: Header, user: bytes, whole: bytes) -> Frame | None:
        """The frame by what its own direction bit says: a capture may have the master at either end."""
        if header.pair == NO_ANSWER and not header.control & FROM_MASTER:
            return None
        try:
            if header.control & FROM_MASTER:
                return self._conversation.asked(header, user, whole)
            return self._conversation.answered(header, user, whole)
        except Malformed:
            return None


def _next_start(stream: bytes, at: int) -> int:
    """Where a frame may start from `at` on, the first octet of one at the very end included; -1 if nowhere."""
    found = stream.find(START, at)
    if found >= 0:
        return found
    return len(stream) - 1 if at < len(stream) and stream.endswith(START[:1]) else -1


def _header(raw: bytes) -> Header | None:
    if raw[_LENGTH_AT] < _MIN_LENGTH:
        return None
    try:
        return read_header(raw)
    except Malformed:
        return None


def _link_pdu(header: Header) -> dict[str, Any]:
    is_primary = bool(header.control & PRIMARY)
    pdu: dict[str, Any] = {
        "p": "dnp3",
        "len": header.count + _MIN_LENGTH,
        "ctl": header.control,
        "dir": header.control >> 7,
        "prm": int(is_primary),
        "link_fc": header.function,
        "dst": header.destination,
        "src": header.source,
    }
    name = (PRIMARY_NAMES if is_primary else SECONDARY_NAMES).get(header.function)
    return pdu | ({"link_fc_name": name} if name else {})


def _application_pdu(user: bytes) -> tuple[dict[str, Any], bool]:
    """What the fragment shows, and whether it ends where it says."""
    control, code = user[CONTROL_AT], user[CODE_AT]
    pdu: dict[str, Any] = {
        "con": control >> 5 & 1,
        "uns": control >> 4 & 1,
        "app_seq": control & _NUMBER,
        "fc": code,
    }
    pdu["fc_name"] = NAMES.get(code, f"Unknown function (0x{code:02x})")
    if code not in _RESPONSES:
        lists, is_whole = listed(user, OBJECTS_AT, code)
        return pdu | lists, is_whole
    if len(user) < REPORT_AT:
        return pdu, False
    pdu["iin"] = int.from_bytes(user[OBJECTS_AT:REPORT_AT], "big")
    lists, is_whole = listed(user, REPORT_AT, code)
    return pdu | lists, is_whole


class Dnp3DatagramDissector(Dnp3Dissector):
    """The same over UDP: nothing of a datagram is kept for the next but whole segments."""

    __slots__ = ()
    is_stream = False
