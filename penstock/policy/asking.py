"""A request out of words, for a document's own assertions and for `penstock policy explain`.

Pure.  It knows nothing about conduits: it only says who asks for what, in the terms of the inventory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from penstock.model import (
    ANY_LAST,
    Asset,
    Binding,
    Factor,
    FactorStrength,
    Operation,
    OperationClass,
    Request,
    Span,
    Subject,
    SubjectKind,
    Target,
    Value,
)
from penstock.policy.numbers import read_interval
from penstock.wire import NAMED, UnreadableError

#: Short words for one object of a Modbus table; beside them a claim takes the keys with which a conduit narrows.
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
    target: Span | None = None
    values: tuple[Value, ...] | None = None


def read_object(protocol: str, word: str, text: str, operation_class: OperationClass) -> Span:
    """The object that these words name: a key of the protocol's limits, or one of `OBJECTS`, and what stands behind it.

    Raises `UnreadableError`.
    """
    wire = NAMED.get(protocol)
    key = OBJECTS.get(word, word)
    limit = next((each for each in wire.limits if each.key == key), None) if wire is not None else None
    if wire is None or limit is None:
        known = ", ".join(each.key for each in wire.limits) if wire is not None else ""
        raise UnreadableError(f"{protocol} has no {word}", f"one of: {known}" if known else "name no object")
    if operation_class not in limit.classes:
        why = f"operations of class {operation_class.value!r} name no {word}"
        raise UnreadableError(why, "leave the object out, or name another class")
    own, *others = limit.read(text)
    if own.first == own.last and own.name is not None and "*" not in text:
        own = replace(own, name=own.name.replace("*", str(own.first)))  # ``ns=2;i=*`` with a number of its own
    if "*" in text or "*" in (own.name or "") or any(_is_another(span, own) for span in others):
        raise UnreadableError(f"{text!r} is more than one object", f"write one, as in `{limit.example}`")
    return own


def _is_another(span: Span, own: Span) -> bool:
    """Whether a span stands for objects beside `own`, and not for `own` in another form.

    The first span is what the words say themselves.  Others mean what comes with it: the elements of a tag, the
    attributes of an object, the bits of a word of FINS, requests of OPC UA without a node, a PCCC file's other name.
    """
    if span.table != own.table or own.name is None:
        return span.table == own.table
    is_part = (span.name or "").startswith(tuple(own.name + sign for sign in "[@/"))
    is_alias = own.last != ANY_LAST and (span.first, span.last) == (own.first, own.last)
    return not is_part and not is_alias


def read_value(protocol: str, text: str) -> Value:
    """A value as messages of the protocol have it: ``300``, ``-5`` (two's complement where they are unsigned), ``on``.

    Raises `UnreadableError`.
    """
    wire = NAMED.get(protocol)
    if wire is not None and text in wire.words:
        return wire.words[text]
    found = read_interval(text)
    if found is None or found[0] != found[1]:
        words = ", ".join(wire.words) if wire is not None else ""
        raise UnreadableError(f"{text!r} is no value", f"a number, or one of: {words}" if words else "write a number")
    value, modulus = found[0], None if wire is None else wire.wraps_at
    if modulus is None:
        return value
    if not -modulus // 2 <= value < modulus or not isinstance(value, int):
        raise UnreadableError(f"{text} is no value", f"whole numbers from {-modulus // 2} to {modulus - 1}")
    return value % modulus


def request_of(who: Who, what: What, asset: str, protocol: str, speaks: str) -> Request:
    """The request.  `protocol` names the service, `speaks` is the protocol that its operations are of."""
    operation = None
    if what.operation_class is not OperationClass.SESSION:
        targets: tuple[Target, ...] = ()
        if what.target is not None:
            span = what.target
            count = 1 if span.last == ANY_LAST else span.last - span.first + 1
            targets = (Target(what.operation_class, span.table, span.first, count, span.name or "", what.values),)
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
