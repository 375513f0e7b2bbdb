"""The register of held operations: what waits, and that nothing waits for nobody."""

from __future__ import annotations

from dataclasses import replace

from control_world import World, play
from held_operations import FLOW, HoldingWorker, asking

from penstock.control import HoldState, hold_key, hold_name
from penstock.control.holds import LONGEST_US, MAX_ENDED, MAX_WAITING
from penstock.model import HoldEnding, Reason

KEY = FLOW, 1


def test_a_hold_is_named_by_its_flow_and_its_number_and_by_nothing_else() -> None:
    assert hold_name((1042, 1)) == "1042.1"
    assert hold_key("1042.1") == (1042, 1)
    for text in ("1042", "1042.", ".1", "1042.1.1", "-1.1", "1042.x", "1042.1 ", "٣.1", "9" * 21 + ".1", ""):
        assert hold_key(text) is None, text


def test_what_a_worker_tells_waits_until_it_tells_the_end(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        worker.hold(grant, 1, for_s=60)
        worker.hold(grant, 2, for_s=30)
        assert [held.name for held in world.gate.holds.waiting] == ["1042.2", "1042.1"]
        worker.hold(grant, 1, behind=4)
        found = world.gate.holds.of(KEY)
        assert found is not None
        assert (found.told.behind, found.state) == (4, HoldState.WAITING)
        assert found.left_us(world.clock.steady_us) == 60_000_000
        worker.end(1, HoldEnding.TIMED_OUT, Reason.GRANT_EXPIRED.value)
        worker.end(1, HoldEnding.FORWARDED)
        worker.hold(grant, 1)
        ended = world.gate.holds.of(KEY)
        assert ended is not None
        assert ended.state is HoldState.TIMED_OUT
        assert [held.name for held in world.gate.holds.waiting] == ["1042.2"]
        assert world.gate.holds.endings == {HoldEnding.TIMED_OUT: 1}

    play(world, scenario)


def test_a_worker_that_is_gone_leaves_nothing_that_waits_and_tells_it_anew_when_it_is_back(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        worker.hold(grant)
        world.gate.holds.left(HoldingWorker(world))
        assert len(world.gate.holds.waiting) == 1
        world.gate.holds.left(worker)
        assert world.gate.holds.waiting == ()
        found = world.gate.holds.of(KEY)
        assert found is not None
        assert found.state is HoldState.WITHDRAWN
        again = HoldingWorker(world)
        again.hold(grant)
        assert [held.name for held in world.gate.holds.waiting] == ["1042.1"]
        assert world.gate.holds.ended == ()
        worker.end(1, HoldEnding.FORWARDED)
        assert [held.state for held in world.gate.holds.waiting] == [HoldState.WAITING]

    play(world, scenario)


def test_a_hold_ends_with_its_grant_and_none_begins_without_one(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        worker.hold(grant)
        await world.gate.grants.close(grant.number, Reason.GRANT_REVOKED, "uid 0")
        assert world.gate.holds.waiting == ()
        found = world.gate.holds.of(KEY)
        assert found is not None
        assert found.state is HoldState.WITHDRAWN
        world.gate.holds.sweep()
        assert [held.name for held in world.gate.holds.ended] == ["1042.1"]
        worker.hold(grant, 2)
        assert world.gate.holds.of((FLOW, 2)) is None

    play(world, scenario)


def test_what_nobody_tells_the_end_of_ends_by_itself_and_is_forgotten_in_time(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        worker.hold(grant, for_s=60)
        world.clock.set_wall_s(-3600)
        world.clock.pass_s(62)
        world.gate.holds.sweep()
        assert len(world.gate.holds.waiting) == 1
        world.clock.pass_s(2)
        world.gate.holds.sweep()
        assert [held.state for held in world.gate.holds.ended] == [HoldState.TIMED_OUT]
        world.clock.pass_s(3600)
        world.gate.holds.sweep()
        assert world.gate.holds.of(KEY) is None

    play(world, scenario)


def test_what_was_shown_is_not_exchanged_for_something_else_by_a_later_word(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        first = worker.hold(grant)
        worker.hold(grant, data="ffff", targets=(), operation="modbus.execute", name="Restart", behind=3)
        found = world.gate.holds.of(KEY)
        assert found is not None
        assert found.told == replace(first, behind=3)

    play(world, scenario)


def test_a_clock_that_is_set_and_an_end_that_is_moved_are_followed(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        told = worker.hold(grant, for_s=60)

        def left_s() -> float:
            found = world.gate.holds.of(KEY)
            assert found is not None
            return found.left_us(world.clock.steady_us) / 1_000_000

        world.clock.pass_s(10)
        world.clock.set_wall_s(7200)
        assert left_s() == 50
        world.gate.holds.heard(worker, replace(told, behind=1))
        assert left_s() == 50
        world.gate.holds.heard(worker, replace(told, until_us=world.clock.wall_us + 20_000_000))
        assert left_s() == 20

    play(world, scenario)


def test_no_worker_makes_it_wait_for_ever_or_more_than_people_can_decide(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        worker.hold(grant, 1, for_s=1e9)
        found = world.gate.holds.of(KEY)
        assert found is not None
        assert found.left_us(world.clock.steady_us) == LONGEST_US
        for number in range(2, MAX_WAITING + 12):
            worker.hold(grant, number)
        assert len(world.gate.holds.waiting) == MAX_WAITING
        assert world.gate.holds.unshown == 11
        for number in range(1, MAX_WAITING + 1):
            worker.end(number, HoldEnding.REFUSED)
        assert len(world.gate.holds.ended) == MAX_ENDED
        assert world.gate.holds.ended[0].name == f"1042.{MAX_WAITING}"

    play(world, scenario)
