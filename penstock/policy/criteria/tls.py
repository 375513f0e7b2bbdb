"""The way from the subject to the gate must be TLS where the conduit requires it.

A flow that is bound to a certificate comes through the client tunnel, which is always TLS 1.3.
"""

from __future__ import annotations

from penstock.model import Binding, Miss, Reason
from penstock.policy.criteria.contract import Criterion
from penstock.policy.lanes import Lane, Question


def is_met(lane: Lane, question: Question) -> bool:
    """Whether TLS is there, or not required."""
    request = question.request
    return not lane.requires_tls or request.has_tls or request.binding is Binding.CERTIFICATE


def explain(lane: Lane, question: Question) -> Miss:  # noqa: ARG001 - the contract of a criterion
    """How the subject came."""
    return Miss(
        criterion="tls",
        reason=Reason.TLS_REQUIRED,
        wanted="TLS between subject and gate",
        found=f"a flow bound by {question.request.binding}, without TLS",
        remedy="connect with `penstock connect`, or through the portal",
    )


TLS = Criterion(name="tls", is_met=is_met, explain=explain)
