"""Refused attempts: few records, and every attempt in one of them."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.kernel import attempts as module
from penstock.kernel.attempts import MAX_TARGETS, MAX_TOLD, MAX_WAITING, OTHERS, Attempts, Refusal
from penstock.kernel.balance import FIRST_PERIOD_US, LONGEST_PERIOD_US, Balance
from penstock.model import FlowsRefused, Reason, SourceScanned

SECOND_US = 1_000_000
ONE = Refusal("192.168.10.66", "100.64.0.50", "tcp", 502)


def run(attempts: Attempts, from_s: int, until_s: int) -> list[FlowsRefused | SourceScanned]:
    """What is told in these seconds; never more than the limit in one of them."""
    told = []
    for second in range(from_s, until_s):
        events = attempts.due(second * SECOND_US)
        assert len(events) <= MAX_TOLD
        told += events
    return told


def test_the_same_attempt_is_one_record_with_its_count() -> None:
    attempts = Attempts()
    for _ in range(7):
        attempts.add(ONE, 5)
    (told,) = attempts.due(SECOND_US)
    assert told == FlowsRefused(
        source=ONE.source,
        destination=ONE.destination,
        transport="tcp",
        port=502,
        count=7,
        at_us=SECOND_US,
        reason="grant_unknown",
    )
    run(attempts, 2, 30)
    assert attempts.is_idle


def test_attempts_that_were_refused_for_different_reasons_are_told_apart() -> None:
    attempts = Attempts()
    attempts.add(ONE, 5)
    attempts.add(replace(ONE, reason=Reason.ASSET_FULL.value), 5, 3)
    told = {event.reason: event.count for event in attempts.due(SECOND_US) if isinstance(event, FlowsRefused)}
    assert told == {"grant_unknown": 1, "asset_full": 3}


def test_an_attempt_that_is_repeated_every_second_is_told_ever_more_rarely_and_never_later_than_a_minute() -> None:
    attempts, times, count = Attempts(), [], 0
    for second in range(1, 301):
        attempts.add(ONE, second * SECOND_US)
        for event in attempts.due(second * SECOND_US):
            assert isinstance(event, FlowsRefused)
            times.append(second)
            count += event.count
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert times[0] == 1
    assert pauses == sorted(pauses)
    assert max(pauses) == 60
    assert len(times) <= 12
    assert count + attempts.pending == 300


def test_a_clock_that_is_set_back_keeps_no_attempt_from_being_told() -> None:
    attempts = Attempts()
    hour_s = 3600
    for port in range(MAX_TARGETS + 5):
        attempts.add(replace(ONE, source="192.168.10.67", port=port), hour_s * SECOND_US)
    attempts.add(ONE, hour_s * SECOND_US)
    run(attempts, hour_s, hour_s + 3)
    attempts.add(ONE, (hour_s + 3) * SECOND_US)
    attempts.add(replace(ONE, source="192.168.10.67", port=9), (hour_s + 3) * SECOND_US)
    assert attempts.pending == 2
    assert sum(event.count for event in run(attempts, 0, 3)) == 2
    assert attempts.pending == 0


def test_a_scan_of_ten_thousand_ports_leaves_a_handful_of_records() -> None:
    attempts = Attempts()
    for port in range(10_000):
        attempts.add(replace(ONE, port=port), 5)
    told = run(attempts, 1, 120)
    (scan,) = [event for event in told if isinstance(event, SourceScanned)]
    assert (scan.source, scan.count, scan.destinations, scan.since_us) == (ONE.source, 10_000, 1, 5)
    assert scan.ports == module.MAX_DISTINCT
    assert len(scan.examples) == module.MAX_EXAMPLES
    assert "100.64.0.50 tcp/0" in scan.examples
    assert len(told) == 1
    assert attempts.is_idle


def test_a_scan_is_told_at_once_and_then_after_10_20_40_and_every_60_seconds() -> None:
    attempts, times = Attempts(), []
    for second in range(1, 300):
        for port in range(20):
            attempts.add(replace(ONE, port=second * 20 + port), second * SECOND_US)
        times += [second for event in attempts.due(second * SECOND_US) if isinstance(event, SourceScanned)]
    assert times[0] == 1
    assert [after - before for before, after in itertools.pairwise(times)] == [10, 20, 40, 60, 60, 60]


def test_a_scan_counts_what_its_source_had_waiting_and_shows_what_was_told_before() -> None:
    attempts = Attempts()
    attempts.add(ONE, 1)
    assert len(attempts.due(SECOND_US)) == 1
    for port in range(MAX_TARGETS):
        attempts.add(replace(ONE, port=port), SECOND_US)
    (scan,) = run(attempts, 2, 30)
    assert isinstance(scan, SourceScanned)
    assert (scan.count, scan.ports) == (MAX_TARGETS, MAX_TARGETS + 1)


def test_a_source_that_stops_scanning_is_told_apart_again() -> None:
    attempts = Attempts()
    for port in range(100):
        attempts.add(replace(ONE, port=port), 1)
    run(attempts, 1, 60)
    attempts.add(ONE, 60 * SECOND_US)
    (told,) = attempts.due(61 * SECOND_US)
    assert isinstance(told, FlowsRefused)


def test_a_slow_source_never_scans() -> None:
    """Eleven targets, but not within ten seconds."""
    attempts = Attempts()
    told: list[FlowsRefused | SourceScanned] = []
    for second in range(1, 23):
        attempts.add(replace(ONE, port=second // 2), second * SECOND_US)
        told += attempts.due(second * SECOND_US)
    assert {type(event) for event in told} == {FlowsRefused}


def test_one_scan_hides_no_other_source() -> None:
    attempts = Attempts()
    for port in range(10_000):
        attempts.add(replace(ONE, port=port), 1)
    quiet = replace(ONE, source="192.168.10.7")
    attempts.add(quiet, 1)
    scan, told = attempts.due(SECOND_US)
    assert isinstance(scan, SourceScanned)
    assert isinstance(told, FlowsRefused)
    assert told.source == quiet.source


def test_many_forged_sources_become_one_number_once_the_table_is_full() -> None:
    attempts = Attempts()
    for number in range(5000):
        attempts.add(replace(ONE, source=f"10.0.{number >> 8}.{number & 255}"), 1)
    told = run(attempts, 1, 200)
    others = [event for event in told if event.source == OTHERS]
    assert sum(event.count for event in others) == 5000 - MAX_WAITING
    assert sum(event.count for event in told) == 5000
    assert attempts.is_idle


STEPS = st.lists(
    st.tuples(
        st.integers(0, 30),  # seconds that pass, the wall clock set back included
        st.integers(0, 3).map(lambda n: f"10.0.0.{n}"),
        st.integers(0, 60),
        st.integers(1, 40),
        st.sampled_from([Reason.GRANT_UNKNOWN.value, Reason.ASSET_FULL.value]),
        st.booleans(),
    ),
    max_size=120,
)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS, limits=st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(1, 3)))
def test_no_attempt_is_told_twice_and_none_is_forgotten(
    steps: list[tuple[int, str, int, int, str, bool]], limits: tuple[int, int, int]
) -> None:
    """Conservation: what came in is what was told and what still waits, at every moment and under every limit."""
    before = module.MAX_TOLD, module.MAX_WAITING, module.MAX_SOURCES
    module.MAX_TOLD, module.MAX_WAITING, module.MAX_SOURCES = limits  # type: ignore[misc]
    try:
        attempts, now_us, added, told = Attempts(), 10**15, 0, 0
        for passed_s, source, port, count, reason, is_set_back in steps:
            now_us += -passed_s * SECOND_US if is_set_back and passed_s > 25 else passed_s * SECOND_US
            attempts.add(Refusal(source, "100.64.0.50", "tcp", port, reason), now_us, count)
            added += count
            if passed_s:
                events = attempts.due(now_us)
                assert len(events) <= limits[0]
                told += sum(event.count for event in events)
            assert told == attempts.told
            assert told + attempts.pending == added
        for second in range(20_000):
            told += sum(event.count for event in attempts.due(now_us + second * SECOND_US))
            if attempts.is_idle:
                break
        assert told == added
        assert attempts.is_idle
    finally:
        module.MAX_TOLD, module.MAX_WAITING, module.MAX_SOURCES = before  # type: ignore[misc]


def test_what_the_kernel_counted_and_nobody_saw_is_told_once() -> None:
    balance = Balance(1000)
    balance.seen(250)
    balance.read(11_000)
    assert balance.untold() == 9750
    assert balance.untold() == 0


def test_copies_that_come_after_the_reading_are_not_told_a_second_time() -> None:
    """The difference may be too small for a while, but in the end the sums are equal."""
    balance, told = Balance(None), 0
    balance.read(100)
    balance.seen(90)
    balance.seen(60)  # 50 of them were counted after the reading
    told += balance.untold()
    balance.read(200)
    told += balance.untold()
    assert told + 90 + 60 == 200


def test_a_new_table_begins_a_new_count() -> None:
    balance = Balance(500)
    balance.read(20)
    assert balance.untold() == 20


def test_the_counter_is_read_rarely_while_nothing_is_refused() -> None:
    balance = Balance(0)
    assert balance.period_us == FIRST_PERIOD_US
    for _ in range(10):
        balance.untold()
    assert balance.period_us == LONGEST_PERIOD_US
    balance.seen()
    assert balance.period_us == FIRST_PERIOD_US
