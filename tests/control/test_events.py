import pytest
from control_world import Clock, S, World, play

from penstock.control import Moment
from penstock.control.inspection import Inspection
from penstock.control.main import clock_step
from penstock.model import (
    FlowsRefused,
    KernelFlowClosed,
    KernelFlowOpened,
    ProcessEnded,
    ProcessStarted,
    Reason,
    Record,
    RecordKind,
    WorkerTripped,
)

ENDED = ProcessEnded(name="worker-1", pid=7, status=-9, why="no heartbeat for 1.2 s", at_us=5 * S)


def opened(number: int, at_us: int = S, *, has_failed_open: bool = False) -> KernelFlowOpened:
    return KernelFlowOpened(
        grant=number,
        source="10.20.0.12",
        source_port=40000,
        overlay="100.64.10.11",
        port=502,
        at_us=at_us,
        has_failed_open=has_failed_open,
    )


def test_the_first_flow_opens_the_session_and_the_end_of_the_grant_closes_it(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        events = world.gate.events
        first = events.records_of(opened(grant.number))
        assert [record.kind for record in first] == [RecordKind.SESSION_OPENED, RecordKind.FLOW_OPENED]
        assert (first[1].subject, first[1].asset) == ("ada", "plc-filter-1")
        assert [record.kind for record in events.records_of(opened(grant.number))] == [RecordKind.FLOW_OPENED]
        refused = Record(kind=RecordKind.OPERATION_REFUSED, at_us=S, grant=grant.number)
        assert world.gate.sessions.passed(refused) == [refused]
        for kind, count in ((RecordKind.FLOW_CLOSED, 40), (RecordKind.OPERATIONS, 2)):
            counted = Record(kind=kind, at_us=S, grant=grant.number, detail={"reads": {"count": count}})
            assert world.gate.sessions.passed(counted) == [counted]
        await world.gate.grants.close(grant.number, Reason.GRANT_REVOKED)
        closed = world.recorder.of(RecordKind.SESSION_CLOSED)[-1]
        assert (closed.grant, closed.reason) == (grant.number, "grant_revoked")
        assert (closed.detail["flows"], closed.detail["operations_refused"]) == (2, 1)
        assert closed.detail["reads"] == 42

    play(world, scenario)


def test_a_grant_without_a_flow_never_had_a_session(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        await world.gate.grants.close(grant.number, Reason.GRANT_REVOKED)
        assert world.recorder.of(RecordKind.SESSION_CLOSED) == []

    play(world, scenario)


def test_a_flow_that_failed_open_says_so_with_its_machine(world: World) -> None:
    async def scenario(world: World) -> None:
        safety = world.machine("scada-1")
        record = world.gate.events.records_of(opened(safety.number, has_failed_open=True))[-1]
        assert (record.subject, record.asset, record.detail["has_failed_open"]) == ("scada-1", "plc-filter-1", True)
        closed = KernelFlowClosed(
            grant=safety.number,
            source="10.20.0.12",
            source_port=40000,
            overlay="100.64.10.11",
            port=502,
            at_us=2 * S,
            packets=10,
            bytes=800,
            has_failed_open=True,
        )
        record = world.gate.events.records_of(closed)[-1]
        assert (record.kind, record.detail["packets"], record.detail["bytes"]) == (RecordKind.FLOW_CLOSED, 10, 800)

    play(world, scenario)


def test_flows_that_nothing_admits_are_recorded_with_their_count(world: World) -> None:
    async def scenario(world: World) -> None:
        refused = FlowsRefused(
            source="10.20.0.99", destination="100.64.10.11", transport="tcp", port=502, count=3, at_us=S
        )
        (record,) = world.gate.events.records_of(refused)
        assert (record.kind, record.detail["count"], record.detail["port"]) == (RecordKind.FLOW_REFUSED, 3, "tcp/502")

    play(world, scenario)


def test_when_the_worker_ends_the_evidence_names_what_failed_open_and_what_failed_closed(world: World) -> None:
    async def scenario(world: World) -> None:
        world.gate.inspection.restored()
        ended, is_open, is_closed = world.gate.events.records_of(ENDED)
        assert (ended.kind, ended.reason) == (RecordKind.PROCESS_ENDED, "no heartbeat for 1.2 s")
        assert (is_open.kind, is_open.detail["conduits"]) == (RecordKind.FAILED_OPEN, ["SCADA polls the filters"])
        assert is_closed.kind is RecordKind.FAILED_CLOSED
        assert "Operators set the dosing rate" in str(is_closed.detail["conduits"])
        assert [record.kind for record in world.gate.events.records_of(ENDED)] == [RecordKind.PROCESS_ENDED]
        world.clock.pass_s(3)
        world.clock.set_wall_s(-100)
        (restored,) = world.gate.inspection.restored()
        assert (restored.kind, restored.detail["length_us"]) == (RecordKind.INSPECTION_RESTORED, 3 * S)
        assert world.gate.inspection.restored() == []

    play(world, scenario)


def test_a_worker_that_never_was_there_is_not_a_failure() -> None:
    assert Inspection(Clock()).lost(None, "the last worker left", S) == []


def test_processes_that_start_and_end_show_in_the_status(world: World) -> None:
    async def scenario(world: World) -> None:
        (record,) = world.gate.events.records_of(ProcessStarted(name="enforcer", pid=5, at_us=S))
        assert record.kind is RecordKind.PROCESS_STARTED
        world.gate.events.records_of(ENDED)
        assert world.gate.status().processes == {"enforcer": "running", "worker-1": "ended"}

    play(world, scenario)


@pytest.mark.parametrize(("step_s", "is_told"), [(0, False), (2, False), (-2, False), (3, True), (-3, True)])
def test_a_wall_clock_that_was_set_by_more_than_two_seconds_is_told(step_s: int, *, is_told: bool) -> None:
    before = Moment(wall_us=1000 * S, steady_us=50 * S, boot="b")
    now = Moment(wall_us=(1001 + step_s) * S, steady_us=51 * S, boot="b")
    record = clock_step(before, now)
    assert (record is not None) is is_told
    if record is not None:
        assert record.detail["step_us"] == step_s * S


def test_a_tripped_switch_is_an_interval_without_inspection_that_the_end_of_its_worker_does_not_begin_again(
    world: World,
) -> None:
    async def scenario(world: World) -> None:
        world.gate.inspection.restored()
        events = world.gate.events
        failed = events.records_of(WorkerTripped(mark=7, pid=40, at_us=4 * S))
        assert [record.kind for record in failed] == [RecordKind.FAILED_OPEN, RecordKind.FAILED_CLOSED]
        assert {record.detail["why"] for record in failed} == {"the dead-man switch tripped"}
        assert [record.kind for record in events.records_of(ENDED)] == [RecordKind.PROCESS_ENDED]
        (restored,) = world.gate.inspection.restored()
        assert (restored.kind, restored.detail["lost_at_us"]) == (RecordKind.INSPECTION_RESTORED, 4 * S)

    play(world, scenario)
