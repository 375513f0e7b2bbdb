"""People of other sources: whose proof makes whom a subject, and what becomes of grants when a source changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from control_world import DOCUMENTS, SITE, STATION, World, play

from penstock.control import ActiveSignIn, Arrival, NotSignedIn, SignedIn, SignInKind
from penstock.identity import Membership, Proof
from penstock.model import (
    Decision,
    Factor,
    FactorStrength,
    OidcPlan,
    Reason,
    RecordKind,
    Unavailable,
)

IDENTITY = """
identity:
  sources:
    keycloak:
      kind: oidc
      issuer: https://idp.plant.example/realms/plant
      client: penstock
      groups: {/operators: operators}
    other:
      kind: oidc
      issuer: https://other.plant.example
      client: penstock
  sign_in: {length: 8h, idle: 10m, at_once: 3}
"""
FRESH = SITE.replace("require: {factors: two}", "require: {factors: two, reauthenticate: 30m}")


class FakeProvider:
    """What a provider would say when it is asked again."""

    def __init__(self) -> None:
        self.groups: dict[str, frozenset[str]] = {}
        self.gone: set[str] = set()
        self.is_silent = False
        self.asked: list[tuple[str, str]] = []
        self.was_asked = asyncio.Event()

    async def membership(self, key: str, memory: str, now_us: int) -> Membership | None:
        assert now_us
        self.asked.append((key, memory))
        self.was_asked.set()
        await asyncio.sleep(0)
        if self.is_silent:
            raise Unavailable("connection refused")
        if key in self.gone:
            return None
        return Membership(groups=self.groups.get(key, frozenset({"operators"})), memory=f"{memory}+")


class HangingProvider(FakeProvider):
    """Takes questions, and answers none of them until it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()

    async def membership(self, key: str, memory: str, now_us: int) -> Membership | None:
        found = await super().membership(key, memory, now_us)
        await self.goes_on.wait()
        return found


@pytest.fixture
def provider(world: World) -> FakeProvider:
    made = FakeProvider()
    world.makers[OidcPlan] = lambda _: made
    return made


def proof_of(world: World, name: str = "ada", **changes: Any) -> Proof:
    proof = Proof(
        source="keycloak",
        key=f"sub-{name}",
        name=name,
        proved_at_us=world.clock.wall_us,
        groups=frozenset({"operators"}),
        factors=frozenset({Factor.FEDERATED}),
        graded=FactorStrength.TWO,
        memory="refresh-1",
        session="sid-1",
    )
    return replace(proof, **changes)


async def admitted(world: World, proof: Proof, kind: SignInKind = SignInKind.PORTAL) -> ActiveSignIn:
    outcome = await world.gate.sign_ins.admit(proof, Arrival(kind=kind, source=STATION))
    assert isinstance(outcome, SignedIn)
    return outcome.sign_in


def scene(world: World, scenario: Callable[[World], Any], site: str = SITE) -> None:
    async def run(world: World) -> None:
        await world.start({"site.yaml": site + IDENTITY})
        await scenario(world)

    play(world, run, is_started=False)


