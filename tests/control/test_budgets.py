"""When a conduit is over its budget, and when it must leave inspection: against an oracle that keeps every duration."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.bus.histogram import bucket_of
from penstock.control.budgets import (
    MAX_PARTS,
    MINUTE_US,
    OVERLOAD_COUNT,
    OVERLOAD_US,
    SILENCE_US,
    Budget,
    Exceeded,
    Kept,
    Pulse,
    Recent,
    why_aside,
)

S = 1_000_000
LIMIT_US = 5_000
SLOW, FAST = {bucket_of(9_000): 1}, {bucket_of(100): 1}
#: What happens in a second: how many fast transactions, how many slow ones.
SECONDS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from([0, 0, 0, 1, 2, 5])), min_size=1, max_size=200)


def counts(fast: int, slow: int) -> dict[int, int]:
    return {bucket: n for bucket, n in ((bucket_of(100), fast), (bucket_of(9_000), slow)) if n}


@settings(max_examples=100, deadline=None)
@given(SECONDS)
def test_what_is_told_is_true_at_most_once_a_minute_and_ends_with_a_minute_within_the_budget(
    seconds: list[tuple[int, int]],
) -> None:
    budget, told = Budget(LIMIT_US), list[tuple[int, Exceeded | Kept]]()
    for now, (fast, slow) in enumerate(seconds):
        budget.add(counts(fast, slow), now * S)
        finding = budget.tick(now * S)
        minute = seconds[max(0, now - 59) : now + 1]
        over, count = sum(slow for _, slow in minute), sum(map(sum, minute))
        match finding:
            case Exceeded():
                assert (finding.over, finding.figures.count) == (over, count)
                assert over > 0
                told.append((now, finding))
            case Kept():
                assert over == 0
                told.append((now, finding))
            case None:
                quiet = not told or isinstance(told[-1][1], Kept)
                assert (quiet and not over) or (not quiet and now - told[-1][0] < MINUTE_US // S)
        assert (budget.since_us is not None) is (bool(told) and isinstance(told[-1][1], Exceeded))
    exceeded = [now for now, finding in told if isinstance(finding, Exceeded)]
    assert all(later - earlier >= 60 for earlier, later in itertools.pairwise(exceeded))
    kinds = [type(finding) for _, finding in told]
    assert all(kinds[n - 1] is Exceeded for n, kind in enumerate(kinds) if kind is Kept)


@settings(max_examples=100, deadline=None)
@given(SECONDS)
def test_a_conduit_is_overloaded_if_and_only_if_more_than_one_in_a_hundred_and_three_of_ten_seconds_are_over(
    seconds: list[tuple[int, int]],
) -> None:
    budget = Budget(LIMIT_US)
    for now, (fast, slow) in enumerate(seconds):
        budget.add(counts(fast, slow), now * S)
        budget.tick(now * S)
        recent = seconds[max(0, now - OVERLOAD_US // S + 1) : now + 1]
        over, count = sum(slow for _, slow in recent), sum(map(sum, recent))
        assert budget.recent == (over, count)
        assert budget.is_overloaded is (over >= OVERLOAD_COUNT and 100 * over > count)


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.dictionaries(st.integers(0, 600), st.integers(1, 9)))))
def test_recent_counts_are_those_of_the_parts_that_are_recent(parts: list[tuple[int, dict[int, int]]]) -> None:
    recent, kept, now_us = Recent(10 * S), list[tuple[int, dict[int, int]]](), 0
    for step_us, part in parts:
        now_us += step_us
        kept.append((now_us, part))
        recent.add(part, now_us)
        recent.forget(now_us)
        expected: dict[int, int] = {}
        for at_us, one in kept:
            for bucket, count in one.items():
                if at_us > now_us - 10 * S:
                    expected[bucket] = expected.get(bucket, 0) + count
        assert recent.counts == expected


def test_a_flood_of_reports_is_counted_and_takes_bounded_memory() -> None:
    recent = Recent(60 * S)
    for number in range(10_000):
        recent.add({5: 1}, number)
    assert recent.counts == {5: 10_000}
    assert len(recent._parts) == MAX_PARTS
    recent.forget(61 * S)
    assert recent.counts == {}


def test_a_worker_that_is_alive_and_tells_nothing_for_three_seconds_is_silent() -> None:
    pulse = Pulse()
    pulse.tick(0, is_alive=True)
    pulse.heard({}, S)
    for now_us in (2 * S, 3 * S, 4 * S - 1):
        pulse.tick(now_us, is_alive=True)
        assert not pulse.is_silent(now_us)
    pulse.tick(4 * S, is_alive=True)
    assert pulse.is_silent(4 * S)
    assert why_aside(Budget(LIMIT_US), pulse, 4 * S) == "the worker is alive, but has told nothing for 3.0 s"


def test_a_worker_is_not_blamed_for_a_silence_in_which_nobody_listened() -> None:
    """Control stood still, or was not there: what the worker said meanwhile is still unread."""
    pulse = Pulse()
    pulse.tick(0, is_alive=True)
    pulse.heard({}, 0)
    pulse.tick(SILENCE_US + 5 * S, is_alive=True)
    assert not pulse.is_silent(SILENCE_US + 5 * S)


def test_a_worker_that_is_not_alive_is_not_waited_for_and_gets_its_time_when_it_comes_back() -> None:
    pulse = Pulse()
    for second in range(20):
        pulse.tick(second * S, is_alive=False)
    pulse.tick(20 * S, is_alive=True)
    assert not pulse.is_silent(20 * S)
    for second in range(21, 23):
        pulse.tick(second * S, is_alive=True)
    assert pulse.is_silent(22 * S)


def test_one_stall_of_the_loop_is_not_an_overload_but_one_again_and_again_is() -> None:
    pulse, stall = Pulse(), {bucket_of(9_000): 10}
    pulse.heard(stall, S)
    assert not pulse.is_over(LIMIT_US)
    pulse.heard(stall, 2 * S)
    assert not pulse.is_over(LIMIT_US)
    pulse.heard(stall, 3 * S)
    assert pulse.is_over(LIMIT_US)
    assert "waits longer than 5 ms" in str(why_aside(Budget(LIMIT_US), pulse, 3 * S))
    assert not pulse.is_over(10_000)
    pulse.tick(11 * S, is_alive=True)
    assert not pulse.is_over(LIMIT_US)


def test_a_loop_that_is_late_once_in_a_while_is_within_what_may_happen() -> None:
    pulse = Pulse()
    for second in range(10):
        pulse.heard({bucket_of(100): 400, bucket_of(9_000): 1}, second * S)
    assert not pulse.is_over(LIMIT_US)


def test_a_conduit_that_was_forgiven_is_judged_by_what_comes_then() -> None:
    budget = Budget(LIMIT_US)
    budget.add(counts(0, 5), 0)
    assert budget.is_overloaded
    budget.forgive()
    assert not budget.is_overloaded
    budget.add(counts(0, 5), S)
    assert budget.is_overloaded
