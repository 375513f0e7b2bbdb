"""One more operation must fit into the rate of a permission that covers its objects and values.

A permission without a rate is used first, so that nothing is counted that need not be.
"""

from __future__ import annotations

from penstock.model import Charge, Miss, Reason, Target
from penstock.policy.criteria.contract import Criterion
from penstock.policy.lanes import Lane, Question
from penstock.policy.numbers import duration_text, period_text
from penstock.policy.permits import Permit


def is_met(lane: Lane, question: Question) -> bool:
    """Whether each target has a fitting permission with room."""
    if lane.is_port or not _is_rated(lane, question):
        return True
    return all(any(each.has_room(question.spent) for each in permits) for permits in _fitting(lane, question))


def charges(lane: Lane, question: Question) -> tuple[Charge, ...]:
    """What an allow counts against: each permission that it used and that has a rate, once."""
    if lane.is_port or not _is_rated(lane, question):
        return ()
    used: dict[str, Charge] = {}
    for permits in _fitting(lane, question):
        permit = next(each for each in permits if each.has_room(question.spent))
        rate = permit.permission.rate
        if rate is not None:
            used[permit.key] = Charge(key=permit.key, count=rate.count, period_s=rate.period_s)
    return tuple(used.values())


def _is_rated(lane: Lane, question: Question) -> bool:
    rated = lane.rated
    if rated:
        for demanded, _ in question.demands:
            if demanded in rated:
                return True
    return False


def _fitting(lane: Lane, question: Question) -> list[list[Permit]]:
    found = []
    for demanded, target in question.demands:
        permits = [each for each in lane.permits.get(demanded, ()) if _admits(each, target, question.unit)]
        if permits:
            permits.sort(key=lambda each: (each.permission.rate is not None, each.key))
            found.append(permits)
    return found


def _admits(permit: Permit, target: Target | None, unit: int | None) -> bool:
    return permit.covers(target, unit) and permit.admits(target)


def explain(lane: Lane, question: Question) -> Miss:
    """The rate, and what is used up of it."""
    full = [
        (permit, rate)
        for permits in _fitting(lane, question)
        if not any(each.has_room(question.spent) for each in permits)
        for permit in permits
        if (rate := permit.permission.rate) is not None
    ]
    shortest_s = min((rate.period_s for _, rate in full), default=0)
    return Miss(
        criterion="rate",
        reason=Reason.RATE_EXCEEDED,
        wanted="; ".join(dict.fromkeys(f"at most {rate.count}/{period_text(rate.period_s)}" for _, rate in full)),
        found=", ".join(
            f"{question.spent(permit.key, rate.period_s)} in the last {duration_text(rate.period_s)}"
            for permit, rate in full
        ),
        remedy=f"wait, at most {duration_text(shortest_s)}",
    )


RATE = Criterion(name="rate", is_met=is_met, explain=explain)
