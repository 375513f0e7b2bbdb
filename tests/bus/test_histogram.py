"""Histograms: every figure that comes out of one is the exact one, rounded up by at most a bucket's width."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.bus.histogram import (
    BUCKETS,
    LONGEST_US,
    Histogram,
    bucket_of,
    count_over,
    high_us,
    low_us,
    merged,
    quantile_us,
    total_of,
    worst_us,
)

DURATIONS = st.one_of(st.integers(0, 5_000), st.integers(0, LONGEST_US), st.sampled_from([63, 64, 4095, 4096]))
RELATIVE_WIDTH = 1 / 32


def counted(values: list[int]) -> dict[int, int]:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram.take()


def exact(values: list[int], share: float) -> int:
    """The nearest rank, from the values themselves."""
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


def test_buckets_follow_one_another_without_a_gap_from_nothing_to_a_minute() -> None:
    assert low_us(0) == 0
    assert [low_us(bucket + 1) for bucket in range(BUCKETS - 1)] == [high_us(b) + 1 for b in range(BUCKETS - 1)]
    assert high_us(BUCKETS - 1) == LONGEST_US


@given(DURATIONS)
def test_a_bucket_holds_its_value_and_is_narrow(value: int) -> None:
    bucket = bucket_of(value)
    assert low_us(bucket) <= value <= high_us(bucket)
    assert high_us(bucket) - low_us(bucket) <= low_us(bucket) * RELATIVE_WIDTH


@given(st.lists(DURATIONS, min_size=1, max_size=300), st.floats(0, 1))
def test_a_quantile_is_the_exact_one_rounded_up_by_at_most_a_bucket(values: list[int], share: float) -> None:
    found, truth = quantile_us(counted(values), share), exact(values, share)
    assert found is not None
    assert truth <= found <= truth * (1 + RELATIVE_WIDTH)


@given(st.lists(DURATIONS, min_size=1, max_size=100))
def test_the_worst_is_never_told_smaller_than_it_was(values: list[int]) -> None:
    found = worst_us(counted(values))
    assert found is not None
    assert max(values) <= found <= max(values) * (1 + RELATIVE_WIDTH)


@given(st.lists(DURATIONS, max_size=100), st.lists(DURATIONS, max_size=100))
def test_counts_of_two_together_are_those_of_all(left: list[int], right: list[int]) -> None:
    assert merged([counted(left), counted(right)]) == counted(left + right)
    assert total_of(counted(left)) == len(left)


@given(st.lists(DURATIONS, max_size=100), DURATIONS)
def test_over_a_limit_counts_nobody_wrongly_and_misses_only_the_limit_s_own_bucket(
    values: list[int], limit: int
) -> None:
    over = count_over(counted(values), limit)
    assert sum(value > limit * (1 + RELATIVE_WIDTH) for value in values) <= over <= sum(v > limit for v in values)


def test_what_was_taken_is_not_counted_again() -> None:
    histogram = Histogram()
    histogram.add(5)
    assert histogram.take() == {5: 1}
    assert histogram.take() == {}


@pytest.mark.parametrize(("value", "bucket"), [(-5, 0), (LONGEST_US + 1, BUCKETS - 1), (1 << 62, BUCKETS - 1)])
def test_what_cannot_be_is_counted_at_the_nearest_end(value: int, bucket: int) -> None:
    assert counted([value]) == {bucket: 1}


def test_of_nothing_there_is_neither_a_quantile_nor_a_worst() -> None:
    assert quantile_us({}, 0.5) is None
    assert worst_us({}) is None
