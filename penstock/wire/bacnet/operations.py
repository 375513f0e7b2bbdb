"""What a BACnet message asks for: its content in, `Operation` out.

Pure.  ANSI/ASHRAE 135-2020, clauses 13 to 16 (services), 6.4 (network messages) and J.2 (BVLL).  What contradicts the
standard is `Malformed`.  A password is read over, and never part of what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from penstock.model import Malformed, Operation, Target
from penstock.model import OperationClass as Is
from penstock.wire.bacnet import codes, meanings, usual
from penstock.wire.bacnet.network import ADDRESS_BYTES, ASSET, ENTRY_BYTES, Scope
from penstock.wire.bacnet.properties import (
    Targets,
    read_property,
    read_property_multiple,
    write_property,
    write_property_multiple,
)
from penstock.wire.bacnet.requests import read_confirmed, read_unconfirmed

#: 20.1.2: flags of a confirmed request, and what may be set in one that is whole: "segmented response accepted".
_ACCEPTS_SEGMENTS: Final = 0x02
_FLAGS: Final = 0x0F
_UNKNOWN: Final = (Is.UNKNOWN,)
#: What the asset does for others, as an object of the class `config`: its number is the network that is meant.
RELAY: Final = "relay"
#: What a client notifies the asset of, as an object of the class `write` that no word of a site document names.
NOTIFICATION: Final = "notification"
_Usual = Mapping[int, Callable[[bytes, int, int, Is], Targets | None]]
#: What reads a service in its usual shape, and says ``None`` of any other.
_USUAL_CONFIRMED: Final[_Usual] = {
    1: usual.changed,
    codes.ATOMIC_READ_FILE: usual.read_file,
    codes.ATOMIC_WRITE_FILE: usual.write_file,
    codes.READ_PROPERTY: read_property,
    codes.READ_PROPERTY_MULTIPLE: read_property_multiple,
    codes.WRITE_PROPERTY: write_property,
    codes.WRITE_PROPERTY_MULTIPLE: write_property_multiple,
}
_USUAL_UNCONFIRMED: Final[_Usual] = {0: usual.i_am, 2: usual.changed, 8: usual.who_is}
_WRITES: Final = frozenset({codes.WRITE_PROPERTY, codes.WRITE_PROPERTY_MULTIPLE})
#: Made once: code, name and classes of every service.
_CONFIRMED: Final = {number: (f"confirmed/{number}", *meaning) for number, meaning in codes.CONFIRMED.items()}
_UNCONFIRMED: Final = {number: (f"unconfirmed/{number}", *meaning) for number, meaning in codes.UNCONFIRMED.items()}


def confirmed(scope: Scope, what: bytes, at: int, procedure: int = 0) -> Operation:
    """The operation of a confirmed request; its service choice is at `at`, its flags are two bytes before.

    What the asset sent begins with 0 (see `frames`).
    `procedure` is the backup (2) or restore (4) that is under way.  Raises `Malformed`.
    """
    service = what[at]
    if scope.is_shared:
        raise Malformed("a confirmed request to more than one device (135 5.4.5.1)")
    if what[at - 2] & _FLAGS & ~_ACCEPTS_SEGMENTS or what[at - 1] & 0x80:
        raise Malformed(f"flags 0x{what[at - 2]:02X} of a confirmed request (135 20.1.2)")
    meaning = _CONFIRMED.get(service)
    if meaning is None:
        code = f"confirmed/{service}"
        return _scoped(scope, Operation("bacnet", _UNKNOWN, code, f"unknown service {code}", scope.unit))
    code, name, classes = meaning
    if procedure:
        classes = meanings.FILE_CLASSES.get((service, procedure), classes)
    read = _USUAL_CONFIRMED.get(service)
    targets = None if read is None else read(what, at + 1, len(what), classes[0])
    if targets is None:
        parts = read_confirmed(service, what, at + 1, len(what))
        found = meanings.of_confirmed(service, parts, scope.unit, procedure)
    else:
        if service in _WRITES:
            classes = tuple(dict.fromkeys([target.operation_class for target in targets]))
        found = Operation("bacnet", classes, code, name, scope.unit, targets)
    if service in codes.CONFIRMED_NOTIFICATIONS and what[0]:
        found = _told(found)
    return found if scope is ASSET else _scoped(scope, found)


def unconfirmed(scope: Scope, what: bytes, at: int) -> Operation:
    """The operation of an unconfirmed request.  Raises `Malformed`."""
    service = what[at]
    if what[at - 1] & _FLAGS:
        raise Malformed("reserved bits of an unconfirmed request are set (135 20.1.3)")
    meaning = _UNCONFIRMED.get(service)
    if meaning is None:
        code = f"unconfirmed/{service}"
        return _scoped(scope, Operation("bacnet", _UNKNOWN, code, f"unknown service {code}", scope.unit))
    code, name, classes = meaning
    read = _USUAL_UNCONFIRMED.get(service)
    targets = None if read is None else read(what, at + 1, len(what), classes[0])
    if targets is None:
        parts = read_unconfirmed(service, what, at + 1, len(what))
        found = meanings.of_unconfirmed(service, parts, scope.unit)
    else:
        found = Operation("bacnet", classes, code, name, scope.unit, targets)
    if service in codes.UNCONFIRMED_NOTIFICATIONS and what[0]:
        found = _told(found)
    return _scoped(scope, found)


def unknown_message(scope: Scope, what: bytes, at: int) -> Operation:
    """An APDU of a type that the standard does not define."""
    code = f"apdu/{what[at] >> 4}"
    return _scoped(scope, Operation("bacnet", _UNKNOWN, code, f"unknown message {code}", scope.unit))


def network_message(scope: Scope, message: int, content: bytes) -> Operation:
    """The operation of a network message.  Raises `Malformed`."""
    code = f"network/{message}"
    name, classes = codes.MESSAGES.get(message, (f"unknown message {code}", _UNKNOWN))
    _check_message(message, content)
    return _scoped(scope, Operation("bacnet", classes, code, name, scope.unit))


def link_function(function: int, content: bytes) -> Operation:
    """The operation of a BVLL function that carries no message.  The envelope checked its length."""
    code = f"bvlc/{function}"
    name, classes = codes.FUNCTIONS.get(function, (f"unknown function {code}", _UNKNOWN))
    targets: Targets = ()
    if function == codes.REGISTER:
        name, classes = f"{name} for {int.from_bytes(content, 'big')} s", _with_config(classes)
        targets = (Target(Is.CONFIG, RELAY, 0, 1, "foreign-device"),)
    elif function == codes.WRITE_BDT:
        entries = tuple(address_text(content[at:]) for at in range(0, len(content), ENTRY_BYTES))
        targets = (Target(Is.CONFIG, "broadcast-distribution-table", 0, 1, "", entries),)
    elif function == codes.DELETE_FDT:
        targets = (Target(Is.CONFIG, "foreign-device-table", 0, 1, address_text(content)),)
    return Operation("bacnet", classes, code, name, 0, targets)


def address_text(content: bytes) -> str:
    """``192.168.0.24:47808`` (J.1.2)."""
    host, port = content[:4], content[4:ADDRESS_BYTES]
    return f"{'.'.join(map(str, host))}:{int.from_bytes(port, 'big')}"


def _scoped(scope: Scope, found: Operation) -> Operation:
    """The same for a device behind the asset, or for others as well: then it changes what the asset does, too."""
    if scope is ASSET:
        return found
    name = f"{found.name} (station {scope.station})" if scope.station else found.name
    if not scope.relay:
        return Operation("bacnet", found.classes, found.code, name, found.unit, found.targets)
    relayed = Target(Is.CONFIG, RELAY, scope.unit, 1, scope.relay)
    return Operation("bacnet", _with_config(found.classes), found.code, name, found.unit, (*found.targets, relayed))


def _told(found: Operation) -> Operation:
    """A notification that the client sends: it tells the device values of somebody's objects, which it acts on."""
    targets = tuple(
        Target(Is.WRITE, NOTIFICATION, 0, 1, f"{target.table}:{target.first} {target.name}", target.values)
        for target in found.targets
    )
    return Operation("bacnet", (Is.WRITE,), found.code, found.name, found.unit, targets)


