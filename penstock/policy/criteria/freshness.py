"""The subject must have proved who it is recently enough, where the conduit says how recently (`reauthenticate`)."""

from __future__ import annotations

from penstock.model import Miss, Reason
from penstock.policy.criteria.contract import Criterion
from penstock.policy.lanes import Lane, Question
from penstock.policy.numbers import duration_text


def is_met(lane: Lane, question: Question) -> bool:
    """Whether the proof is young enough, or its age is not the question."""
    limit_s, age_s = lane.reauthenticate_s, question.request.proof_age_s
    return limit_s is None or age_s is None or age_s < limit_s


def explain(lane: Lane, question: Question) -> Miss:
    """How old it may be, and how old it is."""
    limit_s, age_s = lane.reauthenticate_s or 0, question.request.proof_age_s or 0
    return Miss(
        criterion="freshness",
        reason=Reason.PROOF_TOO_OLD,
        wanted=f"a proof of identity younger than {duration_text(limit_s)}",
        found=f"one of {duration_text(age_s)} ago",
        remedy="prove again who you are",
    )


FRESHNESS = Criterion(name="freshness", is_met=is_met, explain=explain)
