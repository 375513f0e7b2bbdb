"""The flow must be of a kind that its binding can carry.

A flow that is bound to a certificate or a browser goes through the worker's tunnel, which carries one TCP connection to
one port.  Datagrams, ranges of ports and echo pass the kernel, which knows a subject by the address of its station.
"""

from __future__ import annotations

from penstock.model import Binding, Miss, Reason, Service
from penstock.policy.criteria.contract import Criterion
from penstock.policy.lanes import Lane, Question


def can_carry(service: Service, binding: Binding) -> bool:
    """Whether flows with this binding can reach this service at all, whoever asks."""
    return binding is Binding.ADDRESS or (service.transport == "tcp" and service.last_port is None)


def is_met(lane: Lane, question: Question) -> bool:  # noqa: ARG001 - the contract of a criterion
    """Whether the binding can carry it; what is no service is for other criteria."""
    service = question.service
    return (
        service is None or question.request.binding is Binding.ADDRESS or can_carry(service, question.request.binding)
    )


def explain(lane: Lane, question: Question) -> Miss:  # noqa: ARG001 - the contract of a criterion
    """What the binding carries, and which way there is instead."""
    service, binding = question.service, question.request.binding
    place = question.protocol if service is None else service.at
    overlay = "the overlay address" if question.asset is None else question.asset.overlay
    return Miss(
        criterion="binding",
        reason=Reason.NOT_CARRIED,
        wanted=f"for {place}, a grant bound to the address of a station",
        found=f"a grant bound to a {binding}: it carries one TCP port",
        remedy=f"open it in the portal, from a station on the plant network, and use {overlay} there",
    )


BINDING = Criterion(name="binding", is_met=is_met, explain=explain)