@pytest.mark.usefixtures("provider")
def test_a_person_of_a_provider_is_named_with_it_and_may_what_its_groups_may(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world))
        assert sign_in.subject.name == "ada@keycloak"
        assert sign_in.subject.strength is FactorStrength.TWO
        grant = await world.open(sign_in)
        assert grant.subject.name == "ada@keycloak"

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_the_same_name_at_two_sources_is_two_subjects(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol("ada", "safety")
        mine = await world.sign_in("ada")
        theirs = await admitted(world, proof_of(world))
        others = await admitted(world, proof_of(world, source="other", key="sub-ada"))
        assert len({mine.subject.name, theirs.subject.name, others.subject.name}) == 3
        assert mine.subject.groups == {"safety"}
        assert theirs.subject.groups == {"operators"}

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_whoever_comes_twice_at_once_for_the_first_time_is_one_subject_and_no_conflict(world: World) -> None:
    async def scenario(world: World) -> None:
        first, second = await asyncio.gather(admitted(world, proof_of(world)), admitted(world, proof_of(world)))
        assert first.subject == second.subject
        assert not world.recorder.of(RecordKind.SIGN_IN_REFUSED)

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_a_name_that_was_given_to_somebody_else_does_not_make_him_the_former_one(world: World) -> None:
    async def scenario(world: World) -> None:
        await admitted(world, proof_of(world))
        again = proof_of(world, key="sub-somebody-else")
        outcome = await world.gate.sign_ins.admit(again, Arrival(kind=SignInKind.PORTAL, source=STATION))
        assert isinstance(outcome, NotSignedIn)
        (record,) = world.recorder.of(RecordKind.SIGN_IN_REFUSED)
        assert record.reason == Reason.IDENTITY_CONFLICT.value

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_whoever_is_renamed_at_the_source_stays_the_same_subject(world: World) -> None:
    async def scenario(world: World) -> None:
        before = await admitted(world, proof_of(world))
        after = await admitted(world, proof_of(world, name="ada.lovelace", key="sub-ada"))
        assert after.subject.name == before.subject.name == "ada@keycloak"

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("name", ["", "ada lovelace", "a" * 60, "ada\n", "../ada", "ädä"])
def test_a_name_that_cannot_be_written_down_safely_makes_nobody_a_subject(world: World, name: str) -> None:
    async def scenario(world: World) -> None:
        outcome = await world.gate.sign_ins.admit(
            proof_of(world, name=name, key="k"), Arrival(kind=SignInKind.PORTAL, source=STATION)
        )
        assert isinstance(outcome, NotSignedIn)
        assert [r.reason for r in world.recorder.of(RecordKind.SIGN_IN_REFUSED)] == [Reason.SOURCE_REFUSED.value]

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_a_suspended_subject_of_a_provider_is_not_let_in_again(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world))
        await world.open(sign_in)
        assert await world.gate.subjects.suspend("ada@keycloak", "uid 0") == 1
        outcome = await world.gate.sign_ins.admit(proof_of(world), Arrival(kind=SignInKind.PORTAL, source=STATION))
        assert isinstance(outcome, NotSignedIn)

    scene(world, scenario)


def test_a_group_that_is_taken_away_at_the_source_ends_what_it_allowed(world: World, provider: FakeProvider) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world))
        grant = await world.open(sign_in)
        provider.groups["sub-ada"] = frozenset()
        world.clock.pass_s(31)
        await world.gate.sweep()
        await world.gate.memberships.settle()
        assert grant.number not in world.gate.state.now.grants
        assert grant.number not in world.enforcer.open
        assert grant.number not in world.workers.grants
        assert world.recorder.of(RecordKind.GRANT_CLOSED)[-1].reason == Reason.MEMBERSHIP_ENDED.value
        (changed,) = world.recorder.of(RecordKind.SUBJECT_CHANGED)
        assert changed.detail["removed"] == ["operators"]
        assert isinstance(await world.ask(sign_in), Decision)

    scene(world, scenario)


def test_a_group_that_is_given_at_the_source_counts_for_the_next_grant_at_once(
    world: World, provider: FakeProvider
) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world, groups=frozenset()))
        provider.groups["sub-ada"] = frozenset({"operators"})
        world.clock.pass_s(5)
        await world.open(sign_in)
        assert provider.asked == [("sub-ada", "refresh-1")]

    scene(world, scenario)


def test_the_memory_of_a_source_is_kept_sealed_and_handed_back_as_it_was_last(
    world: World, provider: FakeProvider
) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world))
        await world.open(sign_in)
        world.clock.pass_s(31)
        await world.gate.sweep()
        await world.gate.memberships.settle()
        assert [memory for _, memory in provider.asked] == ["refresh-1", "refresh-1+"]
        assert b"refresh" not in (world.folder / "state.db").read_bytes()
        assert "refresh" not in repr(world.gate.state.now.sign_ins)

    scene(world, scenario)


