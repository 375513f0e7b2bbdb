"""What evidence is worth, and that nothing a stranger sends is read for more than it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oidc_forge import NOW_US, PLAN, RSA, Forge, begun

from penstock.identity import Flaw, NotProved, state_of
from penstock.identity.oidc.grading import NEVER_COUNTED, grade
from penstock.identity.oidc.keys import KeySet, KnownKey
from penstock.identity.oidc.tokens import verified
from penstock.model import EvidenceRule, Factor, FactorStrength

TWO, STRONG, ONE = FactorStrength.TWO, FactorStrength.PHISHING_RESISTANT, FactorStrength.ONE
RULES = (
    EvidenceRule(strength=TWO, acr=("mfa", "silver")),
    EvidenceRule(strength=TWO, amr_all=("pwd", "otp")),
    EvidenceRule(strength=TWO, amr_two_of=("pwd", "otp", "pin", "face")),
    EvidenceRule(strength=STRONG, amr_all=("hwk", "pin")),
)
GRADED = replace(PLAN, rules=RULES)


@pytest.mark.parametrize(
    ("claims", "strength"),
    [
        ({}, ONE),
        ({"acr": "mfa"}, TWO),
        ({"acr": "MFA"}, ONE),
        ({"acr": "mfa silver"}, ONE),
        ({"acr": "0"}, ONE),
        ({"amr": []}, ONE),
        ({"amr": ["pwd"]}, ONE),
        ({"amr": "pwd"}, ONE),
        ({"amr": ["pwd", "pwd"]}, ONE),
        ({"amr": ["password", "pwd"]}, ONE),
        ({"amr": ["password", "otp"]}, TWO),
        ({"amr": ["otp", "face", "geo"]}, TWO),
        ({"amr": ["pwd", "sms"]}, ONE),
        ({"amr": ["pwd", "tel"]}, ONE),
        ({"amr": ["mfa"]}, ONE),
        ({"amr": ["hwk", "pin"]}, STRONG),
        ({"acr": "mfa", "amr": ["hwk", "pin"]}, STRONG),
        ({"acr": "mfa", "amr": ["pwd"]}, TWO),
    ],
)
def test_the_strongest_rule_that_fits_counts(claims: dict[str, Any], strength: FactorStrength) -> None:
    assert grade(GRADED, claims).strength is strength


def test_what_no_rule_fits_is_worth_what_the_document_says() -> None:
    assert grade(replace(GRADED, unproved=FactorStrength.NONE), {"amr": ["pwd"]}).strength is FactorStrength.NONE


def test_a_level_of_nothing_counts_for_nothing_even_where_a_rule_names_it() -> None:
    plan = replace(PLAN, rules=(EvidenceRule(strength=STRONG, acr=("0",)),))
    assert grade(plan, {"acr": "0"}).strength is ONE


def test_the_telephone_counts_for_nothing_even_where_a_rule_or_an_alias_names_it() -> None:
    rules = (EvidenceRule(strength=TWO, amr_all=("sms",)), EvidenceRule(strength=TWO, amr_two_of=("pwd", "otp", "tel")))
    plan = replace(PLAN, rules=rules, amr_words=(("sms", "otp"), ("text", "sms")))
    for words in (["sms"], ["pwd", "sms"], ["pwd", "tel"], ["text", "pwd"], ["pwd", "sms", "tel"]):
        assert grade(plan, {"amr": words}).strength is ONE


def test_factors_are_named_as_far_as_the_words_say_and_strong_ones_only_where_the_grade_is() -> None:
    found = grade(GRADED, {"amr": ["hwk", "pin"]})
    assert found.factors == {Factor.FEDERATED, Factor.PASSKEY}
    weak = grade(GRADED, {"amr": ["hwk", "sc", "pwd"]})
    assert weak.factors == {Factor.FEDERATED, Factor.PASSWORD}


WORDS = st.sampled_from(["pwd", "password", "otp", "hwk", "pin", "face", "sms", "tel", "mfa", "x"])


@settings(deadline=None)
@given(st.lists(WORDS, max_size=10), st.sampled_from([None, "0", "1", "mfa", "silver", "hardware"]))
def test_more_evidence_is_never_worth_less_and_the_telephone_never_worth_anything(words: list[str], acr: Any) -> None:
    claims = {"amr": words, **({} if acr is None else {"acr": acr})}
    found = grade(GRADED, claims)
    assert grade(GRADED, {**claims, "amr": [*words, "hwk"]}).strength.rank >= found.strength.rank
    assert grade(GRADED, {**claims, "amr": [w for w in words if w not in NEVER_COUNTED]}) == found
    assert grade(GRADED, {**claims, "amr": words[::-1] + words[:3]}) == found
    assert not found.amr & NEVER_COUNTED


KEYS = KeySet(keys=(KnownKey(kid="k1", algorithms=frozenset({"RS256"}), key=RSA),))
GOOD = Forge().token({})


@settings(deadline=None)
@given(st.text(max_size=200) | st.lists(st.text(max_size=60), min_size=3, max_size=3).map(".".join))
def test_no_text_that_a_stranger_makes_up_is_a_token(text: str) -> None:
    with pytest.raises(NotProved):
        verified(text, KEYS, frozenset({"RS256"}))


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.sampled_from("ABCabc019-_.= é\0"))
def test_one_changed_sign_anywhere_breaks_a_token(place: int, sign: str) -> None:
    changed = GOOD[:place] + sign + GOOD[place + 1 :]
    try:
        found = verified(changed, KEYS, frozenset({"RS256"}))
    except NotProved:
        return
    head, body, _ = GOOD.split(".")
    assert changed.startswith(f"{head}.{body}."), "only the unused bits of the signature's last sign may differ"
    assert found.claims == verified(GOOD, KEYS, frozenset({"RS256"})).claims


@pytest.mark.parametrize("size", [(64 << 10) + 1, 10 << 20])
def test_a_huge_token_is_not_even_looked_at(size: int) -> None:
    with pytest.raises(NotProved) as caught:
        verified("." * size, KEYS, frozenset({"RS256"}))
    assert (caught.value.flaw, caught.value.detail) == (Flaw.TOKEN, "too long")


@settings(deadline=None)
@given(st.text(max_size=300))
def test_whatever_a_browser_brings_back_is_refused_in_order(query: str) -> None:
    assert state_of(query) is None or isinstance(state_of(query), str)

    async def scenario() -> None:
        source = Forge().source()
        _, pending = await begun(source)
        with pytest.raises(NotProved):
            await source.finish(query, pending, NOW_US)

    asyncio.run(scenario())
