"""Latency from what the processes tell to what follows, in a gate in memory."""

from __future__ import annotations

import pytest
from control_world import DOCUMENTS, World, play
from measuring import BUDGETED, FAST, OPERATORS, POLLS, SLOW, latency, now, second, worker

from penstock.control.conduits import Way
from penstock.control.latency import Path, Window
from penstock.model import (
    KernelFlowClosed,
    KernelFlowOpened,
    KernelFlowsFolded,
    LatencyMeasured,
    RecordKind,
    StandAside,
    StandBack,
    Traffic,
    TrafficCounted,
    WorkerMeasured,
)


@pytest.fixture
def budgeted(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setitem(DOCUMENTS, "site.yaml", BUDGETED)
    return world


def test_figures_are_those_of_the_window_and_the_path(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        await second(world, latency(fast=98, slow=2))
        world.clock.pass_s(120)
        await second(world, latency(fast=10), latency(fast=5, path="kernel"))
        shown = now(world)
        counts = {w: shown.of(Path.INSPECTED, w).own.count for w in Window}
        assert counts == {Window.MINUTE: 10, Window.TEN_MINUTES: 110, Window.START: 110}
        assert shown.of(Path.INSPECTED, Window.TEN_MINUTES).over == 2
        ten = shown.of(Path.INSPECTED, Window.TEN_MINUTES).total
        assert (ten.p50_us, ten.worst_us) == (101, 9_215)
        assert (shown.of(Path.KERNEL, Window.START).total.count, shown.of(Path.KERNEL, Window.START).own.count) == (
            5,
            0,
        )
        world.clock.pass_s(700)
        assert now(world).of(Path.INSPECTED, Window.TEN_MINUTES).own.count == 0
        assert now(world).of(Path.INSPECTED, Window.START).own.count == 110

    play(budgeted, scenario)


def test_over_budget_is_told_at_once_and_then_each_minute_with_the_figures_of_that_minute_until_it_is_over(
    budgeted: World,
) -> None:
    async def scenario(world: World) -> None:
        for n in range(190):
            await second(world, latency(fast=1000, slow=1 if n < 65 else 0))
        records = [r for r in world.recorder.records if r.kind.value.startswith("latency.")]
        assert [r.kind for r in records] == [RecordKind.LATENCY_EXCEEDED] * 3 + [RecordKind.LATENCY_RESTORED]
        told = [(r.detail["over"], r.detail["count"]) for r in records[:3]]
        assert told == [(1, 1001), (60, 60 * 1001), (4, 60 * 1000 + 4)]
        assert {r.detail["since_us"] for r in records} == {records[0].at_us}
        then = records[1].detail
        assert (then["conduit"], then["path"], then["measured"], then["budget_us"]) == (POLLS, "inspected", "own", 5000)
        assert then["p50_us"] == 101
        assert then["worst_us"] == 9_215

    play(budgeted, scenario)


def test_a_conduit_without_a_budget_is_measured_and_never_over(world: World) -> None:
    async def scenario(world: World) -> None:
        await second(world, latency(slow=100))
        assert world.recorder.of(RecordKind.LATENCY_EXCEEDED) == []
        assert (now(world).budget_us, now(world).of(Path.INSPECTED, Window.START).over) == (None, None)
        assert now(world).of(Path.INSPECTED, Window.START).own.count == 100

    play(world, scenario)


def test_a_safety_critical_conduit_steps_aside_when_too_many_are_over_and_comes_back_only_when_told(
    budgeted: World,
) -> None:
    async def scenario(world: World) -> None:
        await second(world, latency(fast=1000, slow=2))
        assert world.gate.aside.of(POLLS) is None
        await second(world, latency(fast=0, slow=30))
        aside = world.gate.aside.of(POLLS)
        assert aside is not None
        assert aside.why == "32 of 1032 transactions of the last 10 s took longer than 5 ms in the gate"
        (record,) = world.recorder.of(RecordKind.STOOD_ASIDE)
        assert (record.detail["conduit"], record.detail["by"]) == (POLLS, "the latency budget")
        assert f"enforcer {StandAside.__name__}" in world.steps
        assert now(world).way is Way.ASIDE
        for _ in range(30):
            await second(world, latency(fast=100))
        assert now(world).way is Way.ASIDE, "nothing brings it back but people"
        assert await world.gate.aside.stand_back(POLLS, "uid 0")
        assert f"enforcer {StandBack.__name__}" in world.steps
        for _ in range(15):
            await second(world, latency(fast=100))
        assert now(world).way is Way.INSPECTED
        assert len(world.recorder.of(RecordKind.STOOD_ASIDE)) == 1

    play(budgeted, scenario)


def test_a_conduit_that_came_back_is_not_judged_by_what_was_before(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        await second(world, latency(slow=500))
        assert now(world).way is Way.ASIDE
        await world.gate.aside.stand_back(POLLS, "uid 0")
        await second(world)
        assert now(world).way is Way.INSPECTED
        await second(world, latency(slow=500))
        assert now(world).way is Way.ASIDE

    play(budgeted, scenario)


def test_a_worker_that_is_alive_but_tells_nothing_counts_as_over_budget(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        await second(world)
        await second(world, is_worker_heard=False)
        await second(world, is_worker_heard=False)
        assert now(world).way is Way.INSPECTED
        await second(world, is_worker_heard=False)
        assert now(world).way is Way.ASIDE
        assert now(world).why == "the worker is alive, but has told nothing for 3.0 s"

    play(budgeted, scenario)


def test_a_worker_that_is_dead_is_the_dead_man_switch_s_and_not_the_budget_s(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        await second(world)
        world.workers.is_alive = False
        for _ in range(10):
            await second(world, is_worker_heard=False)
        assert now(world).way is Way.INSPECTED

    play(budgeted, scenario)


def test_an_event_loop_that_lags_again_and_again_is_enough(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        for _ in range(3):
            await second(world, worker(world, lag={SLOW: 20}), is_worker_heard=False)
        assert now(world).way is Way.ASIDE
        assert "waits longer than 5 ms" in now(world).why

    play(budgeted, scenario)


def test_a_conduit_that_nobody_uses_gains_nothing_by_stepping_aside(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        for _ in range(10):
            await second(world, worker(world, lag={SLOW: 20}, flows=False), is_worker_heard=False)
        assert now(world).way is Way.INSPECTED

    play(budgeted, scenario)


def test_a_kernel_that_does_not_take_it_is_asked_again_but_not_every_second(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        world.enforcer.failing.add("StandAside")
        for _ in range(12):
            await second(world, latency(slow=50))
        assert 1 <= world.steps.count("enforcer StandAside") <= 2
        assert now(world).way is Way.INSPECTED
        world.enforcer.failing.clear()
        for _ in range(12):
            await second(world, latency(slow=50))
        assert now(world).way is Way.ASIDE

    play(budgeted, scenario)


def test_on_the_kernel_path_the_whole_is_held_against_the_budget_and_the_record_says_so(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        await second(world, latency(slow=500, path="kernel"))
        (record,) = world.recorder.of(RecordKind.LATENCY_EXCEEDED)
        assert (record.detail["path"], record.detail["measured"]) == ("kernel", "total")
        assert now(world).way is Way.INSPECTED, "inspection is not what is slow there"

    play(budgeted, scenario)


def test_what_cannot_be_is_not_believed(budgeted: World) -> None:
    """A worker parses hostile bytes."""

    async def scenario(world: World) -> None:
        strange = {-1: 5, 10_000: 5, FAST: -3, SLOW: 1 << 60}
        event = LatencyMeasured(conduit=POLLS, path="inspected", total=strange, own=strange, at_us=0)
        await second(world, event, latency("no such conduit", slow=5), latency(slow=5, path="elsewhere"))
        number = world.machine("scada-1").number
        strange_worker = WorkerMeasured(
            mark=1, pid=1, lag=strange, flows={number: -1, 999: 5}, queues={"nowhere": 5, "plc-filter-1": -1}, at_us=0
        )
        world.gate.events.records_of(strange_worker)
        assert (world.gate.overload.queues, now(world).flows[Path.INSPECTED]) == ({}, 0)
        assert set(world.gate.overload.lag) == {5}
        assert now(world).of(Path.INSPECTED, Window.START).total.count == 0
        assert world.recorder.of(RecordKind.LATENCY_EXCEEDED) == []
        (polls,) = [each for each in world.gate.conduits.now() if each.name == POLLS]
        assert polls.of(Path.KERNEL, Window.START).total.count == 0

    play(budgeted, scenario)


def test_open_flows_are_counted_under_every_conduit_of_their_grant_and_on_their_path(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        number = world.machine("historian").number
        ends = {"grant": number, "source": "10.20.0.13", "overlay": "100.64.10.12", "port": 502, "at_us": 0}
        for port in (40_000, 40_001, 40_002):
            opened = KernelFlowOpened(**ends, source_port=port, has_failed_open=False)  # type: ignore[arg-type]
            world.gate.events.records_of(opened)
        await second(world)
        assert now(world).flows == {Path.INSPECTED: 2, Path.KERNEL: 0}
        assert now(world, "The historian reads the dosing rate").flows == {Path.INSPECTED: 0, Path.KERNEL: 3}
        closed = KernelFlowClosed(**ends, source_port=40_000, packets=1, bytes=1, has_failed_open=False)  # type: ignore[arg-type]
        world.gate.events.records_of(closed)
        assert now(world, "The historian reads the dosing rate").flows[Path.KERNEL] == 2
        folded = KernelFlowsFolded(grant=number, opened=5, closed=6, traffic=Traffic(), since_us=0, at_us=0)
        world.gate.events.records_of(folded)
        assert now(world, "The historian reads the dosing rate").flows[Path.KERNEL] == 1
        world.gate.events.records_of(TrafficCounted(open={number: Traffic(flows=9)}, is_all=True, at_us=0))
        assert now(world, "The historian reads the dosing rate").flows[Path.KERNEL] == 9
        world.gate.events.records_of(TrafficCounted(open={}, is_all=True, at_us=0))
        assert now(world, "The historian reads the dosing rate").flows[Path.KERNEL] == 0

    play(budgeted, scenario)


def test_a_revision_that_takes_a_conduit_away_takes_its_figures_with_it(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        await second(world, latency(slow=500), latency(OPERATORS, fast=3))
        without = BUDGETED.replace("    latency_budget: 5ms\n    on_overload: step-aside\n", "").replace(
            f"  {OPERATORS}:", "  Operators look:"
        )
        await world.gate.revisions.apply({"site.yaml": without}, "uid 0")
        await second(world)
        assert world.gate.overload.budgets == {}
        assert world.gate.overload.latencies.of(OPERATORS, Path.INSPECTED, Window.START, 0).total == {}
        assert now(world).of(Path.INSPECTED, Window.START).total.count == 500

    play(budgeted, scenario)
