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
    RECOVERY_CODE = "recovery_code"
    FEDERATED = "federated"
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
        return _STRENGTH_RANKS[self]


_STRENGTH_RANKS = {strength: rank for rank, strength in enumerate(FactorStrength)}


class Binding(StrEnum):
    """How a flow is tied to its subject, weakest first."""

    ADDRESS = "address"
    BROWSER = "browser"
    CERTIFICATE = "certificate"

    @property
    def rank(self) -> int:
        """0 (address) to 2 (certificate)."""
        return _BINDING_RANKS[self]


_BINDING_RANKS = {binding: rank for rank, binding in enumerate(Binding)}


#: The identity source that every gate has: its own store.
LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who asks.  A person has `groups` and `factors`; a machine is an asset with a `role` and a `zone`.

    `source` is the identity source that says so; subjects of other sources than the local one are called
    ``NAME@SOURCE``.  `graded` is what the evidence of another source amounts to, where that is not for the gate to
    add up out of `factors`.  `proved_at_us` is when the factors were given (microseconds since the Unix epoch).
    `barred_zones`: there the proof does not count now, because nothing confirms that it still holds (a card whose
    revocation cannot be looked up).
    """

    name: str
    kind: SubjectKind
    groups: frozenset[str] = frozenset()
    role: str | None = None
    zone: str | None = None
    factors: frozenset[Factor] = frozenset()
    source: str = LOCAL
    graded: FactorStrength | None = None
    proved_at_us: int = 0
    barred_zones: frozenset[str] = frozenset()

    @property
    def strength(self) -> FactorStrength:
        """What the source's evidence amounts to, else the strongest level that the given factors add up to."""
        return strength_of(self.factors) if self.graded is None else self.graded


def strength_of(factors: frozenset[Factor]) -> FactorStrength:
    """What these factors, all checked by the gate itself, add up to (SP 800-63B: something known and something held).

    A passkey or a card proves possession and, because it asks for a PIN or a fingerprint itself, knowledge or
    inherence as well.  A recovery code is held, on paper: with a password it makes two.
    """
    if factors & {Factor.PASSKEY, Factor.SMART_CARD}:
        return FactorStrength.PHISHING_RESISTANT
    proofs = factors - {Factor.ADDRESS}
    if len(proofs) > 1:
        return FactorStrength.TWO
    return FactorStrength.ONE if proofs else FactorStrength.NONE
