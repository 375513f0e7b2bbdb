"""The flow must be of a kind that its binding can carry.

A flow that is bound to a certificate goes through the worker's tunnel, which carries connections and datagrams to ports
of the asset.  Echo passes the kernel, which knows a subject by the address of its station.  A browser has no way but
one TCP port.
"""

from __future__ import annotations

from penstock.model import ECHO, Binding, Miss, Reason, Service
from penstock.policy.criteria.contract import Criterion
from penstock.policy.lanes import Lane, Question

_CARRIED = {Binding.BROWSER: "one TCP port", Binding.CERTIFICATE: "TCP and UDP ports"}


def can_carry(service: Service, binding: Binding) -> bool:
    """Whether flows with this binding can reach this service at all, whoever asks."""
    if binding is Binding.BROWSER:
        return service.transport == "tcp" and service.last_port is None
    return binding is Binding.ADDRESS or service.transport != ECHO


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
        found=f"a grant bound to a {binding}: it carries {_CARRIED[binding]}",
        remedy=f"open it in the portal, from a station on the plant network, and use {overlay} there",
    )


BINDING = Criterion(name="binding", is_met=is_met, explain=explain)