def test_a_silent_source_ends_nothing_and_opens_nothing(world: World, provider: FakeProvider) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world))
        grant = await world.open(sign_in)
        provider.is_silent = True
        for _ in range(3):
            world.clock.pass_s(31)
            await world.gate.sweep()
            await world.gate.memberships.settle()
        assert grant.number in world.gate.state.now.grants
        with pytest.raises(Unavailable, match="does not answer"):
            await world.open(sign_in, "plc-dosing")
        assert len(world.recorder.of(RecordKind.SOURCE_LOST)) == 1
        provider.is_silent = False
        world.clock.pass_s(31)
        await world.gate.sweep()
        await world.gate.memberships.settle()
        assert len(world.recorder.of(RecordKind.SOURCE_RESTORED)) == 1

    scene(world, scenario)


def test_whoever_is_nobody_at_the_source_any_more_loses_everything(world: World, provider: FakeProvider) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world))
        await world.open(sign_in)
        provider.gone.add("sub-ada")
        world.clock.pass_s(31)
        await world.gate.sweep()
        await world.gate.memberships.settle()
        assert sign_in.token_hash not in world.gate.state.now.sign_ins
        assert world.recorder.of(RecordKind.GRANT_CLOSED)[-1].reason == Reason.SOURCE_REFUSED.value

    scene(world, scenario)


