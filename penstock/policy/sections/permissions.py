"""The `allow:` of a conduit: operations of an inspected protocol, or a port as a whole."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.model import ECHO, OperationClass, Permission, PortPermission
from penstock.policy.faults import Faults, shown
from penstock.policy.fields import table_of, text_of
from penstock.policy.inspection import USUAL_PORTS
from penstock.policy.numbers import is_port, read_port
from penstock.policy.sections.limits import read_limits
from penstock.policy.sections.spoken import READ_ONLY, name_of_the_wire, read_spoken
from penstock.policy.source import Entry, Listing, Scalar, Table, Value
from penstock.wire import NAMED, SPOKEN

Allowed = tuple[tuple[Permission, ...], tuple[PortPermission, ...]]


def read_allow(value: Value, faults: Faults, ports: Mapping[str, str]) -> Allowed:
    """All permissions of one conduit.  `ports` maps protocols of the inventory to ``tcp/102`` forms, for hints."""
    table = table_of(value, faults, "'allow'")
    if table is None:
        return (), ()
    if not table.entries:
        faults.add(table.place, "'allow' names nothing", "for example `allow: {modbus: [read]}`")
    permissions: list[Permission] = []
    whole: list[PortPermission] = []
    for entry in table.entries:
        key = entry.key.text
        if key == ECHO:
            whole += _echo(entry, faults)
        elif "/" in key:
            whole += _port(entry, faults)
        elif key in NAMED:
            permissions += _operations(entry, faults)
        elif key in SPOKEN:
            permissions += read_spoken(entry, faults)
        else:
            _uninspected(entry, faults, ports)
    return tuple(permissions), tuple(whole)


def _port(entry: Entry, faults: Faults) -> list[PortPermission]:
    found = read_port(entry.key.text)
    if found is None:
        faults.add(
            entry.key.place, f"{shown(entry.key.text)} is no port", "write it as tcp/5432, udp/47808 or tcp/5000-5010"
        )
        return []
    transport, port, last = found
    outside = next((number for number in (port, last) if not is_port(number)), None)
    if outside is not None:
        faults.add(entry.key.place, f"the port must be from 1 to 65535, it is {outside}")
        return []
    if last < port:
        hint = f"write {transport}/{last}-{port}"
        faults.add(entry.key.place, f"{shown(entry.key.text)} ends before it begins", hint)
        return []
    if not (isinstance(entry.value, Scalar) and entry.value.text == "any"):
        why = f"{entry.key.text} is not inspected, so its operations cannot be told apart"
        faults.add(entry.value.place, why, f"write `{entry.key.text}: any`")
        return []
    return [PortPermission(transport=transport, port=port, last_port=None if last == port else last)]


def _echo(entry: Entry, faults: Faults) -> list[PortPermission]:
    """``icmp: [discovery]``, and nothing else: echo is all of ICMP that crosses the gate by itself."""
    items = entry.value.items if isinstance(entry.value, Listing) else ()
    if [item.text for item in items if isinstance(item, Scalar)] != [OperationClass.DISCOVERY.value] or len(items) != 1:
        faults.add(entry.value.place, "of 'icmp' a conduit allows echo (ping) only", "write `icmp: [discovery]`")
        return []
    return [PortPermission(transport=ECHO, port=0)]


def _uninspected(entry: Entry, faults: Faults, ports: Mapping[str, str]) -> None:
    protocol = entry.key.text
    word = name_of_the_wire(protocol)
    if word is not None:
        faults.add(entry.key.place, f"unknown protocol {protocol!r}", f"write `{word}: any`")
        return
    port = ports.get(protocol) or USUAL_PORTS.get(protocol)
    if port is None:
        faults.unknown(entry.key.place, "protocol", protocol, (*NAMED, *SPOKEN))
        return
    faults.add(
        entry.key.place,
        f"this version cannot inspect {protocol}, so a conduit cannot name its operations",
        f"write `{port}: any`: the kernel enforces addresses and ports, and the records say so",
    )


def _operations(entry: Entry, faults: Faults) -> list[Permission]:
    protocol = entry.key.text
    if not isinstance(entry.value, Listing):
        port = NAMED[protocol].ports[0]
        hint = f"write `{protocol}: [read]`; for a port that is not inspected, `{port}: any`"
        faults.add(entry.value.place, f"{protocol!r} needs a list of operation classes", hint)
        return []
    if not entry.value.items:
        faults.add(entry.value.place, f"{protocol!r} names no operation class", f"write `{protocol}: [read]`")
    permissions: list[Permission] = []
    for item in entry.value.items:
        if isinstance(item, Table):
            if not item.entries:
                faults.add(item.place, f"{protocol!r} names no operation class here", f"write `{protocol}: [read]`")
            for narrowed in item.entries:
                permissions += _narrowed(protocol, narrowed, faults)
        elif isinstance(item, Scalar) and item.text == READ_ONLY:
            changing_nothing = NAMED[protocol].read_only_engineering
            permissions += [Permission(protocol=protocol, operation_class=each) for each in sorted(changing_nothing)]
        else:
            permissions += _whole_class(protocol, item, faults)
    return permissions


def _whole_class(protocol: str, item: Value, faults: Faults) -> list[Permission]:
    """A class without limits, where it may be named so."""
    found = _class(protocol, item, faults)
    if found is None:
        return []
    for limit in NAMED[protocol].required(found):
        why = f"{found.value!r} is allowed with {limit.key!r} only"
        faults.add(item.place, why, f"write `{found.value}: {{{limit.example}}}`")
        return []
    return [Permission(protocol=protocol, operation_class=found)]


def _class(protocol: str, value: Value, faults: Faults) -> OperationClass | None:
    text, known = text_of(value, faults, "an operation class"), NAMED[protocol].classes
    if text is None or text in known:
        return None if text is None else OperationClass(text)
    if text == "any":
        faults.add(value.place, "'any' is no operation class", "name each class; `unknown` too is allowed by name only")
    else:
        faults.unknown(value.place, "operation class", text, [each.value for each in known])
    return None


def _narrowed(protocol: str, entry: Entry, faults: Faults) -> list[Permission]:
    found = _class(protocol, entry.key, faults)
    table = table_of(entry.value, faults, f"the limits of {entry.key.text!r}")
    if found is None or table is None:
        return []
    if not table.entries:
        faults.add(
            entry.value.place, f"{entry.key.text!r} has no limits", f"write `{entry.key.text}` alone, or name a limit"
        )
    permission = read_limits(NAMED[protocol], found, table, faults)
    return [] if permission is None else [permission]
