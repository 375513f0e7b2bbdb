"""The `allow:` of a conduit: operations of an inspected protocol, or a port as a whole."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.model import ECHO, Interval, OperationClass, Permission, PortPermission, Rate, Span
from penstock.policy.faults import Faults, shown
from penstock.policy.fields import Fields, table_of, text_of
from penstock.policy.inspection import INSPECTED, NARROWED, USUAL_PORTS, Inspection
from penstock.policy.numbers import (
    MAX_ADDRESS,
    MAX_SIGNED,
    MAX_VALUE,
    MIN_VALUE,
    is_port,
    read_port,
    read_range,
    read_rate,
)
from penstock.policy.source import Entry, Listing, Scalar, Table, Value

#: What narrows a permission beside the tables of its protocol.
LIMITS = ("values", "at_most")
_CLASSES = tuple(item.value for item in OperationClass)
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
        elif key in INSPECTED:
            permissions += _operations(entry, faults)
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
    port = ports.get(protocol) or USUAL_PORTS.get(protocol)
    if port is None:
        faults.unknown(entry.key.place, "protocol", protocol, INSPECTED)
        return
    faults.add(
        entry.key.place,
        f"this version cannot inspect {protocol}, so a conduit cannot name its operations",
        f"write `{port}: any`: the kernel enforces addresses and ports, and the records say so",
    )


def _operations(entry: Entry, faults: Faults) -> list[Permission]:
    protocol = entry.key.text
    if not isinstance(entry.value, Listing):
        port = USUAL_PORTS.get(protocol, "tcp/502")
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
        else:
            found = _class(item, faults)
            permissions += [] if found is None else [Permission(protocol=protocol, operation_class=found)]
    return permissions


def _class(value: Value, faults: Faults) -> OperationClass | None:
    text = text_of(value, faults, "an operation class")
    if text is None or text in _CLASSES:
        return None if text is None else OperationClass(text)
    if text == "any":
        faults.add(value.place, "'any' is no operation class", "name each class; `unknown` too is allowed by name only")
    else:
        faults.unknown(value.place, "operation class", text, _CLASSES)
    return None


def _narrowed(protocol: str, entry: Entry, faults: Faults) -> list[Permission]:
    found = _class(entry.key, faults)
    table = table_of(entry.value, faults, f"the limits of {entry.key.text!r}")
    if found is None or table is None:
        return []
    if not table.entries:
        faults.add(
            entry.value.place, f"{entry.key.text!r} has no limits", f"write `{entry.key.text}` alone, or name a limit"
        )
    inspection = INSPECTED[protocol]
    fields = Fields(table, faults, f"limits of {found.value!r}", (*inspection.tables, *LIMITS), ("hold", "approval"))
    before = len(faults)
    spans, values, rate = _spans(fields, found, inspection), _values(fields, found), _rate(fields)
    # A limit that could not be read must not leave a permission without it, not even in a draft.
    if len(faults) > before:
        return []
    return [Permission(protocol=protocol, operation_class=found, spans=spans, values=values, rate=rate)]


def _spans(fields: Fields, found: OperationClass, inspection: Inspection) -> tuple[Span, ...]:
    spans: list[Span] = []
    for table in inspection.tables:
        if not fields.has(table):
            continue
        if found not in NARROWED:
            fields.faults.add(
                fields.place(table), f"operations of class {found.value!r} name no {table}", "remove the limit"
            )
        elif found is OperationClass.WRITE and table not in inspection.written:
            fields.faults.add(
                fields.place(table), f"{table} cannot be written", "remove the limit, or move it to `read`"
            )
        ranges = _ranges(fields, table, 0, MAX_ADDRESS)
        spans += [Span(table=table, first=first, last=last) for first, last in ranges]
    return tuple(spans)


def _values(fields: Fields, found: OperationClass) -> tuple[Interval, ...]:
    if not fields.has("values"):
        return ()
    if found is not OperationClass.WRITE:
        fields.faults.add(
            fields.place("values"), f"values limit what is written, not {found.value!r}", "remove the limit"
        )
    intervals = [Interval(low=low, high=high) for low, high in _ranges(fields, "values", MIN_VALUE, MAX_VALUE)]
    if any(item.low < 0 for item in intervals) and any(item.high > MAX_SIGNED for item in intervals):
        why = f"values below 0 and above {MAX_SIGNED} contradict: a register is signed or unsigned"
        fields.faults.add(fields.place("values"), why, f"use -32768..{MAX_SIGNED} or 0-{MAX_VALUE}")
    return tuple(intervals)


def _ranges(fields: Fields, key: str, low: int, high: int) -> list[tuple[int, int]]:
    value = fields.value(key)
    items: tuple[Value, ...] = value.items if isinstance(value, Listing) else () if value is None else (value,)
    if not items:
        fields.faults.add(fields.place(key), f"{key!r} names no range", f"write `{key}: 10-12`")
    ranges = []
    for item in items:
        found = read_range(item.text) if isinstance(item, Scalar) else None
        if found is None:
            text = shown(item.text) if isinstance(item, Scalar) else "this"
            fields.faults.add(
                item.place, f"{text} is no range", "write it as 10-12, 5 or [1-3, 9], the smaller number first"
            )
        elif found[0] < low or found[1] > high:
            fields.faults.add(item.place, f"{key!r} must be from {low} to {high}, it is {found[0]} to {found[1]}")
        else:
            ranges.append(found)
    return ranges


def _rate(fields: Fields) -> Rate | None:
    text = fields.text("at_most")
    if text is None:
        return None
    found = read_rate(text)
    if found is None:
        fields.faults.add(fields.place("at_most"), f"{shown(text)} is no rate", "write it as 6/min, 1/10s or 20/h")
        return None
    return Rate(count=found[0], period_s=found[1])
