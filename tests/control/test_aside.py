import asyncio
from typing import Any

import pytest
from control_world import DOCUMENTS, SITE, World, play

from penstock.model import Invalid, RecordKind, Unavailable

SAFETY, CLOSED = "SCADA polls the filters", "The historian reads the dosing rate"


def test_a_safety_critical_conduit_stands_aside_after_its_record_and_comes_back_when_told(world: World) -> None:
    async def scenario(world: World) -> None:
        number, historian = world.machine("scada-1").number, world.machine("historian").number
        world.steps.clear()
        assert await world.gate.aside.stand_aside(SAFETY, "over budget for 30 s")
        assert world.steps == ["record conduit.stood_aside", "enforcer StandAside"]
        assert world.enforcer.aside == {number}
        assert [each.why for each in world.gate.aside.standing] == ["over budget for 30 s"]
        (record,) = world.recorder.of(RecordKind.STOOD_ASIDE)
        assert (record.detail["conduit"], record.detail["by"], record.detail["grants"]) == (
            SAFETY,
            "the gate",
            [number],
        )
        assert not await world.gate.aside.stand_aside(SAFETY, "again")
        assert await world.gate.aside.stand_back(SAFETY, "uid 0")
        assert world.enforcer.aside == set()
        assert world.recorder.of(RecordKind.STOOD_BACK)[0].detail["by"] == "uid 0"
        assert not await world.gate.aside.stand_back(SAFETY, "uid 0")
        assert historian not in world.enforcer.aside

    play(world, scenario)


def test_what_stands_aside_does_so_over_a_restart_and_in_every_ruleset(world: World) -> None:
    async def scenario(world: World) -> None:
        number = world.machine("scada-1").number
        await world.gate.aside.stand_aside(SAFETY, "told to", "uid 0")
        world.enforcer.aside.clear()
        await world.restart()
        assert world.enforcer.aside == {number}
        await world.gate.revisions.apply({"site.yaml": SITE + "# again\n"}, "uid 0")
        assert world.enforcer.aside == {number}
        await world.gate.aside.stand_back(SAFETY, "uid 0")
        await world.restart()
        assert (world.enforcer.aside, world.gate.aside.standing) == (set(), ())

    play(world, scenario)


@pytest.mark.parametrize("conduit", [CLOSED, "no such conduit"])
def test_a_conduit_that_fails_closed_or_is_not_there_never_stands_aside(world: World, conduit: str) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(Invalid):
            await world.gate.aside.stand_aside(conduit, "over budget")
        assert world.enforcer.aside == set()
        assert world.recorder.of(RecordKind.STOOD_ASIDE) == []

    play(world, scenario)


def test_without_evidence_nothing_stands_aside_or_back(world: World) -> None:
    async def scenario(world: World) -> None:
        world.recorder.is_healthy = False
        with pytest.raises(Unavailable):
            await world.gate.aside.stand_aside(SAFETY, "over budget")
        assert (world.enforcer.aside, world.gate.aside.standing) == (set(), ())
        world.recorder.is_healthy = True
        await world.gate.aside.stand_aside(SAFETY, "over budget")
        world.recorder.is_healthy = False
        with pytest.raises(Unavailable):
            await world.gate.aside.stand_back(SAFETY, "uid 0")
        assert world.enforcer.aside == {world.machine("scada-1").number}
        assert world.gate.aside.of(SAFETY) is not None

    play(world, scenario)


def test_when_the_kernel_does_not_take_it_the_record_says_that_it_was_undone(world: World) -> None:
    async def scenario(world: World) -> None:
        world.enforcer.failing.add("StandAside")
        with pytest.raises(Unavailable):
            await world.gate.aside.stand_aside(SAFETY, "over budget")
        assert world.recorder.of(RecordKind.STOOD_BACK)[0].detail["why"] == "undone: StandAside failed"
        await world.restart()
        assert world.enforcer.aside == set()

    play(world, scenario)


def test_a_revision_that_closes_the_conduit_ends_its_standing_aside(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.gate.aside.stand_aside(SAFETY, "over budget")
        closed = SITE.replace("    on_failure: open\n    approved_by: safety.officer@riverside\n", "")
        await world.gate.revisions.apply({"site.yaml": closed}, "uid 0")
        assert world.enforcer.aside == set(), "the kernel hears of it with the ruleset"
        await world.gate.sweep()
        assert world.gate.aside.standing == ()
        assert world.recorder.of(RecordKind.STOOD_BACK)[0].detail["by"] == "revision 2"
        await world.gate.revisions.apply(DOCUMENTS, "uid 0")
        assert world.enforcer.aside == set()

    play(world, scenario)


def test_a_machine_that_a_revision_adds_to_it_stands_aside_with_it(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.gate.aside.stand_aside(SAFETY, "over budget")
        scada = "  scada-2: {zone: control-room, role: scada, address: 10.20.0.14}\n  historian:"
        await world.gate.revisions.apply({"site.yaml": SITE.replace("  historian:", scada)}, "uid 0")
        assert world.enforcer.aside == {world.machine("scada-1").number, world.machine("scada-2").number}

    play(world, scenario)


def test_what_the_store_does_not_forget_stays_aside_in_the_kernel_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        await world.gate.aside.stand_aside(SAFETY, "over budget")
        aside = set(world.enforcer.aside)

        async def full(_conduit: str) -> None:
            raise Unavailable("disk full")

        monkeypatch.setattr(world.gate.aside._store, "remove_aside", full)
        with pytest.raises(Unavailable, match="disk full"):
            await world.gate.aside.stand_back(SAFETY, "uid 0")
        assert world.gate.aside.of(SAFETY) is not None
        assert world.enforcer.aside == aside, "the register says that it stands aside"
        monkeypatch.undo()
        await world.restart()
        assert world.gate.aside.of(SAFETY) is not None

    play(world, scenario)


def test_what_the_kernel_does_not_bring_back_stands_aside_after_a_restart_too(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.gate.aside.stand_aside(SAFETY, "over budget")
        world.enforcer.failing.add("StandBack")
        with pytest.raises(Unavailable):
            await world.gate.aside.stand_back(SAFETY, "uid 0")
        world.enforcer.failing.clear()
        await world.restart()
        assert world.gate.aside.of(SAFETY) is not None
        assert world.enforcer.aside == {world.machine("scada-1").number}

    play(world, scenario)


def test_a_conduit_that_is_called_back_while_a_revision_closes_it_ends_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        await world.gate.aside.stand_aside(SAFETY, "over budget")
        closed = SITE.replace("    on_failure: open\n    approved_by: safety.officer@riverside\n", "")
        await world.gate.revisions.apply({"site.yaml": closed}, "uid 0")
        write, sweeping = world.recorder.write, list[asyncio.Task[None]]()

        async def meanwhile(records: Any, **options: Any) -> range:
            sweeping.append(asyncio.create_task(world.gate.aside.sweep()))
            await asyncio.sleep(0)
            return await write(records, **options)

        monkeypatch.setattr(world.recorder, "write", meanwhile)
        assert await world.gate.aside.stand_back(SAFETY, "uid 0")
        await sweeping[0]
        assert world.gate.aside.standing == ()
        assert len(world.recorder.of(RecordKind.STOOD_BACK)) == 1

    play(world, scenario)
