"""Which dead-man switches have tripped, and who may be armed."""

from __future__ import annotations

from penstock.kernel.switches import Switches
from penstock.model import ArmWorker

MARK, ALIVE, NONE = 9, frozenset({9}), frozenset[int]()
FIRST, SECOND = ArmWorker(mark=MARK, pid=40), ArmWorker(mark=MARK, pid=41)
AGAIN = ArmWorker(mark=MARK, pid=40, was_armed=True)


def armed(command: ArmWorker) -> Switches:
    switches = Switches()
    switches.armed(command)
    return switches


def test_a_switch_that_has_tripped_is_told_once() -> None:
    switches = armed(FIRST)
    assert switches.trip(ALIVE) == []
    assert switches.is_any_armed
    assert switches.trip(NONE) == [(MARK, 40)]
    assert switches.trip(NONE) == []
    assert not switches.is_any_armed


def test_a_process_whose_switch_has_tripped_is_never_armed_again_but_its_successor_is() -> None:
    switches = armed(FIRST)
    switches.trip(NONE)
    assert not switches.may_arm(FIRST, NONE)
    assert switches.may_arm(SECOND, NONE)
    switches.armed(SECOND)
    assert not switches.may_arm(FIRST, ALIVE), "a late question of control arms nobody"


def test_a_fresh_enforcer_goes_on_with_a_worker_that_still_beats_and_takes_a_silent_one_for_tripped() -> None:
    switches = Switches()
    assert switches.may_arm(AGAIN, ALIVE)
    assert not switches.may_arm(AGAIN, NONE)
    assert not switches.may_arm(FIRST, ALIVE), "it is known as tripped from then on"


def test_a_worker_that_control_meets_anew_is_armed_again_while_it_beats() -> None:
    """Control was started anew: it knows nothing of what was armed."""
    assert armed(FIRST).may_arm(FIRST, ALIVE)
