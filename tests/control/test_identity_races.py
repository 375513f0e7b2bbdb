"""What ends, or is taken away, while something about the same person waits for a disk; and two decisions at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from control_world import PASSWORD, SITE, STATION, S, World, play

from penstock.control import ActiveSignIn, Arrival, LiveGrant, NotSignedIn, SignedIn, SignInKind
from penstock.identity import Credentials, Membership, Proof
from penstock.model import (
    APART,
    Decision,
    Factor,
    FactorStrength,
    Invalid,
    LocalPlan,
    OidcPlan,
    Record,
    RecordKind,
    Role,
    Unavailable,
)

REASON = "the provider is down and filter 1 must be drained"
SEALED = {"site.yaml": SITE + "identity: {sources: {local: {kind: local, break_glass: {approval: sealed}}}}\n"}
PROVIDED = {
    "site.yaml": SITE
    + "identity: {sources: {keycloak: {kind: oidc, issuer: 'https://idp.plant.example/realms/plant', client: p}}}\n"
}


def meanwhile(world: World, kind: RecordKind, act: Callable[[], Awaitable[object]]) -> None:
    """Do this once while a record of that kind is being written."""
    write, acts = world.recorder.write, [act]

    async def slow(records: Sequence[Record], *, urgent: bool = False) -> range:
        done = await write(records, urgent=urgent)
        if acts and any(record.kind is kind for record in records):
            await acts.pop()()
        return done

    world.recorder.write = slow  # type: ignore[method-assign]


def broken(*_: object, **__: object) -> Any:
    raise Unavailable("the disk is full")


async def portal(world: World, name: str = "ada") -> SignedIn:
    credentials = Credentials(subject=name, password=PASSWORD, code=world.code(name), source=STATION)
    outcome = await world.gate.sign_ins.sign_in(credentials, SignInKind.PORTAL)
    world.clock.pass_s(30)
    assert isinstance(outcome, SignedIn)
    return outcome


async def prove_again(world: World, sign_in: ActiveSignIn) -> bool:
    proved = await world.gate.factors.prove(sign_in, PASSWORD, world.code(), STATION)
    world.clock.pass_s(30)
    return proved.is_proved


def removing(world: World) -> Callable[[], Awaitable[object]]:
    return lambda: world.gate.roster.change("ada", frozenset(), frozenset({"operators"}), "uid 0")


def test_a_group_that_is_removed_while_a_proof_is_recorded_stays_removed(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in("ada", "operators", "others")
        meanwhile(world, RecordKind.PROVED_AGAIN, removing(world))
        assert await prove_again(world, sign_in)
        assert world.gate.state.now.sign_ins[sign_in.token_hash].subject.groups == {"others"}
        assert isinstance(await world.ask(sign_in), Decision)

    play(world, scenario)


def test_a_group_that_is_removed_while_another_is_given_stays_removed(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in("ada", "operators", "others")
        meanwhile(world, RecordKind.SUBJECT_CHANGED, removing(world))
        _, groups = await world.gate.roster.change("ada", frozenset({"safety"}), frozenset(), "uid 0")
        assert groups == ("others", "safety")
        assert world.gate.state.now.sign_ins[sign_in.token_hash].subject.groups == {"others", "safety"}
        (kept,) = await world.gate.store.subjects()
        assert kept.groups == {"others", "safety"}

    play(world, scenario)


def test_a_group_that_is_removed_while_a_sign_in_is_recorded_is_not_in_it(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol("ada", "operators", "others")
        meanwhile(world, RecordKind.SIGNED_IN, removing(world))
        sign_in = await world.sign_in()
        assert world.gate.state.now.sign_ins[sign_in.token_hash].subject.groups == {"others"}

    play(world, scenario)


def test_a_sign_in_that_begins_while_a_removed_group_is_being_kept_loses_it_too(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol("ada", "operators", "others")
        store, opened = world.gate.following._store, list[ActiveSignIn]()
        keep = store.set_groups

        async def slow(*given: Any) -> None:
            opened.append(await world.sign_in())
            assert isinstance(await world.ask(opened[0]), LiveGrant)
            await keep(*given)

        store.set_groups = slow  # type: ignore[method-assign]
        await removing(world)()
        assert world.gate.state.now.sign_ins[opened[0].token_hash].subject.groups == {"others"}
        assert not world.gate.grants_of(opened[0])

    play(world, scenario)


def test_a_token_that_changes_while_a_proof_is_recorded_goes_on_also_after_a_restart(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        signed, fresh = await portal(world), list[str | None]()

        async def renewed() -> None:
            fresh.append(await world.gate.sign_ins.renew_token(signed.token, is_due=True))

        meanwhile(world, RecordKind.PROVED_AGAIN, renewed)
        assert await prove_again(world, signed.sign_in)
        token = fresh[0] or ""
        assert world.gate.sign_ins.current(token, SignInKind.PORTAL) is not None
        await world.restart()
        assert world.gate.sign_ins.current(token, SignInKind.PORTAL) is not None
        assert world.gate.sign_ins.current(signed.token, SignInKind.PORTAL) is None

    play(world, scenario)


@pytest.mark.parametrize(("key", "session"), [("sub-ada", None), (None, "sid-1"), ("sub-ada", "sid-1")])
def test_whoever_signs_out_at_the_source_while_the_sign_in_is_recorded_is_not_signed_in(
    world: World, key: str | None, session: str | None
) -> None:
    async def scenario(world: World) -> None:
        world.makers[OidcPlan] = lambda _: Provider()
        await world.start(PROVIDED)
        proof = Proof(
            source="keycloak",
            key="sub-ada",
            name="ada",
            proved_at_us=world.clock.wall_us,
            factors=frozenset({Factor.FEDERATED}),
            graded=FactorStrength.TWO,
            session="sid-1",
        )
        arrival = Arrival(kind=SignInKind.PORTAL, source=STATION)
        meanwhile(world, RecordKind.SIGNED_IN, lambda: world.gate.sign_ins.end_at_source("keycloak", key, session))
        assert isinstance(await world.gate.sign_ins.admit(proof, arrival), NotSignedIn)
        assert not world.gate.state.now.sign_ins
        assert isinstance(await world.gate.sign_ins.admit(proof, arrival), SignedIn)

    play(world, scenario, is_started=False)


def test_a_command_line_does_not_outlive_the_portal_that_signed_out_while_it_was_let_in(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        signed = await portal(world)
        meanwhile(world, RecordKind.SIGNED_IN, lambda: world.gate.sign_ins.sign_out(signed.sign_in))
        arrival = Arrival(kind=SignInKind.CLIENT, source=STATION)
        assert isinstance(await world.gate.sign_ins.begin_client(signed.sign_in, arrival), NotSignedIn)
        assert not world.gate.state.now.sign_ins
        await world.restart()
        assert not world.gate.state.now.sign_ins

    play(world, scenario)


async def add_break_glass(world: World) -> None:
    invitation = await world.gate.roster.add_break_glass("bg-1", ("operators",), "uid 0")
    world.secrets["bg-1"] = (await world.gate.subjects.prepare(invitation.code, STATION)).secret
    await world.gate.subjects.confirm(invitation.code, PASSWORD, world.code("bg-1"), STATION)
    world.clock.pass_s(30)


def test_a_break_glass_account_that_is_closed_while_it_signs_in_is_not_signed_in(world: World) -> None:
    async def scenario(world: World) -> None:
        await add_break_glass(world)
        request = await world.gate.break_glass.ask("bg-1", REASON, "ada")
        await world.gate.break_glass.approve(request.number, "bob")
        meanwhile(world, RecordKind.SIGNED_IN, lambda: world.gate.break_glass.close(request.number, "bob"))
        credentials = Credentials(subject="bg-1", password=PASSWORD, code=world.code("bg-1"), source=STATION)
        assert isinstance(await world.gate.sign_ins.sign_in(credentials, SignInKind.CLIENT), NotSignedIn)
        assert not world.gate.state.now.sign_ins

    play(world, scenario)


def test_two_requests_at_once_for_one_account_are_one(world: World) -> None:
    async def scenario(world: World) -> None:
        await add_break_glass(world)
        ask = world.gate.break_glass.ask
        both = await asyncio.gather(ask("bg-1", REASON, "ada"), ask("bg-1", REASON, "eve"), return_exceptions=True)
        assert [type(each) for each in both].count(Invalid) == 1
        assert len(world.gate.break_glass.asked) == 1

    play(world, scenario)


def test_a_request_that_is_refused_while_somebody_approves_it_does_not_open_after_that(world: World) -> None:
    async def scenario(world: World) -> None:
        await add_break_glass(world)
        glass = world.gate.break_glass
        request = await glass.ask("bg-1", REASON, "ada")
        await asyncio.gather(
            glass.refuse(request.number, "eve"), glass.approve(request.number, "bob"), return_exceptions=True
        )
        assert glass.open == ()
        assert not world.recorder.of(RecordKind.BREAK_GLASS_OPENED)

    play(world, scenario)


def test_envelopes_that_open_nothing_because_the_disk_is_full_can_be_used_again(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.start(SEALED)
        await add_break_glass(world)
        halves = await world.gate.break_glass.seal("bg-1", "uid 0")
        world.recorder.is_healthy = False
        with pytest.raises(Unavailable):
            await world.gate.break_glass.unseal("bg-1", halves, REASON, STATION)
        assert world.gate.break_glass.open == ()
        world.recorder.is_healthy = True
        await world.gate.break_glass.unseal("bg-1", halves, REASON, STATION)
        assert [each.subject for each in world.gate.break_glass.open] == ["bg-1"]

    play(world, scenario, is_started=False)


def test_two_roles_that_are_kept_apart_are_not_given_at_once_either(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        first, second = sorted(next(iter(APART)))
        give = world.gate.roles.give
        await asyncio.gather(give("ada", first, "uid 0"), give("ada", second, "uid 0"), return_exceptions=True)
        assert len(world.gate.roles.of("ada")) == 1

    play(world, scenario)


@pytest.mark.parametrize("verbs", [("take", "take"), ("suspend", "suspend"), ("take", "suspend"), ("remove", "take")])
def test_the_last_two_administrators_cannot_end_each_other_at_once(world: World, verbs: tuple[str, str]) -> None:
    async def scenario(world: World) -> None:
        gate, names = world.gate, ("ada", "bob")
        for name in names:
            await world.enrol(name)
            await gate.roles.give(name, Role.ADMINISTRATOR, "uid 0")
        acts = {
            "take": lambda name: gate.roles.take(name, Role.ADMINISTRATOR, "other"),
            "suspend": lambda name: gate.subjects.suspend(name, "other"),
            "remove": lambda name: gate.roster.remove(name, "other"),
        }
        await asyncio.gather(
            *(acts[verb](name) for verb, name in zip(verbs, names, strict=True)), return_exceptions=True
        )
        able = {each.name for each in await gate.store.subjects() if not each.is_suspended and each.kind == "person"}
        assert len([name for name in names if name in able and Role.ADMINISTRATOR in gate.roles.of(name)]) == 1

    play(world, scenario)


def test_an_administrator_is_cut_off_though_nobody_can_read_who_else_is_one(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        await world.gate.roles.give("ada", Role.ADMINISTRATOR, "uid 0")
        grant = await world.open(sign_in)
        world.gate.store._run = broken  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await world.gate.subjects.suspend("ada", "uid 0")
        assert grant.number not in world.enforcer.open
        assert not world.gate.state.now.sign_ins

    play(world, scenario)


@pytest.mark.parametrize("is_last", [False, True])
def test_an_administrator_is_cut_off_while_the_disk_hangs_but_never_the_last_for_good(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_last: bool
) -> None:
    monkeypatch.setattr("penstock.control.roles.READ_WITHIN_S", 0.01)

    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        for name in ("ada",) if is_last else ("ada", "bob"):
            if name != "ada":
                await world.enrol(name)
            await world.gate.roles.give(name, Role.ADMINISTRATOR, "uid 0")
        grant, run, goes_on = await world.open(sign_in), world.gate.store._run, asyncio.Event()

        async def hanging(work: Any) -> Any:
            await goes_on.wait()
            return await run(work)

        world.gate.store._run = hanging  # type: ignore[method-assign]
        suspending = asyncio.create_task(world.gate.subjects.suspend("ada", "uid 0"))
        async with asyncio.timeout(30):
            while grant.number in world.enforcer.open or world.gate.state.now.sign_ins:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        goes_on.set()
        if is_last:
            with pytest.raises(Invalid, match="last administrator"):
                await suspending
        else:
            await suspending
        kept = {each.name: each.is_suspended for each in await world.gate.store.subjects()}
        assert kept["ada"] is not is_last

    play(world, scenario)


def test_every_vendor_of_a_suspended_sponsor_is_suspended_though_the_disk_failed_for_one(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        for name in ("vic", "vera"):
            await world.gate.roster.add_vendor(name, (), "ada", world.clock.wall_us + 86_400 * S, "uid 0")
        suspend, failing = world.gate.store.set_suspended, ["vic"]

        async def flaky(name: str, *, is_suspended: bool) -> bool:
            if name in failing:
                broken()
            return await suspend(name, is_suspended=is_suspended)

        world.gate.store.set_suspended = flaky  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await world.gate.subjects.suspend("ada", "uid 0")
        failing.clear()
        await world.gate.roster.sweep()
        suspended = {each.name for each in await world.gate.store.subjects() if each.is_suspended}
        assert suspended == {"ada", "vic", "vera"}

    play(world, scenario)


def test_what_one_part_of_the_gate_cannot_do_keeps_no_grant_from_its_end(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        world.gate.register.sweep = broken  # type: ignore[method-assign]
        world.clock.pass_s(2 * 3600 + 1)
        with pytest.raises(Unavailable):
            await world.gate.sweep()
        assert grant.number not in world.gate.state.now.grants
        assert grant.number not in world.enforcer.open

    play(world, scenario)


def test_new_factors_end_a_sign_in_for_good_though_the_disk_failed_at_that_moment(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.signed_in()
        remove = world.gate.store.remove_sign_ins
        world.gate.store.remove_sign_ins = broken  # type: ignore[method-assign]
        await world.gate.subjects.end_everything("ada", "ada")
        world.gate.store.remove_sign_ins = remove  # type: ignore[method-assign]
        await world.gate.sign_ins.sweep()
        await world.restart()
        assert not world.gate.state.now.sign_ins

    play(world, scenario)


def test_a_source_that_cannot_be_made_keeps_no_other_kind_from_being_used(world: World) -> None:
    async def scenario(world: World) -> None:
        world.makers[OidcPlan] = broken
        world.makers[LocalPlan] = lambda _: 7
        await world.start(PROVIDED)
        assert world.gate.identities.all(int) == (7,)

    play(world, scenario, is_started=False)


class Provider:
    """Says that somebody has other groups and other zones now."""

    async def membership(self, _key: str, _memory: str, _now_us: int) -> Membership | None:
        await asyncio.sleep(0)
        return Membership(groups=frozenset({"others"}), memory="refresh-2", barred_zones=frozenset({"filtration"}))


@pytest.mark.parametrize("is_signed_out", [True, False])
def test_what_a_source_says_of_somebody_holds_and_revives_nothing(world: World, *, is_signed_out: bool) -> None:
    async def scenario(world: World) -> None:
        world.makers[OidcPlan] = lambda _: Provider()
        await world.start(PROVIDED)
        proof = Proof(
            source="keycloak",
            key="sub-ada",
            name="ada",
            proved_at_us=world.clock.wall_us,
            groups=frozenset({"operators"}),
            factors=frozenset({Factor.FEDERATED}),
            graded=FactorStrength.TWO,
            memory="refresh-1",
        )
        signed = await world.gate.sign_ins.admit(proof, Arrival(kind=SignInKind.PORTAL, source=STATION))
        assert isinstance(signed, SignedIn)
        sign_in = signed.sign_in

        async def failing(_: ActiveSignIn) -> None:
            if is_signed_out:
                await world.gate.sign_ins.sign_out(sign_in)
            broken()

        world.gate.store.change_sign_in = failing  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await world.gate.memberships.require(sign_in)
        present = world.gate.state.now.sign_ins.get(sign_in.token_hash)
        assert (present is None) is is_signed_out
        if present is not None:
            assert present.subject.groups == {"others"}
            assert present.subject.barred_zones == {"filtration"}

    play(world, scenario, is_started=False)
