"""What a stronger or a newer proof would open, and how to get one: for the pages and for the API (RFC 9470)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from penstock.control import ActiveSignIn, Gate
from penstock.identity import OidcSource
from penstock.model import CardPlan, Decision, FactorStrength, LdapPlan, LocalPlan, Reason, Unavailable

_HELPED = frozenset({Reason.FACTORS_TOO_WEAK, Reason.PROOF_TOO_OLD})


@dataclass(frozen=True, slots=True, kw_only=True)
class BetterProof:
    """A proof that would be enough: `want` where a stronger one is needed, `max_age_s` where a newer one is.

    `words` are the provider's for it; `path` leads there from the portal, and is ``None`` where the source of this
    sign-in cannot give such a proof this way.
    """

    want: FactorStrength
    max_age_s: int | None
    words: tuple[str, ...] = ()
    path: str | None = None

    @property
    def title(self) -> str:
        """What the link says."""
        match self.want:
            case FactorStrength.NONE | FactorStrength.ONE:
                return "Prove again who you are"
            case FactorStrength.TWO:
                return "Sign in again with a second factor"
            case FactorStrength.PHISHING_RESISTANT:
                return "Sign in again with a passkey or a smart card"

    @property
    def challenge(self) -> str:
        """The value of ``WWW-Authenticate``: RFC 9470 section 3."""
        parts = ['Bearer error="insufficient_user_authentication"']
        if self.words:
            parts.append(f'acr_values="{" ".join(self.words)}"')
        if self.max_age_s is not None:
            parts.append(f'max_age="{self.max_age_s}"')
        return ", ".join(parts)


def better_proof(gate: Gate, sign_in: ActiveSignIn, decision: Decision) -> BetterProof | None:
    """The proof that would turn this refusal into an allow; ``None`` where something else is missing too."""
    reasons = {miss.reason for miss in decision.misses}
    policy = gate.state.now.policy
    if not reasons or reasons - _HELPED or policy is None:
        return None
    conduit = next((each for each in policy.site.conduits if each.name == decision.conduit), None)
    if conduit is None:
        return None
    is_weak, is_old = Reason.FACTORS_TOO_WEAK in reasons, Reason.PROOF_TOO_OLD in reasons
    want = conduit.require.factors if is_weak else FactorStrength.NONE
    max_age_s = conduit.require.reauthenticate_s if is_old else None
    source = _provider(gate, sign_in)
    if source is None:
        is_proved_here = isinstance(gate.identities.plan(sign_in.identity), LocalPlan | LdapPlan | CardPlan)
        return BetterProof(want=want, max_age_s=max_age_s, path="/prove" if is_proved_here else None)
    if is_weak and not source.can_ask(want):
        return BetterProof(want=want, max_age_s=max_age_s)
    fields = {**({"want": want.value} if is_weak else {}), **({"again": "1"} if is_old else {})}
    path = f"/sign-in/oidc/{source.plan.name}?{urlencode(fields)}"
    words = _unquotable(source.words(want)) if is_weak else ()
    return BetterProof(want=want, max_age_s=max_age_s, words=words, path=path)


def _provider(gate: Gate, sign_in: ActiveSignIn) -> OidcSource | None:
    try:
        return gate.detours.source(sign_in.identity)
    except Unavailable:  # its secret cannot be read: it gives no proof now
        return None


def _unquotable(words: tuple[str, ...]) -> tuple[str, ...]:
    """Only what a quoted string of a header can hold without escapes."""
    return tuple(word for word in words if not set(word) & {'"', "\\", " "})
