"""What flows on the kernel path carry, in records and in the totals of their grants."""

from __future__ import annotations

from typing import Any

from control_world import World, play

from penstock.model import (
    EventsLost,
    KernelFlowClosed,
    KernelFlowsFolded,
    Reason,
    RecordKind,
    Traffic,
    TrafficCounted,
)

RUNNING = Traffic(flows=2, packets=20, bytes=2000, packets_sent=11, bytes_sent=900)


def closed(grant: int, packets: int, **fields: Any) -> KernelFlowClosed:
    values: dict[str, Any] = {
        "grant": grant,
        "source": "192.168.10.11",
        "source_port": 40000,
        "overlay": "100.64.0.50",
        "port": 502,
        "at_us": 9,
        "packets": packets,
        "bytes": packets * 100,
        "has_failed_open": False,
        "packets_sent": max(0, packets - 1),
        "bytes_sent": packets * 60,
    }
    return KernelFlowClosed(**values | fields)


def test_the_end_of_a_grant_says_what_its_flows_on_the_kernel_path_have_carried(world: World) -> None:
    """Flows that closed apart and together, and those that were open at the cut; none of them twice."""

    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        records = world.gate.events.records_of
        records(closed(grant.number, 10))
        records(closed(grant.number, 0, is_complete=False))
        seven = Traffic(flows=7, packets=70, bytes=7000, packets_sent=40, bytes_sent=4000)
        (record,) = records(
            KernelFlowsFolded(grant=grant.number, opened=9, closed=7, traffic=seven, since_us=1, at_us=2)
        )
        assert (record.kind, record.grant, record.asset) == (RecordKind.FLOW_CLOSED, grant.number, grant.asset)
        assert (record.detail["flows_opened"], record.detail["flows_closed"], record.detail["bytes"]) == (9, 7, 7000)
        records(TrafficCounted(open={grant.number: RUNNING}, is_all=True, at_us=5))
        assert world.gate.sessions.tally(grant.number).carried.packets == 100
        records(TrafficCounted(open={}, is_all=True, at_us=6))
        assert world.gate.sessions.tally(grant.number).carried.packets == 80
        records(TrafficCounted(open={grant.number: RUNNING}, is_all=False, at_us=7))
        await world.gate.grants.close(grant.number, Reason.GRANT_REVOKED)
        detail = world.recorder.of(RecordKind.GRANT_CLOSED)[-1].detail
        assert detail["kernel_flows"] == 1 + 1 + 7 + 2
        assert detail["packets"] == 10 + 70 + 20
        assert detail["bytes"] == 1000 + 7000 + 2000
        assert detail["packets_sent"] == 9 + 40 + 11
        assert detail["bytes_sent"] == 600 + 4000 + 900
        assert (detail["flows_cut"], detail["flows_uncounted"]) == (2, 1)

    play(world, scenario)


def test_a_grant_that_never_used_the_kernel_path_says_nothing_of_it(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        await world.gate.grants.close(grant.number, Reason.GRANT_REVOKED)
        assert "packets" not in world.recorder.of(RecordKind.GRANT_CLOSED)[-1].detail

    play(world, scenario)


def test_what_comes_after_the_end_of_a_grant_is_recorded_but_counted_for_nobody(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        await world.gate.grants.close(grant.number, Reason.GRANT_REVOKED)
        (record,) = world.gate.events.records_of(closed(grant.number, 10))
        assert (record.grant, record.detail["packets"]) == (grant.number, 10)
        world.gate.events.records_of(TrafficCounted(open={grant.number: RUNNING}, is_all=False, at_us=7))
        assert world.gate.sessions.tally(grant.number).carried == Traffic()

    play(world, scenario)


def test_lost_events_are_on_record_with_their_number(world: World) -> None:
    async def scenario(world: World) -> None:
        (record,) = world.gate.events.records_of(EventsLost(count=312, why="slow", opened=5, closed=3, at_us=4))
        assert record.kind is RecordKind.EVENTS_LOST
        assert record.detail == {"count": 312, "why": "slow", "flows_opened": 5, "flows_closed": 3}

    play(world, scenario)
