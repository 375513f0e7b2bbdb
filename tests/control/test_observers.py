"""Control's side of the observer: what it is told, and what passed while there was none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from control_world import SITE, S, World, play

from penstock.control.observers import NO_OBSERVER, UNCOUNTED, Observers, copied
from penstock.model import (
    Command,
    CountTraffic,
    Done,
    Failed,
    Hello,
    ObserveGrants,
    PayloadLost,
    PayloadStored,
    RecordKind,
    Reply,
    Traffic,
    TrafficCounted,
    Unavailable,
)

#: The historian's conduit, with its packets copied instead of inspected.
COPIED = SITE.replace(
    "address: 10.20.10.12, services: {modbus: 502}", "address: 10.20.10.12, services: {modbus: 502, sql: 5432}"
).replace(
    "    to: {asset: plc-dosing}\n    allow: {modbus: [read]}\n",
    "    to: {asset: plc-dosing}\n    allow: {tcp/5432: any}\n    record: payload\n",
)


class FakeLink:
    """An observer's end."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.is_open = self.is_there = True

    async def ask(self, message: Any) -> Done:
        await asyncio.sleep(0)
        if not self.is_there:
            raise Unavailable("the other process is gone")
        self.told.append(message)
        return Done()

    def close(self) -> None:
        self.is_open = False


class Scene:
    """A gate with a copied grant, whose packets a test counts."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.packets = world, 0
        self.observers = Observers(world.gate, world.recorder, world.clock)
        command = world.enforcer.command

        async def counting(asked: Command) -> Reply:
            if not isinstance(asked, CountTraffic):
                return await command(asked)
            running = Traffic(flows=1, packets=self.packets, bytes=self.packets * 100)
            counted = TrafficCounted(open={self.number: running}, is_all=True, at_us=world.clock.wall_us)
            world.clock.pass_s(1)
            world.gate.events.records_of(counted)
            return Done()

        monkeypatch.setattr(world.enforcer, "command", counting)
        self.number = world.machine("historian").number

    def join(self, *, is_fresh: bool = True) -> FakeLink:
        link = FakeLink()
        self.observers.joined(link, Hello(role="observer", mark=int(is_fresh)))  # type: ignore[arg-type]
        return link

    async def until(self, look: Callable[[], bool]) -> None:
        """Let control follow until something is so."""
        task = asyncio.create_task(self.observers.follow())
        try:
            async with asyncio.timeout(20):
                while not look():
                    assert not task.done(), task
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def lost(self) -> list[Any]:
        return self.world.recorder.of(RecordKind.PAYLOAD_LOST)


def run(world: World, monkeypatch: pytest.MonkeyPatch, scenario: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def whole(world: World) -> None:
        await world.start({"site.yaml": COPIED})
        await scenario(Scene(world, monkeypatch))

    play(world, whole, is_started=False)


def test_an_observer_is_told_of_copied_grants_and_of_every_change(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(scene: Scene) -> None:
        link = scene.join()
        await scene.until(lambda: bool(link.told))
        (told,) = link.told
        assert isinstance(told, ObserveGrants)
        assert [grant.subject.name for grant in told.grants] == ["historian"]
        assert told.stored == (scene.number,)
        assert told == copied(scene.world.gate)
        await scene.world.gate.revisions.apply({"site.yaml": SITE}, "uid 0")
        await scene.until(lambda: len(link.told) == 2)
        assert link.told[1] == ObserveGrants(grants=(), stored=())

    run(world, monkeypatch, scenario)


def test_what_passed_while_no_observer_ran_is_on_record_with_the_kernels_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(scene: Scene) -> None:
        first = scene.join(is_fresh=False)
        await scene.until(lambda: bool(first.told))
        scene.packets = 1000
        scene.observers.left(first)  # type: ignore[arg-type]
        await scene.until(lambda: scene.observers.is_counted)
        scene.packets = 1234
        second = scene.join()
        await scene.until(lambda: bool(second.told))
        (lost,) = scene.lost()
        assert (lost.grant, lost.detail["count"], lost.detail["why"]) == (scene.number, 234, NO_OBSERVER)
        assert lost.detail["from_us"] < lost.detail["until_us"]
        assert not lost.detail["is_stored"]

    run(world, monkeypatch, scenario)


def test_an_interval_in_which_nothing_passed_is_no_loss(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene) -> None:
        scene.packets = 50
        first = scene.join(is_fresh=False)
        await scene.until(lambda: bool(first.told))
        scene.observers.left(first)  # type: ignore[arg-type]
        await scene.until(lambda: scene.observers.is_counted)
        second = scene.join()
        await scene.until(lambda: bool(second.told))
        assert scene.lost() == []

    run(world, monkeypatch, scenario)


@pytest.mark.parametrize(("is_fresh", "packets", "losses"), [(True, 9, 1), (True, 0, 0), (False, 9, 0)])
def test_a_control_that_begins_says_what_it_cannot_know(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_fresh: bool, packets: int, losses: int
) -> None:
    """Flows that ran before both: something is missing; an observer that outlived control saw them."""

    async def scenario(scene: Scene) -> None:
        scene.packets = packets
        link = scene.join(is_fresh=is_fresh)
        await scene.until(lambda: bool(link.told))
        assert [(lost.detail["count"], lost.detail["why"]) for lost in scene.lost()] == [(None, UNCOUNTED)] * losses

    run(world, monkeypatch, scenario)


def test_a_report_is_done_when_its_record_is_on_the_disk_and_not_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = PayloadStored(
        grant=7,
        subject="historian",
        asset="plc-dosing",
        first_us=S,
        last_us=2 * S,
        packets=10,
        bytes=600,
        sha256="ab" * 32,
        size_bytes=1000,
        was_recovered=True,
        at_us=3 * S,
    )
    lost = PayloadLost(grant=0, count=5, why="w", is_stored=True, from_us=1, until_us=2, at_us=3)

    async def scenario(scene: Scene) -> None:
        scene.world.recorder.is_healthy = False
        assert isinstance(await scene.observers.receive(stored), Failed)
        assert scene.world.recorder.of(RecordKind.PAYLOAD_STORED) == []
        scene.world.recorder.is_healthy = True
        assert await scene.observers.receive(stored) == Done()
        assert await scene.observers.receive(lost) == Done()
        (record,) = scene.world.recorder.of(RecordKind.PAYLOAD_STORED)
        assert (record.grant, record.subject, record.asset) == (7, "historian", "plc-dosing")
        assert record.detail["sha256"] == "ab" * 32
        assert record.detail["was_recovered"]
        (record,) = scene.lost()
        assert (record.grant, record.detail["count"], record.detail["is_stored"]) == (None, 5, True)

    run(world, monkeypatch, scenario)


def test_an_observer_that_does_not_answer_is_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene) -> None:
        link = scene.join()
        link.is_there = False
        await scene.until(lambda: not link.is_open)

    run(world, monkeypatch, scenario)


def test_a_conduit_with_a_latency_budget_is_copied_to_be_measured_but_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the kernel path times are read from copies; what nobody asked to record is not stored."""
    measured = SITE.replace("    approved_by: safety", "    latency_budget: 5ms\n    approved_by: safety")

    async def scenario(scene: Scene) -> None:
        gate = scene.world.gate
        await gate.revisions.apply({"site.yaml": measured}, "uid 0")
        wanted = copied(gate)
        assert [grant.subject.name for grant in wanted.grants] == ["scada-1"]
        assert wanted.stored == ()
        ruleset = scene.world.enforcer.ruleset
        assert ruleset is not None
        assert ruleset.has_copies

    run(world, monkeypatch, scenario)
