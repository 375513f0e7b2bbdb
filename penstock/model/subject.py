"""A subject: an authenticated person or machine, and how strongly it proved itself (SP 800-207)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SubjectKind(StrEnum):
    """People sign in; machines are known by their place in the inventory."""

    PERSON = "person"
    MACHINE = "machine"


class Factor(StrEnum):
    """One proof that was given at sign-in."""

    PASSWORD = "password"
    TOTP = "totp"
    PASSKEY = "passkey"
    SMART_CARD = "smart_card"
    ADDRESS = "address"


class FactorStrength(StrEnum):
    """What a conduit can ask for, weakest first."""

    NONE = "none"
    ONE = "one"
    TWO = "two"
    PHISHING_RESISTANT = "phishing-resistant"

    @property
    def rank(self) -> int:
        """0 (none) to 3 (phishing-resistant)."""
        return list(FactorStrength).index(self)


class Binding(StrEnum):
    """How a flow is tied to its subject, weakest first."""

    ADDRESS = "address"
    BROWSER = "browser"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who asks.  A person has `groups` and `factors`; a machine is an asset with a `role` and a `zone`."""

    name: str
    kind: SubjectKind
    groups: frozenset[str] = frozenset()
    role: str | None = None
    zone: str | None = None
    factors: frozenset[Factor] = frozenset()

    @property
    def strength(self) -> FactorStrength:
        """The strongest level that the given factors add up to."""
        if self.factors & {Factor.PASSKEY, Factor.SMART_CARD}:
            return FactorStrength.PHISHING_RESISTANT
        proofs = self.factors - {Factor.ADDRESS}
        if len(proofs) > 1:
            return FactorStrength.TWO
        return FactorStrength.ONE if proofs else FactorStrength.NONE
