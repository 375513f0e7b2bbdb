"""Rates: a sliding window for each key, all or nothing over several."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.model import Charge
from penstock.proxy.rates import Rates

TWO_A_SECOND = Charge(key="a", count=2, period_s=1)
ONE_A_MINUTE = Charge(key="b", count=1, period_s=60)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 400_000), max_size=60))
def test_no_window_of_the_period_ever_holds_more_than_the_count(steps: list[int]) -> None:
    """And nothing is refused that would have fitted."""
    rates, now, taken = Rates(), 0, list[int]()
    for step in steps:
        now += step
        recent = [at for at in taken if at > now - 1_000_000]
        used_up = rates.admit([TWO_A_SECOND], now)
        assert (used_up is None) is (len(recent) < 2)
        if used_up is None:
            taken.append(now)


def test_an_operation_that_is_refused_by_one_rate_does_not_count_against_another() -> None:
    """All charges fit, or none is taken."""
    rates = Rates()
    assert rates.admit([TWO_A_SECOND, ONE_A_MINUTE], 0) is None
    assert rates.admit([TWO_A_SECOND, ONE_A_MINUTE], 1) is ONE_A_MINUTE
    assert rates.admit([TWO_A_SECOND], 2) is None
    assert rates.admit([TWO_A_SECOND], 3) is TWO_A_SECOND


def test_a_policy_is_told_what_was_spent_so_that_it_can_take_another_conduit() -> None:
    rates = Rates()
    charge = Charge(key="a", count=2, period_s=10)
    assert rates.spent("a", 10, 0) == 0
    rates.admit((charge,), 1_000_000)
    rates.admit((charge,), 2_000_000)
    assert rates.spent("a", 10, 3_000_000) == 2
    assert rates.spent("a", 10, 11_500_000) == 1


def test_a_clock_that_is_set_opens_no_new_allowance_and_freezes_none() -> None:
    rates = Rates()
    charge = Charge(key="a", count=1, period_s=10)
    assert rates.admit((charge,), 100_000_000) is None
    rates.stepped(-50_000_000)
    assert rates.admit((charge,), 51_000_000) is charge
    assert rates.admit((charge,), 61_000_000) is None