def test_people_of_a_source_that_hangs_keep_those_of_another_from_nothing(world: World) -> None:
    hanging, well = HangingProvider(), FakeProvider()
    world.makers[OidcPlan] = lambda plan: hanging if plan.name == "other" else well

    async def scenario(world: World) -> None:
        for number in range(20):
            await admitted(world, proof_of(world, f"bob{number}", source="other"))
        await admitted(world, proof_of(world))
        world.clock.pass_s(29)
        await world.gate.memberships.sweep()
        world.clock.pass_s(30)
        try:
            await world.gate.memberships.sweep()
            await asyncio.wait_for(well.was_asked.wait(), 10)
            assert 0 < len(hanging.asked) < 20, "a provider is asked some questions at a time only"
        finally:
            hanging.goes_on.set()
        await world.gate.memberships.settle()
        assert len(hanging.asked) == 20

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_a_source_that_leaves_the_document_takes_its_people_with_it(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world))
        grant = await world.open(sign_in)
        await world.gate.revisions.apply(DOCUMENTS, "uid 0")
        await world.gate.sweep()
        assert sign_in.token_hash not in world.gate.state.now.sign_ins
        assert grant.number not in world.gate.state.now.grants

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_signing_out_at_the_source_ends_that_sign_in_and_no_other(world: World) -> None:
    async def scenario(world: World) -> None:
        first = await admitted(world, proof_of(world))
        second = await admitted(world, proof_of(world, session="sid-2"))
        grant = await world.open(first)
        assert await world.gate.sign_ins.end_at_source("other", None, "sid-1") == 0
        assert await world.gate.sign_ins.end_at_source("keycloak", None, "sid-1") == 1
        assert grant.number not in world.enforcer.open
        assert world.recorder.of(RecordKind.GRANT_CLOSED)[-1].reason == Reason.SIGNED_OUT_AT_SOURCE.value
        assert second.token_hash in world.gate.state.now.sign_ins
        assert await world.gate.sign_ins.end_at_source("keycloak", "sub-ada", None) == 1
        assert not world.gate.state.now.sign_ins

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_a_sign_in_of_no_known_session_ends_with_any_session_of_its_person(world: World) -> None:
    """A provider may name sessions when they end, and not when they begin."""

    async def scenario(world: World) -> None:
        await admitted(world, proof_of(world, session=None))
        assert await world.gate.sign_ins.end_at_source("keycloak", "sub-eve", "sid-1") == 0
        assert await world.gate.sign_ins.end_at_source("keycloak", None, "sid-1") == 0
        assert await world.gate.sign_ins.end_at_source("keycloak", "sub-ada", "sid-1") == 1
        assert not world.gate.state.now.sign_ins

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_a_sign_in_survives_a_restart_with_its_grade_and_its_source(world: World) -> None:
    async def scenario(world: World) -> None:
        before = await admitted(world, proof_of(world))
        await world.restart()
        (after,) = world.gate.state.now.sign_ins.values()
        assert after == before

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("way", ["signs in", "proves again"])
def test_a_group_that_a_new_proof_lacks_ends_at_once_what_it_allowed_in_every_sign_in(world: World, way: str) -> None:
    async def scenario(world: World) -> None:
        first, second = await admitted(world, proof_of(world)), await admitted(world, proof_of(world))
        grant = await world.open(first)
        lacking = proof_of(world, groups=frozenset({"visitors"}))
        if way == "signs in":
            await admitted(world, lacking)
        else:
            assert await world.gate.sign_ins.prove_again(second, lacking)
        assert grant.number not in world.enforcer.open
        assert all("operators" not in each.subject.groups for each in world.gate.state.now.sign_ins.values())
        (record,) = world.recorder.of(RecordKind.SUBJECT_CHANGED)
        assert record.detail["removed"] == ["operators"]

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_of_more_sign_ins_than_one_may_have_the_longest_unused_ends(world: World) -> None:
    async def scenario(world: World) -> None:
        found = []
        for _ in range(4):
            found.append(await admitted(world, proof_of(world)))
            world.clock.pass_s(1)
        assert [each.token_hash in world.gate.state.now.sign_ins for each in found] == [False, True, True, True]
        assert world.recorder.of(RecordKind.SIGNED_OUT)[-1].reason == Reason.TOO_MANY_SIGN_INS.value

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_of_sign_ins_that_were_used_at_one_moment_the_newest_stays(world: World) -> None:
    async def scenario(world: World) -> None:
        found = [await admitted(world, proof_of(world)) for _ in range(3)]
        world.clock.set_wall_s(-60)
        found.append(await admitted(world, proof_of(world)))
        here = [each.token_hash in world.gate.state.now.sign_ins for each in found]
        assert here[-1]
        assert sum(here) == 3

    scene(world, scenario)


# --- proofs that are given anew


@pytest.mark.usefixtures("provider")
def test_a_grant_ends_when_its_proof_is_too_old_and_not_before(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world), SignInKind.CLIENT)
        grant = await world.open(sign_in)
        assert world.enforcer.ttl_ms[grant.number] == 30 * 60 * 1000
        world.clock.pass_s(30 * 60 - 1)
        await world.gate.sweep()
        assert grant.number in world.gate.state.now.grants
        world.clock.pass_s(1)
        await world.gate.sweep()
        assert grant.number not in world.enforcer.open
        assert world.recorder.of(RecordKind.GRANT_CLOSED)[-1].reason == Reason.PROOF_TOO_OLD.value
        refusal = await world.ask(sign_in)
        assert isinstance(refusal, Decision)
        assert refusal.reason is Reason.PROOF_TOO_OLD

    scene(world, scenario, FRESH)


@pytest.mark.usefixtures("provider")
def test_a_new_proof_lets_the_grants_go_on_in_the_kernel_and_the_workers_up_to_their_own_end(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world), SignInKind.CLIENT)
        grant = await world.open(sign_in)
        for _ in range(3):
            world.clock.pass_s(29 * 60)
            await world.gate.sweep()
            assert await world.gate.sign_ins.prove_again(sign_in, proof_of(world))
        assert world.enforcer.ttl_ms[grant.number] == 30 * 60 * 1000
        assert world.workers.grants[grant.number].subject.proved_at_us == world.clock.wall_us
        world.clock.pass_s(29 * 60)
        assert await world.gate.sign_ins.prove_again(sign_in, proof_of(world))
        assert world.enforcer.ttl_ms[grant.number] == (120 - 4 * 29) * 60 * 1000, "the session's own two hours"

    scene(world, scenario, FRESH)


