"""The failure-mode register: what began an interval, what passed, what ended it, and how it survives restarts."""

from __future__ import annotations

from typing import Any

import pytest
from control_world import S, World, play

from penstock.control.failures import COUNT_AGAIN_US, TELL_AGAIN_US
from penstock.control.intervals import Cause, Hold, Interval
from penstock.model import (
    GrantFlows,
    Invalid,
    KernelFlowClosed,
    KernelFlowOpened,
    ProcessEnded,
    Record,
    RecordKind,
    Unavailable,
)

SAFETY, CLOSED = "SCADA polls the filters", "The historian reads the dosing rate"


def opened(world: World, port: int = 40000, *, was_found: bool = False, at_us: int = 0) -> KernelFlowOpened:
    return KernelFlowOpened(
        grant=world.machine("scada-1").number,
        source="10.20.0.12",
        source_port=port,
        overlay="100.64.10.11",
        port=502,
        at_us=at_us or world.clock.wall_us,
        has_failed_open=True,
        was_found=was_found,
    )


def closed(world: World, port: int = 40000, packets: int = 10, bytes: int = 800) -> KernelFlowClosed:  # noqa: A002
    return KernelFlowClosed(
        grant=world.machine("scada-1").number,
        source="10.20.0.12",
        source_port=port,
        overlay="100.64.10.11",
        port=502,
        at_us=world.clock.wall_us,
        packets=packets,
        bytes=bytes,
        has_failed_open=True,
    )


def happen(world: World, event: Any) -> list[Record]:
    records = world.gate.events.records_of(event)
    world.recorder.put(records)
    return records


def lose(world: World, status: int = -9, why: str = "") -> None:
    """The worker is gone: its link closes first, the supervisor says why a moment later."""
    world.workers.is_alive = False
    world.recorder.put(world.gate.failures.lost(Cause.WORKER_ENDED, "the last worker left", world.clock.wall_us))
    world.clock.pass_s(0.1)
    happen(world, ProcessEnded(name="worker-1", pid=7, status=status, why=why, at_us=world.clock.wall_us))


def come_back(world: World) -> None:
    world.workers.is_alive = True
    world.recorder.put(world.gate.failures.restored())


def passing(world: World, flows: int = 1, packets: int = 5, bytes: int = 300) -> None:  # noqa: A002
    """What the connection table shows."""
    number = world.machine("scada-1").number
    world.enforcer.flows = [
        GrantFlows(grant=number, inspected=0, uninspected=flows, packets=packets, bytes=bytes, since_us=1)
    ] * bool(flows)


async def pass_s(world: World, seconds: float) -> None:
    world.clock.pass_s(seconds)
    await world.gate.sweep()


def only(world: World, conduit: str = SAFETY) -> Interval:
    interval = world.gate.failures.of(conduit)
    assert interval is not None
    return interval


async def kept(world: World, conduit: str = SAFETY) -> Interval:
    (interval,) = await world.gate.register.intervals(conduit)
    return interval


def test_an_interval_lasts_until_the_last_flow_that_was_let_through_has_ended_and_counts_what_passed(
    world: World,
) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        began_us = world.clock.wall_us
        lose(world)
        happen(world, opened(world))
        happen(world, opened(world, 40001))
        passing(world, 2, 12, 700)
        await pass_s(world, 11)
        interval = only(world)
        assert (interval.cause, interval.began_at_us) == (Cause.WORKER_KILLED, began_us)
        assert interval.passed == {"flows": 2, "packets": 12, "bytes": 700}
        come_back(world)
        happen(world, closed(world, packets=20, bytes=1000))
        passing(world, 1, 30, 1500)
        await pass_s(world, 1)
        assert only(world).live_flows == 1, "one goes on without inspection"
        assert world.recorder.of(RecordKind.FAILED_OPEN_ENDED) == []
        await pass_s(world, 60)
        ended_us = world.clock.wall_us
        happen(world, closed(world, 40001, 40, 2000))
        passing(world, 0)
        await pass_s(world, 1)
        assert world.gate.failures.of(SAFETY) is None
        (record,) = world.recorder.of(RecordKind.FAILED_OPEN_ENDED)
        assert (record.detail["flows"], record.detail["packets"], record.detail["bytes"]) == (2, 60, 3000)
        assert record.detail["ended_at_us"] == ended_us
        assert record.detail["length_us"] == ended_us - began_us
        assert (await kept(world)).ended_by == "the last of its flows ended"

    play(world, scenario)


