"""The end of many grants at once: one cut, one message to the workers, few writes; and nothing left half done."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from control_world import World, play

from penstock.control import LiveGrant
from penstock.model import Grant, Reason, RecordKind, Unavailable

STATIONS = ("10.20.0.50", "10.20.0.51", "10.20.0.52")


async def several(world: World) -> tuple[Grant, ...]:
    sign_in = await world.signed_in()
    return tuple([await world.open(sign_in, source=source) for source in STATIONS])


def test_a_subject_that_is_suspended_loses_all_grants_in_one_cut(world: World) -> None:
    async def scenario(world: World) -> None:
        numbers = {grant.number for grant in await several(world)}
        world.steps.clear()
        assert await world.gate.subjects.suspend("ada", "uid 0") == 3
        assert world.steps == [
            "enforcer CloseGrants",
            "worker WithdrawGrants",
            *["record grant.closed"] * 3,
            "record subject.suspended",
        ]
        assert not numbers & (world.enforcer.open.keys() | world.workers.grants.keys())
        await world.restart()
        assert not numbers & world.gate.state.now.grants.keys()

    play(world, scenario)


def test_who_signs_out_loses_all_grants_in_one_cut(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        for source in STATIONS:
            await world.open(sign_in, source=source)
        world.steps.clear()
        await world.gate.sign_ins.sign_out(sign_in)
        assert world.steps[:2] == ["enforcer CloseGrants", "worker WithdrawGrants"]

    play(world, scenario)


def test_what_the_kernel_did_not_take_is_cut_again_with_one_command_and_told_until_then(world: World) -> None:
    async def scenario(world: World) -> None:
        numbers = tuple(grant.number for grant in await several(world))
        world.enforcer.failing = {"CloseGrants"}
        ended = await world.gate.grants.end(numbers, Reason.GRANT_REVOKED, "uid 0")
        assert ended.troubles == {"not_cut_yet": "CloseGrants failed"}
        assert world.gate.grants.uncut == set(numbers)
        assert set(numbers) <= world.enforcer.open.keys()
        assert not set(numbers) & world.workers.grants.keys(), "the workers do not wait for the kernel"
        closed = world.recorder.of(RecordKind.GRANT_CLOSED)[-3:]
        assert [record.detail["not_cut_yet"] for record in closed] == ["CloseGrants failed"] * 3
        await world.gate.sweep()
        assert world.gate.grants.uncut == set(numbers)
        world.enforcer.failing = set()
        world.steps.clear()
        await world.gate.sweep()
        assert world.steps == ["enforcer CloseGrants"]
        assert world.gate.grants.uncut == set()
        assert not set(numbers) & world.enforcer.open.keys()

    play(world, scenario)


def test_an_enforcer_that_hangs_does_not_keep_the_workers_from_ending_flows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        grant = (await several(world))[0]
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        withdrawn = asyncio.Event()
        publish = world.workers.publish

        async def hang(_: object) -> None:
            await answer

        async def told(publication: Any) -> None:
            await publish(publication)
            withdrawn.set()

        monkeypatch.setattr("penstock.control.closing.PATIENCE_S", 0.001)
        monkeypatch.setattr(world.enforcer, "command", hang)
        monkeypatch.setattr(world.workers, "publish", told)
        ending = asyncio.create_task(world.gate.grants.end((grant.number,), Reason.GRANT_REVOKED))
        await asyncio.wait_for(withdrawn.wait(), 5)
        assert not ending.done()
        answer.set_exception(Unavailable("the other process did not answer in time"))
        assert (await ending).troubles == {"not_cut_yet": "the other process did not answer in time"}

    play(world, scenario)


def test_a_cut_waits_for_no_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the state's nor that of the evidence: both are written after or beside the cut."""

    async def scenario(world: World) -> None:
        numbers = tuple(grant.number for grant in await several(world))
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def slow(*_: object) -> None:
            await written

        monkeypatch.setattr(world.gate.store, "close_grants", slow)
        world.recorder.is_healthy = False
        ending = asyncio.create_task(world.gate.grants.end(numbers, Reason.GRANT_REVOKED))
        while set(numbers) & (world.enforcer.open.keys() | world.workers.grants.keys()):
            assert not ending.done()
            await asyncio.sleep(0)
        written.set_result(None)
        await ending

    play(world, scenario)


@pytest.mark.parametrize("step", ["OpenGrant", "PublishGrant"])
def test_who_is_suspended_while_the_kernel_opens_a_grant_has_nothing_open_when_that_is_acknowledged(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        owner, name = (world.enforcer, "command") if step == "OpenGrant" else (world.workers, "publish")
        carried_out = getattr(owner, name)
        left: list[set[int]] = []

        async def meanwhile(message: Any) -> None:
            if type(message).__name__ == step and not left:
                left.append(set())
                suspending = asyncio.create_task(world.gate.subjects.suspend("ada", "uid 0"))
                await carried_out(message)  # it is on its way already: commands keep their order
                await suspending
                left[0] |= {n for n, grant in world.enforcer.open.items() if grant.subject.name == "ada"}
                return
            await carried_out(message)

        monkeypatch.setattr(owner, name, meanwhile)
        with pytest.raises(Unavailable):
            await world.ask(sign_in)
        assert left == [set()]
        assert not [g for g in (*world.enforcer.open.values(), *world.workers.grants.values()) if g.source in STATIONS]
        assert len(world.recorder.of(RecordKind.GRANT_CLOSED)) == 1

    play(world, scenario)


def test_ten_thousand_ends_are_one_transaction_of_the_state(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        live = next(iter(world.gate.state.now.grants.values()))
        numbers = range(1000, 11_000)
        for number in numbers:
            grant = LiveGrant(grant=_numbered(live.grant, number), boot="boot-1", ends_steady_us=1 << 60)
            world.gate.state.put_grant(grant)
        transactions = []
        run = world.gate.store._run

        async def counted(work: Any) -> Any:
            transactions.append(work)
            return await run(work)

        monkeypatch.setattr(world.gate.store, "_run", counted)
        world.steps.clear()
        assert await world.gate.grants.close_all(tuple(numbers), Reason.GRANT_REVOKED) == 10_000
        assert len(transactions) == 1
        assert world.steps[:2] == ["enforcer CloseGrants", "worker WithdrawGrants"]

    play(world, scenario)


def _numbered(grant: Grant, number: int) -> Grant:
    return replace(grant, number=number)
