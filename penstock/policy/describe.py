"""Permissions and requests in plain words, for screens, records and denials.

Pure.  The words of a permission are also the key under which its rate is counted, so they must say all of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock.model import (
    ANY_LAST,
    ECHO,
    Conduit,
    FactorStrength,
    Operation,
    Permission,
    Service,
    Span,
    Subject,
    SubjectKind,
    Target,
    Window,
)
from penstock.policy.numbers import DAYS, clock_text, duration_text, period_text, range_text
from penstock.policy.selection import is_port_of
from penstock.wire import NAMED, SPOKEN

_STRENGTHS = {
    FactorStrength.NONE: "no factor",
    FactorStrength.ONE: "one factor",
    FactorStrength.TWO: "two factors",
    FactorStrength.PHISHING_RESISTANT: "a phishing-resistant factor",
}


def permission_text(permission: Permission) -> str:
    """``write holding_registers 10-12, values 0-550, at most 6/min``."""
    parts = [permission.operation_class.value]
    if permission.spans:
        parts[0] += f" {spans_text(permission.spans, permission.protocol)}"
    if permission.units:
        parts.append(f"units {' and '.join(range_text(each.low, each.high) for each in permission.units)}")
    if permission.values or permission.words:
        parts.append(f"values {values_text(permission)}")
    if permission.rate is not None:
        parts.append(f"at most {permission.rate.count}/{period_text(permission.rate.period_s)}")
    return ", ".join(parts)


def spans_text(spans: Iterable[Span], protocol: str = "") -> str:
    """``coils 1-3 and 9, holding_registers 10-12``, and axis by axis: ``analog-value 1-5 with present-value``.

    In the words of the protocol where it has some: ``DB10.DBW6 and M0.0``.
    """
    axes: dict[str, dict[str, list[str]]] = {}
    for span in spans:
        spelled = "" if span.name else _spelled(protocol, span.table, span.first, span.last, span.element)
        objects = axes.setdefault(span.axis, {}).setdefault("" if spelled else span.table, [])
        objects.append(spelled or _objects_text(span))
    return " with ".join(
        ", ".join(f"{table} {' and '.join(objects)}".strip() for table, objects in tables.items())
        for tables in axes.values()
    )


def _spelled(protocol: str, table: str, first: int, last: int, element: str = "") -> str:
    known = NAMED.get(protocol)
    return "" if known is None else known.spell(table, first, last, element)


def _objects_text(span: Span) -> str:
    numbers = "" if (span.first, span.last) == (0, ANY_LAST) else range_text(span.first, span.last)
    return " ".join(part for part in (span.name or "", numbers, span.element) if part) or "*"


def values_text(permission: Permission) -> str:
    """``0-550 and 600``, ``on and off``."""
    return " and ".join((*(range_text(item.low, item.high) for item in permission.values), *permission.words))


def allowance_lines(conduit: Conduit, service: Service) -> tuple[str, ...]:
    """What a conduit allows on one service, a line each."""
    if service.transport == ECHO:
        return ("echo (ping), not inspected",)
    if is_port_of(conduit, service):
        return (f"anything on {service.at}, not inspected",)
    if is_everything(conduit, service.protocol):
        return (f"anything, as long as it is {service.protocol}",)
    return tuple(
        permission_text(item) + (hold_text(conduit) if item.operation_class in conduit.hold else "")
        for item in conduit.permissions
        if item.protocol == service.protocol
    )


def hold_text(conduit: Conduit) -> str:
    """What stands behind a permission whose operations wait."""
    return f", once a second person approves it within {duration_text(conduit.hold_s)}"


def is_everything(conduit: Conduit, protocol: str) -> bool:
    """Whether the conduit permits a recognised protocol as a whole (``ssh: any``)."""
    spoken = SPOKEN.get(protocol)
    named = {item.operation_class for item in conduit.permissions if item.protocol == protocol}
    return spoken is not None and named.issuperset(spoken.everything)


def named_operations(conduit: Conduit) -> tuple[str, ...]:
    """What a conduit names of protocols and ports: ``modbus.read``, ``ssh: any``, ``tcp/5432``."""
    operations = (
        f"{item.protocol}: any" if is_everything(conduit, item.protocol) else f"{item.protocol}.{item.operation_class}"
        for item in conduit.permissions
    )
    return tuple(dict.fromkeys((*operations, *(port.at for port in conduit.ports))))


def window_text(window: Window) -> str:
    """``sat 06:00 to 14:00 (Europe/Berlin)``."""
    days = ", ".join(DAYS[day] for day in window.days)
    return f"{days} {clock_text(window.from_minute)} to {clock_text(window.until_minute)} ({window.timezone})"


def strength_text(strength: FactorStrength) -> str:
    """``two factors``."""
    return _STRENGTHS[strength]


def target_text(target: Target | None, protocol: str = "") -> str:
    """``holding_registers 11`` or, where a message does not say, ``no object named``."""
    if target is None:
        return "no object named"
    spelled = "" if target.name else _spelled(protocol, target.table, target.first, target.last)
    if spelled:
        return spelled
    numbers = range_text(target.first, target.last)
    is_in_name = bool(target.name) and target.count == 1 and (not target.first or target.name.endswith(numbers))
    numbers = "" if is_in_name else numbers
    return " ".join(part for part in (target.table, target.name, numbers) if part)


def subject_text(subject: Subject) -> str:
    """``alice (groups operators)`` or ``asset scada-1 (role scada, zone control-room)``."""
    if subject.kind is SubjectKind.PERSON:
        groups = ", ".join(sorted(subject.groups)) or "none"
        return f"{subject.name} (groups: {groups})"
    return f"{subject.name} (role {subject.role or 'none'}, zone {subject.zone or 'none'})"


def operation_text(operation: Operation | None) -> str:
    """``modbus.write``, or what stands for opening a session."""
    return "a session" if operation is None else operation.title
