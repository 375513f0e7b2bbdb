"""Break-glass at a whole gate: two people, a reason, an end."""

import pytest
from control_world import DOCUMENTS, SITE, STATION, World, play

from penstock.control import NotSignedIn, NotYet, SignedIn, SignInKind
from penstock.identity import Credentials
from penstock.model import Invalid, Reason, RecordKind, Unauthenticated, Unavailable

REASON = "the provider is down and filter 1 must be drained"
SEALED = {"site.yaml": SITE + "identity: {sources: {local: {kind: local, break_glass: {approval: sealed}}}}\n"}


async def add(world: World, name: str = "bg-1") -> None:
    invitation = await world.gate.roster.add_break_glass(name, ("operators",), "uid 0")
    world.secrets[name] = (await world.gate.subjects.prepare(invitation.code, STATION)).secret
    await world.gate.subjects.confirm(invitation.code, "correct horse battery", world.code(name), STATION)
    world.clock.pass_s(30)


async def is_refused(world: World, name: str = "bg-1") -> bool:
    credentials = Credentials(subject=name, password="correct horse battery", code=world.code(name), source=STATION)
    outcome = await world.gate.sign_ins.sign_in(credentials, SignInKind.CLIENT)
    world.clock.pass_s(30)
    return outcome == NotSignedIn()


def test_an_account_is_shut_until_a_second_person_opens_it_and_everything_ends_in_time(world: World) -> None:
    async def scenario(world: World) -> None:
        await add(world)
        glass = world.gate.break_glass
        assert await is_refused(world)
        assert world.recorder.of(RecordKind.SIGN_IN_REFUSED)[-1].reason == Reason.BREAK_GLASS_ENDED.value
        request = await glass.ask("bg-1", REASON, "ada")
        assert await is_refused(world)
        for by in ("ada", "bg-1"):
            with pytest.raises(Invalid, match="second person"):
                await glass.approve(request.number, by)
        assert await is_refused(world)
        await glass.approve(request.number, "bob")
        sign_in = await world.sign_in("bg-1")
        assert world.recorder.of(RecordKind.SIGNED_IN)[-1].detail["evidence"] == {"break_glass": str(request.number)}
        assert sign_in.expires_at_us <= world.clock.wall_us + 4 * 3600 * 1_000_000
        grant = await world.open(sign_in)
        world.clock.pass_s(4 * 3600 + 1)
        await world.gate.break_glass.sweep()
        assert grant.number not in world.enforcer.open
        assert glass.open == ()
        assert await is_refused(world)
        kinds = [each.kind.value for each in world.recorder.records if each.kind.value.startswith("break_glass.")]
        assert kinds == [
            "break_glass.asked",
            "break_glass.refused",
            "break_glass.refused",
            "break_glass.approved",
            "break_glass.opened",
            "break_glass.closed",
        ]
        assert all(
            each.detail["reason"] == REASON
            for each in world.recorder.records
            if each.kind in {RecordKind.BREAK_GLASS_OPENED, RecordKind.BREAK_GLASS_CLOSED}
        )
        (row,) = await glass.history()
        assert (row.by, row.opened_by, row.ended_by, row.reason) == ("ada", "bob", "the gate", REASON)

    play(world, scenario)


@pytest.mark.parametrize("reason", ["", "   ", "short", "x" * 600, "two\nlines of it"])
def test_without_a_reason_nothing_is_asked(world: World, reason: str) -> None:
    async def scenario(world: World) -> None:
        await add(world)
        with pytest.raises(Invalid, match="reason"):
            await world.gate.break_glass.ask("bg-1", reason, "ada")
        assert world.gate.break_glass.asked == ()

    play(world, scenario)


