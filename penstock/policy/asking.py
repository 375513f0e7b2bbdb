"""A request out of words, for a document's own assertions and for `penstock policy explain`.

Pure.  It knows nothing about conduits: it only says who asks for what, in the terms of the inventory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.model import (
    Asset,
    Binding,
    Factor,
    FactorStrength,
    Operation,
    OperationClass,
    Request,
    Subject,
    SubjectKind,
    Target,
)

#: The words for one object of a table, as an assertion says them.
OBJECTS: Mapping[str, str] = {
    "register": "holding_registers",
    "coil": "coils",
    "input_register": "input_registers",
    "discrete_input": "discrete_inputs",
}
_PROOFS: Mapping[FactorStrength, frozenset[Factor]] = {
    FactorStrength.NONE: frozenset(),
    FactorStrength.ONE: frozenset({Factor.PASSWORD}),
    FactorStrength.TWO: frozenset({Factor.PASSWORD, Factor.TOTP}),
    FactorStrength.PHISHING_RESISTANT: frozenset({Factor.PASSKEY}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who asks: a person (group, user) or a machine (asset of the inventory, or a role and zone)."""

    group: str | None = None
    user: str | None = None
    role: str | None = None
    zone: str | None = None
    asset: Asset | None = None
    factors: FactorStrength = FactorStrength.NONE
    has_tls: bool = True
    binding: Binding = Binding.ADDRESS

    def subject(self) -> Subject:
        """The subject that this describes."""
        if self.group is not None or self.user is not None:
            groups = frozenset(() if self.group is None else (self.group,))
            name = self.user or "somebody"
            return Subject(name=name, kind=SubjectKind.PERSON, groups=groups, factors=_PROOFS[self.factors])
        name, role, zone = "a machine", self.role, self.zone
        if self.asset is not None:
            name, role, zone = self.asset.name, self.role or self.asset.role, self.zone or self.asset.zone
        return Subject(name=name, kind=SubjectKind.MACHINE, role=role, zone=zone, factors=frozenset({Factor.ADDRESS}))


@dataclass(frozen=True, slots=True, kw_only=True)
class What:
    """What is asked: one operation class, and the objects and values where they are named."""

    operation_class: OperationClass
    table: str | None = None
    first: int = 0
    last: int = 0
    values: tuple[int, ...] | None = None


def request_of(who: Who, what: What, asset: str, protocol: str, speaks: str) -> Request:
    """The request.  `protocol` names the service, `speaks` is the protocol that its operations are of."""
    operation = None
    if what.operation_class is not OperationClass.SESSION:
        targets: tuple[Target, ...] = ()
        if what.table is not None:
            targets = (
                Target(
                    operation_class=what.operation_class,
                    table=what.table,
                    first=what.first,
                    count=what.last - what.first + 1,
                    values=what.values,
                ),
            )
        operation = Operation(
            protocol=speaks, classes=(what.operation_class,), code="", name=what.operation_class.value, targets=targets
        )
    subject = who.subject()
    has_tls = who.has_tls and subject.kind is SubjectKind.PERSON
    return Request(
        subject=subject,
        asset=asset,
        protocol=protocol,
        operation=operation,
        binding=who.binding,
        has_tls=has_tls,
    )
