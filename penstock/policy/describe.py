"""Permissions and requests in plain words, for screens, records and denials.

Pure.  The words of a permission are also the key under which its rate is counted, so they must say all of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock.model import (
    ECHO,
    Conduit,
    FactorStrength,
    Interval,
    Operation,
    Permission,
    Service,
    Span,
    Subject,
    SubjectKind,
    Target,
    Window,
)
from penstock.policy.numbers import DAYS, clock_text, period_text, range_text
from penstock.policy.selection import is_port_of

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
        parts[0] += f" {spans_text(permission.spans)}"
    if permission.values:
        parts.append(f"values {values_text(permission.values)}")
    if permission.rate is not None:
        parts.append(f"at most {permission.rate.count}/{period_text(permission.rate.period_s)}")
    return ", ".join(parts)


def spans_text(spans: Iterable[Span]) -> str:
    """``coils 1-3 and 9, holding_registers 10-12``."""
    tables: dict[str, list[str]] = {}
    for span in spans:
        tables.setdefault(span.table, []).append(range_text(span.first, span.last))
    return ", ".join(f"{table} {' and '.join(ranges)}" for table, ranges in tables.items())


def values_text(values: Iterable[Interval]) -> str:
    """``0-550 and 600``."""
    return " and ".join(range_text(item.low, item.high) for item in values)


def allowance_lines(conduit: Conduit, service: Service) -> tuple[str, ...]:
    """What a conduit allows on one service, a line each."""
    if service.transport == ECHO:
        return ("echo (ping), not inspected",)
    if is_port_of(conduit, service):
        return (f"anything on {service.at}, not inspected",)
    return tuple(permission_text(item) for item in conduit.permissions if item.protocol == service.protocol)


def window_text(window: Window) -> str:
    """``sat 06:00 to 14:00 (Europe/Berlin)``."""
    days = ", ".join(DAYS[day] for day in window.days)
    return f"{days} {clock_text(window.from_minute)} to {clock_text(window.until_minute)} ({window.timezone})"


def strength_text(strength: FactorStrength) -> str:
    """``two factors``."""
    return _STRENGTHS[strength]


def target_text(target: Target | None) -> str:
    """``holding_registers 11`` or, where a message does not say, ``no object named``."""
    if target is None:
        return "no object named"
    return f"{target.table} {range_text(target.first, target.last)}"


def subject_text(subject: Subject) -> str:
    """``alice (groups operators)`` or ``asset scada-1 (role scada, zone control-room)``."""
    if subject.kind is SubjectKind.PERSON:
        groups = ", ".join(sorted(subject.groups)) or "none"
        return f"{subject.name} (groups: {groups})"
    return f"{subject.name} (role {subject.role or 'none'}, zone {subject.zone or 'none'})"


def operation_text(operation: Operation | None) -> str:
    """``modbus.write``, or what stands for opening a session."""
    return "a session" if operation is None else operation.title
