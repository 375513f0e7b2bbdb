"""What narrows a permission: objects in the protocol's own words, units, values, and a rate.

The keys for objects come from the protocol (`WireProtocol.limits`); `values`, `units` and `at_most` are every
protocol's.  It must never leave a permission wider than was written: what cannot be read makes none.
"""

from __future__ import annotations

from penstock.model import Interval, OperationClass, Permission, Rate, Span
from penstock.policy.faults import Faults, shown
from penstock.policy.fields import Fields
from penstock.policy.numbers import read_interval, read_rate
from penstock.policy.source import Kind, Listing, Scalar, Table, Value
from penstock.wire import Limit, UnreadableError, WireProtocol

#: What narrows a permission beside the objects of its protocol.
LIMITS = ("values", "units", "at_most")
#: What YAML reads as something else than words and numbers: in quotes it names an object (a file `null`).
NO_WORDS = frozenset({Kind.NOTHING, Kind.BOOLEAN})
#: The classes whose messages carry values.
VALUED = (OperationClass.WRITE, OperationClass.CONFIG, OperationClass.EXECUTE)
#: No protocol has more devices behind one address (IEC 60870-5-104: common addresses of two octets; the broadcast too).
MAX_UNIT = 0xFFFF
#: Objects of one permission; a document that names more means all of them.
MAX_SPANS = 1000


def read_limits(protocol: WireProtocol, found: OperationClass, table: Table, faults: Faults) -> Permission | None:
    """The permission of one class with its limits, or ``None`` with the reason in `faults`."""
    keys = tuple(limit.key for limit in protocol.limits)
    fields = Fields(table, faults, f"limits of {found.value!r}", (*keys, *LIMITS), ("hold", "approval"))
    before = len(faults)
    spans = tuple(dict.fromkeys(span for limit in protocol.limits for span in _spans(fields, limit, found)))
    values, words = _values(fields, protocol, found)
    units, rate = _units(fields), _rate(fields)
    for limit in protocol.required(found):
        if not fields.has(limit.key):
            faults.add(table.place, f"{found.value!r} is allowed with {limit.key!r} only", f"add `{limit.example}`")
    if len(spans) > MAX_SPANS:
        faults.add(table.place, f"{len(spans)} objects are more than {MAX_SPANS}", "name ranges, or fewer objects")
    if len(faults) > before:
        return None
    return Permission(
        protocol=protocol.name,
        operation_class=found,
        spans=spans,
        values=values,
        words=words,
        units=units,
        rate=rate,
    )


def _spans(fields: Fields, limit: Limit, found: OperationClass) -> list[Span]:
    spans: list[Span] = []
    if not fields.has(limit.key):
        return spans
    if found not in limit.classes:
        read_only = OperationClass.READ in limit.classes and found is OperationClass.WRITE
        why = f"operations of class {found.value!r} name no {limit.key}"
        why = f"{limit.key} cannot be written" if read_only else why
        hint = "remove the limit, or move it to `read`" if read_only else "remove the limit"
        fields.faults.add(fields.place(limit.key), why, hint)
    for item in _items(fields, limit.key, limit.example):
        if not isinstance(item, Scalar) or item.kind in NO_WORDS:
            fields.faults.add(item.place, f"{limit.key!r} must be text or a list of texts", f"write `{limit.example}`")
            continue
        try:
            spans += limit.read(item.text.strip())
        except UnreadableError as error:
            fields.faults.add(item.place, error.why, error.hint)
    return spans


def _values(
    fields: Fields, protocol: WireProtocol, found: OperationClass
) -> tuple[tuple[Interval, ...], tuple[str, ...]]:
    if not fields.has("values"):
        return (), ()
    if found not in VALUED:
        fields.faults.add(
            fields.place("values"), f"values limit what is written, not {found.value!r}", "remove the limit"
        )
    intervals: list[Interval] = []
    words: list[str] = []
    for item in _items(fields, "values", "values: 0-550"):
        text = item.text.strip() if isinstance(item, Scalar) else ""
        interval = read_interval(text)
        if text in protocol.words:
            means = protocol.words[text]
            if isinstance(means, str):
                words.append(means)
            else:
                intervals.append(Interval(low=means, high=means))
        elif interval is None:
            known = f", or one of: {', '.join(protocol.words)}" if protocol.words else ""
            why = f"{shown(text)} is no range" if text else "this is no range"
            fields.faults.add(item.place, why, f"write it as 10-12, 5 or [1-3, 9], the smaller number first{known}")
        else:
            intervals.append(Interval(low=interval[0], high=interval[1]))
            _fit(fields, item, interval, protocol.wraps_at)
    if protocol.wraps_at is not None:
        _agree(fields, intervals, protocol.wraps_at)
    return tuple(intervals), tuple(words)


def _fit(fields: Fields, item: Value, interval: tuple[float, float], wraps_at: int | None) -> None:
    """Where numbers have a width, a limit lies within it."""
    if wraps_at is None:
        return
    low, high = -wraps_at // 2, wraps_at - 1
    if interval[0] < low or interval[1] > high:
        why = f"'values' must be from {low} to {high}, it is {interval[0]} to {interval[1]}"
        fields.faults.add(item.place, why)


def _agree(fields: Fields, intervals: list[Interval], wraps_at: int) -> None:
    top = wraps_at // 2 - 1
    if any(item.low < 0 for item in intervals) and any(item.high > top for item in intervals):
        why = f"values below 0 and above {top} contradict: a register is signed or unsigned"
        fields.faults.add(fields.place("values"), why, f"use {-top - 1}..{top} or 0-{wraps_at - 1}")


def _units(fields: Fields) -> tuple[Interval, ...]:
    if not fields.has("units"):
        return ()
    units = []
    for item in _items(fields, "units", "units: 1-3"):
        found = read_interval(item.text.strip()) if isinstance(item, Scalar) else None
        if found is None or found[0] < 0 or found[1] > MAX_UNIT or not all(isinstance(end, int) for end in found):
            fields.faults.add(item.place, f"'units' must be numbers from 0 to {MAX_UNIT}", "write `units: 1-3`")
        else:
            units.append(Interval(low=found[0], high=found[1]))
    return tuple(units)


def _items(fields: Fields, key: str, example: str) -> tuple[Value, ...]:
    value = fields.value(key)
    items: tuple[Value, ...] = value.items if isinstance(value, Listing) else () if value is None else (value,)
    if not items:
        fields.faults.add(fields.place(key), f"{key!r} names no range", f"write `{example}`")
    return items


def _rate(fields: Fields) -> Rate | None:
    text = fields.text("at_most")
    if text is None:
        return None
    found = read_rate(text)
    if found is None:
        fields.faults.add(fields.place("at_most"), f"{shown(text)} is no rate", "write it as 6/min, 1/10s or 20/h")
        return None
    return Rate(count=found[0], period_s=found[1])
