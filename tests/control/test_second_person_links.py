"""Decisions over the real link between control and a worker, on a Unix socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from control_world import World, play
from held_operations import FLOW, approving, asking, held

from penstock.bus.channel import Link, connect, listen
from penstock.bus.codec import Message
from penstock.control import HoldState
from penstock.model import (
    Done,
    Failed,
    Grant,
    HoldDecided,
    HoldEnded,
    HoldEnding,
    OperationHeld,
    RecordKind,
    Reply,
    Unavailable,
)

KEY = FLOW, 1
WHY = "work order 4711"


class FarWorker:
    """A worker in its own end of a link; `dies` when it hears a decision, or answers it."""

    def __init__(self, world: World, path: Path) -> None:
        self.world, self.path, self.heard = world, path, asyncio.Queue[Message]()
        self.link: Link
        self.dies = False
        self.decisions: list[HoldDecided] = []

    async def receive(self, link: Link, message: Message) -> Reply | None:
        """As the worker does: the end is told before the answer."""
        assert isinstance(message, HoldDecided)
        self.decisions.append(message)
        if self.dies:
            link.close()
            return None
        if message.hold != 1:
            return Failed(why="nothing of that name waits any more")
        ending = HoldEnding.FORWARDED if message.is_approved else HoldEnding.REFUSED
        link.send(HoldEnded(flow=message.flow, hold=message.hold, ending=ending, at_us=self.world.clock.wall_us))
        return Done()

    async def run(self, grant: Grant) -> asyncio.Task[None]:
        """Connect, and tell of one hold."""
        self.link = await connect(self.path, self.receive)
        running = asyncio.create_task(self.link.run())
        self.link.send(held(grant, 1, self.world.clock.wall_us, 600))
        await asyncio.wait_for(self.heard.get(), 5)
        return running


async def control(world: World, worker: FarWorker) -> asyncio.Server:
    """Control's end, as its process wires it; what it has heard is told to the test."""

    async def heard(link: Link, message: Message) -> None:
        assert isinstance(message, OperationHeld | HoldEnded)
        world.gate.holds.heard(link, message)
        worker.heard.put_nowait(message)

    return await listen(worker.path, heard, world.gate.holds.left)


@pytest.mark.parametrize("verb", ["approve", "refuse"])
def test_a_decision_goes_there_and_what_became_of_it_comes_back(world: World, tmp_path: Path, verb: str) -> None:
    async def scenario(world: World) -> None:
        _, grant = await asking(world)
        bob = await approving(world)
        worker = FarWorker(world, tmp_path / "c.sock")
        server = await control(world, worker)
        running = await worker.run(grant)
        second = world.gate.second_person
        found = await (second.approve if verb == "approve" else second.refuse)(KEY, bob, WHY)
        assert found.state is (HoldState.FORWARDED if verb == "approve" else HoldState.REFUSED)
        assert [(each.is_approved, each.decided_by) for each in worker.decisions] == [(verb == "approve", "bob@local")]
        worker.link.close()
        await running
        server.close()
        await server.wait_closed()

    play(world, scenario)


def test_a_worker_that_dies_with_a_decision_in_its_hands_leaves_nothing_waiting(world: World, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        _, grant = await asking(world)
        bob = await approving(world)
        worker = FarWorker(world, tmp_path / "c.sock")
        server = await control(world, worker)
        running = await worker.run(grant)
        worker.dies = True
        with pytest.raises(Unavailable, match="not known what became"):
            await world.gate.second_person.approve(KEY, bob, WHY)
        await running
        assert world.gate.holds.waiting == ()
        found = world.gate.holds.of(KEY)
        assert found is not None
        assert found.state is HoldState.WITHDRAWN
        (undone,) = world.recorder.of(RecordKind.OPERATION_DISAPPROVED)
        assert undone.detail["approved_by"] == "bob@local"
        server.close()
        await server.wait_closed()

    play(world, scenario)


def test_another_link_cannot_end_what_it_does_not_hold(world: World, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        _, grant = await asking(world)
        worker = FarWorker(world, tmp_path / "c.sock")
        server = await control(world, worker)
        running = await worker.run(grant)
        other = await connect(tmp_path / "c.sock", worker.receive)
        told = asyncio.create_task(other.run())
        other.send(HoldEnded(flow=FLOW, hold=1, ending=HoldEnding.FORWARDED, at_us=0))
        other.send(held(grant, 2, world.clock.wall_us, 600))
        for _ in range(2):
            await asyncio.wait_for(worker.heard.get(), 5)
        assert [each.state for each in world.gate.holds.waiting] == [HoldState.WAITING] * 2
        for link in (worker.link, other):
            link.close()
        await asyncio.gather(running, told)
        server.close()
        await server.wait_closed()

    play(world, scenario)
