"""The authorisation request: code flow with PKCE (OpenID Connect Core section 3.1.2, RFC 7636, RFC 9126).  Pure.

It must never send anybody anywhere but to the provider that discovery named.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from penstock.identity.oidc.discovery import Provider
from penstock.model import FactorStrength, OidcPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Somebody was sent to a provider and is expected back.

    `state`, `nonce` and `verifier` are random and belong to this one detour.  `want` is the weakest strength that
    is enough (``none``: whatever there is), `is_fresh`: the proof must be newer than `began_at_us`.
    """

    source: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    began_at_us: int
    want: FactorStrength = FactorStrength.NONE
    is_fresh: bool = False

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"Pending(source={self.source!r}, began_at_us={self.began_at_us})"


def parameters(plan: OidcPlan, provider: Provider, pending: Pending, subject_hint: str | None) -> dict[str, str]:
    """The parameters of the request.  Where its own times cannot be trusted, every sign-in asks for a new proof."""
    asked = {
        "response_type": "code",
        "client_id": plan.client_id,
        "redirect_uri": pending.redirect_uri,
        "scope": " ".join(dict.fromkeys(("openid", *plan.scopes))),
        "state": pending.state,
        "nonce": pending.nonce,
        "code_challenge": challenge_of(pending.verifier),
        "code_challenge_method": "S256",
        "max_age": str(plan.max_age_s),
    }
    if pending.is_fresh or not plan.trusts_auth_time:
        asked["prompt"] = "login"
    word = word_for(plan, pending.want)
    if word is not None:
        asked |= _asked_strength(word, provider)
    if subject_hint:
        asked["login_hint"] = subject_hint
    return asked


def word_for(plan: OidcPlan, want: FactorStrength) -> str | None:
    """The provider's word for the weakest strength that is enough, ``None`` where it has none or none is wanted."""
    if want is FactorStrength.NONE:
        return None
    fitting = [(strength.rank, word) for strength, word in plan.acr_words if strength.rank >= want.rank]
    return min(fitting)[1] if fitting else None


def challenge_of(verifier: str) -> str:
    """RFC 7636 section 4.2, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def address_with(address: str, asked: dict[str, str]) -> str:
    """The address with these parameters behind those that it has (RFC 6749 section 3.1)."""
    return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"


def _asked_strength(word: str, provider: Provider) -> dict[str, str]:
    """An essential `acr` makes a provider fail where it cannot deliver; `acr_values` is only a wish (Core 5.5.1.1)."""
    if not provider.takes_claims:
        return {"acr_values": word}
    essential = {"id_token": {"acr": {"essential": True, "values": [word]}}}
    return {"claims": msgspec.json.encode(essential).decode()}
