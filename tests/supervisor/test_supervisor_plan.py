"""What the supervisor decides: pure, time comes in as an argument."""

from __future__ import annotations

import pytest

from penstock.supervisor import Charge, Kill, Plan, Start
from penstock.supervisor.plan import FIRST_DELAY_S, LONGEST_DELAY_S


@pytest.fixture
def plan() -> Plan:
    return Plan((Charge(name="control", silence_s=5.0), Charge(name="worker-1", silence_s=1.2)))


def test_everything_is_started_at_once_and_in_order(plan: Plan) -> None:
    assert plan.steps(0.0, {}) == [Start("control"), Start("worker-1")]
    assert plan.steps(0.1, {}) == []


def test_a_process_whose_heartbeat_stopped_is_killed_once_and_the_reason_is_kept(plan: Plan) -> None:
    plan.steps(0.0, {})
    beats = {"control": 10.0, "worker-1": 8.7}
    assert plan.steps(10.0, beats) == [Kill("worker-1", "no heartbeat for 1.2 s")]
    assert plan.steps(10.1, beats) == []
    assert plan.ended("worker-1", 10.2) == "no heartbeat for 1.2 s"


def test_a_process_that_beats_in_time_is_left_alone(plan: Plan) -> None:
    plan.steps(0.0, {})
    assert plan.steps(10.0, {"control": 5.1, "worker-1": 8.9}) == []


def test_a_beat_of_the_previous_process_does_not_count_for_the_fresh_one(plan: Plan) -> None:
    plan.steps(100.0, {})
    stale = {"control": 99.0, "worker-1": 99.0}
    assert plan.steps(105.0, stale) == []
    assert {step.name for step in plan.steps(110.5, stale)} == {"control", "worker-1"}


def test_a_process_that_ends_is_started_again_after_a_short_delay(plan: Plan) -> None:
    plan.steps(0.0, {})
    assert plan.ended("worker-1", 60.0) == ""
    beats = {"control": 60.0}
    assert plan.steps(60.0 + FIRST_DELAY_S / 2, beats) == []
    assert plan.steps(60.0 + FIRST_DELAY_S, beats) == [Start("worker-1")]


def test_a_process_that_keeps_ending_is_started_more_and_more_slowly_but_always_again(plan: Plan) -> None:
    now = 0.0
    delays = []
    plan.steps(now, {})
    for _ in range(8):
        plan.ended("control", now)
        ended = now
        while Start("control") not in plan.steps(now, {"worker-1": now}):
            now += 0.05
        delays.append(now - ended)
    assert delays == sorted(delays)
    assert delays[-1] == pytest.approx(LONGEST_DELAY_S, abs=0.11)
