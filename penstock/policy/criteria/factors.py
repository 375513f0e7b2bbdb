"""The subject must have proved itself as strongly as the conduit requires."""

from __future__ import annotations

from functools import lru_cache

from penstock.model import Factor, FactorStrength, Miss, Reason, Subject, strength_of
from penstock.policy.criteria.contract import Criterion
from penstock.policy.describe import strength_text
from penstock.policy.lanes import Lane, Question

_REMEDIES = {
    FactorStrength.NONE: "",
    FactorStrength.ONE: "sign in",
    FactorStrength.TWO: "sign in with a second factor",
    FactorStrength.PHISHING_RESISTANT: "sign in with a passkey or a smart card",
}


@lru_cache(maxsize=256)
def _rank(factors: frozenset[Factor], graded: FactorStrength | None) -> int:
    """The model's own rank of a set of factors; there are few sets."""
    return (strength_of(factors) if graded is None else graded).rank


def _met(subject: Subject, required_rank: int) -> bool:
    return _rank(subject.factors, subject.graded) >= required_rank


def is_met(lane: Lane, question: Question) -> bool:
    """Whether the factors that were given are at least as strong as those required."""
    return lane.required_rank == 0 or _met(question.request.subject, lane.required_rank)


def explain(lane: Lane, question: Question) -> Miss:
    """What is required and what was given."""
    required = lane.conduit.require.factors
    return Miss(
        criterion="factors",
        reason=Reason.FACTORS_TOO_WEAK,
        wanted=strength_text(required),
        found=strength_text(question.request.subject.strength),
        remedy=_REMEDIES[required],
    )


FACTORS = Criterion(name="factors", is_met=is_met, explain=explain)
