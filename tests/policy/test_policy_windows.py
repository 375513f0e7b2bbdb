"""When windows are open, against the clock on the wall of `zoneinfo`, minute by minute, over the setting of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.model import Unavailable, Window
from penstock.policy import is_open, next_opening, timezones

MINUTE_US = 60 * 1_000_000
#: Ordinary and odd ones: half an hour of summer time, a whole day skipped, quarter hours, none at all.
PLACES = {
    "Europe/Berlin": (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)),
    "America/New_York": (datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, tzinfo=UTC)),
    "Pacific/Apia": (datetime(2011, 12, 30, 10, tzinfo=UTC),),
    "Asia/Kathmandu": (datetime(1985, 12, 31, 18, 30, tzinfo=UTC),),
    "America/Havana": (datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 11, 1, 5, tzinfo=UTC)),
    "UTC": (datetime(2026, 6, 1, tzinfo=UTC),),
}


def micros(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def is_open_by_the_clock(window: Window, moment: datetime) -> bool:
    """The oracle: walk back from the local minute to where the window began, on the face of the clock alone."""
    local = moment.astimezone(ZoneInfo(window.timezone))
    face = local.hour * 60 + local.minute
    length = (window.until_minute - window.from_minute) % 1440 or 1440
    since = (face - window.from_minute) % 1440
    began_on = (local.weekday() - (since > face)) % 7
    return since < length and began_on in window.days


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, datetime]:
    """A window, and a moment near one at which its clocks are set."""
    name = draw(st.sampled_from(sorted(PLACES)))
    near = draw(st.sampled_from(PLACES[name])) + timedelta(minutes=draw(st.integers(-3000, 3000)))
    local = near.astimezone(ZoneInfo(name))
    begins = (local.hour * 60 + local.minute + draw(st.integers(-200, 200))) % 1440
    length = draw(st.one_of(st.integers(1, 200), st.integers(1, 1440)))
    days = draw(st.sets(st.integers(0, 6), min_size=1))
    window = Window(
        name="w", days=tuple(sorted(days)), from_minute=begins, until_minute=(begins + length) % 1440, timezone=name
    )
    return window, near


@settings(max_examples=300, deadline=None)
@given(windows(), st.integers(0, 59_999_999))
def test_a_window_is_open_when_the_clock_on_the_wall_says_so(case: tuple[Window, datetime], inside_us: int) -> None:
    window, near = case
    for minute in range(0, 600, 7):
        moment = near + timedelta(minutes=minute)
        assert is_open(window, micros(moment) + inside_us) == is_open_by_the_clock(
            window, moment + timedelta(microseconds=inside_us)
        )


@settings(max_examples=150, deadline=None)
@given(windows())
def test_the_next_opening_is_the_first_open_minute_that_a_search_by_minutes_finds(
    case: tuple[Window, datetime],
) -> None:
    window, near = case
    near = near.replace(second=0, microsecond=0)
    found = next_opening(window, micros(near))
    assert found is not None
    # Every clock of these years is set on a whole minute, so a search by minutes misses nothing.
    searched = next(
        (
            near + timedelta(minutes=minute)
            for minute in range(2 * 1440)
            if is_open_by_the_clock(window, near + timedelta(minutes=minute))
        ),
        None,
    )
    if searched is None:
        assert found >= micros(near + timedelta(days=2))
        assert is_open(window, found)
        assert not is_open(window, found - MINUTE_US)
    else:
        assert found == micros(searched)


def berlin(days: tuple[int, ...], begins: int, ends: int) -> Window:
    return Window(name="w", days=days, from_minute=begins, until_minute=ends, timezone="Europe/Berlin")


def test_a_window_in_the_hour_that_the_clock_skips_opens_a_week_later() -> None:
    window = berlin((6,), 120, 180)
    saturday = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert next_opening(window, micros(saturday)) == micros(datetime(2026, 4, 5, 0, 0, tzinfo=UTC))


def test_a_window_that_begins_in_the_skipped_hour_opens_when_the_clock_is_set() -> None:
    window = berlin((6,), 150, 240)
    saturday = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert next_opening(window, micros(saturday)) == micros(datetime(2026, 3, 29, 1, 0, tzinfo=UTC))


def test_a_window_in_the_hour_that_the_clock_shows_twice_is_open_twice() -> None:
    window = berlin((6,), 120, 150)
    opened = [
        minute
        for minute in range(240)
        if is_open(window, micros(datetime(2026, 10, 24, 23, 30, tzinfo=UTC)) + minute * MINUTE_US)
    ]
    assert opened == [*range(30, 60), *range(90, 120)]
    between = micros(datetime(2026, 10, 25, 0, 45, tzinfo=UTC))
    assert next_opening(window, between) == micros(datetime(2026, 10, 25, 1, 0, tzinfo=UTC))


def test_an_open_window_opens_now_and_one_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    window = berlin((5,), 22 * 60, 6 * 60)
    sunday_morning = micros(datetime(2026, 6, 7, 3, 59, 59, tzinfo=UTC))
    assert is_open(window, sunday_morning)
    assert next_opening(window, sunday_morning) == sunday_morning
    assert not is_open(window, sunday_morning + 1_000_000)
    assert not is_open(window, micros(datetime(2026, 6, 6, 3, 0, tzinfo=UTC)))


def test_a_time_zone_that_the_machine_does_not_know_is_named_with_what_to_install() -> None:
    for name in ("Mars/Olympus", "../../etc/passwd", "Europe", ""):
        with pytest.raises(Unavailable, match="install the package tzdata"):
            timezones.timezone_of(name)
