"""Every value that the operation would leave must be allowed by one permission that covers its objects.

A message that does not say what it writes (a masked write) cannot meet a permission that limits values.
Where no permission covers the objects there is nothing to compare: that is the objects criterion's affair.
"""

from __future__ import annotations

from penstock.model import Miss, Reason, Target
from penstock.policy.criteria.contract import Criterion
from penstock.policy.describe import values_text
from penstock.policy.lanes import Lane, Question
from penstock.policy.permits import Permit

_SHOWN = 8


def is_met(lane: Lane, question: Question) -> bool:
    """Whether each target has a permission that covers it and contains all of its values."""
    if lane.is_port:
        return True
    for demanded, target in question.demands:
        permits = lane.permits.get(demanded)
        if permits is not None and _is_refused(permits, target, question.unit):
            return False
    return True


def _is_refused(permits: tuple[Permit, ...], target: Target | None, unit: int | None) -> bool:
    is_covered = False
    for permit in permits:
        if permit.covers(target, unit):
            if permit.admits(target):
                return False
            is_covered = True
    return is_covered


def explain(lane: Lane, question: Question) -> Miss:
    """The allowed values, and the values outside of them."""
    wanted: dict[str, None] = {}
    found: dict[str, None] = {}
    for demanded, target in question.demands:
        permits = lane.permits.get(demanded)
        if permits is None or not _is_refused(permits, target, question.unit):
            continue
        wanted |= {values_text(permit.permission): None for permit in permits if permit.covers(target, question.unit)}
        found[_found(permits, target, question.unit)] = None
    return Miss(
        criterion="values",
        reason=Reason.VALUE_OUT_OF_RANGE,
        wanted="; ".join(wanted),
        found=", ".join(found),
        remedy="choose a value in this range, or ask for a conduit that allows more",
    )


def _found(permits: tuple[Permit, ...], target: Target | None, unit: int | None) -> str:
    covering = [permit for permit in permits if permit.covers(target, unit)]
    values = (
        () if target is None else dict.fromkeys(each for permit in covering for each in permit.values_of(target) or ())
    )
    if not values:
        return "a value that the message does not say"
    outside = [str(value) for value in values if not any(permit.admits_value(value) for permit in covering)]
    return ", ".join(outside[:_SHOWN]) + (", …" if len(outside) > _SHOWN else "") or "values of different permissions"


VALUES = Criterion(name="values", is_met=is_met, explain=explain)
