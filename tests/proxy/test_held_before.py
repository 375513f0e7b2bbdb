"""What whoever decides is shown of the objects of a held write: what traffic has shown of them, and no guess."""

from __future__ import annotations

from pathlib import Path

import pytest
from holding import Holding
from proxying import SECOND, T0, message

from penstock.model import OperationHeld, ShownBefore

#: Unit 1: registers 1 to 3 read; register 2 written; registers 2 and 3 written.
READ = b"\0\0\0\6\1\3\0\1\0\3"
READ_REPLY = b"\0\0\0\11\1\3\6\0\4\0\5\0\6"
WRITE = b"\0\0\0\6\1\6\0\2\0\x55"
WRITE_TWO = b"\0\0\0\13\1\x10\0\2\0\2\4\0\x55\0\x66"


@pytest.fixture
def flow(tmp_path: Path) -> Holding:
    return Holding(tmp_path)


def read(flow: Holding, number: int, at_us: int) -> None:
    flow.client(message(number, READ), at_us)
    flow.asset(message(number, READ_REPLY), at_us + 4200)


def told(flow: Holding) -> OperationHeld:
    """The last word about a hold."""
    return [each for each in flow.told if isinstance(each, OperationHeld)][-1]


def test_what_a_read_has_shown_stands_beside_a_held_write_with_its_age(flow: Holding) -> None:
    read(flow, 1, T0)
    flow.client(message(2, WRITE_TWO), T0 + 12 * SECOND)
    assert told(flow).before == (ShownBefore(target=0, first=2, values=(5, 6), age_us=12 * SECOND),)


def test_what_no_traffic_has_shown_is_not_told(flow: Holding) -> None:
    flow.client(message(2, WRITE), T0)
    assert told(flow).before == ()


def test_after_an_approved_write_the_next_one_is_shown_what_that_one_left(flow: Holding) -> None:
    read(flow, 1, T0)
    flow.client(message(2, WRITE), T0 + SECOND)
    flow.approve(now_us=T0 + 2 * SECOND)
    flow.asset(message(2, WRITE), T0 + 2 * SECOND + 4200)
    flow.client(message(3, WRITE), T0 + 5 * SECOND)
    (before,) = told(flow).before
    assert (before.first, before.values) == (2, (0x55,))
    assert 2 * SECOND < before.age_us <= 3 * SECOND


def test_a_write_that_nobody_answered_leaves_nothing_known(flow: Holding) -> None:
    read(flow, 1, T0)
    flow.client(message(2, WRITE), T0 + SECOND)
    flow.approve(now_us=T0 + 2 * SECOND)
    flow.client(message(3, WRITE), T0 + 3 * SECOND)
    assert told(flow).before == ()


def test_a_refused_one_changes_nothing_of_what_is_known(flow: Holding) -> None:
    read(flow, 1, T0)
    flow.client(message(2, WRITE), T0 + SECOND)
    flow.refuse(now_us=T0 + 2 * SECOND)
    flow.client(message(3, WRITE), T0 + 3 * SECOND)
    assert told(flow).before == (ShownBefore(target=0, first=2, values=(5,), age_us=3 * SECOND),)


def test_what_is_told_again_says_the_same_of_what_was_before(flow: Holding) -> None:
    read(flow, 1, T0)
    flow.client(message(2, WRITE), T0 + SECOND)
    first = told(flow)
    flow.client(message(3, READ), T0 + 2 * SECOND)
    flow.inspection.lapse(T0 + 3 * SECOND)
    assert told(flow).behind == 1
    assert told(flow).before == first.before != ()
