"""The flow must be tied to its subject as strongly as the conduit requires.

The address of a station is the weakest binding: whoever takes over the station or its address has the flow.
"""

from __future__ import annotations

from penstock.model import Binding, Miss, Reason
from penstock.policy.criteria.contract import Criterion
from penstock.policy.lanes import Lane, Question

_REMEDIES = {
    Binding.ADDRESS: "",
    Binding.BROWSER: "use the portal, or connect with `penstock connect`",
    Binding.CERTIFICATE: "connect with `penstock connect`",
}


def is_met(lane: Lane, question: Question) -> bool:
    """Whether the binding is the required one, or a stronger one."""
    return lane.required_binding_rank == 0 or question.request.binding.rank >= lane.required_binding_rank


def explain(lane: Lane, question: Question) -> Miss:
    """How it must be bound, and how it is."""
    required = lane.conduit.require.binding
    return Miss(
        criterion="bound",
        reason=Reason.BINDING_TOO_WEAK,
        wanted=f"a flow bound to a {required}" if required is not Binding.ADDRESS else "any binding",
        found=f"a flow bound to {_found(question.request.binding)}",
        remedy=_REMEDIES[required],
    )


def _found(binding: Binding) -> str:
    return "an address, the weakest binding" if binding is Binding.ADDRESS else f"a {binding}"


BOUND = Criterion(name="bound", is_met=is_met, explain=explain)