def test_only_a_break_glass_account_that_could_sign_in_is_asked_for_once(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await add(world)
        await world.gate.roster.add_break_glass("bg-2", (), "uid 0")
        for name in ("nobody", "ada", "bg-2"):
            with pytest.raises(Invalid):
                await world.gate.break_glass.ask(name, REASON, "bob")
        await world.gate.break_glass.ask("bg-1", REASON, "bob")
        with pytest.raises(Invalid, match="already"):
            await world.gate.break_glass.ask("bg-1", REASON, "eve")

    play(world, scenario)


def test_a_request_lapses_when_nobody_approves_it(world: World) -> None:
    async def scenario(world: World) -> None:
        await add(world)
        request = await world.gate.break_glass.ask("bg-1", REASON, "ada")
        world.clock.pass_s(3601)
        await world.gate.break_glass.sweep()
        with pytest.raises(Invalid, match="does not wait"):
            await world.gate.break_glass.approve(request.number, "bob")

    play(world, scenario)


def test_nothing_opens_while_the_evidence_cannot_be_written(world: World) -> None:
    async def scenario(world: World) -> None:
        await add(world)
        request = await world.gate.break_glass.ask("bg-1", REASON, "ada")
        world.recorder.is_healthy = False
        with pytest.raises(Unavailable):
            await world.gate.break_glass.approve(request.number, "bob")
        assert world.gate.break_glass.open == ()

    play(world, scenario)


def test_what_is_open_stays_open_over_a_restart_until_its_own_end(world: World) -> None:
    async def scenario(world: World) -> None:
        await add(world)
        request = await world.gate.break_glass.ask("bg-1", REASON, "ada")
        await world.gate.break_glass.approve(request.number, "bob")
        world.clock.pass_s(3 * 3600)
        await world.restart()
        await world.sign_in("bg-1")
        world.clock.pass_s(3601)
        await world.gate.break_glass.sweep()
        assert await is_refused(world)

    play(world, scenario)


def test_closing_it_early_ends_what_it_holds(world: World) -> None:
    async def scenario(world: World) -> None:
        await add(world)
        request = await world.gate.break_glass.ask("bg-1", REASON, "ada")
        await world.gate.break_glass.approve(request.number, "bob")
        grant = await world.open(await world.sign_in("bg-1"))
        await world.gate.break_glass.close(request.number, "ada")
        assert grant.number not in world.enforcer.open
        assert world.recorder.of(RecordKind.GRANT_CLOSED)[-1].reason == Reason.BREAK_GLASS_ENDED.value
        assert await is_refused(world)

    play(world, scenario)


def test_a_sealed_code_opens_once_with_both_halves_and_a_reason_where_the_site_says_so(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.start(SEALED)
        await add(world)
        glass = world.gate.break_glass
        first, second = await glass.seal("bg-1", "uid 0")
        assert first != second
        bad = [(first, first), (second, second), (first, "AAAA-BBBB-CCCC"), ("", ""), (first + second, "")]
        for halves in bad:
            with pytest.raises(Unauthenticated, match="account or code"):
                await glass.unseal("bg-1", halves, REASON, "10.66.0.1")
        with pytest.raises(Unauthenticated, match="account or code"):
            await glass.unseal("nobody", (first, second), REASON, "10.66.0.1")
        with pytest.raises(Invalid, match="reason"):
            await glass.unseal("bg-1", (first, second), "", STATION)
        assert await is_refused(world)
        opened = await glass.unseal("bg-1", (second.lower(), f" {first} "), REASON, STATION)
        await world.sign_in("bg-1")
        await glass.close(opened.number, "uid 0")
        with pytest.raises(Unauthenticated):
            await glass.unseal("bg-1", (first, second), REASON, STATION)
        assert first.replace("-", "") not in (world.folder / "state.db").read_bytes().decode("latin1")

    play(world, scenario, is_started=False)


def test_without_the_sites_word_there_is_no_sealed_code(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.start(SEALED)
        await add(world)
        halves = await world.gate.break_glass.seal("bg-1", "uid 0")
        await world.gate.revisions.apply(DOCUMENTS, "uid 0")
        with pytest.raises(Unauthenticated):
            await world.gate.break_glass.unseal("bg-1", halves, REASON, STATION)
        with pytest.raises(Invalid, match="two people"):
            await world.gate.break_glass.seal("bg-1", "uid 0")

    play(world, scenario, is_started=False)


def test_a_stranger_who_guesses_at_the_envelopes_shuts_them_for_nobody_else(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.start(SEALED)
        await add(world)
        glass = world.gate.break_glass
        halves = await glass.seal("bg-1", "uid 0")
        for number in range(120):
            world.clock.pass_s(901)
            with pytest.raises(Unauthenticated):
                await glass.unseal("bg-1", ("AAAA-BBBB-CCCC", "AAAA-BBBB-DDDD"), REASON, f"10.66.{number}.1")
        for _ in range(40):
            with pytest.raises(Unauthenticated):
                await glass.unseal("bg-1", ("AAAA-BBBB-CCCC", "AAAA-BBBB-DDDD"), REASON, "10.66.0.1")
        with pytest.raises(NotYet, match="try again in"):
            await glass.unseal("bg-1", halves, REASON, "10.66.0.1")
        await glass.unseal("bg-1", halves, REASON, "10.20.0.77")
        assert glass.is_open("bg-1")

    play(world, scenario, is_started=False)


def test_strangers_who_guess_at_an_account_keep_nobody_out_of_it_while_two_people_hold_it_open(world: World) -> None:
    async def scenario(world: World) -> None:
        await add(world)

        async def tried(source: str, password: str = "correct horse battery") -> object:
            credentials = Credentials(subject="bg-1", password=password, code=world.code("bg-1"), source=source)
            return await world.gate.sign_ins.sign_in(credentials, SignInKind.CLIENT)

        async def guess() -> None:
            for number in range(20):
                await tried(f"10.66.{number}.1", "a wrong one, for sure")

        await guess()
        assert await tried("10.20.0.77") != NotSignedIn(), "as on every account, from where nobody knows it"
        request = await world.gate.break_glass.ask("bg-1", REASON, "ada")
        await world.gate.break_glass.approve(request.number, "bob")
        await guess()
        assert isinstance(await tried("10.20.0.77"), SignedIn)
        assert {each.detail["counted_by"] for each in world.recorder.of(RecordKind.SUBJECT_LOCKED)} == {"account"}

    play(world, scenario)


def test_no_envelopes_are_sealed_for_an_account_that_nobody_could_sign_in_with(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.start(SEALED)
        await world.gate.roster.add_break_glass("bg-1", ("operators",), "uid 0")
        with pytest.raises(Invalid, match="never enrolled"):
            await world.gate.break_glass.seal("bg-1", "uid 0")

    play(world, scenario, is_started=False)
