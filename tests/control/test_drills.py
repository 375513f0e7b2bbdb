"""Drills: when they may begin, what they do to the kernel, what they conclude, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from control_world import SITE, S, World, play

from penstock.control import IsolatedKind
from penstock.control.drill import Drill, DrillResult, Exercised
from penstock.control.drills import RETURN_WITHIN_S
from penstock.control.intervals import Cause
from penstock.model import FlowsCounted, GrantFlows, Invalid, KernelFlowOpened, Reason, Record, RecordKind, Unavailable

SAFETY, CLOSED = "SCADA polls the filters", "The historian reads the dosing rate"
PLAN = "    drill: {window: always, every: 90d}\n"
#: The clock of these tests stands at Friday, 15 January 2027, 08:00 UTC.
WINDOWS = 'windows:\n  always: {days: [fri], from: "06:00", to: "14:00", timezone: UTC}\ntests:\n'
DRILLED = (
    SITE.replace("    on_failure: open\n", "    on_failure: open\n" + PLAN, 1)
    .replace("    from: {role: historian}\n", PLAN + "    from: {role: historian}\n")
    .replace("tests:\n", WINDOWS)
)
Step = Callable[["Plant"], None]


class Plant:
    """What the plant does while time passes: machines that dial anew, as they are scripted."""

    def __init__(self, world: World, machine: str) -> None:
        self.world, self.number = world, world.machine(machine).number
        self.clock, self.gate = world.clock, world.gate
        self.was_aside = False
        self.steps: list[tuple[float, Step]] = []
        self.failover_s: float | None = 0.05
        self.return_s: float | None = 0.07
        self.gate.drills.pause = self.pause
        self.carry(inspected=1)

    def carry(self, inspected: int = 0, uninspected: int = 0) -> None:
        self.world.enforcer.flows = [GrantFlows(grant=self.number, inspected=inspected, uninspected=uninspected)]

    def in_s(self, seconds: float, step: Step) -> None:
        self.steps.append((self.clock.steady_us + seconds * S, step))

    async def pause(self, seconds: float) -> None:
        """Time passes, and the machine notices what was done to its flows."""
        is_aside = self.number in self.world.enforcer.aside
        if is_aside and not self.was_aside:
            self.carry()
            if self.failover_s is not None:
                self.in_s(self.failover_s, Plant.fail_over)
        if self.was_aside and not is_aside:
            self.carry()
            if self.return_s is not None:
                self.in_s(self.return_s, Plant.come_back)
        self.was_aside = is_aside
        end_us = self.clock.steady_us + int(seconds * S)
        for at_us, step in sorted(self.steps, key=lambda each: each[0]):
            if at_us <= end_us:
                self.clock.pass_s((at_us - self.clock.steady_us) / S)
                self.steps.remove((at_us, step))
                step(self)
        self.clock.pass_s((end_us - self.clock.steady_us) / S)
        await asyncio.sleep(0)

    def fail_over(self) -> None:
        self.carry(uninspected=1)
        event = KernelFlowOpened(
            grant=self.number,
            source="10.20.0.12",
            source_port=40000,
            overlay="100.64.10.11",
            port=502,
            at_us=self.clock.wall_us,
            has_failed_open=True,
        )
        self.world.recorder.put(self.gate.events.records_of(event))

    def come_back(self) -> None:
        self.carry(inspected=1)
        self.journal(RecordKind.FLOW_OPENED)

    def journal(self, kind: RecordKind, **detail: object) -> None:
        record = Record(kind=kind, at_us=self.clock.wall_us, grant=self.number, detail=dict(detail))  # type: ignore[arg-type]
        self.gate.passed(record)


async def drilled(world: World, machine: str = "scada-1") -> Plant:
    """A site with drills, inspected, with a machine that has one flow."""
    await world.gate.revisions.apply({"site.yaml": DRILLED}, "uid 0")
    world.gate.failures.restored()
    return Plant(world, machine)


async def carried_out(world: World, conduit: str, length_s: int = 10) -> Drill:
    """Begin it and see it through."""
    begun = await world.gate.drills.begin(conduit, length_s, "uid 0")
    await through(world)
    drill = await world.gate.drills.drill(begun.number)
    assert drill is not None
    assert world.gate.drills.running is None
    return drill


async def through(world: World) -> None:
    running = asyncio.create_task(world.gate.drills.run())
    while world.gate.drills.running is not None:  # noqa: ASYNC110  time is the test's own here
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_an_open_conduit_that_fails_over_and_comes_back_has_passed_with_its_times(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        world.steps.clear()
        drill = await carried_out(world, SAFETY)
        assert (drill.result, drill.why) == (DrillResult.PASSED, "")
        assert (drill.failover_us, drill.return_us) == (50_000, 70_000)
        assert drill.exercised == (
            Exercised(
                grant=plant.number,
                subject="scada-1",
                asset="plc-filter-1",
                is_machine=True,
                flows=1,
                failover_us=50_000,
                return_us=70_000,
                passed=1,
            ),
        )
        order = [step for step in world.steps if "Count" not in step and "flow" not in step]
        assert order[:2] == ["record drill.started", "enforcer StandAside"]
        assert order.index("enforcer StandBack") < order.index("record drill.ended")
        assert world.enforcer.aside == set()
        (ended,) = world.recorder.of(RecordKind.DRILL_ENDED)
        assert (ended.detail["result"], ended.detail["failover_us"], ended.detail["return_us"]) == (
            "passed",
            50_000,
            70_000,
        )
        assert ended.detail["began_at_us"] == drill.began_at_us

    play(world, scenario)


def test_the_kernel_is_told_to_end_it_by_itself_a_second_after_its_time(world: World) -> None:
    async def scenario(world: World) -> None:
        await drilled(world)
        await carried_out(world, SAFETY, 4)
        assert world.enforcer.aside_ttl_ms == [5_000]

    play(world, scenario)


def test_a_drill_is_an_interval_of_the_register_with_its_own_cause(world: World) -> None:
    async def scenario(world: World) -> None:
        await drilled(world)
        drill = await carried_out(world, SAFETY)
        world.clock.pass_s(1)
        await world.gate.sweep()
        (interval,) = await world.gate.register.intervals(SAFETY)
        assert (interval.cause, interval.flows) == (Cause.DRILL, 1)
        assert interval.ended_at_us is not None
        assert interval.began_at_us == drill.cut_at_us

    play(world, scenario)


@pytest.mark.parametrize(
    ("failover_s", "return_s", "said"),
    [
        (None, 0.1, "scada-1 to plc-filter-1 was not on the kernel path again while the exercise lasted"),
        (11.0, 0.1, "scada-1 to plc-filter-1 was not on the kernel path again while the exercise lasted"),
        (0.1, None, "scada-1 to plc-filter-1 was not inspected again in time"),
        (0.1, RETURN_WITHIN_S + 1, "scada-1 to plc-filter-1 was not inspected again in time"),
    ],
)
def test_a_machine_that_does_not_fail_over_or_does_not_come_back_makes_it_fail(
    world: World, failover_s: float | None, return_s: float | None, said: str
) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        plant.failover_s, plant.return_s = failover_s, return_s
        drill = await carried_out(world, SAFETY)
        assert (drill.result, drill.why) == (DrillResult.FAILED, said)
        assert world.enforcer.aside == set()

    play(world, scenario)


def test_a_closed_conduit_of_which_nothing_passes_has_passed_and_its_refusals_are_counted(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world, "historian")
        plant.failover_s = None
        plant.in_s(5, lambda _: world.enforcer.counters.update(failed_closed=42))
        drill = await carried_out(world, CLOSED)
        assert (drill.result, drill.why, drill.refused) == (DrillResult.PASSED, "", 42)
        assert drill.failover_us is None

    play(world, scenario)


def _answered(plant: Plant) -> None:
    plant.journal(RecordKind.OPERATIONS, rows=[[0, 0, 900, 0]])


def _summed(plant: Plant) -> None:
    plant.journal(RecordKind.OPERATIONS, rows=[], sums=[{"first_us": 0, "last_us": 9, "answered_us": 5, "count": 3}])


def _summed_unanswered(plant: Plant) -> None:
    plant.journal(RecordKind.OPERATIONS, rows=[], sums=[{"first_us": 0, "last_us": 9, "count": 3, "unanswered": 3}])


def _unanswered(plant: Plant) -> None:
    plant.journal(RecordKind.OPERATIONS, rows=[[0, 0, -1, 2]])


@pytest.mark.parametrize(
    ("at_s", "leak", "result"),
    [
        (5.0, Plant.fail_over, DrillResult.FAILED),
        (5.0, _answered, DrillResult.FAILED),
        (5.0, Plant.come_back, DrillResult.FAILED),
        (5.0, _summed, DrillResult.FAILED),
        (0.2, _summed, DrillResult.PASSED),
        (5.0, _summed_unanswered, DrillResult.PASSED),
        (0.2, _answered, DrillResult.PASSED),
        (5.0, _unanswered, DrillResult.PASSED),
    ],
)
def test_anything_that_passes_a_closed_conduit_makes_it_fail_but_what_was_under_way_at_the_cut(
    world: World, at_s: float, leak: Step, result: DrillResult
) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world, "historian")
        plant.failover_s = None
        plant.in_s(at_s, leak)
        drill = await carried_out(world, CLOSED)
        assert drill.result is result
        if result is DrillResult.FAILED:
            assert drill.why == "historian to plc-dosing passed although the conduit fails closed"

    play(world, scenario)


def test_flows_that_the_connection_table_still_shows_make_a_closed_conduit_fail(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world, "historian")
        plant.failover_s = None
        plant.in_s(9, lambda each: each.carry(inspected=1))
        assert (await carried_out(world, CLOSED)).result is DrillResult.FAILED

    play(world, scenario)


def dies(plant: Plant) -> None:
    plant.world.workers.is_alive = False


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (lambda plant: plant.gate.drills.stop("uid 1000"), "stopped by uid 1000"),
        (dies, "inspection really died, so its declared failure mode is no drill any more"),
        (lambda plant: setattr(plant.world.enforcer, "is_synchronised", False), "the enforcer went away"),
        (lambda plant: plant.gate.state.set_policy(plant.gate.state.now.policy, 9), "another revision came into force"),
        (lambda plant: plant.gate.state.set_aside(frozenset({SAFETY})), "it was told to stand aside"),
    ],
)
def test_whoever_began_it_and_every_real_trouble_ends_it_at_once_and_says_so(
    world: World, happens: Step, said: str
) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        plant.in_s(3, happens)
        drill = await carried_out(world, SAFETY)
        assert (drill.result, drill.why) == (DrillResult.ABORTED, said)
        assert drill.cut_at_us is not None
        assert drill.back_at_us is not None
        assert 3 * S <= drill.back_at_us - drill.cut_at_us < 3.3 * S
        assert "enforcer StandBack" in world.steps
        assert world.recorder.of(RecordKind.DRILL_ENDED)[0].detail["result"] == "aborted"

    play(world, scenario)


def test_a_clock_that_is_set_meanwhile_makes_the_times_worthless(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        plant.in_s(3, lambda each: each.clock.set_wall_s(60))
        assert (await carried_out(world, SAFETY)).why == "the clock was set meanwhile, so the times say nothing"

    play(world, scenario)


def test_what_is_told_to_stand_aside_meanwhile_stays_aside(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        plant.in_s(3, lambda each: each.gate.state.set_aside(frozenset({SAFETY})))
        await carried_out(world, SAFETY)
        assert plant.number in world.enforcer.aside

    play(world, scenario)


def test_when_the_kernel_does_not_cut_nothing_was_drilled_and_it_says_so(world: World) -> None:
    async def scenario(world: World) -> None:
        await drilled(world)
        world.enforcer.failing.add("StandAside")
        drill = await carried_out(world, SAFETY)
        assert (drill.result, drill.why) == (DrillResult.ABORTED, "nothing was cut: StandAside failed")

    play(world, scenario)


def test_without_evidence_no_drill_begins(world: World) -> None:
    async def scenario(world: World) -> None:
        await drilled(world)
        world.recorder.is_healthy = False
        with pytest.raises(Unavailable):
            await world.gate.drills.begin(SAFETY, 10, "uid 0")
        assert world.gate.drills.running is None
        assert "enforcer StandAside" not in world.steps

    play(world, scenario)


def test_two_drills_at_a_time_are_refused(world: World) -> None:
    async def scenario(world: World) -> None:
        await drilled(world)
        await world.gate.drills.begin(SAFETY, 10, "uid 0")
        with pytest.raises(Invalid, match=f"“{SAFETY}” is being drilled"):
            await world.gate.drills.begin(SAFETY, 10, "uid 0")
        await through(world)
        assert len(world.recorder.of(RecordKind.DRILL_STARTED)) == 1

    play(world, scenario)


@pytest.mark.parametrize(
    ("conduit", "length_s", "said"),
    [
        ("no such conduit", 10, "there is no conduit “no such conduit”"),
        ("Safety engineers only", 10, "names no window for drills"),
        (SAFETY, 1, "a drill lasts 2 to 60 s"),
        (SAFETY, 61, "a drill lasts 2 to 60 s"),
        (CLOSED, 10, "nothing flows through"),
    ],
)
def test_what_cannot_be_drilled_is_refused_with_what_speaks_against_it(
    world: World, conduit: str, length_s: int, said: str
) -> None:
    async def scenario(world: World) -> None:
        await drilled(world)
        with pytest.raises(Invalid, match=said):
            await world.gate.drills.begin(conduit, length_s, "uid 0")
        assert world.recorder.of(RecordKind.DRILL_STARTED) == []

    play(world, scenario)


@pytest.mark.parametrize(
    ("later_s", "said"),
    [
        (6 * 3600, "is closed; it opens next at Fri 22 Jan 06:00"),
        (6 * 3600 - 40, "closes before the drill would end; it opens next at Fri 22 Jan 06:00"),
        (-3 * 3600, "is closed; it opens next at Fri 15 Jan 06:00"),
    ],
)
def test_outside_of_its_window_it_is_refused_with_when_the_window_opens_next(
    world: World, later_s: int, said: str
) -> None:
    async def scenario(world: World) -> None:
        await drilled(world)
        world.clock.pass_s(later_s)
        with pytest.raises(Invalid, match=said):
            await world.gate.drills.begin(SAFETY, 60, "uid 0")

    play(world, scenario)


def test_what_is_not_inspected_now_cannot_be_drilled(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        plant.carry(inspected=1, uninspected=1)
        with pytest.raises(Invalid, match="not wholly inspected"):
            await world.gate.drills.begin(SAFETY, 10, "uid 0")
        plant.carry(inspected=1)
        world.workers.is_alive = False
        with pytest.raises(Invalid, match="inspection is not alive"):
            await world.gate.drills.begin(SAFETY, 10, "uid 0")

    play(world, scenario)


OTHER = """\
  SCADA diagnoses the filters:
    from: {role: scada, zone: control-room}
    to: {role: plc, zone: filtration}
    allow: {modbus: [diagnostics]}
