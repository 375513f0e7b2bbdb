"""The table of an OpenID Connect provider in the site document: what it says, and every problem with its place."""

from __future__ import annotations

import pytest
from policy_cases import INVENTORY

from penstock.model import EvidenceRule, FactorStrength, Invalid, OidcPlan
from penstock.policy import accept, parse

WHOLE = {"issuer": "https://idp.plant.example/realms/plant", "client": "penstock"}


def document(**changes: str | None) -> str:
    """A site with one provider: `WHOLE` with these changes; ``None`` takes a key away."""
    table = ", ".join(f"{key}: {value}" for key, value in {**WHOLE, **changes}.items() if value is not None)
    return f"{INVENTORY}identity:\n  sources:\n    keycloak: {{kind: oidc, {table}}}\n"


def plan(**changes: str | None) -> OidcPlan:
    (found,) = accept(parse({"site.yaml": document(**changes)}), 1).site.identity.oidc
    return found


def test_issuer_and_client_are_enough_and_nothing_is_believed_that_no_rule_names() -> None:
    found = plan()
    assert found == OidcPlan(name="keycloak", title="keycloak", issuer=WHOLE["issuer"], client_id="penstock")
    assert (found.rules, found.acr_words, found.groups.taken) == ((), (), ())
    assert (found.unproved, found.trusts_auth_time) == (FactorStrength.ONE, True)
    assert (found.max_age_s, found.refresh_s, found.skew_s) == (300, 30, 60)


def test_everything_that_is_written_counts() -> None:
    found = plan(
        title="Plant sign-in",
        secret="keycloak",
        scopes="[profile, offline_access]",
        name_claim="upn",
        groups_claim="roles",
        groups="{/plant/operators: operators}",
        factors="{two: [{acr: [mfa, silver]}, {amr: [pwd, otp]}], phishing-resistant: [{two_of: [hwk, pin, face]}]}",
        unproved="none",
        ask="{two: mfa}",
        amr="{password: pwd}",
        auth_time="untrusted",
        max_age="10m",
        refresh="1m",
        skew="5s",
    )
    assert found.scopes == ("openid", "profile", "offline_access")
    assert (found.name_claim, found.groups_claim, found.secret) == ("upn", "roles", "keycloak")
    assert found.groups.taken == (("/plant/operators", "operators"),)
    assert found.rules == (
        EvidenceRule(strength=FactorStrength.TWO, acr=("mfa", "silver")),
        EvidenceRule(strength=FactorStrength.TWO, amr_all=("pwd", "otp")),
        EvidenceRule(strength=FactorStrength.PHISHING_RESISTANT, amr_two_of=("hwk", "pin", "face")),
    )
    assert found.acr_words == ((FactorStrength.TWO, "mfa"),)
    assert found.amr_words == (("password", "pwd"),)
    assert (found.unproved, found.trusts_auth_time) == (FactorStrength.NONE, False)
    assert (found.max_age_s, found.refresh_s, found.skew_s) == (600, 60, 5)


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:8180/realms/plant", '"http://[::1]:8180"', "http://localhost"])
def test_a_provider_on_this_very_machine_may_be_reached_without_tls(issuer: str) -> None:
    assert plan(issuer=issuer).issuer == issuer.strip('"')


PROBLEMS: list[tuple[dict[str, str | None], str]] = [
    ({"issuer": None}, "needs 'issuer'"),
    ({"client": None}, "needs 'client'"),
    ({"issuer": "http://idp.plant.example"}, "must be an https address"),
    ({"issuer": "http://127.0.0.1.evil.example"}, "must be an https address"),
    ({"issuer": "idp.plant.example"}, "must be an https address"),
    ({"issuer": '"https://idp.plant.example/?realm=1"'}, "must be an https address"),
    ({"issuer": '"https://idp.plant.example/?"'}, "must be an https address"),
    ({"issuer": '"https://user@idp.plant.example/"'}, "must be an https address"),
    ({"issuer": '"https://[::1"'}, "must be an https address"),
    ({"client": '"two words"'}, "is no name"),
    ({"secret": "../../etc/passwd"}, "is no name of a file"),
    ({"factors": "{three: []}"}, "unknown key 'three'"),
    ({"factors": "{two: mfa}"}, "must be a list"),
    ({"factors": "{two: [mfa]}"}, "must be a table"),
    ({"factors": "{two: [{}]}"}, "exactly one of: acr, amr, two_of"),
    ({"factors": "{two: [{acr: mfa, amr: [otp]}]}"}, "exactly one of: acr, amr, two_of"),
    ({"factors": "{two: [{arc: mfa}]}"}, "unknown key 'arc'"),
    ({"factors": "{two: [{acr: []}]}"}, "must have from 1 to 32 words"),
    ({"factors": '{two: [{acr: "0"}]}'}, "nothing was proved"),
    ({"factors": "{two: [{amr: [pwd, sms]}]}"}, "'sms' is a factor by telephone"),
    ({"factors": "{two: [{two_of: [pwd, tel]}]}"}, "'tel' is a factor by telephone"),
    ({"factors": "{phishing-resistant: [{amr: [pwd, otp]}]}"}, "not worth 'phishing-resistant'"),
    ({"factors": "{phishing-resistant: [{amr: mfa}]}"}, "not worth 'phishing-resistant'"),
    ({"factors": "{phishing-resistant: [{two_of: [hwk, pwd, otp]}]}"}, "not worth 'phishing-resistant'"),
    ({"factors": "{two: [{amr: pwd}]}"}, "not worth 'two'"),
    ({"factors": "{two: [{amr: [otp]}]}"}, "not worth 'two'"),
    ({"factors": "{two: [{amr: [pwd, pin]}]}"}, "not worth 'two'"),
    ({"factors": "{two: [{two_of: [pwd, pin, otp]}]}"}, "not worth 'two'"),
    ({"factors": "{two: [{two_of: [pwd, pwd]}]}"}, "needs two words at least"),
    ({"factors": "{two: [" + "{acr: a}, " * 33 + "]}"}, "more than 32 rules"),
    ({"factors": '{two: [{acr: "two words"}]}'}, "is no word"),
    ({"unproved": "two"}, "unknown value of 'unproved'"),
    ({"ask": "{two: mfa}"}, "cannot help: no rule of 'factors' is worth 'two'"),
    ({"ask": "{phishing-resistant: hw}", "factors": "{two: [{acr: hw}]}"}, "cannot help"),
    ({"amr": "{sms: otp}"}, "by telephone never counts"),
    ({"amr": "{text: sms}"}, "by telephone never counts"),
    ({"auth_time": "maybe"}, "unknown value of 'auth_time'"),
    ({"max_age": "1s"}, "must be from 10 s"),
    ({"refresh": "2h"}, "must be from 5 s to 3600 s"),
    ({"skew": "10m"}, "must be from 1 s to 300 s"),
    ({"scopes": "[]"}, "must have from 1 to 32 words"),
    ({"prompt": "none"}, "unknown key 'prompt'"),
]


@pytest.mark.parametrize(("changes", "why"), PROBLEMS)
def test_a_provider_that_cannot_be_believed_is_refused_with_the_place(changes: dict[str, str | None], why: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse({"site.yaml": document(**changes)})
    found = [problem for problem in caught.value.problems if why in problem.why]
    assert found, caught.value
    line = document().count("\n")
    assert found[0].where.startswith(f"site.yaml:{line}:")
