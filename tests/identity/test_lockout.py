from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.identity import lockout
from penstock.identity.lockout import ACCOUNT_LIMIT, PAIR_LIMIT, SOURCE_LIMIT, Attempts

S = 1_000_000


def fail(times: int, start_us: int = 0, gap_s: int = 1) -> tuple[Attempts, int]:
    attempts, now_us = Attempts(), start_us
    for _ in range(times):
        now_us += gap_s * S
        attempts = lockout.counted(attempts, now_us, PAIR_LIMIT)
    return attempts, now_us


def test_four_failures_cost_nothing_and_the_fifth_waits_thirty_seconds() -> None:
    free, now_us = fail(4)
    assert lockout.wait_s(free, now_us) == 0
    fifth = lockout.counted(free, now_us, PAIR_LIMIT)
    assert lockout.wait_s(fifth, now_us) == 30


def test_each_later_failure_doubles_the_wait_up_to_fifteen_minutes() -> None:
    attempts, now_us = fail(4)
    waits = []
    for _ in range(7):
        attempts = lockout.counted(attempts, now_us, PAIR_LIMIT)
        waits.append(lockout.wait_s(attempts, now_us))
        now_us = attempts.until_us
    assert waits == [30, 60, 120, 240, 480, 900, 900]


def test_attempts_during_a_wait_are_not_counted() -> None:
    attempts, now_us = fail(5)
    assert lockout.counted(attempts, now_us + S, PAIR_LIMIT) is attempts


def test_failures_are_forgotten_after_a_day() -> None:
    attempts, now_us = fail(4)
    later = lockout.counted(attempts, now_us + (PAIR_LIMIT.forget_s + 1) * S, PAIR_LIMIT)
    assert later.failures == 1


def test_a_clock_that_was_set_back_locks_nobody_out_for_longer_than_the_longest_wait() -> None:
    attempts, _ = fail(12, start_us=10**15, gap_s=1000)
    assert lockout.wait_s(attempts, 0) == PAIR_LIMIT.longest_wait_s


@given(st.lists(st.integers(min_value=0, max_value=600), min_size=1, max_size=60))
@settings(max_examples=60)
def test_no_pattern_of_attempts_gets_more_than_a_hundred_guesses_an_hour(gaps_s: list[int]) -> None:
    attempts, now_us, accepted = Attempts(), 0, []
    for gap_s in gaps_s:
        now_us += gap_s * S
        if not lockout.wait_s(attempts, now_us):
            accepted.append(now_us)
            attempts = lockout.counted(attempts, now_us, PAIR_LIMIT)
    for at_us in accepted:
        assert sum(at_us <= other < at_us + 3600 * S for other in accepted) <= 13


def test_a_right_proof_gives_a_source_one_failure_back() -> None:
    attempts = lockout.counted(Attempts(failures=7, last_at_us=1), 2, SOURCE_LIMIT)
    assert lockout.forgiven(attempts).failures == 7


def test_after_a_clock_was_set_back_the_longest_wait_ends_the_lock_out() -> None:
    attempts, _ = fail(12, start_us=10**15, gap_s=1000)
    attempts = lockout.counted(attempts, 0, PAIR_LIMIT)
    assert lockout.wait_s(attempts, PAIR_LIMIT.longest_wait_s * S - 1) == 1
    assert lockout.wait_s(attempts, PAIR_LIMIT.longest_wait_s * S) == 0


def test_addresses_of_one_ipv6_link_share_a_counter_and_ipv4_addresses_do_not() -> None:
    assert (
        lockout.source_key("2001:db8::1")
        == lockout.source_key("2001:db8:0:0:ffff::2")
        != lockout.source_key("2001:db8:0:1::1")
    )
    assert lockout.source_key("10.20.0.1") != lockout.source_key("10.20.0.2")
    assert lockout.source_key("unknown") != lockout.source_key("fe80::1%eth0") == lockout.source_key("fe80::2%eth0")


def test_a_hundred_failures_in_a_row_are_the_last_whatever_time_passes() -> None:
    attempts, now_us, accepted = Attempts(), 0, 0
    for _ in range(400):
        now_us += 7 * 86_400 * S
        if not lockout.wait_s(attempts, now_us, ACCOUNT_LIMIT):
            accepted += 1
        attempts = lockout.counted(attempts, now_us, ACCOUNT_LIMIT)
    assert accepted == 100
    assert lockout.wait_s(attempts, now_us + 365 * 86_400 * S, ACCOUNT_LIMIT) == 900
