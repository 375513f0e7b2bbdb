"""The parts of a conduit about faults and proof: failure mode, drills, latency budget, and what is recorded.

Each part is read by itself here; what contradicts another part of the conduit is a problem at once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from penstock.model import DrillPlan, FailureMode, LatencyBudget, OperationClass, RecordMode
from penstock.policy.faults import Faults, shown
from penstock.policy.fields import Fields, text_of
from penstock.policy.numbers import latency_text, read_latency
from penstock.policy.source import Value

KEYS = (
    "on_failure",
    "approved_by",
    "failure_reason",
    "latency_budget",
    "on_overload",
    "drill",
    "record",
    "hold",
    "hold_for",
)
DRILL = ("window", "every")
OVERLOAD = ("carry-on", "step-aside")
RECORD = tuple(mode.value for mode in RecordMode)

#: Less than the clock of a busy machine can tell; more than any client waits.
MIN_LATENCY_US, MAX_LATENCY_US = 50, 10_000_000
#: A second person must have the time to read; and nobody's tool waits for hours.
MIN_HOLD_S, MAX_HOLD_S = 5, 3600
_HOLD_S = 60
#: What waits for somebody is something that is asked for, and what keeps a session going is never asked for.
HOLDABLE = tuple(each.value for each in OperationClass if each is not OperationClass.SESSION)
#: A drill resets flows, so it is for maintenance hours; what is not drilled within a year or so is not drilled.
MIN_EVERY_S, MAX_EVERY_S = 86_400, 400 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What `read_keeping` reads."""

    on_failure: FailureMode
    approved_by: str | None
    failure_reason: str | None
    drill: DrillPlan | None
    latency: LatencyBudget | None
    record: RecordMode
    hold: tuple[OperationClass, ...]
    hold_s: int


def read_keeping(fields: Fields, allowed: Collection[OperationClass] | None) -> Keeping:
    """These parts of one conduit; every one that could not be read is as if it were not written.

    `allowed` are the classes of operations that it allows, ``None`` where that could not be read.
    """
    mode = fields.choice("on_failure", tuple(item.value for item in FailureMode))
    on_failure = FailureMode(mode or FailureMode.CLOSED)
    return Keeping(
        on_failure=on_failure,
        approved_by=fields.foreign("approved_by"),
        failure_reason=fields.text("failure_reason"),
        drill=_drill(fields),
        latency=_latency(fields, on_failure),
        record=RecordMode(fields.choice("record", RECORD) or RecordMode.OPERATIONS),
        hold=_hold(fields, on_failure, allowed),
        hold_s=fields.duration("hold_for", MIN_HOLD_S, MAX_HOLD_S) or _HOLD_S,
    )


def _hold(
    fields: Fields, on_failure: FailureMode, allowed: Collection[OperationClass] | None
) -> tuple[OperationClass, ...]:
    faults = fields.faults
    if fields.has("hold_for") and not fields.has("hold"):
        faults.add(fields.place("hold_for"), "'hold_for' without 'hold': nothing waits", "add `hold: [write]`")
    items = fields.listing("hold")
    if items is None:
        return ()
    if on_failure is FailureMode.OPEN:
        why = "'hold' keeps operations waiting, and nothing may stop a conduit that fails open"
        faults.add(fields.place("hold"), why, "remove it, or make a conduit of its own for what is to wait")
    if not items:
        faults.add(fields.place("hold"), "'hold' names no operation class", "write `hold: [program_to_device]`")
    found = (_held(item, faults, allowed) for item in items)
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _held(item: Value, faults: Faults, allowed: Collection[OperationClass] | None) -> OperationClass | None:
    """One class that is to wait; it must be one that is allowed at all."""
    text = text_of(item, faults, "an operation class")
    if text is None:
        return None
    if text not in HOLDABLE:
        faults.unknown(item.place, "operation class", text, HOLDABLE)
        return None
    found = OperationClass(text)
    if allowed is not None and found not in allowed:
        why = f"'hold' names {text!r}, and this conduit allows no such operation: nothing would ever wait"
        faults.add(item.place, why, f"add `{text}` to 'allow', or remove it here")
    return found


def _drill(fields: Fields) -> DrillPlan | None:
    table = fields.inner("drill")
    if table is None:
        return None
    inner = Fields(table, fields.faults, "'drill'", DRILL)
    is_complete = inner.need(*DRILL)
    window, every_s = inner.name("window"), inner.duration("every", MIN_EVERY_S, MAX_EVERY_S)
    if not is_complete or window is None or every_s is None:
        return None
    return DrillPlan(window=window, every_s=every_s)


def _latency(fields: Fields, on_failure: FailureMode) -> LatencyBudget | None:
    overload, faults = fields.choice("on_overload", OVERLOAD), fields.faults
    if fields.has("on_overload") and not fields.has("latency_budget"):
        faults.add(fields.place("on_overload"), "'on_overload' without a budget: nothing is over", _HINT_BUDGET)
    if overload == "step-aside" and on_failure is not FailureMode.OPEN:
        why = "'step-aside' leaves inspection, and this conduit does not fail open"
        faults.add(fields.place("on_overload"), why, "write `on_overload: carry-on`, or `on_failure: open`")
    text = fields.text("latency_budget")
    if text is None:
        return None
    limit_us = read_latency(text)
    if limit_us is None:
        faults.add(fields.place("latency_budget"), f"{shown(text)} is no budget", "write it as 5ms, 800us or 1s")
        return None
    if not MIN_LATENCY_US <= limit_us <= MAX_LATENCY_US:
        low, high = latency_text(MIN_LATENCY_US), latency_text(MAX_LATENCY_US)
        faults.add(fields.place("latency_budget"), f"'latency_budget' must be from {low} to {high}, it is {text}")
        return None
    return LatencyBudget(limit_us=limit_us, steps_aside=overload == "step-aside")


_HINT_BUDGET = "add `latency_budget: 5ms`, or remove it"