"""


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("", "which fails closed"),
        ("    on_failure: open\n    approved_by: safety.officer@riverside\n", "which may not be drilled now"),
    ],
)
def test_a_conduit_that_shares_its_flows_with_one_that_may_not_be_drilled_is_refused(
    world: World, extra: str, said: str
) -> None:
    async def scenario(world: World) -> None:
        await drilled(world)
        site = DRILLED.replace("conduits:\n", "conduits:\n" + OTHER + extra)
        await world.gate.revisions.apply({"site.yaml": site}, "uid 0")
        Plant(world, "scada-1")
        with pytest.raises(Invalid, match=f"also belong to “SCADA diagnoses the filters”, {said}"):
            await world.gate.drills.begin(SAFETY, 10, "uid 0")

    play(world, scenario)


def test_conduits_that_share_their_flows_and_their_window_are_drilled_together_and_named(world: World) -> None:
    async def scenario(world: World) -> None:
        await drilled(world)
        extra = "    on_failure: open\n    approved_by: safety.officer@riverside\n" + PLAN
        site = DRILLED.replace("conduits:\n", "conduits:\n" + OTHER + extra)
        await world.gate.revisions.apply({"site.yaml": site}, "uid 0")
        Plant(world, "scada-1")
        drill = await carried_out(world, SAFETY)
        assert (drill.result, drill.also) == (DrillResult.PASSED, ("SCADA diagnoses the filters",))
        started = world.recorder.of(RecordKind.DRILL_STARTED)[0]
        assert started.detail["also"] == ["SCADA diagnoses the filters"]
        other = (await world.gate.register.intervals("SCADA diagnoses the filters"))[0]
        assert other.cause is Cause.DRILL

    play(world, scenario)


def test_a_drill_that_control_did_not_survive_is_aborted_and_brought_back(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        begun = await world.gate.drills.begin(SAFETY, 10, "uid 0")
        world.enforcer.aside = {plant.number}
        world.steps.clear()
        await world.restart()
        drill = await world.gate.drills.drill(begun.number)
        assert drill is not None
        assert (drill.result, drill.why) == (DrillResult.ABORTED, "control was started anew meanwhile")
        assert "enforcer StandBack" in world.steps
        assert world.enforcer.aside == set()
        assert world.gate.drills.running is None

    play(world, scenario)


def test_when_control_ends_during_a_drill_it_is_brought_back_first(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        running = asyncio.create_task(world.gate.drills.run())
        plant.in_s(3, lambda _: running.cancel())
        await world.gate.drills.begin(SAFETY, 10, "uid 0")
        await asyncio.gather(running, return_exceptions=True)
        assert world.enforcer.aside == set()
        assert world.recorder.of(RecordKind.DRILL_ENDED)[0].detail["why"] == "control ended"

    play(world, scenario)


def test_how_a_drill_ended_is_kept_later_where_the_store_did_not_take_it(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        begun = await world.gate.drills.begin(SAFETY, 4, "uid 0")
        real = world.gate.drills._store.put_drill

        async def full(_drill: Drill) -> None:
            raise Unavailable("disk full")

        world.gate.drills._store.put_drill = full  # type: ignore[method-assign]
        await through(world)
        world.gate.drills._store.put_drill = real  # type: ignore[method-assign]
        plant.clock.pass_s(1)
        await world.gate.sweep()
        kept = await world.gate.drills.drill(begun.number)
        assert kept is not None
        assert kept.result is DrillResult.PASSED

    play(world, scenario)


def test_a_drill_is_overdue_until_one_has_passed_and_again_after_its_time(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)

        async def is_overdue() -> dict[str, bool]:
            return {row.conduit.name: row.is_drill_overdue for row in await world.gate.register.rows()}

        assert (await is_overdue())[SAFETY]
        assert not (await is_overdue())["Safety engineers only"], "it has no plan"
        plant.failover_s = None
        await carried_out(world, SAFETY)
        assert (await is_overdue())[SAFETY], "it did not pass"
        world.clock.pass_s(1)
        await world.gate.sweep()
        plant.failover_s = 0.1
        await carried_out(world, SAFETY)
        assert not (await is_overdue())[SAFETY]
        world.clock.pass_s(90 * 86_400 + 20)
        assert (await is_overdue())[SAFETY]

    play(world, scenario)


def test_what_stands_aside_is_not_brought_back_with_a_drill_that_control_did_not_survive(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        await world.gate.drills.begin(SAFETY, 10, "uid 0")
        await world.gate.aside.stand_aside(SAFETY, "over budget")
        await world.restart()
        assert world.enforcer.aside == {plant.number}
        assert world.gate.aside.of(SAFETY) is not None

    play(world, scenario)


def test_a_drill_that_could_not_be_kept_has_an_end_on_record(world: World) -> None:
    async def scenario(world: World) -> None:
        await drilled(world)

        async def full(_drill: Drill) -> None:
            raise Unavailable("disk full")

        world.gate.drills._store.put_drill = full  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await world.gate.drills.begin(SAFETY, 4, "uid 0")
        (ended,) = world.recorder.of(RecordKind.DRILL_ENDED)
        assert (ended.detail["result"], ended.detail["why"]) == ("aborted", "nothing was cut: disk full")
        assert world.gate.drills.running is None
        assert "enforcer StandAside" not in world.steps

    play(world, scenario)


def test_a_grant_that_ends_while_a_drill_begins_is_not_drilled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        count = world.gate.register.count

        async def meanwhile(numbers: tuple[int, ...] = ()) -> FlowsCounted:
            counted = await count(numbers)
            await world.gate.grants.close(plant.number, Reason.GRANT_REVOKED)
            return counted

        monkeypatch.setattr(world.gate.register, "count", meanwhile)
        with pytest.raises(Invalid, match="nothing flows"):
            await world.gate.drills.begin(SAFETY, 4, "uid 0")
        assert not world.recorder.of(RecordKind.DRILL_STARTED)

    play(world, scenario)


def test_a_machine_that_is_isolated_during_a_drill_makes_it_say_so_and_not_fail(world: World) -> None:
    async def scenario(world: World) -> None:
        plant = await drilled(world)
        isolating: list[asyncio.Task[object]] = []

        def isolate(each: Plant) -> None:
            cut = each.gate.emergencies.isolate(
                IsolatedKind.ASSET, "scada-1", "odd", "uid 0", even_safety_critical=True
            )
            isolating.append(asyncio.ensure_future(cut))

        plant.in_s(2, isolate)
        drill = await carried_out(world, SAFETY)
        await isolating[0]
        assert (drill.result, drill.why) == (DrillResult.ABORTED, "the grant of scada-1 to plc-filter-1 ended")
        assert world.enforcer.standing == {}, "the end of the drill opens nothing"

    play(world, scenario)