def _with_config(classes: tuple[Is, ...]) -> tuple[Is, ...]:
    return classes if Is.CONFIG in classes else (*classes, Is.CONFIG)


#: 6.4: how many bytes a network message has: at least, and in which steps it may have more (0: no more).
_MESSAGE_SIZES: Final = {
    0x00: (0, 2),
    0x01: (2, 2),
    0x02: (3, 0),
    0x03: (3, 0),
    0x04: (0, 2),
    0x05: (0, 2),
    0x08: (3, 0),
    0x09: (2, 0),
    0x12: (0, 0),
    0x13: (3, 0),
}


def _check_message(message: int, content: bytes) -> None:
    size = len(content)
    if message in {codes.INITIALIZE, codes.INITIALIZE_ACK}:
        _check_ports(content, is_answer=message == codes.INITIALIZE_ACK)
    elif message in _MESSAGE_SIZES:
        least, step = _MESSAGE_SIZES[message]
        is_one_network = message != codes.WHO_IS_ROUTER or size <= least + step
        if size < least or (size != least if not step else (size - least) % step) or not is_one_network:
            raise Malformed(f"network message {message} with {size} bytes (135 6.4)")


def _check_ports(content: bytes, *, is_answer: bool) -> None:
    """6.4.7, 6.4.8: a number of ports, each with network, port, length and as many bytes.  An answer may be empty."""
    if not content and is_answer:
        return
    at = 1
    for _ in range(content[0] if content else 0):
        if at + 4 > len(content):
            raise Malformed("a routing table ends within a port (135 6.4.7)")
        at += 4 + content[at + 3]
    if not content or at != len(content):
        raise Malformed(f"a routing table with {len(content)} bytes (135 6.4.7)")