@pytest.mark.usefixtures("provider")
def test_a_proof_of_somebody_else_or_of_less_worth_does_not_count(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world))
        before = world.gate.state.now.sign_ins
        world.clock.pass_s(10)
        for wrong in (
            proof_of(world, "bob"),
            proof_of(world, source="other"),
            proof_of(world, graded=FactorStrength.ONE),
            Proof(source="local", key="ada", name="ada", proved_at_us=world.clock.wall_us),
        ):
            assert not await world.gate.sign_ins.prove_again(sign_in, wrong)
        assert world.gate.state.now.sign_ins == before

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_a_stronger_proof_opens_what_the_weaker_one_did_not(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world, graded=FactorStrength.ONE))
        refusal = await world.ask(sign_in)
        assert isinstance(refusal, Decision)
        assert refusal.reason is Reason.FACTORS_TOO_WEAK
        assert await world.gate.sign_ins.prove_again(sign_in, proof_of(world))
        await world.open(sign_in)

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_a_revision_that_asks_for_newer_proofs_counts_for_the_grants_there_are(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world), SignInKind.CLIENT)
        grant = await world.open(sign_in)
        world.clock.pass_s(600)
        await world.gate.revisions.apply({"site.yaml": FRESH + IDENTITY}, "uid 0")
        assert world.enforcer.ttl_ms[grant.number] == 20 * 60 * 1000
        world.clock.pass_s(20 * 60)
        await world.gate.sweep()
        assert grant.number not in world.gate.state.now.grants

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("step_s", [-86_400, 86_400])
def test_a_wall_clock_that_is_set_makes_no_proof_older_or_younger(world: World, step_s: int) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world), SignInKind.CLIENT)
        world.clock.pass_s(600)
        world.clock.set_wall_s(step_s)
        world.gate.following.stepped(step_s * 1_000_000)
        (present,) = world.gate.state.now.sign_ins.values()
        grant = await world.open(present)
        assert world.enforcer.ttl_ms[grant.number] == 20 * 60 * 1000
        world.clock.pass_s(20 * 60)
        await world.gate.sweep()
        assert grant.number not in world.gate.state.now.grants
        assert isinstance(await world.ask(sign_in), Decision)

    scene(world, scenario, FRESH)


@pytest.mark.usefixtures("provider")
def test_the_age_of_a_proof_survives_a_restart(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, proof_of(world), SignInKind.CLIENT)
        grant = await world.open(sign_in)
        world.clock.pass_s(60)
        await world.restart()
        assert await world.gate.sign_ins.prove_again(sign_in, proof_of(world))
        assert world.enforcer.ttl_ms[grant.number] == 30 * 60 * 1000
        world.clock.pass_s(30 * 60)
        await world.gate.sweep()
        assert world.recorder.of(RecordKind.GRANT_CLOSED)[-1].reason == Reason.PROOF_TOO_OLD.value

    scene(world, scenario, FRESH)


# --- tokens of portals


