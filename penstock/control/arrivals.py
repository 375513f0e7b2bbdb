"""How somebody arrives at the gate, and what becomes of it: the values around a sign-in.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock.control.rows import ActiveSignIn, SignInKind
from penstock.identity import ClientCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Where a proof is brought: `source` is the address, `agent` the browser or computer as it says itself.

    With `csr_pem` a certificate is issued.  `notice` is the digest of the notice that was accepted.
    """

    kind: SignInKind
    source: str
    csr_pem: str | None = None
    agent: str = ""
    notice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A sign-in that has just begun.  `token` is here and with its owner only."""

    token: str = field(repr=False)
    sign_in: ActiveSignIn
    certificate: ClientCertificate | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return f"SignedIn(subject={self.sign_in.subject.name!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSignedIn:
    """The proof was refused, or not even looked at for another `retry_after_s` seconds."""

    retry_after_s: int = 0
