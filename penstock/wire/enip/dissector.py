"""EtherNet/IP as a passive reader shows it: the fields of the reference decode, for every message of a flow.

Pure.  It starts anywhere, gives up what is broken and goes on.  A capture that begins after a Forward Open still shows
what the messages of that connection ask for: they are taken for requests to the message router, which they nearly
always are.  Enforcement never assumes that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from penstock.model import Malformed
from penstock.wire.decoder import Role, Side
from penstock.wire.enip import pccc
from penstock.wire.enip.codes import COMMAND_MEANINGS, CONNECTION_MANAGER, MESSAGE_ROUTER, MODBUS_OBJECT, PCCC_OBJECT
from penstock.wire.enip.connections import Connections
from penstock.wire.enip.containers import unconnected
from penstock.wire.enip.datagrams import implicit_frame
from penstock.wire.enip.decoder import EnipDecoder, EnipFrame
from penstock.wire.enip.names import PCCC_FUNCTIONS, SERVICES
from penstock.wire.enip.opening import read_opening
from penstock.wire.enip.operations import split_multiple
from penstock.wire.enip.packets import (
    HEADER_BYTES,
    IMPLICIT_HEAD,
    RR_DATA,
    UNIT_DATA,
    connected,
    end_of_frame,
    items_of,
)
from penstock.wire.enip.packets import unconnected as cip_of
from penstock.wire.enip.path import Path, path_of
from penstock.wire.protocol import Shown

Fields = dict[str, Any]

_REPLY_BIT: Final = 0x80
_GET_ALL, _MULTIPLE, _SENT, _PCCC, _GET_LIST, _SET_LIST = 0x01, 0x0A, 0x52, 0x4B, 0x03, 0x04
_OPENINGS: Final = (0x54, 0x5B)
_MAX_DEPTH: Final = 4
#: Requests whose answers may still come: what an answer says depends on what was asked.
_MAX_ASKED: Final = 256
#: Replies with the common packet format: List Services, List Identity, List Interfaces.
_LISTS: Final = (0x04, 0x63, 0x64)
#: Wireshark's protocol column.
_CIP, _IMPLICIT = "CIP", "CIP I/O"
_COLUMNS: Final = {PCCC_OBJECT: "CIP PCCC", CONNECTION_MANAGER: "CIP CM", MODBUS_OBJECT: "CIP MB"}
_CAPTIONS: Final = {0xC8: "StartDTLS"}
#: Bytes of attributes whose type is public (CIP Volume 1, 5-2 Identity), so that the next one in a list is found.
_IDENTITY: Final = 0x01
_ATTRIBUTE_BYTES: Final = {
    (1, 1): 2, (1, 2): 2, (1, 3): 2, (1, 4): 2, (1, 5): 2, (1, 6): 4, (1, 8): 1, (1, 9): 2, (1, 10): 1,
}  # fmt: skip
_LAST_ATTRIBUTE: Final = 10
#: A name: its length in one byte, then the characters.
_NAME_ATTRIBUTE: Final = (1, 7)


class EnipDissector:
    """One flow; over UDP each call is a datagram.  Holds at most one message of each side."""

    def __init__(self, connections: Connections | None = None, *, is_datagrams: bool = False) -> None:
        self._is_datagrams = is_datagrams
        self._decoder = EnipDecoder(connections, assumes_router=True)
        self._held = {Side.CLIENT: bytearray(), Side.ASSET: bytearray()}
        self._needed = {Side.CLIENT: 0, Side.ASSET: 0}
        self._asked: dict[int, bytes] = {}

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        if self._is_datagrams:
            return self._datagram(side, data)
        held = self._held[side]
        held += data
        if len(held) < self._needed[side]:
            return ()
        stream, found, start, size = bytes(held), list[Shown](), 0, 0
        try:
            while (size := end_of_frame(stream, start)) and start + size <= len(stream):
                found += self._message(side, stream[start : start + size])
                start += size
        except Malformed:
            # Not EtherNet/IP from here on, or the beginning was missed: the next bytes may begin a message again.
            start, size = len(stream), 0
        held[:] = stream[start:]
        self._needed[side] = size if held else 0
        return found

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        self._held[side].clear()
        self._needed[side] = 0

    def _datagram(self, side: Side, data: bytes) -> Sequence[Shown]:
        if data[:4] == IMPLICIT_HEAD:
            return self._implicit(side, data)
        try:
            is_whole = bool(data) and end_of_frame(data, 0) == len(data)
        except Malformed:
            return ()
        return self._message(side, data) if is_whole else ()

    def _implicit(self, side: Side, data: bytes) -> Sequence[Shown]:
        try:
            items = items_of(data, 0)
            frame = implicit_frame(self._sender(side, data), data, self._decoder.connections)
        except Malformed:
            return ()
        fields = {"p": "enip", "items": [kind for kind, _ in items]}
        return (Shown(fields, column=_IMPLICIT), Shown({"p": "cip_io"}, frame, _IMPLICIT))

    def _sender(self, side: Side, data: bytes) -> Side:
        """Both ends use the same port: the number of the connection says who sends, where its opening was seen."""
        number, connections = _long(data, 6), self._decoder.connections
        if number in connections.to_target:
            return Side.CLIENT
        return Side.ASSET if number in connections.from_target else side

    def _message(self, side: Side, data: bytes) -> list[Shown]:
        fields: Fields = {"p": "enip", "cmd": data[0]}
        fields["cmd_name"] = _CAPTIONS.get(data[0]) or COMMAND_MEANINGS.get(data[0], ("Unknown", ()))[0]
        fields |= {"len": data[2] | data[3] << 8, "session": _long(data, 4), "status": _long(data, 8)}
        try:
            frame: EnipFrame | None = self._decoder.frame(side, data)
        except Malformed:
            frame = None
        if frame is not None and frame.role is Role.REQUEST:
            self._decoder.forward(frame)
        inside, column = list[Fields](), ""
        try:
            fields |= _items(data)
            inside, column = self._cip(data, frame)
        except Malformed:
            pass
        shown = [Shown(each, column=column) for each in (fields, *inside)]
        shown[0].frame = frame  # not with the CIP units, which have a key `class` of their own
        return shown

    def _cip(self, data: bytes, frame: EnipFrame | None) -> tuple[list[Fields], str]:
        """The CIP messages in one packet, and what the protocol column says of them."""
        if data[0] not in (RR_DATA, UNIT_DATA) or len(data) == HEADER_BYTES:
            return [], ""
        message = cip_of(data) if data[0] == RR_DATA else connected(data)[2]
        if not message:
            return [], ""
        exchange = frame.exchange if frame is not None else 0
        if message[0] & _REPLY_BIT:
            asked = self._asked.pop(exchange, b"")
            found = _reply(message, asked, 0)
            answered = {each["svc"] for each in found}
            return found, _column(each for each in _request(asked, 0) if each["svc"] in answered)
        if frame is not None:
            if len(self._asked) >= _MAX_ASKED:
                del self._asked[next(iter(self._asked))]
            self._asked[exchange] = message
        found = _request(message, 0)
        return found, _column(found)


def _column(inside: Iterable[Fields]) -> str:
    """What the protocol column says: the most special of the objects that are spoken to."""
    spoken = [each for each in inside if each.get("class") != PCCC_OBJECT or each["svc"] == _PCCC]
    numbers = {number for each in spoken for number in _several(each.get("class"))}
    return next((column for number, column in _COLUMNS.items() if number in numbers), _CIP)


def _several(value: int | list[int] | None) -> Sequence[int]:
    return value if isinstance(value, list) else () if value is None else (value,)


def _long(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _items(data: bytes) -> Fields:
    """The types of the items, where the command has them."""
    if data[0] in (RR_DATA, UNIT_DATA) and len(data) > HEADER_BYTES:
        return {"items": [kind for kind, _ in items_of(data, HEADER_BYTES + 6)]}
    if data[0] in _LISTS and len(data) > HEADER_BYTES:
        items = [kind for kind, _ in items_of(data, HEADER_BYTES)]
        return {"items": items} if items else {}
    return {}


def _service(message: bytes) -> Fields:
    service = message[0] & ~_REPLY_BIT
    name = SERVICES.get(service, f"Unknown Service (0x{service:02x})")
    return {"p": "cip", "svc": service, "rsp": bool(message[0] & _REPLY_BIT), "svc_name": name}


def _add(fields: Fields, key: str, value: int) -> None:
    """One value stands alone, several are a list."""
    held = fields.get(key)
    if held is None:
        fields[key] = value
    elif isinstance(held, list):
        held.append(value)
    else:
        fields[key] = [held, value]


def _request(message: bytes, depth: int) -> list[Fields]:
    """A request, and behind it those that it carries."""
    if not message:
        return []
    fields = _service(message)
    found = [fields]
    end = 2 + 2 * message[1] if len(message) > 1 else len(message)
    try:
        path = path_of(message[2:end])
    except Malformed:
        return found
    for kind, number in path.numbers:
        _add(fields, kind, number)
    if path.symbols:
        fields["tag"] = ".".join(path.symbols)
    with suppress(Malformed, IndexError):
        _inside(found, message[0], path, message[end:], depth)
    return found


def _inside(found: list[Fields], service: int, path: Path, data: bytes, depth: int) -> None:
    if service == _GET_LIST:
        for at in range(2, min(len(data) - 1, 2 + 2 * (data[0] | data[1] << 8)), 2):
            _add(found[0], "attribute", data[at] | data[at + 1] << 8)
    elif service == _SET_LIST:
        _set_list(found[0], path, data)
    elif service == _MULTIPLE and depth < _MAX_DEPTH:
        for each in split_multiple(data):
            found += _request(each, depth + 1)
    elif service == _SENT and path.number == CONNECTION_MANAGER and depth < _MAX_DEPTH:
        found += _request(unconnected(data)[0], depth + 1)
    elif service in _OPENINGS and path.number == CONNECTION_MANAGER and depth:
        for kind, number in read_opening(service, data).path.numbers:
            _add(found[0], kind, number)
    elif service == _PCCC and path.number == PCCC_OBJECT and depth:
        found[0].update(_pccc(data))


def _set_list(fields: Fields, path: Path, data: bytes) -> None:
    """Numbers as far as the values in between have a known size."""
    count, at = (data[0] | data[1] << 8 if len(data) > 1 else 0), 2
    while count and at + 2 <= len(data):
        number = data[at] | data[at + 1] << 8
        _add(fields, "attribute", number)
        size = _ATTRIBUTE_BYTES.get((path.number, number))
        if size is None:
            return
        at += 2 + size
        count -= 1


def _pccc(data: bytes) -> Fields:
    asked = pccc.read_command(data)
    fields: Fields = {"pccc_cmd": asked.command}
    if asked.function is not None:
        fields["pccc_fnc"] = asked.function
        named = PCCC_FUNCTIONS.get(asked.command, {}).get(asked.function)
        if named:
            fields["pccc_fnc_name"] = named
    return fields


def _reply(message: bytes, asked: bytes, depth: int) -> list[Fields]:
    """A reply, and behind it those that it carries; the attributes are those that it has, as far as they are found."""
    fields = _service(message)
    found = [fields]
    if len(message) < 4:  # noqa: PLR2004 - service to status
        return found
    fields["status"] = message[2]
    shown = message[4 + 2 * message[3] :]
    service = message[0] & ~_REPLY_BIT
    if service == _MULTIPLE and depth < _MAX_DEPTH:
        requests = _embedded(asked)
        for i, each in enumerate(_split(shown)):
            found += _reply(each, requests[i] if i < len(requests) else b"", depth + 1)
    elif asked and asked[0] != service:
        return found
    elif service == _GET_ALL and not message[2]:
        _reply_all(fields, asked, shown)
    elif service in (_GET_LIST, _SET_LIST):
        _reply_list(fields, service, asked, shown)
    return found


def _reply_list(fields: Fields, service: int, asked: bytes, shown: bytes) -> None:
    """Number and status of each attribute; one that was read is followed by its value."""
    number = _number(asked)
    count, at = (shown[0] | shown[1] << 8 if len(shown) > 1 else 0), 2
    while count and at + 4 <= len(shown):
        attribute = shown[at] | shown[at + 1] << 8
        _add(fields, "attribute", attribute)
        status = shown[at + 2] | shown[at + 3] << 8
        at += 4
        count -= 1
        if service == _GET_LIST and not status:
            size = _size(number, attribute, shown[at : at + 1])
            if size is None:
                return
            at += size


def _size(number: int, attribute: int, head: bytes) -> int | None:
    """How many bytes the value of an attribute has, where its type is public."""
    if (number, attribute) == _NAME_ATTRIBUTE:
        return 1 + head[0] if head else None
    return _ATTRIBUTE_BYTES.get((number, attribute))


def _reply_all(fields: Fields, asked: bytes, shown: bytes) -> None:
    """All attributes stand one behind the other without their numbers: for what every device has, they are known."""
    number, at = _number(asked), 0
    if number == MESSAGE_ROUTER and shown:
        fields["attribute"] = 1
    while number == _IDENTITY and at < len(shown) and fields.get("attribute", [0])[-1] < _LAST_ATTRIBUTE:
        attribute = len(fields.get("attribute", ())) + 1
        fields.setdefault("attribute", []).append(attribute)
        at += _size(number, attribute, shown[at : at + 1]) or 0


def _number(asked: bytes) -> int:
    try:
        return path_of(asked[2 : 2 + 2 * asked[1]]).number if len(asked) > 1 else -1
    except Malformed:
        return -1


def _embedded(asked: bytes) -> list[bytes]:
    try:
        return split_multiple(asked[2 + 2 * asked[1] :]) if len(asked) > 1 and asked[0] == _MULTIPLE else []
    except Malformed:
        return []


def _split(shown: bytes) -> list[bytes]:
    try:
        return split_multiple(shown)
    except Malformed:
        return []
