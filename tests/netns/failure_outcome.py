"""Pure: what a poller's lines say of one fault, and how the table of all faults is written down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

#: What the product promises for a safety-critical flow whose inspection dies, in seconds.
PROMISED_S = 1.5


class Stream(StrEnum):
    """The kinds of flows that are watched, each under a conduit of its own."""

    OPEN_INSPECTED = "safety-critical, inspected"
    OPEN_KERNEL = "safety-critical, kernel path"
    CLOSED_INSPECTED = "closed, inspected"
    CLOSED_KERNEL = "closed, kernel path"
    PERSON = "person, through the tunnel"


class Outcome(StrEnum):
    """What became of a stream while the fault lasted."""

    UNTOUCHED = "goes on, no poll lost"
    RESUMED = "goes on uninspected"
    BACK = "interrupted, and back by itself"
    STOPPED = "stops until repaired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One stream under one fault.

    `outage_s` is its longest silence while the fault lasted, `back_s` how long after the repair its first answer came,
    where it had stopped.
    """

    outcome: Outcome
    outage_s: float
    back_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault: every stream, and the kinds of records that tell of it (by their own times)."""

    fault: str
    streams: dict[Stream, Seen]
    during: tuple[str, ...]
    after: tuple[str, ...]


def seen(lines: Sequence[dict[str, Any]], fault_at: float, repaired_at: float, *, is_put_right: bool = False) -> Seen:
    """What the lines of one poller say; times are seconds since the epoch.

    `is_put_right`: the gate itself undoes this fault while it is watched, so what goes on again is as it was.

    A line is dated at the start of its poll, so an answer came its latency later.  Raises `ValueError` where the
    poller was not answered before the fault, or never again after the repair: then there is nothing to compare.
    """
    answers = [line["at"] + line["latency_us"] / 1e6 for line in lines if line["ok"]]
    before = [at for at in answers if at <= fault_at]
    within = [at for at in answers if fault_at < at <= repaired_at]
    after = [at for at in answers if at > repaired_at]
    if not before or not after:
        raise ValueError(f"{len(before)} answers before the fault, {len(after)} after the repair")
    has_failed = any(
        not line["ok"] and fault_at < line["at"] + line["latency_us"] / 1e6 <= repaired_at for line in lines
    )
    times = [fault_at, *within, repaired_at]
    outage_s = max(later - sooner for sooner, later in pairwise(times))
    if not has_failed:
        return Seen(outcome=Outcome.UNTOUCHED, outage_s=outage_s, back_s=0.0)
    first_failed = min(
        line["at"] for line in lines if not line["ok"] and line["at"] + line["latency_us"] / 1e6 > fault_at
    )
    if any(at > first_failed for at in within):
        outcome = Outcome.BACK if is_put_right else Outcome.RESUMED
        return Seen(outcome=outcome, outage_s=outage_s, back_s=0.0)
    return Seen(outcome=Outcome.STOPPED, outage_s=outage_s, back_s=after[0] - repaired_at)


def promise(stream: Stream, what: Outcome) -> str:
    """What a reader may rely on, for one cell of the table."""
    if what is Outcome.RESUMED and stream is Stream.OPEN_INSPECTED:
        return f"within {PROMISED_S:g} s"
    return ""


def as_json(rows: Iterable[Row]) -> str:
    """The table as data."""
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"


def from_json(text: str) -> list[Row]:
    """The table back from data."""
    return [
        Row(
            fault=row["fault"],
            streams={
                Stream(name): Seen(outcome=Outcome(cell["outcome"]), outage_s=cell["outage_s"], back_s=cell["back_s"])
                for name, cell in row["streams"].items()
            },
            during=tuple(row["during"]),
            after=tuple(row["after"]),
        )
        for row in json.loads(text)
    ]


def as_markdown(rows: Iterable[Row]) -> str:
    """The table as people read it: one line for each fault, one column for each stream."""
    heads = ("Fault", *(stream.value for stream in Stream), "Recorded while it lasts", "Recorded from its end on")
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in rows:
        cells = (_cell(stream, row.streams[stream]) for stream in Stream)
        lines.append("| " + " | ".join((row.fault, *cells, _kinds(row.during), _kinds(row.after))) + " |")
    return "\n".join(lines) + "\n"


def _cell(stream: Stream, cell: Seen) -> str:
    match cell.outcome:
        case Outcome.UNTOUCHED:
            return cell.outcome.value
        case Outcome.RESUMED | Outcome.BACK:
            within = promise(stream, cell.outcome)
            return f"{cell.outcome.value}{' ' if within else ''}{within} ({cell.outage_s:.2f} s seen)"
        case Outcome.STOPPED:
            return f"{cell.outcome.value}; back {cell.back_s:.1f} s after it"


def _kinds(kinds: Iterable[str]) -> str:
    return ", ".join(f"`{kind}`" for kind in kinds) or "-"
