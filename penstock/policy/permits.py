"""A permission prepared for judging: which objects, units and values it covers.

Pure.  `lanes` makes permits once a revision; the criteria ask them for every request that was not judged before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from penstock.model import Interval, Permission, Span, Target, Value
from penstock.wire import NAMED

Spent = Callable[[str, int], int]
Ranges = tuple[tuple[int, int], ...]
Intervals = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Axis:
    """The alternatives of one axis: numbers merged per table, and spans that a name must fit as well."""

    numbers: Mapping[str, Ranges]
    named: tuple[Span, ...]

    def covers(self, target: Target) -> bool:
        """Whether all of the target lies in the union of the numbers, or in one span with a name."""
        first, last = target.first, target.first + target.count - 1
        ranges = (*self.numbers.get(target.table, ()), *self.numbers.get("", ()))
        return any(low <= first and last <= high for low, high in ranges) or any(
            span.table in {"", target.table}
            and span.first <= first
            and last <= span.last
            and any(fits_pattern(span.name or "", name) for name in (target.name, *target.aliases))
            for span in self.named
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Permit:
    """A permission with its spans merged and its values as they stand on the wire.

    `axes` is empty, `values` and `units` are ``None`` where the permission is not narrowed.  `key` is where its rate is
    counted: by asset, conduit and wording, so all subjects share a count, and it goes on in the next revision if
    nothing changed.
    """

    permission: Permission
    axes: tuple[Axis, ...]
    values: Intervals | None
    units: Intervals | None
    key: str

    @classmethod
    def of(cls, permission: Permission, key: str) -> Permit:
        """The permit of a permission."""
        names = dict.fromkeys(span.axis for span in permission.spans)
        is_limited = bool(permission.values or permission.words)
        return cls(
            permission=permission,
            axes=tuple(_axis([span for span in permission.spans if span.axis == name]) for name in names),
            values=_on_the_wire(permission) if is_limited else None,
            units=tuple((each.low, each.high) for each in permission.units) or None,
            key=key,
        )

    def covers(self, target: Target | None, unit: int | None) -> bool:
        """Whether all of the target lies in a span of each axis, and the unit is one of those that are meant."""
        if self.units is not None and not (unit is not None and _lies_in(unit, self.units)):
            return False
        if not self.axes:
            return True
        if target is None or target.count < 1:
            return False
        return all(axis.covers(target) for axis in self.axes)

    def admits(self, target: Target | None) -> bool:
        """Whether every value of the target is allowed; what the message does not say is not."""
        if self.values is None:
            return True
        values = None if target is None else self.values_of(target)
        return bool(values) and all(self.admits_value(value) for value in values or ())

    def values_of(self, target: Target) -> tuple[Value, ...] | None:
        """What the target would leave, as the permission's spans read it; ``None`` where the message does not say.

        Memory is read as the elements that the spans name, whatever type the message calls it: the asset does so too.
        """
        protocol = NAMED.get(self.permission.protocol)
        read_memory = None if protocol is None else protocol.read_memory
        typed = [span for span in self.permission.spans if span.element and span.table in {"", target.table}]
        if read_memory is None or not typed:
            return target.values
        found: list[Value] = []
        for span in typed:
            values = read_memory(target, span)
            if values is None:
                return None
            found += values
        return tuple(found)

    def admits_value(self, value: Value) -> bool:
        """Whether this one value is allowed: a number in an interval, or one of the words."""
        if isinstance(value, str):
            return value in self.permission.words
        return _lies_in(value, self.values or ())

    def has_room(self, spent: Spent) -> bool:
        """Whether one more operation fits into the rate."""
        rate = self.permission.rate
        return rate is None or spent(self.key, rate.period_s) < rate.count


def fits_pattern(pattern: str, name: str) -> bool:
    """Whether `name` fits the pattern, in which each ``*`` stands for any text."""
    parts = pattern.split("*")
    if len(parts) == 1:
        return pattern == name
    first, *middle, last = parts
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _axis(spans: Iterable[Span]) -> Axis:
    found = tuple(spans)
    tables = dict.fromkeys(span.table for span in found if span.name is None)
    return Axis(
        numbers={table: _merged(found, table) for table in tables},
        named=tuple(span for span in found if span.name is not None),
    )


def _merged(spans: Iterable[Span], table: str) -> Ranges:
    merged: list[tuple[int, int]] = []
    mine = ((span.first, span.last) for span in spans if span.table == table and span.name is None)
    for first, last in sorted(mine):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _lies_in(value: float, intervals: Intervals) -> bool:
    return any(low <= value <= high for low, high in intervals)


def _on_the_wire(permission: Permission) -> Intervals:
    """Values as decoders report them: where numbers are unsigned there, -5 stands as its two's complement."""
    protocol = NAMED.get(permission.protocol)
    wraps_at = None if protocol is None else protocol.wraps_at
    return tuple(_wrapped(permission.values, wraps_at))


def _wrapped(values: Iterable[Interval], wraps_at: int | None) -> Iterable[tuple[float, float]]:
    for item in values:
        yield item.low, item.high
        if wraps_at is not None and item.low < 0:
            yield item.low + wraps_at, min(item.high, -1) + wraps_at
