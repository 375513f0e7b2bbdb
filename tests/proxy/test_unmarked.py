from __future__ import annotations

from penstock.proxy.unmarked import FencedClock

STALL_S = 0.95


class World:
    """A steady clock that a test turns, and what the fence said."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.said: list[str] = []
        self.clock = FencedClock(STALL_S, lambda: self.now_s)
        self.clock.end = self.said.append


def test_a_worker_that_beats_may_look_at_the_clock_as_often_as_it_likes() -> None:
    world = World()
    for _ in range(50):
        world.clock.beaten()
        world.now_s += STALL_S - 0.01
        assert world.clock.now_us() > 0
    assert world.said == []


def test_the_first_look_at_the_clock_after_a_stall_ends_the_worker_once() -> None:
    world = World()
    world.clock.beaten()
    world.now_s += STALL_S
    times = [world.clock.now_us() for _ in range(3)]
    assert len(world.said) == 1
    assert "stood still for 0.9 s" in world.said[0] or "stood still for 1.0 s" in world.said[0]
    assert all(times), "ending writes records, and these need times"


def test_before_the_first_beat_nothing_can_have_stood_still() -> None:
    world = World()
    world.now_s += 60
    assert world.clock.now_us() > 0
    assert world.said == []
