"""Operations on record in people's words: what was written over what, how it went, how long it took.

Pure.  Stands behind `penstock evidence search --operations`.  What the evidence does not say is shown as ``?``, and
never made up.
"""

from __future__ import annotations

import json
from typing import Final

from penstock.evidence import Old, Outcome, PerformedOperation, RecordedOperation, SummedOperations, format_time
from penstock.model import Json
from penstock.wire import NAMED

OPERATION_TITLES: Final = ("record", "time", "grant", "subject", "asset", "operation", "targets", "outcome", "latency")
#: Values of one target that a line shows; programs get all of them.
_MOST_VALUES: Final = 16
_UNKNOWN: Final = "?"
_OUTCOMES: Final = {
    Outcome.ANSWERED: "ok",
    Outcome.ANSWERED_WITH_EXCEPTION: "exception",
    Outcome.NO_ANSWER: "no answer",
    Outcome.SENT: "sent",
}


def operation_cells(one: PerformedOperation) -> tuple[str, ...]:
    """The cells under `OPERATION_TITLES`: ``holding_registers 10: 250 → 300``, ``ok``, ``4.2 ms``."""
    latency = "-" if one.latency_us is None else f"{one.latency_us / 1000:.1f} ms"
    identity = (cell(one.grant), cell(one.subject), cell(one.asset))
    targets = "; ".join(
        _target_text(one, place, target, [each for each in one.old if each.target == place])
        for place, target in enumerate(one.targets)
    )
    outcome = one.status or _OUTCOMES[one.outcome]
    return (str(one.seq), format_time(one.at_us), *identity, one.operation, targets or "-", outcome, latency)


def operation_document(one: PerformedOperation) -> dict[str, object]:
    """The same for programs, with everything that is on record."""
    document = _document(one) | {
        "data": one.data.hex(),
        "outcome": one.outcome.name.lower(),
        "latency_us": one.latency_us,
    }
    old = [
        {"target": each.target, "first": each.first, "values": each.values, "old_seen_us": each.old_seen_us}
        for each in one.old
    ]
    more = {
        "approved_by": one.approved_by,
        "status": one.status,
        "old": old,
        "answer": one.answer,
        "reply": one.reply.hex(),
        "untold": one.is_untold,
    }
    return document | {name: value for name, value in more.items() if value}


def sum_cells(one: SummedOperations) -> tuple[str, ...]:
    """A sum under the same titles: how many there were, and the least, the mean and the greatest latency."""
    identity = (cell(one.grant), cell(one.subject), cell(one.asset))
    targets = "; ".join(_object_text(one.protocol or "", target) for target in one.targets) or "-"
    counts = ((one.exceptions, "exceptions"), (one.unanswered, "no answer"), (one.sent, "sent"))
    told = [f"{count} {word}" for count, word in counts if count]
    latency = "-" if one.latency_us is None else "/".join(f"{each / 1000:.1f}" for each in one.latency_us) + " ms"
    outcome = ", ".join([f"{one.count} times", *told])
    return (str(one.seq), format_time(one.at_us), *identity, one.operation, targets, outcome, latency)


def sum_document(one: SummedOperations) -> dict[str, object]:
    """The same for programs."""
    return _document(one) | {
        "last_time": format_time(one.last_us),
        "count": one.count,
        "exceptions": one.exceptions,
        "unanswered": one.unanswered,
        "sent": one.sent,
        "latency_us": one.latency_us,
    }


def _document(one: RecordedOperation) -> dict[str, object]:
    return {
        "seq": one.seq,
        "time": format_time(one.at_us),
        "grant": one.grant,
        "subject": one.subject,
        "asset": one.asset,
        "protocol": one.protocol,
        "flow": one.flow,
        "source": one.source,
        "operation": one.operation,
        "code": one.code,
        "name": one.name,
        "unit": one.unit,
        "targets": one.targets,
        "conduit": one.conduit,
    }


def cell(value: object) -> str:
    """A field of a record, or a dash where it has none."""
    return "-" if value is None else str(value)


def _target_text(one: PerformedOperation, place: int, target: dict[str, Json], old: list[Old]) -> str:
    text, values = _object_text(one.protocol or "", target), target.get("values")
    new = values if isinstance(values, list) else None
    if old:
        left = _old_text(old, target, len(new) if new else 1)
        return f"{text}: {left} → {_values_text(new) if new else _UNKNOWN}"
    if new:
        return f"{text} = {_values_text(new)}"
    answered = one.answer[place].get("values") if place < len(one.answer) else None
    return f"{text} is {_values_text(answered)}" if isinstance(answered, list) and answered else text


def _object_text(protocol: str, target: dict[str, Json]) -> str:
    """``DB10.DBW4``, ``holding_registers 10-12``, ``tags Line1.Speed``."""
    table, name = str(target.get("table", "")), str(target.get("name") or "")
    first, count = target.get("first"), target.get("count")
    if not isinstance(first, int) or not isinstance(count, int):
        return f"{table} {name}".strip()
    last = first + count - 1
    known = NAMED.get(protocol)
    spelled = known.spell(table, first, last, "") if known is not None and not name else ""
    numbers = str(first) if count == 1 else f"{first}-{last}"
    is_in_name = bool(name) and count == 1 and (not first or name.endswith(numbers))
    return spelled or " ".join(part for part in (table, name, "" if is_in_name else numbers) if part)


def _old_text(old: list[Old], target: dict[str, Json], count: int) -> str:
    """The old values in the places of the new ones; ``?`` for what was not seen."""
    first, numbers = target.get("first"), target.get("count")
    if not (isinstance(first, int) and isinstance(numbers, int)) or numbers % count or numbers == 1:
        return _values_text(old[0].values)  # one object, with however many values
    places: dict[int, Json] = {}
    for each in old:
        start = (each.first - first) // (numbers // count)
        places |= {start + offset: value for offset, value in enumerate(each.values)}
    return ", ".join(_value_text(places[i]) if i in places else _UNKNOWN for i in range(min(count, _MOST_VALUES))) + (
        ", …" if count > _MOST_VALUES else ""
    )


def _values_text(values: list[Json]) -> str:
    shown = ", ".join(map(_value_text, values[:_MOST_VALUES]))
    return f"{shown}, …" if len(values) > _MOST_VALUES else shown


def _value_text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)
