"""A flood of sign-ins at a whole gate: the owner signs in, the evidence stays small."""

from control_world import STATION, World, play

from penstock.control import NotSignedIn, SignedIn, SignInKind
from penstock.identity import Credentials
from penstock.model import RecordKind


def wrong(source: str, name: str = "ada") -> Credentials:
    return Credentials(subject=name, password="not this one at all", code="000000", source=source)


def test_a_flood_from_one_and_from_many_addresses_neither_fills_the_evidence_nor_keeps_the_owner_out(
    world: World,
) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        before = len(world.recorder.records)
        for n in range(1500):
            source = "10.66.0.9" if n % 2 else f"10.66.{n % 7}.{n % 250}"
            outcome = await world.gate.sign_ins.sign_in(wrong(source), SignInKind.PORTAL)
            assert isinstance(outcome, NotSignedIn)
            if n % 100 == 0:
                world.clock.pass_s(1)
                await world.gate.sweep()
        proof = Credentials(subject="ada", password="correct horse battery", code=world.code(), source=STATION)
        assert isinstance(await world.gate.sign_ins.sign_in(proof, SignInKind.PORTAL), SignedIn)
        world.clock.pass_s(11)
        await world.gate.sweep()
        refused = list(world.recorder.of(RecordKind.SIGN_IN_REFUSED))
        sums = [each.detail["attempts"] for each in refused if "attempts" in each.detail]
        looked_at = len(refused) - len(sums)
        assert sum(int(str(each)) for each in sums) + looked_at == 1500
        assert len(sums) <= 4
        assert len(world.recorder.records) - before < 60

    play(world, scenario)


def test_a_hundred_failures_of_strangers_end_with_a_word_of_an_administrator_or_the_owners_sign_in(
    world: World,
) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        for n in range(130):
            world.clock.pass_s(901)
            await world.gate.sign_ins.sign_in(wrong(f"10.66.1.{n}"), SignInKind.PORTAL)
        refused = [each for each in world.recorder.of(RecordKind.SIGN_IN_REFUSED) if "attempts" not in each.detail]
        assert len(refused) == 100
        await world.gate.store.forget_old(world.clock.wall_us)
        world.clock.pass_s(86_400 * 3)
        stranger = "10.66.2.1"
        assert isinstance(await world.gate.sign_ins.sign_in(wrong(stranger), SignInKind.PORTAL), NotSignedIn)
        assert len([e for e in world.recorder.of(RecordKind.SIGN_IN_REFUSED) if "attempts" not in e.detail]) == 100
        await world.sign_in()
        proof = Credentials(subject="ada", password="correct horse battery", code=world.code(), source=stranger)
        assert isinstance(await world.gate.sign_ins.sign_in(proof, SignInKind.PORTAL), SignedIn)

    play(world, scenario)


def test_where_an_account_is_known_outlives_a_restart_of_control(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await world.restart()
        assert await world.gate.turnstile.knows("ada", STATION, world.clock.wall_us)
        assert not await world.gate.turnstile.knows("ada", "10.20.0.99", world.clock.wall_us)

    play(world, scenario)


def test_an_administrators_word_counts_for_an_account_of_a_directory_too(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol("eve@corp")
        turnstile = world.gate.directories_turnstile
        waits = []
        for n in range(102):
            world.clock.pass_s(901)
            async with turnstile.enter("eve@corp", f"10.66.3.{n}", world.clock.wall_us) as entry:
                waits.append(entry.wait_s)
        assert (waits[:100], waits[100:]) == ([0] * 100, [900, 900])
        await world.gate.subjects.suspend("eve@corp", "uid 0")
        await world.gate.subjects.resume("eve@corp", "uid 0")
        async with turnstile.enter("eve@corp", "10.66.4.1", world.clock.wall_us) as entry:
            assert entry.wait_s == 0

    play(world, scenario)
