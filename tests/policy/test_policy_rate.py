"""The ledger: what it counts, and that it does not grow without end."""

from __future__ import annotations

from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import asking, person, policy_of, write

from penstock.model import Reason
from penstock.policy import Ledger, decide


def test_a_count_is_of_the_last_period_and_of_its_own_key() -> None:
    ledger = Ledger()
    for at_s in (0.0, 10.0, 59.9):
        ledger.charge("a", at_s)
    assert [ledger.count("a", 60, at_s) for at_s in (59.9, 60.0, 70.0, 119.8, 120.0)] == [3, 2, 1, 1, 0]
    assert ledger.count("b", 60, 59.9) == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 100))
def test_a_count_is_what_a_plain_list_of_times_says(times: list[int], period_s: int) -> None:
    ledger, now_s = Ledger(), 300
    for at_s in sorted(times):
        ledger.charge("a", at_s)
    assert ledger.count("a", period_s, now_s) == sum(now_s - period_s < at_s <= now_s for at_s in times)


def test_a_key_remembers_no_more_than_the_largest_rate() -> None:
    ledger = Ledger()
    for number in range(12_000):
        ledger.charge("a", number / 1000)
    assert ledger.count("a", 86_400, 12.0) == 10_000


def test_keys_without_a_charge_in_a_day_are_forgotten() -> None:
    ledger = Ledger()
    for number in range(5000):
        ledger.charge(f"key {number}", 0.0)
    for number in range(5000):
        ledger.charge("fresh", 90_000.0 + number)
    assert len(ledger) == 1


def test_no_more_than_the_rate_is_allowed_in_any_period() -> None:
    policy = policy_of(
        "A:\n  from: {group: operators}\n  to: {asset: plc-1}\n  allow: {modbus: [{write: {at_most: 3/min}}]}\n"
    )
    ledger, allowed, request = Ledger(), [], asking(person("operators"), write(1, 1))
    for now_s in range(0, 200, 7):
        decision = decide(policy, request, partial(count_at, ledger, now_s))
        if decision.is_allowed:
            allowed.append(now_s)
            ledger.charge(decision.charges[0].key, now_s)
        else:
            assert decision.reason is Reason.RATE_EXCEEDED
    assert allowed == [0, 7, 14, 63, 70, 77, 126, 133, 140, 189, 196]


def count_at(ledger: Ledger, now_s: float, key: str, period_s: int) -> int:
    return ledger.count(key, period_s, now_s)