def test_a_portals_token_changes_and_the_one_before_it_counts_for_a_moment_only(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_ins = world.gate.sign_ins
        outcome = await sign_ins.admit(proof_of(world), Arrival(kind=SignInKind.PORTAL, source=STATION))
        assert isinstance(outcome, SignedIn)
        assert await sign_ins.renew_token(outcome.token) is None, "not due yet"
        fresh = await sign_ins.renew_token(outcome.token, is_due=True)
        assert fresh is not None
        assert sign_ins.current(fresh, SignInKind.PORTAL) is not None
        assert sign_ins.current(outcome.token, SignInKind.PORTAL) is not None, "a request that crossed"
        world.clock.pass_s(61)
        assert sign_ins.current(fresh, SignInKind.PORTAL) is not None
        assert sign_ins.current(outcome.token, SignInKind.PORTAL) is None

    scene(world, scenario)


def test_a_token_that_comes_back_after_it_was_replaced_ends_the_sign_in_for_both(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_ins = world.gate.sign_ins
        outcome = await sign_ins.admit(proof_of(world), Arrival(kind=SignInKind.PORTAL, source=STATION))
        assert isinstance(outcome, SignedIn)
        fresh = await sign_ins.renew_token(outcome.token, is_due=True)
        assert fresh is not None
        assert sign_ins.current(fresh, SignInKind.PORTAL) is not None
        world.clock.pass_s(61)
        assert await sign_ins.renew_token(outcome.token) is None
        assert sign_ins.current(fresh, SignInKind.PORTAL) is None
        assert world.recorder.of(RecordKind.SIGN_IN_REFUSED)

    scene(world, scenario)


@pytest.mark.usefixtures("provider")
def test_an_answer_that_is_lost_with_its_new_token_costs_nobody_the_sessions(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_ins = world.gate.sign_ins
        outcome = await sign_ins.admit(proof_of(world), Arrival(kind=SignInKind.PORTAL, source=STATION))
        assert isinstance(outcome, SignedIn)
        grant = await world.open(outcome.sign_in)
        lost = await sign_ins.renew_token(outcome.token, is_due=True)
        assert lost is not None
        assert await sign_ins.renew_token(outcome.token) is None, "a request that crossed"
        world.clock.pass_s(10)
        fresh = await sign_ins.renew_token(outcome.token)
        assert fresh is not None, "loaded again: the browser has still the former one"
        assert await sign_ins.renew_token(outcome.token) is None
        world.clock.pass_s(61)
        assert await sign_ins.renew_token(outcome.token) is None, "no answer came, and nobody tried again in time"
        assert sign_ins.current(outcome.token, SignInKind.PORTAL) is None
        assert grant.number in world.enforcer.open
        assert sign_ins.current(fresh, SignInKind.PORTAL) is not None
        assert await sign_ins.renew_token(lost) is None
        assert grant.number not in world.enforcer.open, "shown after the one that replaced it was: a copy"

    scene(world, scenario, SITE)


def test_whoever_takes_a_new_token_with_a_copy_is_found_out_when_the_owner_comes(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_ins = world.gate.sign_ins
        outcome = await sign_ins.admit(proof_of(world), Arrival(kind=SignInKind.PORTAL, source=STATION))
        assert isinstance(outcome, SignedIn)
        owners = await sign_ins.renew_token(outcome.token, is_due=True) or ""
        world.clock.pass_s(10)
        thiefs = await sign_ins.renew_token(outcome.token) or ""
        assert sign_ins.current(thiefs, SignInKind.PORTAL) is not None
        world.clock.pass_s(61)
        assert await sign_ins.renew_token(owners) is None
        assert sign_ins.current(thiefs, SignInKind.PORTAL) is None
        assert world.recorder.of(RecordKind.SIGN_IN_REFUSED)

    scene(world, scenario)


def test_a_changed_token_survives_a_restart(world: World) -> None:
    async def scenario(world: World) -> None:
        outcome = await world.gate.sign_ins.admit(proof_of(world), Arrival(kind=SignInKind.PORTAL, source=STATION))
        assert isinstance(outcome, SignedIn)
        fresh = await world.gate.sign_ins.renew_token(outcome.token, is_due=True)
        assert fresh is not None
        await world.restart()
        assert world.gate.sign_ins.current(fresh, SignInKind.PORTAL) is not None
        assert world.gate.sign_ins.current(outcome.token, SignInKind.PORTAL) is None

    scene(world, scenario)
