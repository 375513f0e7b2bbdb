"""What a request means: a CIP message, an encapsulation command or implicit data in, `Operation` out.

Pure.  ODVA CIP Volume 1 (2-4 message router requests, 3-5.5 Connection Manager, appendix A services) and Volume 2 (2-4
encapsulation).  Containers are opened: one operation has the classes and the objects of everything inside.  What
contradicts the standard is `Malformed`, because an asset might read such bytes otherwise than the gate does; a code
that the taxonomy does not have is `unknown`.

A message's `what` begins with a byte that says what follows (`CIP`, `COMMAND`, …), so that two messages with the same
`what` mean the same whatever the state of the connections is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from struct import unpack_from
from typing import Final

import msgspec

from penstock.model import Malformed, Operation, OperationClass, Target
from penstock.wire.enip import tags
from penstock.wire.enip.codes import (
    CARRIES,
    COMMAND_MEANINGS,
    CONNECTION_MANAGER,
    MODBUS_OBJECT,
    PCCC_OBJECT,
    TAG_CLASSES,
    Classes,
    classes_of,
)
from penstock.wire.enip.containers import (
    Gathered,
    Part,
    closing,
    merged,
    modbus,
    opening,
    pccc,
    unconnected,
)
from penstock.wire.enip.names import service_name
from penstock.wire.enip.objects import (
    any_data,
    attribute_list,
    named,
    nothing,
    one_attribute,
    set_attribute,
    set_list,
)
from penstock.wire.enip.path import NO_CLASS, REMEMBERED, Path, path_of
from penstock.wire.enip.symbols import named as named_symbols
from penstock.wire.enip.symbols import read_names

PROTOCOL: Final = "enip"
#: First byte of a `what`: a CIP request with the route of its connection, an encapsulation command, a message of a
#: connection that does not end at the message router, implicit data, an opening or closing of a connection with a
#: number of its own (none is ever like another, so that each is seen when it passes), any of these with names of
#: symbols in front, what is broken.
CIP, COMMAND, OPAQUE, IMPLICIT, OPENING, NAMED, BROKEN = 1, 2, 3, 4, 5, 6, 255
OPENING_BYTES: Final = 5
UNROUTED: Final = bytes((CIP, 0))

_REPLY_BIT: Final = 0x80
_MULTIPLE: Final = 0x0A
_UNKNOWN: Final = (OperationClass.UNKNOWN,)
#: Containers within containers: one Unconnected Send with one Multiple Service Packet is what clients send.
_MAX_DEPTH: Final = 4
_MAX_ROUTE: Final = 255
_BACKPLANE: Final = "1/"
_MAX_REMEMBERED: Final = 4096

_CUT: Final = "a CIP request ends within its path (2-4.1)"
_OVERLAP: Final = "the requests of a Multiple Service Packet do not follow each other"

Parser = Callable[[OperationClass, Path, bytes], tuple[Target, ...]]


class Meaning(msgspec.Struct, frozen=True, gc=False):
    """What a service of a class of objects is: its name, code and classes, and what reads its data."""

    code: str
    name: str
    classes: Classes
    parse: Parser
    opens: Callable[[bytes, int], Part] | None = None


_meanings: dict[int, Meaning] = {}
_slots: dict[bytes, tuple[int | None, str]] = {}


def operation(what: bytes) -> Operation:
    """The operation that a request asks for.  Raises `Malformed`."""
    kind = what[0]
    if kind == CIP:
        at = 2 + what[1]
        if at == 2:  # noqa: PLR2004 - no route
            return _cip(what, 2, None, "")
        unit, route = _slots.get(what[2:at]) or _slot(what[2:at])
        return _cip(what, at, unit, route)
    read = _OTHERS.get(kind)
    if read is None:
        raise Malformed(what[1:].decode())
    return read(what)


def _named(what: bytes) -> Operation:
    names, rest = with_names(what)
    found = operation(rest)
    return msgspec.structs.replace(found, targets=named_symbols(found.targets, names))


def _opaque(_what: bytes) -> Operation:
    return Operation(PROTOCOL, _UNKNOWN, "0x0070", "message of a connection that is not known", None, ())


def naming(names: bytes, what: bytes) -> bytes:
    """A `what` with the names of the symbols that its request means by number."""
    return bytes((NAMED,)) + len(names).to_bytes(4, "big") + names + what if names else what


def with_names(what: bytes) -> tuple[Mapping[str, str], bytes]:
    """The names, and the `what` behind them."""
    end = 5 + int.from_bytes(what[1:5], "big")
    return read_names(what[5:end]), what[end:]


def routed(path: Path) -> bytes:
    """What stands in front of a request in the `what` of a message whose connection takes a route."""
    route = path.route.encode()
    return bytes((CIP, len(route))) + route if len(route) <= _MAX_ROUTE else bytes((OPAQUE,))


def _slot(route: bytes) -> tuple[int | None, str]:
    """A slot of the rack, or a route that leads out of it; remembered."""
    text = route.decode()
    found = (int(text[2:]), "") if text[:2] == _BACKPLANE and text[2:].isdecimal() else (None, text)
    if len(_slots) >= _MAX_REMEMBERED:
        _slots.clear()
    _slots[route] = found
    return found


def _cip(what: bytes, at: int, unit: int | None, route: str) -> Operation:
    """The operation of the CIP request at `at`.  One that is no container takes the short way."""
    head = at + 2
    end = head + 2 * what[at + 1] if len(what) > at + 1 else 0
    if not head <= end <= len(what):
        raise Malformed(_CUT)
    raw = what[head:end]
    path = REMEMBERED.get(raw) or path_of(raw)
    meaning = _meanings.get(path.number << 8 | what[at]) or _meaning(path.number, what[at])
    if meaning.opens is None and path.is_known and not route:
        classes = meaning.classes
        targets = meaning.parse(classes[0], path, what[end:])
        return Operation(PROTOCOL, classes, meaning.code, meaning.name, unit, targets)
    part = read_part(what[at:], 0)
    if route:
        part = merged(part, route)
    unit = part.unit if part.unit is not None else unit
    return Operation(PROTOCOL, part.classes, part.code, part.name, unit, part.targets)


def read_part(message: bytes, depth: int) -> Part:
    """What one CIP request asks for, which may stand in another.  Raises `Malformed`."""
    if depth >= _MAX_DEPTH:
        raise Malformed("containers in containers in containers")
    end = 2 + 2 * message[1] if len(message) > 1 else 0
    if not 1 < end <= len(message):
        raise Malformed(_CUT)
    raw = message[2:end]
    path = REMEMBERED.get(raw) or path_of(raw)
    meaning = _meanings.get(path.number << 8 | message[0]) or _meaning(path.number, message[0])
    if meaning.opens is not None:
        return meaning.opens(message[end:], depth)
    targets = meaning.parse(meaning.classes[0], path, message[end:])
    if not path.is_known:
        return Part(meaning.code, f"{meaning.name} on a path that is not known", _UNKNOWN, ())
    return Part(meaning.code, meaning.name, meaning.classes, targets)


def _multiple(data: bytes, depth: int) -> Part:
    """All requests of a packet as one.  Those that are no containers, the usual ones, are read where they stand."""
    gathered = Gathered()
    if depth + 1 >= _MAX_DEPTH:
        raise Malformed("containers in containers in containers")
    ends = _ends_of_multiple(data)
    at = ends[0]
    for stop in ends[1:]:
        head = at + 2
        end = head + 2 * data[at + 1]
        if end > stop:
            raise Malformed(_CUT)
        raw = data[head:end]
        path = REMEMBERED.get(raw) or path_of(raw)
        meaning = _meanings.get(path.number << 8 | data[at]) or _meaning(path.number, data[at])
        if meaning.opens is None and path.is_known:
            targets = meaning.parse(meaning.classes[0], path, data[end:stop])
            gathered.add(meaning.code, meaning.name, meaning.classes, targets)
        else:
            part = read_part(data[at:stop], depth + 1)
            gathered.add(part.code, part.name, part.classes, part.targets, part.unit)
        at = stop
    return gathered.part()


def split_multiple(data: bytes) -> list[bytes]:
    """The requests (or the answers) of a Multiple Service Packet.  Raises `Malformed`."""
    return [data[start:end] for start, end in pairwise(_ends_of_multiple(data))]


def _ends_of_multiple(data: bytes) -> tuple[int, ...]:
    """Where each request of a packet begins, and where the last one ends (appendix A-4.10).

    A count, offsets, and the requests behind each other.  Raises `Malformed`, also where they overlap or leave
    something out: then one reader takes for data what is a request to another.
    """
    count = data[0] | data[1] << 8 if len(data) > 1 else 0
    at = 2 + 2 * count
    if not count or len(data) < at:
        raise Malformed(f"a Multiple Service Packet of {count} requests in {len(data)} bytes")
    ends = (*unpack_from(f"<{count}H", data, 2), len(data))
    start = ends[0]
    if start != at:
        raise Malformed(_OVERLAP)
    for end in ends[1:]:
        if end - start < 2:  # noqa: PLR2004 - a service and the size of its path
            raise Malformed(_OVERLAP)
        start = end
    return ends


def _unconnected(data: bytes, depth: int) -> Part:
    message, route = unconnected(data)
    return merged(read_part(message, depth + 1), route, is_sent=True)


def _meaning(number: int, service: int) -> Meaning:
    """What a service of a class is, remembered."""
    if service & _REPLY_BIT:
        raise Malformed(f"0x{service:02X} is a reply, not a request (2-4.1)")
    classes = classes_of(number, service)
    found = _known(number, service, _UNKNOWN if classes is None else classes)
    if len(_meanings) >= _MAX_REMEMBERED:
        _meanings.clear()
    _meanings[number << 8 | service] = found
    return found


def _known(number: int, service: int, classes: Classes) -> Meaning:
    is_common = service in _COMMON or number in TAG_CLASSES or number == NO_CLASS
    code = f"0x{service:02X}" if is_common and classes is not _UNKNOWN else f"0x{service:02X}/0x{max(number, 0):02X}"
    name = service_name(number, service) or f"unknown service {code}"
    if classes is CARRIES:
        return Meaning(code, name, classes, any_data, _OPENERS[service if service == _MULTIPLE else number])
    if number == CONNECTION_MANAGER and service in (0x54, 0x5B, 0x4E):
        return Meaning(code, name, classes, any_data, closing if service == 0x4E else opening(service))  # noqa: PLR2004
    parse: Parser | None = _TAG_PARSERS.get(service) if number in TAG_CLASSES else None
    if parse is None:
        parse = nothing if classes is _UNKNOWN else _COMMON_PARSERS.get(service, named)
    return Meaning(code, name, classes, parse)


def _command(command: int, data: bytes) -> Operation:
    """An encapsulation command without CIP inside (Volume 2, 2-4)."""
    code = f"0x{command:04X}"
    known = COMMAND_MEANINGS.get(command)
    if known is None:
        return Operation(PROTOCOL, _UNKNOWN, code, f"unknown command {code}", None, ())
    wanted = _COMMAND_DATA.get(command)
    if wanted is not None and data != wanted:
        raise Malformed(f"{known[0]} has {len(data)} bytes of data that do not belong to it (2-4)")
    return Operation(PROTOCOL, known[1], code, known[0], None, ())


def _implicit(description: bytes) -> Operation:
    """Implicit data: what the connection was opened for.  The first byte says who sends."""
    is_write, names = description[:1] == b"w", description[1:].decode()
    if not names:
        return Operation(PROTOCOL, _UNKNOWN, "I/O", "implicit data of a connection that is not known", None, ())
    which = OperationClass.WRITE if is_write else OperationClass.READ
    targets = tuple(Target(which, "objects", 0, 1, name) for name in names.split("\n"))
    return Operation(PROTOCOL, (which,), "I/O", "implicit data", None, targets)


_OTHERS: Final[dict[int, Callable[[bytes], Operation]]] = {
    COMMAND: lambda what: _command(what[1] | what[2] << 8, what[3:]),
    OPAQUE: _opaque,
    IMPLICIT: lambda what: _implicit(what[1:]),
    OPENING: lambda what: _cip(what, OPENING_BYTES, None, ""),
    NAMED: _named,
}
_COMMON: Final = frozenset(range(0x31))
#: What a command has behind its header: Register Session version 1 and no options (2-4.4), the others nothing.
_COMMAND_DATA: Final = {0x0004: b"", 0x0063: b"", 0x0064: b"", 0x0065: b"\1\0\0\0", 0x0066: b""}
_TAG_PARSERS: Final[dict[int, Parser]] = {
    0x4C: tags.read_tag,
    0x4D: tags.write_tag,
    0x4E: tags.modify_tag,
    0x52: tags.read_fragment,
    0x53: tags.write_fragment,
    0x55: tags.list_instances,
}
_COMMON_PARSERS: Final[dict[int, Parser]] = {
    0x01: nothing,
    0x02: set_attribute,
    0x03: attribute_list,
    0x04: set_list,
    0x0E: one_attribute,
    0x10: set_attribute,
    0x19: set_attribute,
    0x1A: set_attribute,
}
_OPENERS: Final[dict[int, Callable[[bytes, int], Part]]] = {
    _MULTIPLE: _multiple,
    CONNECTION_MANAGER: _unconnected,
    PCCC_OBJECT: pccc,
    MODBUS_OBJECT: modbus,
}
