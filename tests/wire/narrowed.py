"""A site with one asset and one conduit, for what the words of a protocol let through."""

from __future__ import annotations

from penstock.model import Factor, Operation, Reason, Request, Subject, SubjectKind
from penstock.policy import accept, decide, parse

_SITE = """\
site: plant
domain: plant.ot
overlay: 100.64.0.0/16
zones:
  cell: {networks: [10.20.10.0/24]}
assets:
  unit-1: {zone: cell, role: controller, address: 10.20.10.11, services: {SERVICE}}
conduits:
  Way: {from: {group: ops}, to: {asset: unit-1}, allow: {PROTOCOL: [ALLOW]}}
"""
_PERSON = Subject(
    name="alice",
    kind=SubjectKind.PERSON,
    groups=frozenset({"ops"}),
    factors=frozenset({Factor.PASSWORD, Factor.TOTP}),
)


def site(protocol: str, port: int, allow: str) -> str:
    """The document: `allow` stands in it as written."""
    text = _SITE.replace("SERVICE", f"{protocol}: {port}")
    return text.replace("PROTOCOL", protocol).replace("ALLOW", allow)


def decided(protocol: str, port: int, allow: str, operation: Operation) -> Reason:
    """What the policy says to an operation of alice."""
    policy = accept(parse({"site.yaml": site(protocol, port, allow)}), 1)
    return decide(policy, Request(subject=_PERSON, asset="unit-1", protocol=protocol, operation=operation)).reason
