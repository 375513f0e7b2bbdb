"""Logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.6).  Pure.

It must never take an ID token, or any other, for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.identity.oidc.claims import US_PER_S, check_issuer, subject_of, text_of, time_of
from penstock.identity.oidc.flaws import Flaw, NotProved
from penstock.identity.oidc.tokens import Signed
from penstock.model import OidcPlan

EVENT = "http://schemas.openid.net/event/backchannel-logout"
#: Section 2.4 recommends two minutes at most.  Whatever is older is not looked at, and so need not be remembered.
LIFETIME_S = 120
#: Section 2.4 and RFC 8725 section 3.11: explicitly typed, so that no other token can stand in for it.
_TYPES = frozenset({"logout+jwt", "application/logout+jwt"})
MAX_ID = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Farewell:
    """Who was signed out at the provider: `key` everywhere, or one `session`.

    `token_id` counts once, and must be remembered until `until_us`.
    """

    token_id: str
    until_us: int
    key: str | None = None
    session: str | None = None


def read_logout(token: Signed, plan: OidcPlan, now_us: int) -> Farewell:
    """What this logout token says.  Raises `NotProved`."""
    claims = token.claims
    if (token.kind or "").lower() not in _TYPES:
        raise NotProved(Flaw.TYPE)
    check_issuer(claims, plan)
    until_s = _until_s(claims, plan, now_us / US_PER_S)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise NotProved(Flaw.EVENT)
    if "nonce" in claims:
        raise NotProved(Flaw.TYPE, "it has a nonce, as only ID tokens have")
    token_id, session = text_of(claims, "jti", MAX_ID), text_of(claims, "sid", MAX_ID)
    key = subject_of(claims) if "sub" in claims else None
    if token_id is None:
        raise NotProved(Flaw.TOKEN, "it has no name of its own (jti)")
    if key is None and session is None:
        raise NotProved(Flaw.SUBJECT, "neither sub nor sid")
    return Farewell(token_id=token_id, until_us=int(until_s * US_PER_S), key=key, session=session)


def _until_s(claims: Mapping[str, object], plan: OidcPlan, now_s: float) -> float:
    issued, expires = time_of(claims, "iat"), time_of(claims, "exp")
    if issued is None:
        raise NotProved(Flaw.TOKEN, "it does not say when it was issued")
    if issued - plan.skew_s > now_s:
        raise NotProved(Flaw.NOT_YET, f"in {issued - now_s:.0f} s; is one of the clocks wrong?")
    until_s = min(issued + LIFETIME_S, issued + LIFETIME_S if expires is None else expires) + plan.skew_s
    if until_s <= now_s:
        raise NotProved(Flaw.EXPIRED, f"issued {now_s - issued:.0f} s ago")
    return until_s
