"""EtherNet/IP over TCP: encapsulation, pairs of request and reply, connections, and what a message means to the policy.

Pure.  Facts: ODVA CIP Volume 2 (2-3 encapsulation header, 2-6 common packet format) and Volume 1 (3-5.5 connections).
What a request means is in `penstock.wire.enip.operations`, what a refusal looks like in `penstock.wire.enip.refusals`.
This file must stay small, for every byte of every inspected flow goes through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from struct import Struct
from typing import Final

from penstock.model import Malformed, Operation, Reason
from penstock.wire.decoder import NO_ANSWER, Answer, Frame, Role, Side
from penstock.wire.enip.answers import answer, says_no
from penstock.wire.enip.codes import COMMAND_MEANINGS, CONNECTION_MANAGER
from penstock.wire.enip.connections import Connections
from penstock.wire.enip.opening import Opening, Triad, read_closing, read_opening
from penstock.wire.enip.operations import BROKEN, COMMAND, OPAQUE, OPENING, OPENING_BYTES, UNROUTED, naming, operation
from penstock.wire.enip.packets import (
    CONNECTED_DATA,
    HEADER_BYTES,
    IMPLICIT_HEAD,
    MAX_FRAME_BYTES,
    RR_DATA,
    UNIT_DATA,
    connected,
    end_of_frame,
    unconnected,
)
from penstock.wire.enip.path import path_of
from penstock.wire.enip.refusals import refusal
from penstock.wire.enip.symbols import LIST, Symbols, changes, concerns

MAX_HELD_BYTES: Final = MAX_FRAME_BYTES - 1
_REPLY_BIT: Final = 0x80
#: Where the CIP service stands in Send RR Data and in Send Unit Data with the usual two items.
_UNCONNECTED_SERVICE, _CONNECTED_SERVICE = 40, 46
_LISTS: Final = (0x04, 0x63, 0x64)
#: So many bytes tell a command, a length, and the options (2-3.2).
_TELLING: Final = (2, 4, HEADER_BYTES)
_SESSIONLESS: Final = (0x0000, 0x0066)
#: Command, length, session, status, sender context, options.
_header = Struct("<HHIIQI").unpack_from
#: A member of an enumeration is slow to look up by its class.
_CLIENT: Final = Side.CLIENT
_ASSET: Final = Side.ASSET
_REQUEST: Final = Role.REQUEST
_REPLY: Final = Role.REPLY
_LINK: Final = Role.LINK
_OPENING: Final = (0x54, 0x5B)
_CLOSING: Final = 0x4E
_OPENINGS_MASK: Final = 0xFFFF_FFFF
_NO_STATUS: Final = bytes(4)
_WITH_STATUS: Final = "a request with a status (2-3.3)"
_OPAQUE: Final = bytes((OPAQUE,))
_RR_EXCHANGE: Final = RR_DATA << 64
_PCCC_REPLY: Final = 0xCB
_LIST: Final = bytes((LIST,))
#: Services that may carry or change symbols: Set Attribute List, Create, Delete, packets, project fragments, sent ones.
_LOOKED_INTO: Final = frozenset({b"\x04", b"\x08", b"\x09", b"\x0a", b"\x50", b"\x52"})
#: Services whose frames need a look at what they open or close.
_MANAGED: Final = frozenset({*_OPENING, _CLOSING})
#: Number and types of the usual items, and the size of the address.
_CONNECTED_ITEMS: Final = b"\x02\x00\xa1\x00\x04\x00"
_UNCONNECTED_ITEMS: Final = b"\x02\x00\x00\x00\x00\x00\xb2\x00"
#: Command, length, status, options, interface, items, number, type, size, sequence count.
_plain_connected = Struct("<HH4xI8xII2x6sIHHH").unpack_from
#: Command, length, status, context, options, interface, items, size.
_plain_unconnected = Struct("<HH4xIQII2x8sH").unpack_from
#: Sender contexts of connected messages; clients use one, or count.
_MAX_CONTEXTS: Final = 64
_accepted = Struct("<IIHHI").unpack_from
_ACCEPTED_BYTES: Final = 26


class EnipFrame(Frame, gc=False):
    """One encapsulated message; `what` says what it means with the connections of its time (`operations`)."""

    @property
    def operation(self) -> Operation:
        """What the request asks for.  Raises `Malformed`."""
        return operation(self.what)


class EnipDecoder:
    """The EtherNet/IP messages of one TCP flow.

    `connections` is what was opened between the two ends, shared with the decoder of their UDP flows.  At most 65,534
    bytes are held for each side, and 256 connections.
    """

    __slots__ = (
        "_assumed",
        "_from_asset",
        "_from_client",
        "_is_listing",
        "_last_units",
        "_lost",
        "_needed_asset",
        "_needed_client",
        "_openings",
        "_symbols",
        "connections",
    )
    rewrites = False

    def __init__(self, connections: Connections | None = None, *, assumes_router: bool = False) -> None:
        #: Passive use from the middle of a flow on: whose opening was not seen is taken for a session of requests.
        self._assumed = UNROUTED if assumes_router else b""
        self.connections = Connections() if connections is None else connections
        self._from_client, self._from_asset = bytearray(), bytearray()
        self._needed_client = self._needed_asset = self._openings = 0
        self._symbols, self._is_listing = Symbols(), False
        self._lost: dict[str, Malformed] = {}
        self._last_units: dict[bytes, int] = {}

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`.  One whole message at a time, the usual case, takes the short way."""
        size = len(data)
        if size >= HEADER_BYTES and not (self._from_client if side is _CLIENT else self._from_asset):
            frame = None
            if size > _UNCONNECTED_SERVICE:
                if data[0] == UNIT_DATA:
                    frame = self._plain_unit(side, data, size)
                elif data[0] == RR_DATA:
                    frame = self._plain_rr(side, data, size)
            if frame is not None:
                return (frame,)
            with suppress(Malformed):
                if end_of_frame(data, 0) == size:
                    return (self.frame(side, data),)
        return self._feed_parts(side, data)

    def _plain_unit(self, side: Side, data: bytes, size: int) -> EnipFrame | None:
        """A connected message with nothing out of the ordinary; ``None`` for all others."""
        if size <= _CONNECTED_SERVICE:
            return None
        command, length, status, options, interface, items, number, kind, item, count = _plain_connected(data)
        if (
            command != UNIT_DATA
            or length + HEADER_BYTES != size
            or status
            or options
            or interface
            or items != _CONNECTED_ITEMS
            or kind != CONNECTED_DATA
            or item + 44 != size
        ):
            return None
        if side is _CLIENT:
            return self._asked_on(data, number, count, data[46:])
        known = self.connections.from_target.get(number)
        service = data[46]
        is_router = self._assumed if known is None else known.is_router
        if not is_router or size < 50 or data[48] or service < _REPLY_BIT or data[49]:  # noqa: PLR2004
            return None
        exchange = count if known is None else known.to_target << 16 | count
        if self._is_listing:
            self._symbols.tell(exchange, data[46:])
        says = service == _PCCC_REPLY and says_no(data[46:])
        return EnipFrame(data, side, UNROUTED + data[46:], exchange, says, _REPLY)

    def _plain_rr(self, side: Side, data: bytes, size: int) -> EnipFrame | None:
        """An unconnected message with nothing out of the ordinary; ``None`` for all others."""
        command, length, status, context, options, interface, items, item = _plain_unconnected(data)
        if (
            command != RR_DATA
            or length + HEADER_BYTES != size
            or status
            or options
            or interface
            or items != _UNCONNECTED_ITEMS
            or item + 40 != size
        ):
            return None
        service = data[40]
        if side is _CLIENT:
            if service in _MANAGED:
                return None
            if self._is_listing or service == LIST:
                exchange = _RR_EXCHANGE | context
                return EnipFrame(data, side, self._with_names(exchange, UNROUTED, data[40:]), exchange, False)
            return EnipFrame(data, side, UNROUTED + data[40:], _RR_EXCHANGE | context, False)
        if size < 44 or data[42] or service < _REPLY_BIT or data[43] or self.connections.waits:  # noqa: PLR2004
            return None
        if self._is_listing:
            self._symbols.tell(_RR_EXCHANGE | context, data[40:])
        says = service == _PCCC_REPLY and says_no(data[40:])
        return EnipFrame(data, side, UNROUTED + data[40:], _RR_EXCHANGE | context, says, _REPLY)

    def pending(self, side: Side) -> int:
        """How many bytes of an incomplete (or broken) frame are held for this side."""
        return len(self._from_client if side is _CLIENT else self._from_asset)

    def forward(self, frame: Frame) -> bytes:
        """The frame as it came.  An opening that passes is remembered until the asset answers."""
        data = frame.data
        if frame.what[0] == OPENING:
            wanted = _wanted(frame.what[OPENING_BYTES:])
            if wanted is not None:
                self.connections.ask(frame.exchange, wanted)
        return data

    def due(self, side: Side) -> bytes:  # noqa: ARG002 - the contract's
        """Nothing: EtherNet/IP does not count its messages."""
        return b""

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """The answer of CIP, or of the encapsulation, in the name of the asset."""
        self._symbols.refused(frame.exchange)
        return refusal(frame, reason, self.connections)

    def answer(self, request: Frame, reply: Frame) -> Answer:
        """The general status, or the values that were read."""
        return answer(request, reply)

    def _feed_parts(self, side: Side, data: bytes) -> Sequence[Frame]:
        """Bytes are put together once: a message that comes byte by byte costs no more than a whole one."""
        if side.value in self._lost:
            raise self._lost[side.value]
        held = self._from_client if side is _CLIENT else self._from_asset
        held += data
        if len(held) < (self._needed_client if side is _CLIENT else self._needed_asset):
            return ()
        stream, frames, start, size = bytes(held), list[Frame](), 0, 0
        try:
            while (size := end_of_frame(stream, start)) and start + size <= len(stream):
                frames.append(self.frame(side, stream[start : start + size]))
                start += size
        except Malformed as error:
            self._lost[side.value] = error
            held[:] = stream[start : start + MAX_HELD_BYTES]
            if not frames:
                raise
            return frames
        held[:] = stream[start:]
        needed = next((each for each in (*_TELLING, size) if each > len(held)), 0)
        if side is _CLIENT:
            self._needed_client = needed
        else:
            self._needed_asset = needed
        return frames

    def frame(self, side: Side, data: bytes) -> EnipFrame:
        """The frame of one whole message.  Raises `Malformed` where an asset's answer is none."""
        command = data[0]
        if command == UNIT_DATA:
            return self._unit_request(data) if side is _CLIENT else self._unit_reply(data)
        _, _, _, status, context, _ = _header(data)
        exchange = command << 64 | context
        if side is _ASSET:
            return self._asset_frame(data, command, exchange)
        if status:
            return EnipFrame(data, side, _broken(_WITH_STATUS), exchange, False)
        if command != RR_DATA:
            what = bytes((COMMAND,)) + data[:2] + data[HEADER_BYTES:]
            return EnipFrame(data, side, what, NO_ANSWER if command in _SESSIONLESS else exchange, False)
        try:
            message = unconnected(data)
            if _wanted(message) is not None:
                what = self._numbered(message)
            elif self._is_listing or message[0] == LIST:
                what = self._with_names(exchange, UNROUTED, message)
            else:
                what = UNROUTED + message
        except Malformed as error:
            what = _broken(str(error))
        return EnipFrame(data, side, what, exchange, False)

    def _asset_frame(self, data: bytes, command: int, exchange: int) -> EnipFrame:
        if not command:
            return EnipFrame(data, _ASSET, data, NO_ANSWER, False, _LINK)
        is_error = any(data[8:12])
        if command == RR_DATA and not is_error:
            message = _reply(unconnected(data))
            if self.connections.is_pending(exchange):
                self._opened(exchange, message)
            self._symbols.tell(exchange, message)
            return EnipFrame(data, _ASSET, UNROUTED + message, exchange, says_no(message), _REPLY)
        if command == RR_DATA:
            self.connections.answered(exchange, None, is_success=False)
        return EnipFrame(data, _ASSET, _command_status(data), exchange, is_error, _REPLY)

    def _unit_request(self, data: bytes) -> EnipFrame:
        """A message of a connection: what it means was said when the connection was opened."""
        try:
            number, count, message = connected(data)
        except Malformed as error:
            return EnipFrame(data, _CLIENT, _broken(str(error)), NO_ANSWER, False)
        if data[8:12] != _NO_STATUS:
            return EnipFrame(data, _CLIENT, _broken(_WITH_STATUS), number << 16 | count, False)
        return self._asked_on(data, number, count, message)

    def _asked_on(self, data: bytes, number: int, count: int, message: bytes) -> EnipFrame:
        """The frame of a connected request: with what its connection was opened for."""
        known = self.connections.to_target.get(number)
        exchange = number << 16 | count
        self._note(data[12:20], exchange)
        is_listing = self._is_listing or message[:1] == _LIST
        if known is None and self._assumed:
            what = self._with_names(count, self._assumed, message) if is_listing else self._assumed + message
            return EnipFrame(data, _CLIENT, what, count, False)
        if known is None or not known.is_router:
            return EnipFrame(data, _CLIENT, _OPAQUE + data[36:40] + message, exchange, False)
        what = known.heading + message
        if count == known.last_count and what != known.last:
            what = _broken("a sequence count that stands for another message (3-4.4.2)")
        else:
            known.last_count, known.last = count, what
            if is_listing:
                what = self._with_names(exchange, known.heading, message)
        return EnipFrame(data, _CLIENT, what, exchange, False)

    def _with_names(self, exchange: int, heading: bytes, message: bytes) -> bytes:
        """The `what` of a request, with the names of the symbols that it means by number, where a list told them."""
        what, symbols = heading + message, self._symbols
        if message[:1] == _LIST:
            self._is_listing = True
            symbols.ask(exchange, heading, message)
        elif message[:1] in _LOOKED_INTO or concerns(message):
            try:
                found = operation(what)
            except Malformed:
                return what
            if changes(found.classes):
                symbols.forget()
            return naming(symbols.names_in(heading, found.targets), what)
        return what

    def _unit_reply(self, data: bytes) -> EnipFrame:
        """An answer on a connection.  Some assets name it by the number that they get, not by the one they send."""
        if data[8:12] != _NO_STATUS and len(data) == HEADER_BYTES:
            exchange = self._last_units.pop(data[12:20], NO_ANSWER)
            return EnipFrame(data, _ASSET, _command_status(data), exchange, True, _REPLY)
        number, count, message = connected(data)
        known = self.connections.from_target.get(number) or self.connections.to_target.get(number)
        exchange = (number if known is None else known.to_target) << 16 | count
        if known is None and self._assumed:
            exchange = count
        elif known is None or not known.is_router:
            return EnipFrame(data, _ASSET, _OPAQUE + data[36:40] + message, exchange, False, _REPLY)
        self._symbols.tell(exchange, _reply(message))
        return EnipFrame(data, _ASSET, UNROUTED + _reply(message), exchange, says_no(message), _REPLY)

    def _note(self, context: bytes, exchange: int) -> None:
        """Remember what was asked last with this context: an error of the encapsulation names nothing else."""
        if context not in self._last_units and len(self._last_units) >= _MAX_CONTEXTS:
            self._last_units.clear()
        self._last_units[context] = exchange

    def _numbered(self, message: bytes) -> bytes:
        self._openings = self._openings + 1 & _OPENINGS_MASK
        return bytes((OPENING,)) + self._openings.to_bytes(4, "big") + message

    def _opened(self, exchange: int, message: bytes) -> None:
        accepted, is_success = None, not message[2]
        if message[0] & ~_REPLY_BIT in _OPENING and len(message) >= 4 + 2 * message[3] + _ACCEPTED_BYTES:
            to_target, to_originator, *triad = _accepted(message, 4 + 2 * message[3])
            accepted = (to_target, to_originator, (triad[0], triad[1], triad[2]))
        self.connections.answered(exchange, accepted, is_success=is_success)


