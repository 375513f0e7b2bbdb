"""The parts of a conduit about faults and proof: failure mode, drills, latency budget, and what is recorded.

Each part is read by itself here; what contradicts another part of the conduit is a problem at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.model import DrillPlan, FailureMode, LatencyBudget
from penstock.policy.faults import shown
from penstock.policy.fields import Fields
from penstock.policy.numbers import latency_text, read_latency

KEYS = ("on_failure", "approved_by", "failure_reason", "latency_budget", "on_overload", "drill", "record")
DRILL = ("window", "every")
OVERLOAD = ("carry-on", "step-aside")
RECORD = ("operations", "payload")

#: Less than the clock of a busy machine can tell; more than any client waits.
MIN_LATENCY_US, MAX_LATENCY_US = 50, 10_000_000
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
    records_payload: bool


def read_keeping(fields: Fields) -> Keeping:
    """These parts of one conduit; every one that could not be read is as if it were not written."""
    mode = fields.choice("on_failure", tuple(item.value for item in FailureMode))
    on_failure = FailureMode(mode or FailureMode.CLOSED)
    return Keeping(
        on_failure=on_failure,
        approved_by=fields.foreign("approved_by"),
        failure_reason=fields.text("failure_reason"),
        drill=_drill(fields),
        latency=_latency(fields, on_failure),
        records_payload=fields.choice("record", RECORD) == "payload",
    )


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
