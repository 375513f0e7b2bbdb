"""BACnet as captures show it: every datagram with the fields that tshark gives it.

Pure.  For passive use only; what decides is in `decoder` and `operations`.  The keys are those of the reference decode,
the names of codes tshark's own.  It must never raise: of a message that ends too early the fields in front of the end
are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from penstock.model import Malformed, Value
from penstock.wire.bacnet import codes, decoder
from penstock.wire.bacnet import services as s
from penstock.wire.bacnet.decoder import BacnetDecoder
from penstock.wire.bacnet.frames import MORE, SEGMENTED, BacnetFrame, Kind
from penstock.wire.bacnet.grammar import INNER, Found, Reader, Rule, finish
from penstock.wire.bacnet.names import (
    ABORT_REASONS,
    ERROR_CLASSES,
    ERROR_CODES,
    OBJECT_TYPES,
    PROPERTIES,
    REJECT_REASONS,
)
from penstock.wire.bacnet.network import Envelope, bvll, envelope
from penstock.wire.bacnet.tags import Tag, Truncated, read_tags
from penstock.wire.decoder import Role, Side
from penstock.wire.protocol import Shown

_Fields = dict[str, Any]

#: Where the reference decode spells a property otherwise than the standard.
SPELLED: Final = {
    0: "acked-transition",
    5: "active-vt-session",
    23: "datelist",
    24: "daylights-savings-status",
    73: "number-of-APDU-retries",
    122: "vt-class-supported",
    130: "event-time-stamp",
    149: "maximum-value-time-stamp",
    150: "minimum-value-time-stamp",
    206: "UTC-time-synchronization-recipients",
}
#: Network security, which later editions do not have.
_REMOVED: Final = (
    "Challenge-Request",
    "Security-Payload",
    "Security-Response",
    "Request-Key-Update",
    "Update-Keyset",
    "Update-distribution-Key",
    "Request-Masterkey",
    "Set-Masterkey",
)
_MESSAGES: Final = {
    **{number: name for number, (name, _) in codes.MESSAGES.items()},
    0x12: "What-Is-Networknumber",
    0x13: "Networknumber-Is",
    **dict(enumerate(_REMOVED, 0x0A)),
    **dict.fromkeys(range(0x14, 0x80), "Reserved for Use by ASHRAE"),
    **dict.fromkeys(range(0x80, 0x100), "Vendor Proprietary Message"),
}
_PDU_TYPES: Final = {
    decoder.CONFIRMED: "Confirmed-REQ",
    decoder.UNCONFIRMED: "Unconfirmed-REQ",
    decoder.SIMPLE_ACK: "Simple-ACK",
    decoder.COMPLEX_ACK: "Complex-ACK",
    decoder.SEGMENT_ACK: "Segment-ACK",
    decoder.ERROR: "Error",
    decoder.REJECT: "Reject",
    decoder.ABORT: "Abort",
}
_FUNCTIONS: Final = {number: name for number, (name, _) in codes.FUNCTIONS.items()}
_CONFIRMED: Final = {number: name for number, (name, _) in codes.CONFIRMED.items()}
_UNCONFIRMED: Final = {number: name for number, (name, _) in codes.UNCONFIRMED.items()}
#: Which bytes of a network message the reference calls a network number: the first of them is kept.
_WITH_NETWORK: Final = {**dict.fromkeys((0x00, 0x01, 0x02, 0x04, 0x05, 0x08, 0x09, 0x13), 0), 0x03: 1, 0x06: 1, 0x07: 1}
_THINGS: Final = frozenset({s.THING, s.INITIATOR, INNER})
_UNKNOWN: Final = "Unknown"
#: What the reference says of bytes that end too early.
_EXCEPTION: Final = "Malformed Packet (Exception occurred)"
_RECIPIENT_LIST: Final = 102
#: More than any link that carries BACnet takes (135, 6.1).
_MAX_NPDU_BYTES: Final = 1 << 11
_NPDU_COLUMN: Final = "BACnet-NPDU"
_FUNCTION_COLUMN: Final = "BVLC"


class _Layers(NamedTuple):
    """One datagram, layer by layer; the upper ones are empty where there are none."""

    link: _Fields
    network: _Fields
    application: _Fields
    frame: BacnetFrame | None = None
    is_malformed: bool = False


class BacnetDissector:
    """The datagrams of one flow; one that is broken is given up."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        self._decoder = BacnetDecoder()

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        found = self._layers(side, data)
        if found is None:
            return ()
        pdu = {"p": "bvlc", **found.link, **found.network, **found.application}
        column = "" if found.application or found.is_malformed else _NPDU_COLUMN if found.network else _FUNCTION_COLUMN
        return (Shown(pdu, found.frame, column, found.is_malformed, _errors(found)),)

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`.  A datagram that was not captured takes nothing along."""

    def _layers(self, side: Side, data: bytes) -> _Layers | None:
        try:
            frames = self._decoder.feed(side, data)
        except Malformed:
            return _broken(data)
        return next((_layers(frame) for frame in frames if isinstance(frame, BacnetFrame)), None)


class BacnetNetworkDissector(BacnetDissector):
    """BACnet straight on Ethernet (135, clause 7): the same without a BVLL, which is put in front here."""

    __slots__ = ()

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        found = self._layers(side, bvll(codes.UNICAST, data)) if len(data) < _MAX_NPDU_BYTES else None
        if found is None:
            return ()
        network = Shown({"p": "bacnet", **found.network}, None if found.application else found.frame, _NPDU_COLUMN)
        if not found.application:
            return (network,)
        return (
            network,
            Shown({"p": "bacapp", **found.application}, found.frame, "", found.is_malformed, _errors(found)),
        )


def _errors(found: _Layers) -> tuple[str, ...]:
    return (_EXCEPTION,) if found.is_malformed else ()


def _layers(frame: BacnetFrame) -> _Layers:
    sealed = envelope(frame.data)
    judged = None if frame.kind in {Kind.BROKEN, Kind.STRAY} or frame.role is Role.LINK else frame
    link: _Fields = {}
    _named(link, "bvlc", sealed.function, _FUNCTIONS)
    if sealed.function not in codes.CARRIERS:
        return _Layers(link, {}, {}, judged)
    network = _network_fields(frame.data, sealed)
    if sealed.message >= 0:
        return _Layers(link, network, {}, judged)
    application: _Fields = {}
    parts, content = _apdu_fields(application, frame, sealed)
    found, is_malformed = _read(parts, content)
    _service_fields(application, found)
    return _Layers(link, network, application, judged, is_malformed)


def _broken(data: bytes) -> _Layers | None:
    """What stands in front of an APDU that ends too early; ``None`` where that is not to be read."""
    try:
        sealed = envelope(data)
    except Malformed:
        return None
    link: _Fields = {}
    _named(link, "bvlc", sealed.function, _FUNCTIONS)
    return _Layers(link, _network_fields(data, sealed), {}, None, True)


def _network_fields(data: bytes, sealed: Envelope) -> _Fields:
    pdu: _Fields = {"npdu_ctl": sealed.control}
    if sealed.destination:
        pdu["dnet"] = sealed.network
    if sealed.source:
        pdu["snet"] = int.from_bytes(sealed.source[:2], "big")
    if sealed.message >= 0:
        _named(pdu, "net_msg", sealed.message, _MESSAGES)
        at = sealed.at + _WITH_NETWORK.get(sealed.message, len(data))
        if at + 2 <= len(data):
            pdu.setdefault("dnet", int.from_bytes(data[at : at + 2], "big"))
    return pdu


def _apdu_fields(pdu: _Fields, frame: BacnetFrame, sealed: Envelope) -> tuple[Sequence[Rule], bytes]:
    """The header of the APDU; and of what its service consists, with the content that is whole now."""
    apdu = frame.data[sealed.at :]
    kind = apdu[0] >> 4
    if kind in _PDU_TYPES:
        _named(pdu, "apdu", kind, _PDU_TYPES)
    match kind:
        case decoder.UNCONFIRMED:
            _named(pdu, "unconfirmed", apdu[1], _UNCONFIRMED)
            return s.UNCONFIRMED_REQUESTS.get(apdu[1], ()), apdu[2:]
        case decoder.CONFIRMED:
            return _segmented_fields(pdu, frame, apdu, 2, s.REQUESTS)
        case decoder.COMPLEX_ACK:
            return _segmented_fields(pdu, frame, apdu, 1, s.ANSWERS)
        case decoder.SIMPLE_ACK | decoder.ERROR:
            pdu["invoke"] = apdu[1]
            _named(pdu, "confirmed", apdu[2], _CONFIRMED)
            return s.ERRORS.get(apdu[2], s.ERROR) if kind == decoder.ERROR else (), apdu[3:]
        case decoder.SEGMENT_ACK:
            pdu["invoke"], pdu["seg_no"] = apdu[1], apdu[2]
        case decoder.REJECT | decoder.ABORT:
            pdu["invoke"] = apdu[1]
            reasons = REJECT_REASONS if kind == decoder.REJECT else ABORT_REASONS
            _named(pdu, "reject" if kind == decoder.REJECT else "abort", apdu[2], reasons)
    return (), b""


def _segmented_fields(
    pdu: _Fields, frame: BacnetFrame, apdu: bytes, at: int, parts: Mapping[int, Sequence[Rule]]
) -> tuple[Sequence[Rule], bytes]:
    """Requests and answers; `at` is where the invoke id is."""
    pdu["seg"], pdu["more"] = int(bool(apdu[0] & SEGMENTED)), int(bool(apdu[0] & MORE))
    pdu["invoke"] = apdu[at]
    if pdu["seg"]:
        pdu["seg_no"] = apdu[at + 1]
    service = apdu[at + 3 if pdu["seg"] else at + 1]
    _named(pdu, "confirmed", service, _CONFIRMED)
    if not pdu["seg"]:
        return parts.get(service, ()), apdu[at + 2 :]
    is_whole = frame.kind is Kind.CONFIRMED or (frame.what[:1] == b"\x30" and frame.is_last)
    if not is_whole:
        return (), b""
    return parts.get(service, ()), frame.what[frame.at + 1 if frame.kind is Kind.CONFIRMED else 3 :]


def _read(parts: Sequence[Rule], content: bytes) -> tuple[Found, bool]:
    """What the service says, up to where it breaks, and whether it ends too early."""
    if not parts:
        return [], False
    tags: list[Tag] = []
    reader = Reader(content, tags)
    is_cut = False
    try:
        read_tags(content, 0, len(content), tags)
    except Malformed as error:
        is_cut = isinstance(error, Truncated)
    with suppress(Malformed):
        finish(reader, parts)
    return reader.found, is_cut or _has_odd_recipients(reader.found)


def _has_odd_recipients(found: Found) -> bool:
    """Elements of a recipient list are destinations, which begin with bits for the days of the week (clause 21)."""
    values: Sequence[Value] = next((value for label, value in found if label == s.VALUES), ())
    return (s.PROPERTY, _RECIPIENT_LIST) in found and bool(values) and not str(values[0]).startswith("0b")


def _service_fields(pdu: _Fields, found: Found) -> None:
    for label, value in found:
        if label in _THINGS:
            _listed(pdu, "obj_type", value[0], OBJECT_TYPES)
            pdu.setdefault("obj_inst", []).append(value[1])
        elif label == s.PROPERTY:
            _listed(pdu, "prop", value, SPELLED if value in SPELLED else PROPERTIES)
        elif label == s.ERROR_CLASS and "err_class" not in pdu:
            _named(pdu, "err_class", value, ERROR_CLASSES)
        elif label == s.ERROR_CODE and "err_code" not in pdu:
            _named(pdu, "err_code", value, ERROR_CODES)


def _named(pdu: _Fields, key: str, code: int, names: Mapping[int, str]) -> None:
    pdu[key] = code
    pdu[key + "_name"] = names.get(code, _UNKNOWN)


def _listed(pdu: _Fields, key: str, code: int, names: Mapping[int, str]) -> None:
    pdu.setdefault(key, []).append(code)
    pdu.setdefault(key + "_name", []).append(names.get(code, _UNKNOWN))
