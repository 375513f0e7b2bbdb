"""Roles, vendors and changes of people at a whole gate."""

import pyotp
import pytest
from control_world import STATION, World, play

from penstock.control import LiveGrant, NotSignedIn, SignInKind
from penstock.identity import Credentials
from penstock.model import APART, Decision, Invalid, Reason, RecordKind, Role, Unavailable

DAY_S = 86_400


async def is_refused(world: World, name: str) -> bool:
    credentials = Credentials(subject=name, password="correct horse battery", code=world.code(name), source=STATION)
    outcome = await world.gate.sign_ins.sign_in(credentials, SignInKind.CLIENT)
    world.clock.pass_s(30)
    return outcome == NotSignedIn()


async def add_vendor(world: World, days: int = 30, name: str = "vic", sponsor: str = "ada") -> None:
    until_us = world.clock.wall_us + days * DAY_S * 1_000_000
    invitation = await world.gate.roster.add_vendor(name, ("operators",), sponsor, until_us, "uid 0")
    world.secrets[name] = (await world.gate.subjects.prepare(invitation.code, STATION)).secret
    await world.gate.subjects.confirm(invitation.code, "correct horse battery", world.code(name), STATION)
    world.clock.pass_s(30)


@pytest.mark.parametrize("pair", sorted(tuple(sorted(pair)) for pair in APART))
def test_roles_that_are_kept_apart_are_not_held_together(world: World, pair: tuple[Role, Role]) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        first, second = pair
        await world.gate.roles.give("ada", Role(first), "uid 0")
        with pytest.raises(Invalid, match="at once"):
            await world.gate.roles.give("ada", Role(second), "uid 0")
        assert world.gate.roles.of("ada") == {Role(first)}
        (refused,) = world.recorder.of(RecordKind.ROLE_REFUSED)
        assert refused.detail["role"] == second
        assert refused.detail["by"] == "uid 0"

    play(world, scenario)


