"""What a token's evidence is worth: `acr` and `amr` against the rules of the site document.  Pure.

It must never count what arrives by telephone (NIST SP 800-63B section 5.1.3.3 restricts it, and a plant does not need
it), nor a word that no rule names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.identity.oidc.claims import text_of
from penstock.identity.oidc.flaws import Flaw, NotProved
from penstock.identity.oidc.tables import texts_in
from penstock.model import EvidenceRule, Factor, FactorStrength, Malformed, OidcPlan

#: RFC 8176: confirmation by text message and by telephone call.
NEVER_COUNTED = frozenset({"sms", "tel"})
#: Core section 2: an authentication that is good for nothing, such as an old cookie alone.
NO_LEVEL = "0"
_MAX_WORDS, _MAX_WORD = 32, 64
_TWO = 2
_FACTORS = {"pwd": Factor.PASSWORD, "otp": Factor.TOTP}
_STRONG_FACTORS = {"sc": Factor.SMART_CARD, "hwk": Factor.PASSKEY, "swk": Factor.PASSKEY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """What the evidence amounts to, and the words that said so: `acr` as it came, `amr` in our words."""

    strength: FactorStrength
    factors: frozenset[Factor]
    acr: str | None
    amr: frozenset[str]


def grade(plan: OidcPlan, claims: Mapping[str, object]) -> Grade:
    """The strongest rule that fits; none fits: `plan.unproved`.  Raises `NotProved` for words that are no words."""
    acr, words = text_of(claims, "acr"), _amr(plan, claims)
    fitting = [rule.strength for rule in plan.rules if _fits(rule, acr, words)]
    strength = max((*fitting, plan.unproved), key=lambda each: each.rank)
    is_strong = strength is FactorStrength.PHISHING_RESISTANT
    named = {**_FACTORS, **(_STRONG_FACTORS if is_strong else {})}
    factors = frozenset({Factor.FEDERATED, *(factor for word, factor in named.items() if word in words)})
    return Grade(strength=strength, factors=factors, acr=acr, amr=words)


def _fits(rule: EvidenceRule, acr: str | None, words: frozenset[str]) -> bool:
    if acr is not None and acr != NO_LEVEL and acr in rule.acr:
        return True
    demanded, offered = frozenset(rule.amr_all), frozenset(rule.amr_two_of)
    if demanded and not demanded & NEVER_COUNTED and demanded <= words:
        return True
    return len(offered & words) >= _TWO


def _amr(plan: OidcPlan, claims: Mapping[str, object]) -> frozenset[str]:
    try:
        theirs = texts_in(claims, "amr", _MAX_WORDS, _MAX_WORD) or ()
    except Malformed as error:
        raise NotProved(Flaw.TOKEN, str(error)) from None
    ours = dict(plan.amr_words)
    named = {ours.get(word, word) for word in theirs if word not in NEVER_COUNTED}
    return frozenset(named - NEVER_COUNTED)
