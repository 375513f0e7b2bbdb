"""Every object that the operation touches must lie in the spans of one permission of its class.

Where the class itself is not allowed there is nothing to compare: that is the operation criterion's affair.
"""

from __future__ import annotations

from penstock.model import Miss, Reason
from penstock.policy.criteria.contract import Criterion
from penstock.policy.describe import permission_text, target_text
from penstock.policy.lanes import Lane, Question


def is_met(lane: Lane, question: Question) -> bool:
    """Whether each target is covered by the union of one permission's spans."""
    if lane.is_port:
        return True
    for demanded, target in question.demands:
        permits = lane.permits.get(demanded)
        if permits is not None and not any(permit.covers(target, question.unit) for permit in permits):
            return False
    return True


def explain(lane: Lane, question: Question) -> Miss:
    """The spans of the class, and the targets outside of them."""
    outside = [
        (permits, target)
        for demanded, target in question.demands
        if (permits := lane.permits.get(demanded)) is not None
        and not any(each.covers(target, question.unit) for each in permits)
    ]
    wanted = dict.fromkeys(permission_text(permit.permission) for permits, _ in outside for permit in permits)
    return Miss(
        criterion="objects",
        reason=Reason.OBJECT_OUT_OF_RANGE,
        wanted="; ".join(wanted),
        found=", ".join(dict.fromkeys(target_text(target, question.protocol) for _, target in outside)),
        remedy="stay within these objects, or ask for a conduit that names more",
    )


OBJECTS = Criterion(name="objects", is_met=is_met, explain=explain)
