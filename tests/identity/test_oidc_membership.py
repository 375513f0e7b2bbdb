"""Reading a membership again: refreshes, removals, and silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest
from oidc_forge import NOW_US, OTHER_RSA, Forge, S, begun

from penstock.identity.oidc import rereading
from penstock.identity.oidc.memory import remembered
from penstock.identity.oidc.source import OidcSource
from penstock.model import Unavailable


async def signed_in(forge: Forge, source: OidcSource) -> str:
    """The memory of a sign-in that has just happened."""
    address, pending = await begun(source)
    return (await source.finish(forge.send_back(address), pending, NOW_US)).memory


async def read(forge: Forge, change: Callable[[Forge], None] = lambda _: None) -> Any:
    source = forge.source()
    memory = await signed_in(forge, source)
    change(forge)
    return await source.membership("u-1", memory, NOW_US)


def test_a_refresh_says_which_groups_there_are_now_and_brings_a_new_memory() -> None:
    forge = Forge()

    async def scenario() -> None:
        source = forge.source()
        memory = await signed_in(forge, source)
        forge.groups = ["/operators", "/safety"]
        found = await source.membership("u-1", memory, NOW_US)
        assert found is not None
        assert found.groups == {"operators", "safety"}
        assert found.memory != memory
        assert "refresh-" not in repr(found)
        forge.groups = []
        found = await source.membership("u-1", found.memory, NOW_US)
        assert found is not None
        assert found.groups == frozenset()

    asyncio.run(scenario())


@pytest.mark.parametrize("groups", [[], None, ["/not-listed"]], ids=["none", "no claim", "another"])
@pytest.mark.parametrize("has_id_token", [True, False])
def test_a_removed_group_is_gone_however_the_provider_says_so(groups: list[str] | None, has_id_token: Any) -> None:
    forge = Forge()

    def change(forge: Forge) -> None:
        forge.groups, forge.refresh_has_id_token = groups, has_id_token

    assert asyncio.run(read(forge, change)).groups == frozenset()


def test_groups_that_only_userinfo_knows_are_found_there() -> None:
    forge = Forge()
    forge.missing = {"groups"}
    assert asyncio.run(read(forge)).groups == {"operators"}


def test_whoever_is_gone_there_is_nobody() -> None:
    assert asyncio.run(read(Forge(), lambda forge: setattr(forge, "is_gone", True))) is None


def test_whoever_answers_in_somebody_else_s_name_is_nobody() -> None:
    forge = Forge()
    assert asyncio.run(read(forge, lambda forge: forge.claims.update(sub="u-2"))) is None


@pytest.mark.parametrize(("signed", "told"), [("u-2", "u-1"), ("u-1", "u-2"), ("u-2", "u-2")])
def test_a_token_and_userinfo_about_different_people_say_nothing_about_either(signed: str, told: str) -> None:
    forge = Forge()
    forge.missing = {"groups"}

    def change(forge: Forge) -> None:
        forge.claims["sub"], forge.userinfo["sub"] = signed, told

    if signed == told:
        assert asyncio.run(read(forge, change)) is None
    else:
        with pytest.raises(Unavailable):
            asyncio.run(read(forge, change))


SILENCE: dict[str, Callable[[Forge], Any]] = {
    "503": lambda forge: forge.bend.update(token=lambda _: httpx2.Response(503)),
    "garbage": lambda forge: forge.bend.update(token=lambda _: httpx2.Response(200, text="<html>")),
    "our own secret refused": lambda forge: forge.bend.update(
        token=lambda _: httpx2.Response(401, json={"error": "invalid_client"})
    ),
    "too many questions": lambda forge: forge.bend.update(token=lambda _: httpx2.Response(429)),
    "forged": lambda forge: setattr(forge, "signing", OTHER_RSA),
    "for another audience": lambda forge: forge.claims.update(aud="another"),
    "expired": lambda forge: forge.claims.update(exp=NOW_US // S - 100),
    "no groups that can be read": lambda forge: forge.claims.update(groups={"a": 1}),
    "no tokens": lambda forge: forge.bend.update(token=lambda _: httpx2.Response(200, json={})),
    "not valid, in other words": lambda forge: forge.bend.update(
        token=lambda _: httpx2.Response(400, json={"error": "invalid_request"})
    ),
}


@pytest.mark.parametrize("what", SILENCE)
def test_what_cannot_be_believed_is_silence_and_no_removal(what: str) -> None:
    with pytest.raises(Unavailable):
        asyncio.run(read(Forge(), SILENCE[what]))


def test_userinfo_that_does_not_know_a_new_access_token_means_that_somebody_left() -> None:
    forge = Forge()

    def change(forge: Forge) -> None:
        forge.refresh_has_id_token = False
        forge.bend["userinfo"] = lambda _: httpx2.Response(401)

    assert asyncio.run(read(forge, change)) is None


def test_a_refresh_token_is_used_by_one_question_at_a_time_and_never_twice() -> None:
    """Where each use gives a new one, a second use of the old one is taken for theft and ends everything."""
    forge = Forge()

    async def scenario() -> None:
        source = forge.source()
        memory = await signed_in(forge, source)
        found = await asyncio.gather(*(source.membership("u-1", memory, NOW_US) for _ in range(6)))
        assert all(each is not None and each.groups == {"operators"} for each in found)
        forms = [parse_qs(r.content.decode()) for r in forge.requests if r.url.path.endswith("/token")]
        used = [form["refresh_token"][0] for form in forms if form["grant_type"] == ["refresh_token"]]
        assert len(used) == len(set(used)) == 6
        assert not source._rereading._turns, "nothing is kept of whoever waited"

    asyncio.run(scenario())


def test_an_answer_that_is_lost_on_the_way_loses_no_new_refresh_token() -> None:
    forge = Forge()

    async def scenario() -> None:
        source = forge.source()
        memory = await signed_in(forge, source)
        forge.refresh_has_id_token = False
        forge.bend["userinfo"] = lambda _: httpx2.Response(503)
        with pytest.raises(Unavailable):
            await source.membership("u-1", memory, NOW_US)
        del forge.bend["userinfo"]
        found = await source.membership("u-1", memory, NOW_US)
        assert found is not None
        assert found.groups == {"operators"}

    asyncio.run(scenario())


def test_what_old_memories_lead_on_to_is_forgotten_in_time_and_never_more_than_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forge = Forge()
    monkeypatch.setattr(rereading, "MAX_SUCCESSORS", 20)

    async def scenario() -> None:
        source = forge.source()
        memory = await signed_in(forge, source)
        for _ in range(50):
            found = await source.membership("u-1", memory, NOW_US)
            assert found is not None
            memory = found.memory
        kept = source._rereading._successors
        assert len(kept) == 20
        forge.steady_s += rereading.LEADS_ON_S
        for _ in range(20):
            found = await source.membership("u-1", memory, NOW_US)
            assert found is not None
            memory = found.memory
        assert len(kept) == 20, "each that comes takes the place of one that is over"
        forge.steady_s += 10 * rereading.LEADS_ON_S
        for _ in range(21):
            found = await source.membership("u-1", memory, NOW_US)
            assert found is not None
            memory = found.memory
        assert {since_s for since_s, _ in kept.values()} == {forge.steady_s}

    asyncio.run(scenario())


def test_without_a_refresh_token_userinfo_is_asked_for_as_long_as_its_token_lasts() -> None:
    forge = Forge()
    forge.gives_refresh = False

    async def scenario() -> None:
        source = forge.source()
        memory = await signed_in(forge, source)
        forge.groups = []
        found = await source.membership("u-1", memory, NOW_US)
        assert (found.groups, found.memory) == (frozenset(), memory) if found else None
        forge.is_gone = True
        assert await source.membership("u-1", memory, NOW_US) is None

    asyncio.run(scenario())


@pytest.mark.parametrize("memory", ["", "{}", "null", "[]", '{"refresh": 7}', '{"refresh": ""}', "\ud800", "x" * 10**6])
def test_a_memory_that_cannot_be_read_is_no_memory_and_no_removal(memory: str) -> None:
    source = Forge().source()
    with pytest.raises(Unavailable):
        asyncio.run(source.membership("u-1", memory, NOW_US))


def test_only_one_token_is_kept_and_never_shown() -> None:
    forge = Forge()

    async def scenario() -> None:
        memory = await signed_in(forge, forge.source())
        assert set(json.loads(memory)) == {"refresh"}
        assert "refresh-" not in repr(remembered(memory))

    asyncio.run(scenario())