def test_nobody_gives_a_role_to_themselves_and_roles_outlive_a_restart(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        with pytest.raises(Invalid, match="themselves"):
            await world.gate.roles.give("ada", Role.OPERATOR, "ada")
        await world.gate.roles.give("ada", Role.OPERATOR, "uid 0")
        await world.restart()
        assert world.gate.roles.of("ada") == {Role.OPERATOR}
        await world.gate.roles.take("ada", Role.OPERATOR, "uid 0")
        await world.restart()
        assert world.gate.roles.of("ada") == frozenset()
        (given,) = world.recorder.of(RecordKind.ROLE_GIVEN)
        (taken,) = world.recorder.of(RecordKind.ROLE_TAKEN)
        assert (given.subject, given.detail, taken.detail["by"]) == (
            "ada",
            {"role": "operator", "by": "uid 0"},
            "uid 0",
        )

    play(world, scenario)


def test_a_role_is_not_given_before_its_record_is_on_the_disk(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        world.recorder.is_healthy = False
        with pytest.raises(Exception, match="no space left"):
            await world.gate.roles.give("ada", Role.ADMINISTRATOR, "uid 0")
        assert world.gate.roles.of("ada") == frozenset()

    play(world, scenario)


def test_the_last_administrator_who_could_act_is_kept(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol("ada")
        await world.enrol("bob")
        gate = world.gate
        await gate.subjects.add("new", (), "uid 0")
        for name in ("ada", "bob", "new"):
            await gate.roles.give(name, Role.ADMINISTRATOR, "uid 0")
        await gate.subjects.suspend("bob", "uid 0")  # ada is left: new has never enrolled
        for attempt in (
            gate.roles.take("ada", Role.ADMINISTRATOR, "uid 0"),
            gate.subjects.suspend("ada", "uid 0"),
            gate.roster.remove("ada", "uid 0"),
        ):
            with pytest.raises(Invalid, match="last administrator"):
                await attempt
        assert len(world.recorder.of(RecordKind.ROLE_REFUSED)) == 3
        await gate.subjects.resume("bob", "uid 0")
        await gate.roster.remove("ada", "uid 0")
        assert gate.roles.of("ada") == frozenset()
        with pytest.raises(Invalid, match="last administrator"):
            await gate.roles.take("bob", Role.ADMINISTRATOR, "uid 0")

    play(world, scenario)


def test_a_vendor_ends_with_their_date_and_with_everything_they_hold(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await add_vendor(world, days=2)
        assert [each.name for each in world.gate.roster.ending("ada")] == ["vic"]
        world.clock.pass_s(2 * DAY_S - 3600)
        sign_in = await world.sign_in("vic")
        assert sign_in.expires_at_us <= world.clock.wall_us + 3600 * 1_000_000
        grant = await world.open(sign_in)
        world.clock.pass_s(3600)
        await world.gate.roster.sweep()
        assert grant.number not in world.enforcer.open
        (ended,) = world.recorder.of(RecordKind.SUBJECT_ENDED)
        assert ended.subject == "vic"
        assert await is_refused(world, "vic")
        assert world.recorder.of(RecordKind.SIGN_IN_REFUSED)[-1].reason == Reason.SUBJECT_ENDED.value
        world.clock.set_wall_s(-10 * DAY_S)  # an end is final
        assert await is_refused(world, "vic")
        await world.restart()
        assert await is_refused(world, "vic")

    play(world, scenario)


def test_a_vendor_may_be_extended_by_ninety_days_at_most(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await add_vendor(world, days=1)
        now_us = world.clock.wall_us
        for days in (-1, 91):
            with pytest.raises(Invalid, match="90 days"):
                await world.gate.roster.extend("vic", now_us + days * DAY_S * 1_000_000, "uid 0")
        world.clock.pass_s(2 * DAY_S)
        await world.gate.roster.sweep()
        assert await is_refused(world, "vic")
        await world.gate.roster.extend("vic", world.clock.wall_us + DAY_S * 1_000_000, "uid 0")
        await world.sign_in("vic")

    play(world, scenario)


@pytest.mark.parametrize("how", ["suspended", "removed"])
def test_a_vendor_goes_with_their_sponsor(world: World, how: str) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await add_vendor(world)
        grant = await world.open(await world.sign_in("vic"))
        gate = world.gate
        await (gate.subjects.suspend("ada", "uid 0") if how == "suspended" else gate.roster.remove("ada", "uid 0"))
        assert grant.number not in world.enforcer.open
        assert await is_refused(world, "vic")
        assert [each.subject for each in world.recorder.of(RecordKind.SUBJECT_SUSPENDED)][-1] == "vic"
        with pytest.raises(Invalid, match="not an active person"):
            await gate.subjects.resume("vic", "uid 0")

    play(world, scenario)


@pytest.mark.parametrize("sponsor", ["nobody", "new", "vic0", ""])
def test_a_sponsor_is_an_active_person(world: World, sponsor: str) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await world.gate.subjects.add("new", (), "uid 0")
        await add_vendor(world, name="vic0")
        with pytest.raises(Invalid, match="not an active person"):
            await add_vendor(world, sponsor=sponsor)
        with pytest.raises(Invalid, match="vendor's account"):
            await world.gate.roles.give("vic0", Role.OPERATOR, "uid 0")

    play(world, scenario)


def test_a_removed_group_ends_at_once_what_it_allowed_and_an_added_one_allows(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in("ada", "visitors")
        assert isinstance(await world.ask(sign_in), Decision)
        await world.gate.roster.change("ada", frozenset({"operators"}), frozenset(), "uid 0")
        live = await world.ask(world.gate.state.now.sign_ins[sign_in.token_hash])
        assert isinstance(live, LiveGrant)
        ended, groups = await world.gate.roster.change("ada", frozenset(), frozenset({"operators"}), "uid 0")
        assert (ended, groups) == (1, ("visitors",))
        assert live.grant.number not in world.enforcer.open
        with pytest.raises(Invalid, match="not in operators"):
            await world.gate.roster.change("ada", frozenset(), frozenset({"operators"}), "uid 0")

    play(world, scenario)


def test_a_lost_authenticator_is_replaced_by_a_new_code_and_the_old_one_holds_until_then(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        invitation = await world.gate.roster.invite("ada", "uid 0")
        held = await world.sign_in()
        grant = await world.open(held)
        secret = (await world.gate.subjects.prepare(invitation.code, "10.20.0.77")).secret
        old, world.secrets["ada"] = world.secrets["ada"], secret
        await world.gate.subjects.confirm(invitation.code, "another horse battery", world.code(), "10.20.0.77")
        assert [each.subject for each in world.recorder.of(RecordKind.FACTOR_RESET)] == ["ada"]
        assert world.gate.state.now.sign_ins == {}
        assert grant.number not in world.enforcer.open
        assert not await world.gate.turnstile.knows("ada", STATION, world.clock.wall_us)
        world.clock.pass_s(30)
        world.secrets["ada"] = old
        assert await is_refused(world, "ada")
        await world.restart()
        assert world.gate.state.now.sign_ins == {}

    play(world, scenario)


def test_a_removed_subject_keeps_its_name_and_nothing_else(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        grant = await world.open(sign_in)
        await world.gate.roster.remove("ada", "uid 0")
        assert grant.number not in world.enforcer.open
        assert world.recorder.of(RecordKind.GRANT_CLOSED)[-1].reason == Reason.SUBJECT_ENDED.value
        assert await is_refused(world, "ada")
        for attempt in (
            world.gate.subjects.add("ada", (), "uid 0"),
            add_vendor(world, name="ada", sponsor="ada"),
            world.gate.subjects.resume("ada", "uid 0"),
            world.gate.roster.invite("ada", "uid 0"),
        ):
            with pytest.raises(Invalid):
                await attempt
        account = await world.gate.store.account("ada")
        assert account is not None
        assert (account.password_hash, account.totp_sealed) == (None, None)

    play(world, scenario)


def test_the_record_of_changed_groups_tells_the_change_also_of_somebody_who_is_not_signed_in(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol("ada", "operators", "others")
        await world.gate.roster.change("ada", frozenset({"safety"}), frozenset({"operators"}), "uid 0")
        removed, added = (each.detail for each in world.recorder.of(RecordKind.SUBJECT_CHANGED))
        assert (removed["added"], removed["removed"], removed["groups"]) == ([], ["operators"], ["others"])
        assert (added["added"], added["removed"], added["groups"]) == (["safety"], [], ["others", "safety"])

    play(world, scenario)


@pytest.mark.parametrize("how", ["suspend", "remove"])
def test_a_vendor_who_could_not_be_suspended_with_their_sponsor_is_after_a_restart(world: World, how: str) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await world.enrol("bob")
        await add_vendor(world)
        await add_vendor(world, name="vera", sponsor="bob")
        suspend = world.gate.store.set_suspended

        async def failing(name: str, *, is_suspended: bool) -> bool:
            if name == "vic":
                raise Unavailable("the disk is full")
            return await suspend(name, is_suspended=is_suspended)

        world.gate.store.set_suspended = failing  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await (world.gate.subjects.suspend if how == "suspend" else world.gate.roster.remove)("ada", "uid 0")
        await world.restart()
        await world.gate.sweep()
        suspended = {each.name for each in await world.gate.store.subjects() if each.is_suspended}
        assert "vic" in suspended
        assert "vera" not in suspended

    play(world, scenario)


def test_nobody_gets_more_while_the_evidence_cannot_be_written_and_loses_what_is_taken(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in("ada", "operators")
        grant = await world.open(sign_in)
        await world.enrol("bob")
        await world.gate.subjects.suspend("bob", "uid 0")
        world.recorder.is_healthy = False
        with pytest.raises(Unavailable):
            await world.gate.subjects.resume("bob", "uid 0")
        with pytest.raises(Unavailable):
            await world.gate.roster.change("ada", frozenset({"safety"}), frozenset({"operators"}), "uid 0")
        assert grant.number not in world.enforcer.open
        kept = {each.name: each for each in await world.gate.store.subjects()}
        assert kept["bob"].is_suspended
        assert kept["ada"].groups == frozenset()
        assert world.gate.state.now.sign_ins[sign_in.token_hash].subject.groups == frozenset()

    play(world, scenario)


@pytest.mark.parametrize("is_first", [True, False])
def test_no_factors_count_before_their_record_is_on_the_disk(world: World, *, is_first: bool) -> None:
    async def scenario(world: World) -> None:
        if is_first:
            code = (await world.gate.subjects.add("ada", ("operators",), "uid 0")).code
        else:
            await world.enrol()
            code = (await world.gate.roster.invite("ada", "uid 0")).code
        before = await world.gate.store.account("ada")
        secret = (await world.gate.subjects.prepare(code, STATION)).secret
        world.recorder.is_healthy = False
        with pytest.raises(Unavailable):
            await world.gate.subjects.confirm(
                code, "another horse battery", pyotp.TOTP(secret).at(now_s(world)), STATION
            )
        assert await world.gate.store.account("ada") == before
        world.recorder.is_healthy = True
        await world.gate.subjects.confirm(code, "another horse battery", pyotp.TOTP(secret).at(now_s(world)), STATION)
        kind = RecordKind.SUBJECT_ENROLLED if is_first else RecordKind.FACTOR_RESET
        assert [each.subject for each in world.recorder.of(kind)] == ["ada"]

    play(world, scenario)


def now_s(world: World) -> int:
    return world.clock.wall_us // 1_000_000
