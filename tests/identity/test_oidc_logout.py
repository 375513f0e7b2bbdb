"""Back-channel logout tokens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from oidc_forge import ISSUER, NOW_US, OTHER_RSA, Forge, S

from penstock.identity import Flaw, NotProved
from penstock.identity.oidc.logout import EVENT
from penstock.identity.oidc.source import MAX_REMEMBERED

NOW_S = NOW_US // S


def told(forge: Forge, text: str, now_us: int = NOW_US) -> tuple[str | None, str | None]:
    return asyncio.run(forge.source().logout_token(text, now_us))


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, ("u-1", "s-1")),
        ({"sid": None}, ("u-1", None)),
        ({"sub": None}, (None, "s-1")),
        ({"exp": None}, ("u-1", "s-1")),
    ],
)
def test_a_logout_token_says_who_left_or_which_session_ended(
    claims: dict[str, Any], expected: tuple[str | None, str | None]
) -> None:
    forge = Forge()
    assert told(forge, forge.logout(**claims)) == expected


def test_the_type_may_be_written_out_as_a_media_type() -> None:
    forge = Forge()
    assert told(forge, forge.logout({"typ": "application/Logout+JWT"})) == ("u-1", "s-1")


WRONG: list[tuple[str, dict[str, Any], dict[str, Any], Flaw]] = [
    ("untyped", {"typ": "JWT"}, {}, Flaw.TYPE),
    ("another type", {"typ": "at+jwt"}, {}, Flaw.TYPE),
    ("another issuer", {}, {"iss": "https://evil.example"}, Flaw.ISSUER),
    ("no issuer", {}, {"iss": None}, Flaw.ISSUER),
    ("another audience", {}, {"aud": "another"}, Flaw.AUDIENCE),
    ("no audience", {}, {"aud": None}, Flaw.AUDIENCE),
    ("no event", {}, {"events": None}, Flaw.EVENT),
    ("another event", {}, {"events": {"http://schemas.openid.net/event/other": {}}}, Flaw.EVENT),
    ("an event that is no table", {}, {"events": {EVENT: True}}, Flaw.EVENT),
    ("events that are a list", {}, {"events": [EVENT]}, Flaw.EVENT),
    ("a nonce, as an ID token has", {}, {"nonce": "n"}, Flaw.TYPE),
    ("no name of its own", {}, {"jti": None}, Flaw.TOKEN),
    ("a name too long", {}, {"jti": "x" * 513}, Flaw.TOKEN),
    ("nobody and nothing", {}, {"sub": None, "sid": None}, Flaw.SUBJECT),
    ("a subject that is a number", {}, {"sub": 7}, Flaw.TOKEN),
    ("a session that is a list", {}, {"sid": ["s-1"]}, Flaw.TOKEN),
    ("expired", {}, {"exp": NOW_S - 60}, Flaw.EXPIRED),
    ("issued long ago", {}, {"iat": NOW_S - 180, "exp": NOW_S + 3600}, Flaw.EXPIRED),
    ("issued long ago, without an end", {}, {"iat": NOW_S - 180, "exp": None}, Flaw.EXPIRED),
    ("issued in the future", {}, {"iat": NOW_S + 61}, Flaw.NOT_YET),
    ("never issued", {}, {"iat": None}, Flaw.TOKEN),
]


@pytest.mark.parametrize(("header", "claims", "flaw"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_token_that_is_not_quite_a_logout_token_ends_nothing(
    header: dict[str, Any], claims: dict[str, Any], flaw: Flaw
) -> None:
    forge = Forge()
    with pytest.raises(NotProved) as caught:
        told(forge, forge.logout(header, **claims))
    assert caught.value.flaw is flaw


def test_an_id_token_is_no_logout_token_and_a_logout_token_is_no_id_token() -> None:
    forge = Forge()
    with pytest.raises(NotProved) as caught:
        told(forge, forge.token({"nonce": "n"}))
    assert caught.value.flaw is Flaw.TYPE


def test_nobody_else_can_sign_anybody_out() -> None:
    forge = Forge()
    forge.signing = OTHER_RSA
    with pytest.raises(NotProved) as caught:
        told(forge, forge.logout())
    assert caught.value.flaw is Flaw.SIGNATURE


def test_each_token_counts_once_for_as_long_as_it_is_valid_at_all() -> None:
    forge = Forge()

    async def scenario() -> None:
        source, text = forge.source(), forge.logout()
        await source.logout_token(text, NOW_US)
        for later_s, flaw in ((0, Flaw.REPLAYED), (179, Flaw.REPLAYED), (180, Flaw.EXPIRED)):
            with pytest.raises(NotProved) as caught:
                await source.logout_token(text, NOW_US + later_s * S)
            assert caught.value.flaw is flaw

    asyncio.run(scenario())


def test_what_is_remembered_of_logout_tokens_is_bounded_and_forgotten() -> None:
    forge = Forge()

    async def scenario() -> None:
        source = forge.source()
        source._farewells = {f"earlier-{number}": NOW_US + 60 * S for number in range(MAX_REMEMBERED)}
        with pytest.raises(NotProved):
            await source.logout_token(forge.logout(), NOW_US)
        assert len(source._farewells) == MAX_REMEMBERED
        assert await source.logout_token(forge.logout(iat=NOW_S + 60, exp=NOW_S + 180), NOW_US + 60 * S)
        assert len(source._farewells) == 1

    asyncio.run(scenario())


def test_the_issuer_of_these_tests_is_the_plan_s() -> None:
    assert Forge().plan.issuer == ISSUER