def fits(data: bytes, side: Side) -> bool | None:
    """See `Known.fits`: a command of EtherNet/IP, a length that there can be and no options; or implicit data.

    Which side asks shows in the CIP service, so a flow that begins in the middle can be turned round.
    """
    if data[:4] == IMPLICIT_HEAD[: len(data)]:
        return len(data) >= len(IMPLICIT_HEAD) or None
    if data[0] not in COMMAND_MEANINGS or any(data[1:2]) or any(data[20:24]):
        return False
    if len(data) < HEADER_BYTES or not data[0]:  # NOP: zeros are the head of other protocols as well
        return None
    size = data[2] | data[3] << 8
    service_at = {RR_DATA: _UNCONNECTED_SERVICE, UNIT_DATA: _CONNECTED_SERVICE}.get(data[0])
    if service_at is not None and size and len(data) > service_at:
        return bool(data[service_at] & _REPLY_BIT) is (side is _ASSET)
    if data[0] in _LISTS and len(data) == HEADER_BYTES + size:
        return bool(size) is (side is _ASSET)
    return size <= MAX_FRAME_BYTES - HEADER_BYTES


def _command_status(data: bytes) -> bytes:
    return bytes((COMMAND,)) + data[:2] + data[8:12]


def _broken(why: str) -> bytes:
    return bytes((BROKEN,)) + why.encode()


def _reply(message: bytes) -> bytes:
    """A CIP reply: service, a reserved byte, status, extended status (Volume 1, 2-4.2).  Raises `Malformed`."""
    if len(message) < 4 or not message[0] & _REPLY_BIT or len(message) < 4 + 2 * message[3]:  # noqa: PLR2004
        raise Malformed("no CIP reply where one should be (2-4.2)")
    return message


def _wanted(message: bytes) -> Opening | Triad | None:
    """The connection that an unconnected request wants to open or to close.  Nested ones never count."""
    if message[0] not in _OPENING and message[0] != _CLOSING:
        return None
    end = 2 + 2 * message[1] if len(message) > 1 else 0
    try:
        if path_of(message[2:end]).number != CONNECTION_MANAGER:
            return None
        return read_closing(message[end:])[0] if message[0] == _CLOSING else read_opening(message[0], message[end:])
    except Malformed:
        return None
