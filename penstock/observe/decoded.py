"""Pure: what was seen in a capture as lines for programs and rows for people.

Stands between `dissection` and `penstock decode`.  A line has the keys of the reference decode (``frame`` to ``retx``)
and in each unit that means something ``class``, ``operation`` and ``object`` as well.  It must never hide a unit.
"""

from __future__ import annotations

from typing import Any, Final

from penstock.model import Json, Operation, Target
from penstock.observe.dissection import Seen, Unit
from penstock.wire import NAMED, Role

#: What the reference decode says besides that bytes are malformed.
_MALFORMED: Final = "Malformed Packet (Exception occurred)"
_NS: Final = 10**9
#: So many names tell a person enough.
_LABELS: Final = 3
HEADINGS: Final = ("FRAME", "TIME", "SOURCE", "DESTINATION", "PROTOCOL", "CLASS", "OPERATION", "OBJECT")


def line_of(seen: Seen, first_ns: int) -> dict[str, Any]:
    """One packet as the reference decode has it; `first_ns` is the time of the file's first packet."""
    arrival = seen.arrival
    ends: dict[str, Any] = {
        "src": arrival.source,
        "sport": arrival.source_port,
        "dst": arrival.destination,
        "dport": arrival.port,
        "stream": arrival.flow.number,
        "protocol": seen.column,
    }
    found: dict[str, Any] = {"frame": arrival.number, "time": _seconds(arrival.at_ns, first_ns)}
    found |= {key: value for key, value in ends.items() if value not in {None, ""}}
    found["pdus"] = [_with_meaning(unit) for unit in seen.units]
    errors = {error for unit in seen.units for error in unit.shown.errors}
    if any(unit.shown.is_malformed for unit in seen.units):
        found["malformed"] = True
        errors.add(_MALFORMED)
    if errors:
        found["errors"] = sorted(errors)
    if arrival.is_again:
        found["retx"] = True
    return found


def _with_meaning(unit: Unit) -> dict[str, Any]:
    """The unit's own keys, never overwritten, and what it means behind them."""
    pdu = unit.shown.pdu
    return pdu | {key: value for key, value in meaning_of(unit).items() if key not in pdu}


def meaning_of(unit: Unit) -> dict[str, Json]:
    """``class``, ``operation`` and ``object`` of a unit; empty where it only keeps the connection going."""
    if unit.why_malformed:
        return {"class": "unknown", "operation": f"malformed: {unit.why_malformed}", "object": ""}
    operation = unit.operation
    if operation is None:
        return {}
    return {"class": "+".join(operation.classes), "operation": operation.name, "object": object_of(operation)}


def object_of(operation: Operation) -> str:
    """``holding_registers 10-11 = 5, 6; coils 3``, behind ``unit 1:`` where there is one."""
    objects = "; ".join(target_text(each, operation.protocol) for each in operation.targets)
    unit = "" if operation.unit is None else f"unit {operation.unit}"
    return ": ".join(part for part in (unit, objects) if part)


def target_text(target: Target, protocol: str = "") -> str:
    """``holding_registers 10-11 = 5, 6``, ``tag Line1.Speed``, ``DB10.DBW6 = 5``."""
    numbers = str(target.first) if target.count == 1 else f"{target.first}-{target.last}"
    is_in_name = target.count == 1 and (not target.first or target.name.endswith(numbers))
    parts = (target.table, target.name, "" if target.name and is_in_name else numbers)
    known = NAMED.get(protocol)
    spelled = known.spell(target.table, target.first, target.last, "") if known is not None and not target.name else ""
    text = spelled or " ".join(part for part in parts if part)
    return f"{text} = {', '.join(map(str, target.values))}" if target.values else text


def rows_of(seen: Seen, first_ns: int) -> list[tuple[str, ...]]:
    """A row for each unit, under `HEADINGS`; none for what is only a part of the message in front of it."""
    arrival = seen.arrival
    ends = _end(arrival.source, arrival.source_port), _end(arrival.destination, arrival.port)
    time = f"{_seconds(arrival.at_ns, first_ns):.6f}"
    rows: list[tuple[str, ...]] = []
    is_meant = False
    for unit in seen.units:
        meaning = meaning_of(unit)
        if is_meant and not meaning and unit.shown.frame is None:
            continue
        is_meant = bool(meaning)
        said = str(meaning["operation"]) if meaning else _label(unit.shown.pdu)
        column = unit.shown.column or seen.column
        cells = str(meaning.get("class", "")), said + _outcome(unit), str(meaning.get("object", ""))
        rows.append((str(arrival.number), time, *ends, column, *cells))
    return rows


def _outcome(unit: Unit) -> str:
    frame = unit.shown.frame
    if frame is None or frame.role is not Role.REPLY:
        return ""
    return f": {unit.status}" if unit.status else ": refused" if frame.is_refusal else ": answered"


def _label(pdu: dict[str, Any]) -> str:
    """What a unit without an operation is: its codes that have names."""
    if pdu["p"] == "data":
        return f"{pdu['len']} bytes: {pdu['head']}"
    named = [value for key, value in pdu.items() if key.endswith("_name")]
    texts = [str(each) for value in named for each in (value if isinstance(value, list) else [value])]
    kind = pdu.get("type")
    return ", ".join(dict.fromkeys(texts[:_LABELS])) or (kind if isinstance(kind, str) else str(pdu["p"]))


def _end(address: str, port: int | None) -> str:
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _seconds(at_ns: int, first_ns: int) -> float:
    """Seconds since the first packet, rounded as the reference does: each time as a float of seconds before."""
    return round(at_ns / _NS - first_ns / _NS, 6)