@pytest.mark.parametrize(
    ("status", "why", "cause"),
    [
        (-9, "", Cause.WORKER_KILLED),
        (-9, "no heartbeat for 1.2 s", Cause.WORKER_STOPPED),
        (75, "", Cause.WORKER_ENDED),
    ],
)
def test_why_inspection_was_lost_is_what_the_supervisor_says_a_moment_later(
    world: World, status: int, why: str, cause: Cause
) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        lose(world, status, why)
        assert {only(world, name).cause for name in (SAFETY, CLOSED)} == {cause}
        assert "worker-1 ended" in only(world).why

    play(world, scenario)


def test_a_closed_conduit_s_interval_ends_as_soon_as_it_is_inspected_again_and_nothing_passed(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        lose(world)
        world.clock.pass_s(2)
        come_back(world)
        await pass_s(world, 1)
        interval = await kept(world, CLOSED)
        assert (interval.ended_by, interval.flows, interval.ended_at_us) == (
            "inspected again",
            0,
            interval.began_at_us + int(2.1 * S),
        )
        (record,) = world.recorder.of(RecordKind.FAILED_CLOSED_ENDED)
        names = record.detail["conduits"]
        assert isinstance(names, list)
        assert SAFETY not in names
        assert CLOSED in names

    play(world, scenario)


def test_an_interval_waits_for_the_counters_of_flows_whose_end_has_not_been_told_yet(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        lose(world)
        happen(world, opened(world))
        come_back(world)
        number = world.machine("scada-1").number
        world.enforcer.flows = [
            GrantFlows(grant=number, inspected=1, uninspected=0, closing=1, packets=40, bytes=2000, since_us=1)
        ]
        await pass_s(world, 1)
        assert (only(world).live_flows, only(world).passed["packets"]) == (0, 40)
        happen(world, closed(world, packets=41, bytes=2040))
        passing(world, 0)
        await pass_s(world, 1)
        assert (await kept(world)).packets == 41

    play(world, scenario)


def test_an_open_interval_without_a_flow_ends_when_inspection_is_back(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        lose(world)
        come_back(world)
        back_us = world.clock.wall_us
        await pass_s(world, 1)
        assert world.gate.failures.open == ()
        interval = await kept(world)
        assert (interval.ended_at_us, interval.flows) == (back_us, 0)

    play(world, scenario)


def test_while_the_kernel_cannot_be_asked_an_interval_is_never_ended(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        lose(world)
        happen(world, opened(world))
        come_back(world)
        happen(world, closed(world))
        world.enforcer.failing.add("CountFlows")
        await pass_s(world, 30)
        assert only(world).ended_at_us is None
        world.enforcer.failing.clear()
        world.enforcer.is_synchronised = False
        await pass_s(world, 30)
        assert only(world).ended_at_us is None
        world.enforcer.is_synchronised = True
        await pass_s(world, 1)
        assert world.gate.failures.of(SAFETY) is None

    play(world, scenario)


def test_what_goes_on_is_told_each_hour_and_no_more_often(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        lose(world)
        happen(world, opened(world))
        come_back(world)
        passing(world)
        for _ in range(12):
            await pass_s(world, TELL_AGAIN_US / S / 4)
        told = world.recorder.of(RecordKind.FAILED_OPEN_CONTINUES)
        assert len(told) == 3
        assert (told[0].detail["conduit"], told[0].detail["live_flows"]) == (SAFETY, 1)

    play(world, scenario)


def test_an_interval_goes_on_over_a_restart_of_control_and_is_not_counted_twice(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        lose(world)
        began_us = world.clock.wall_us
        happen(world, opened(world))
        passing(world)
        await pass_s(world, 11)
        await world.restart()
        happen(world, opened(world, was_found=True, at_us=began_us))
        interval = only(world)
        assert (interval.flows, interval.holds, interval.number) == (1, (Hold.WORKER,), interval.number)
        assert world.gate.inspection.is_lost
        come_back(world)
        assert world.recorder.of(RecordKind.INSPECTION_RESTORED)[-1].detail["why"] == interval.why
        passing(world, 0)
        await pass_s(world, 11)
        assert (await kept(world)).number == interval.number

    play(world, scenario)


def test_a_start_of_the_machine_ends_it_where_it_was_seen_last(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        lose(world)
        happen(world, opened(world))
        passing(world)
        await pass_s(world, 11)
        seen_us = world.clock.wall_us
        world.clock.pass_s(500)
        world.clock.boot = "boot-2"
        passing(world, 0)
        await world.restart()
        assert world.gate.failures.of(SAFETY) is None
        interval = await kept(world)
        assert (interval.ended_at_us, interval.ended_by) == (seen_us, "the machine was started anew")
        assert not interval.is_certain
        assert interval.packets == 5, "what passed when it was seen last"

    play(world, scenario)


def test_what_failed_open_while_the_enforcer_was_away_is_found_when_it_comes_back(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        began_us = world.clock.wall_us - 5 * S
        records = happen(world, opened(world, was_found=True, at_us=began_us))
        assert records[0].kind is RecordKind.FAILED_OPEN
        assert records[-1].detail["was_found"] is True
        interval = only(world)
        assert (interval.cause, interval.began_at_us, interval.flows) == (Cause.ENFORCER_AWAY, began_us, 1)
        assert not interval.is_certain
        assert happen(world, opened(world, was_found=True)) == [], "a further enforcer tells it again"
        assert only(world).flows == 1
        passing(world, 0)
        await pass_s(world, COUNT_AGAIN_US / S)
        assert world.gate.failures.of(SAFETY) is None

    play(world, scenario)


def test_what_goes_on_when_control_comes_back_and_nobody_has_told_is_found_in_the_kernel(world: World) -> None:
    async def scenario(world: World) -> None:
        passing(world, 3, 90, 5000)
        await world.restart()
        interval = only(world)
        assert (interval.cause, interval.began_at_us, interval.live_flows) == (Cause.GATE_AWAY, 1, 3)
        assert interval.holds == (Hold.WORKER,), "no worker is armed yet"
        (record,) = world.recorder.of(RecordKind.FAILED_OPEN)
        assert record.detail["conduits"] == [SAFETY]
        come_back(world)
        passing(world, 0)
        await pass_s(world, 1)
        assert (await kept(world)).ended_by == "the last of its flows ended"

    play(world, scenario)


def test_what_began_and_ended_while_nobody_was_there_is_found_in_the_kernel_s_counter(world: World) -> None:
    async def scenario(world: World) -> None:
        world.enforcer.counters["failed_open"] = 3
        await world.gate.reconcile()
        (first,) = await world.gate.register.intervals(SAFETY)
        assert (first.cause, first.is_certain, first.ended_at_us) == (Cause.ENFORCER_AWAY, False, world.clock.wall_us)
        assert first.why == "3 first packets were let through while nobody watched; whose is not known"
        assert world.recorder.of(RecordKind.FAILED_OPEN)[-1].detail["conduits"] == [SAFETY]
        await world.restart()
        assert len(await world.gate.register.intervals(SAFETY)) == 1, "it was told already"
        world.enforcer.counters["failed_open"] = 4
        await world.restart()
        second, _ = await world.gate.register.intervals(SAFETY)
        assert (second.cause, second.why[:15]) == (Cause.GATE_AWAY, "1 first packets")
        world.clock.boot, world.enforcer.counters["failed_open"] = "boot-2", 2
        await world.restart()
        third = (await world.gate.register.intervals(SAFETY))[0]
        assert third.why.startswith("2 first packets")

    play(world, scenario)


def test_what_was_told_is_not_found_again_in_the_kernel_s_counter(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        lose(world)
        happen(world, opened(world))
        world.enforcer.counters["failed_open"] = 1
        come_back(world)
        happen(world, closed(world))
        await pass_s(world, 1)
        assert world.gate.failures.open == ()
        await world.restart()
        assert len(await world.gate.register.intervals(SAFETY)) == 1

    play(world, scenario)


def test_while_the_evidence_cannot_be_written_what_passes_without_a_record_is_counted(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        world.recorder.is_healthy = False
        await pass_s(world, 1)
        assert {only(world, name).cause for name in (SAFETY, CLOSED)} == {Cause.EVIDENCE_UNWRITABLE}
        gap = Record(kind=RecordKind.LOG_GAP, at_us=1, detail={"passed_unrecorded": 40})
        world.gate.register.passed(gap)
        world.recorder.is_healthy = True
        await pass_s(world, 1)
        await pass_s(world, 1)
        assert world.gate.failures.open == ()
        interval = await kept(world)
        assert (interval.unrecorded, interval.flows) == (40, 0)
        reasons = {each.reason for each in world.recorder.of(RecordKind.FAILED_OPEN)}
        assert reasons == {"evidence_unavailable"}

    play(world, scenario)


def test_standing_aside_is_an_interval_and_a_dead_worker_on_top_of_it_prolongs_it(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        since_us = world.clock.wall_us
        await world.gate.aside.stand_aside(SAFETY, "over budget")
        await pass_s(world, 1)
        assert (only(world).cause, only(world).began_at_us) == (Cause.STOOD_ASIDE, since_us)
        assert world.gate.failures.of(CLOSED) is None
        lose(world)
        assert set(only(world).holds) == {Hold.ASIDE, Hold.WORKER}
        await world.gate.aside.stand_back(SAFETY, "uid 0")
        await pass_s(world, 1)
        assert only(world).holds == (Hold.WORKER,)
        come_back(world)
        await pass_s(world, 1)
        assert (await kept(world)).cause is Cause.STOOD_ASIDE

    play(world, scenario)


def test_what_the_store_does_not_take_is_kept_later(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        lose(world)
        real = world.gate.register._store.put_intervals

        async def full(_intervals: object) -> None:
            raise Unavailable("disk full")

        world.gate.register._store.put_intervals = full  # type: ignore[method-assign]
        await pass_s(world, 1)
        world.gate.register._store.put_intervals = real  # type: ignore[method-assign]
        come_back(world)
        await pass_s(world, 1)
        assert (await kept(world)).ended_at_us is not None
        assert (await kept(world, CLOSED)).ended_at_us is not None

    play(world, scenario)


async def goes_on(world: World) -> None:
    """A flow that failed open goes on though inspection is back."""
    come_back(world)
    lose(world)
    happen(world, opened(world))
    come_back(world)
    passing(world)
    await pass_s(world, 1)


def test_restoring_is_recorded_before_it_resets_and_tells_how_long_until_the_first_inspected_flow(world: World) -> None:
    async def scenario(world: World) -> None:
        await goes_on(world)
        number = world.machine("scada-1").number
        world.steps.clear()
        restored = await world.gate.register.restore(SAFETY, "uid 0")
        assert world.steps == ["enforcer CountFlows", "record conduit.stood_back", "enforcer StandBack"]
        assert [each.uninspected for each in restored.flows] == [1]
        (record,) = world.recorder.of(RecordKind.STOOD_BACK)
        assert (record.detail["by"], record.detail["flows"]) == (
            "uid 0",
            [{"grant": number, "flows": 1, "packets": 5, "bytes": 300}],
        )
        before = Record(kind=RecordKind.FLOW_OPENED, at_us=restored.at_us - 1, grant=number)
        after = Record(kind=RecordKind.FLOW_OPENED, at_us=restored.at_us + 40_000, grant=number)
        for seen in (before, after, after):
            world.gate.register.passed(seen)
        (again,) = world.recorder.of(RecordKind.CONDUIT_INSPECTED)
        assert (again.detail["conduit"], again.detail["after_us"]) == (SAFETY, 40_000)

    play(world, scenario)


def test_restoring_what_stands_aside_ends_its_standing_aside(world: World) -> None:
    async def scenario(world: World) -> None:
        come_back(world)
        await world.gate.aside.stand_aside(SAFETY, "over budget")
        assert (await world.gate.register.restore(SAFETY, "uid 0")).stood_aside
        assert world.gate.aside.standing == ()
        assert [each.detail["by"] for each in world.recorder.of(RecordKind.STOOD_BACK)] == ["uid 0"]

    play(world, scenario)


def test_nothing_is_reset_where_nothing_goes_on_inspection_is_away_or_the_evidence_is(world: World) -> None:
    async def scenario(world: World) -> None:
        await goes_on(world)
        for conduit in (CLOSED, "no such conduit"):
            with pytest.raises(Invalid):
                await world.gate.register.restore(conduit, "uid 0")
        world.workers.is_alive = False
        with pytest.raises(Unavailable, match="no worker"):
            await world.gate.register.restore(SAFETY, "uid 0")
        world.workers.is_alive = True
        world.recorder.is_healthy = False
        with pytest.raises(Unavailable):
            await world.gate.register.restore(SAFETY, "uid 0")
        world.recorder.is_healthy = True
        passing(world, 0)
        with pytest.raises(Invalid, match="no flow"):
            await world.gate.register.restore(SAFETY, "uid 0")
        assert "enforcer StandBack" not in world.steps

    play(world, scenario)
