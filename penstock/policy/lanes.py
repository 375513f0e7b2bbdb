"""A lane: one conduit as it leads to one service of one asset, prepared for judging.

`compile` makes lanes once a revision; the criteria read them for every request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.model import (
    ECHO,
    Asset,
    Conduit,
    Decision,
    Operation,
    OperationClass,
    Permission,
    Reason,
    Request,
    Service,
    Target,
)
from penstock.policy.describe import permission_text
from penstock.policy.permits import Permit, Spent
from penstock.policy.selection import admits_echo, fits_asset, is_port_of, is_seen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lane:
    """One conduit towards one service.  `leads`: its target fits the asset.  `is_port`: permitted as a whole port.

    `rated` are the classes of which some permission has a rate: only these can cost anything.
    """

    conduit: Conduit
    leads: bool
    is_port: bool
    permits: Mapping[OperationClass, tuple[Permit, ...]]
    required_rank: int
    requires_tls: bool
    required_binding_rank: int
    reauthenticate_s: int | None
    rated: frozenset[OperationClass]
    held: frozenset[OperationClass]
    allowed: Decision


class Question:
    """A request with its asset and service looked up and its demands spread out.  Lives for one decision."""

    __slots__ = ("asset", "demands", "operation", "request", "service", "spent")

    def __init__(self, request: Request, asset: Asset | None, service: Service | None, spent: Spent) -> None:
        self.request, self.asset, self.service, self.spent = request, asset, service, spent
        self.operation = request.operation
        self.demands = () if request.operation is None else demands_of(request.operation)

    @property
    def unit(self) -> int | None:
        """The device behind the address, where the operation names one."""
        return None if self.operation is None else self.operation.unit

    @property
    def protocol(self) -> str:
        """The protocol that the service speaks, or what the request called it."""
        return self.request.protocol if self.service is None else self.service.protocol


def demands_of(operation: Operation) -> tuple[tuple[OperationClass, Target | None], ...]:
    """Each class that must be allowed, with each target of it; ``None`` where the operation names no target."""
    targets = operation.targets
    if len(targets) == 1 and operation.classes == (targets[0].operation_class,):
        return ((targets[0].operation_class, targets[0]),)
    touched = {target.operation_class for target in targets}
    bare = [(each, None) for each in operation.classes if each not in touched]
    return (*((target.operation_class, target) for target in targets), *bare)


def lane_of(conduit: Conduit, asset: Asset | None, service: Service | None, protocol: str, revision: int) -> Lane:
    """The conduit towards a service, or towards what is not in the inventory."""
    permits: dict[OperationClass, tuple[Permit, ...]] = {}
    is_echo = service is not None and service.transport == ECHO
    if is_echo and admits_echo(conduit):
        echo = Permission(protocol=ECHO, operation_class=OperationClass.DISCOVERY)
        permits[OperationClass.DISCOVERY] = (_permit(echo, conduit, asset),)
    for permission in conduit.permissions:
        if permission.protocol == protocol and (service is None or is_seen(service)):
            found = permits.get(permission.operation_class, ())
            permits[permission.operation_class] = (*found, _permit(permission, conduit, asset))
    return Lane(
        conduit=conduit,
        leads=asset is not None and fits_asset(conduit.target, asset),
        is_port=service is not None and not is_echo and is_port_of(conduit, service),
        permits=permits,
        required_rank=conduit.require.factors.rank,
        requires_tls=conduit.require.tls,
        required_binding_rank=conduit.require.binding.rank,
        reauthenticate_s=conduit.require.reauthenticate_s,
        rated=frozenset(each for each, found in permits.items() if any(one.permission.rate for one in found)),
        held=frozenset(conduit.hold),
        allowed=Decision(
            is_allowed=True, reason=Reason.ALLOWED, revision=revision, conduit=conduit.name, record=conduit.record
        ),
    )


def _permit(permission: Permission, conduit: Conduit, asset: Asset | None) -> Permit:
    words = (asset.name if asset else "", conduit.name, permission.protocol, permission_text(permission))
    return Permit.of(permission, "\n".join(words))
