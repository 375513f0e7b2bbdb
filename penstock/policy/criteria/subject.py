"""The subject must be one that the conduit leads from."""

from __future__ import annotations

from penstock.model import Miss, Reason
from penstock.policy.criteria.contract import Criterion
from penstock.policy.describe import subject_text
from penstock.policy.lanes import Lane, Question
from penstock.policy.selection import fits_subject, selector_text


def is_met(lane: Lane, question: Question) -> bool:
    """Whether every field of `from` fits the subject."""
    return fits_subject(lane.conduit.source, question.request.subject)


def explain(lane: Lane, question: Question) -> Miss:
    """Who the conduit is for."""
    source = lane.conduit.source
    if source.group is not None:
        remedy = f"ask for membership of group {source.group}"
    elif source.user is not None:
        remedy = "ask for a conduit of your own"
    else:
        remedy = "only machines of the inventory take this conduit"
    return Miss(
        criterion="subject",
        reason=Reason.SUBJECT_NOT_NAMED,
        wanted=selector_text(source),
        found=subject_text(question.request.subject),
        remedy=remedy,
    )


SUBJECT = Criterion(name="subject", is_met=is_met, explain=explain)
