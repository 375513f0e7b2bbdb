"""CIP messages in other messages: Multiple Service, Unconnected Send, PCCC, Modbus passthrough, and openings.

Pure.  ODVA CIP Volume 1, 3-5.5.4 (Unconnected Send) and appendix A-4.10 (Multiple Service Packet); Volume 7 for the
Modbus object.  A container is never more than what it carries: its classes and objects are theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from penstock.model import Malformed, OperationClass, Target
from penstock.wire.enip import pccc as df1
from penstock.wire.enip.codes import Classes
from penstock.wire.enip.opening import read_closing, read_opening, targets_of
from penstock.wire.enip.path import Path, route_of
from penstock.wire.modbus.operations import operation as modbus_operation

#: Names and codes in the text of a container; a packet has up to some hundred requests.
_MAX_NAMED: Final = 8
_UNKNOWN: Final = (OperationClass.UNKNOWN,)
_UNCONNECTED_HEAD_BYTES: Final = 4
_NO_UNIT: Final = 0


class Part(msgspec.Struct, frozen=True, gc=False):
    """What one request in a container asks for; `unit` is the slot in the rack that it is sent on to."""

    code: str
    name: str
    classes: Classes
    targets: tuple[Target, ...]
    unit: int | None = None


class Gathered:
    """The requests of a Multiple Service Packet, one by one, as one."""

    __slots__ = ("_classes", "_codes", "_names", "_targets", "_unit")

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._classes: dict[OperationClass, None] = {}
        self._targets: list[Target] = []
        self._unit: int | None = None

    def add(self, code: str, name: str, classes: Classes, targets: tuple[Target, ...], unit: int | None = None) -> None:
        """One more request.  Raises `Malformed` where two are sent on to different slots."""
        self._codes[code] = self._codes.get(code, 0) + 1
        self._names[name] = self._names.get(name, 0) + 1
        for each in classes:
            self._classes[each] = None
        self._targets += targets
        if unit is not None:
            if self._unit not in {None, unit}:
                raise Malformed("requests to several slots in one packet")
            self._unit = unit

    def part(self) -> Part:
        """All of them."""
        code, name = f"0x0A({_listed(self._codes)})", f"Multiple Service Packet: {_listed(self._names)}"
        return Part(code, name, tuple(self._classes), tuple(self._targets), self._unit)


def unconnected(data: bytes) -> tuple[bytes, Path]:
    """The message of an Unconnected Send and the route that it takes (3-5.5.4).  Raises `Malformed`."""
    size = data[2] | data[3] << 8 if len(data) >= _UNCONNECTED_HEAD_BYTES else 0
    end = _UNCONNECTED_HEAD_BYTES + size
    at = end + size % 2
    if not size or len(data) < at + 2 or any(data[end:at]):
        raise Malformed("an Unconnected Send ends before its route (3-5.5.4)")
    words, reserved = data[at], data[at + 1]
    if reserved or len(data) != at + 2 + 2 * words:
        raise Malformed(f"an Unconnected Send announces a route of {words} words and has {len(data) - at - 2} bytes")
    return data[_UNCONNECTED_HEAD_BYTES:end], route_of(data[at + 2 :])


def merged(part: Part, route: Path | str, *, is_sent: bool = False) -> Part:
    """A request that takes a route: to a slot of the rack, or out of it, which a conduit must allow by itself."""
    code, name = (f"0x52({part.code})", f"Unconnected Send: {part.name}") if is_sent else (part.code, part.name)
    if isinstance(route, Path):
        if not route.is_known and route.numbers:
            return Part(code, f"{name} on a route that is not known", _UNKNOWN, ())
        if route.slot is not None and part.unit is None:
            return Part(code, name, part.classes, part.targets, route.slot)
        route = route.route
    if not route:
        return Part(code, name, part.classes, part.targets, part.unit)
    away = Target(OperationClass.VENDOR, "routes", 0, 1, route)
    classes = part.classes if OperationClass.VENDOR in part.classes else (*part.classes, OperationClass.VENDOR)
    return Part(code, name, classes, (*part.targets, away), part.unit)


def opening(service: int) -> Callable[[bytes, int], Part]:
    """Forward Open, or Large Forward Open."""
    code = f"0x{service:02X}/0x06"
    name = "Large Forward Open" if service == 0x5B else "Forward Open"  # noqa: PLR2004

    def read(data: bytes, _depth: int) -> Part:
        wanted = read_opening(service, data)
        classes, targets = targets_of(wanted)
        if not wanted.path.is_known:
            return Part(code, f"{name} to a path that is not known", _UNKNOWN, ())
        end = "implicit" if wanted.is_implicit else "message router" if wanted.is_router else wanted.path.name
        return merged(Part(code, f"{name} ({end})", classes, targets), _route_of(wanted.path))

    return read


def closing(data: bytes, _depth: int) -> Part:
    """Forward Close."""
    read_closing(data)
    return Part("0x4E/0x06", "Forward Close", (OperationClass.SESSION,), ())


def pccc(data: bytes, _depth: int) -> Part:
    """Execute PCCC: the DF1 command inside."""
    asked = df1.read_command(data)
    targets = df1.targets_of(asked) if asked.classes != _UNKNOWN else ()
    return Part(f"0x4B/0x67({asked.code})", asked.name, asked.classes, targets)


def modbus(data: bytes, _depth: int) -> Part:
    """Modbus passthrough: function code and data, as in the Modbus protocol."""
    if not data:
        raise Malformed("a Modbus passthrough without a function")
    asked = modbus_operation(_NO_UNIT, data)
    return Part(f"0x51/0x44({asked.code})", f"Modbus passthrough: {asked.name}", asked.classes, asked.targets)


def _route_of(path: Path) -> Path:
    """The route of a connection path alone."""
    return msgspec.structs.replace(path, numbers=(), is_known=True)


def _listed(counts: dict[str, int]) -> str:
    found = [text if count == 1 else f"{text} ×{count}" for text, count in counts.items()]  # noqa: RUF001
    more = ["…"] if len(found) > _MAX_NAMED else []
    return ", ".join([*found[:_MAX_NAMED], *more])
