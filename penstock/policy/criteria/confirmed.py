"""The subject's proof must count in the asset's zone: a card that nothing vouches for now is not taken everywhere.

Which zones that are the identity source says (`when_silent` and `zones` of smart cards in the site document).
"""

from __future__ import annotations

from penstock.model import Miss, Reason
from penstock.policy.criteria.contract import Criterion
from penstock.policy.lanes import Lane, Question


def is_met(lane: Lane, question: Question) -> bool:  # noqa: ARG001 - it is a matter of zone and proof alone
    """Whether the proof counts in this zone."""
    barred = question.request.subject.barred_zones
    return not barred or question.asset is None or question.asset.zone not in barred


def explain(lane: Lane, question: Question) -> Miss:  # noqa: ARG001 - see above
    """Which zone asks for it."""
    zone = "" if question.asset is None else question.asset.zone
    return Miss(
        criterion="confirmed",
        reason=Reason.REVOCATION_UNKNOWN,
        wanted=f"a card whose revocation was looked up lately enough for zone {zone}",
        found="a card that no revocation list or responder speaks of now",
        remedy="sign in by another way, or have the list or the responder brought back",
    )


CONFIRMED = Criterion(name="confirmed", is_met=is_met, explain=explain)
