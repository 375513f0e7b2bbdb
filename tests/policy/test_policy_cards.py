"""The table of smart cards in the site document: what it means, and every problem with its place."""

from __future__ import annotations

import json

import pytest
from policy_cases import AUTHORITY, INVENTORY, NO_AUTHORITY, UNSAID_AUTHORITY

from penstock.model import (
    PIV_AUTHENTICATION,
    Binding,
    CardPlan,
    CardRule,
    Factor,
    Invalid,
    Reason,
    Request,
    Subject,
    SubjectKind,
)
from penstock.policy import accept, decide, parse

WHOLE = {"authorities": json.dumps(AUTHORITY), "subject": "upn", "crls": "[cards.crl]"}
CONDUIT = "conduits: {X: {from: {user: ada@cards}, to: {asset: plc-1}, allow: {modbus: [read]}}}\n"


def document(**changes: str | None) -> str:
    """A site with one card source: `WHOLE` with these changes; ``None`` takes a key away."""
    table = ", ".join(f"{key}: {value}" for key, value in {**WHOLE, **changes}.items() if value is not None)
    return f"{INVENTORY}{CONDUIT}identity:\n  sources:\n    cards: {{kind: smart-card, {table}}}\n"


def plan(**changes: str | None) -> CardPlan:
    (found,) = parse({"site.yaml": document(**changes)}).site.identity.cards
    return found


def problems(**changes: str | None) -> list[tuple[str, str, str]]:
    with pytest.raises(Invalid) as refused:
        parse({"site.yaml": document(**changes)})
    return [(each.where, each.why, each.hint) for each in refused.value.problems]


def test_what_is_not_written_is_strict() -> None:
    found = plan()
    assert (found.rule, found.folds_case, found.policies) == (CardRule.UPN, False, (PIV_AUTHENTICATION,))
    assert (found.tolerated_s, found.needs_nonce, found.refresh_s) == (0, True, 300)
    assert dict(found.zones) == dict.fromkeys(("control", "cell"), 0)


def test_every_zone_has_its_own_answer_to_silence() -> None:
    found = plan(when_silent='"last-known 24h"', zones="{control: refuse}")
    assert dict(found.zones) == {"control": 0, "cell": 86_400}
    assert dict(plan(zones="{cell: accept, control: {last-known: 8h}}").zones) == {"cell": None, "control": 28_800}


def test_policies_are_added_to_piv_authentication_or_given_up() -> None:
    assert plan(policies='["1.2.3"]').policies == (PIV_AUTHENTICATION, "1.2.3")
    assert plan(policies="any").policies == ()


WRONG = [
    ({"authorities": None}, "needs 'authorities'"),
    ({"authorities": '"-----BEGIN CERTIFICATE-----"'}, "a certificate that cannot be read"),
    ({"authorities": json.dumps(NO_AUTHORITY)}, "is no authority's certificate"),
    ({"authorities": json.dumps(UNSAID_AUTHORITY)}, "it has no key usage"),
    ({"subject": None}, "needs 'subject'"),
    ({"subject": "name"}, "'name'"),
    ({"crls": None}, "nothing says how identity source 'cards' learns that a card was revoked"),
    ({"crls": "[../../etc/passwd]"}, "is no name of a file"),
    ({"crl": "https://pki.plant.example/cards.crl"}, "is no address that 'crl' can have"),
    ({"crl": "certificate"}, "is no address that 'crl' can have"),
    ({"ocsp": "http://"}, "is no address that 'ocsp' can have"),
    ({"ocsp": '"http://[::1"'}, "is no address that 'ocsp' can have"),
    ({"policies": '["2.16.840.1.101.3.2.1.3.17"]'}, "works without a PIN"),
    ({"policies": "[PIV]"}, "is no object identifier"),
    ({"when_silent": "maybe"}, "must be refuse, accept, or last-known"),
    ({"when_silent": '"last-known 1000d"'}, "at most 90 days"),
    ({"zones": "{contrl: refuse}"}, "there is no zone 'contrl'"),
    ({"zones": "[control]"}, "'zones' must be a table"),
    ({"refresh": "0s"}, "'refresh'"),
    ({"pin": "1234"}, "unknown key 'pin'"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_what_is_wrong_is_said_with_its_place(changes: dict[str, str | None], said: str) -> None:
    found = problems(**changes)
    assert any(said in why for _, why, _ in found), found
    assert all(where.startswith("site.yaml:") for where, _, _ in found)


def test_a_zone_that_is_mistyped_is_guessed() -> None:
    ((_, _, hint),) = problems(zones="{contrl: refuse}")
    assert "control" in hint


def test_nobody_has_to_say_how_cards_are_revoked_who_says_that_none_ever_is() -> None:
    assert plan(crls=None, when_silent="accept").tolerated_s is None


def test_a_card_that_nothing_vouches_for_does_not_count_where_the_site_says_so() -> None:
    policy = accept(parse({"site.yaml": document()}), 1)
    ada = Subject(name="ada@cards", kind=SubjectKind.PERSON, factors=frozenset({Factor.SMART_CARD}), source="cards")
    zone = policy.assets["plc-1"].zone

    def ask(*barred: str) -> Reason:
        subject = Subject(
            name=ada.name, kind=ada.kind, factors=ada.factors, source=ada.source, barred_zones=frozenset(barred)
        )
        request = Request(subject=subject, asset="plc-1", protocol="modbus", binding=Binding.CERTIFICATE, has_tls=True)
        found = decide(policy, request)
        assert found.is_allowed or [miss.criterion for miss in found.misses] == ["confirmed"]
        return found.reason

    assert ask() is Reason.ALLOWED
    assert ask(zone) is Reason.REVOCATION_UNKNOWN
    assert ask("elsewhere") is Reason.ALLOWED
