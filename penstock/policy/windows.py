"""When a window is open: by what a clock on the wall of its time zone shows.

Pure but for the rules of time zones, which `timezones` reads once.  A window is open at a moment if the local time of
that moment lies in it.  So where summer time begins, what is skipped is never open; where it ends, what the clock
shows twice is open twice.  A window that reaches over midnight belongs to the day on which it begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

from penstock.model import Window
from penstock.policy.timezones import timezone_of

_US = 1_000_000
_HOUR_US = 3600 * _US
#: Twice a week can pass without an opening (the skipped hour of one Sunday); some zones once skipped a whole day.
_SEARCHED_DAYS = 23
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_open(window: Window, at_us: int) -> bool:
    """Whether the window is open at this moment (microseconds since the Unix epoch).  Raises `Unavailable`."""
    local = _local(at_us, timezone_of(window.timezone))
    minute, today = local.hour * 60 + local.minute, local.weekday()
    begins, ends = window.from_minute, window.until_minute
    if begins < ends:
        return today in window.days and begins <= minute < ends
    is_since_today = today in window.days and minute >= begins
    is_since_yesterday = (today - 1) % 7 in window.days and minute < ends
    return is_since_today or is_since_yesterday


def next_opening(window: Window, at_us: int) -> int | None:
    """The first moment from `at_us` on at which the window is open (`at_us` itself where it is).

    ``None`` where it does not open in the next three weeks.  Raises `Unavailable`.
    """
    if is_open(window, at_us):
        return at_us
    zone = timezone_of(window.timezone)
    # It can only open at its first minute, or where the clock is set.
    edges = sorted({*_beginnings(window, at_us, zone), *_settings_of_the_clock(at_us, zone)})
    return next((edge for edge in edges if edge > at_us and is_open(window, edge)), None)


def _beginnings(window: Window, at_us: int, zone: tzinfo) -> Iterator[int]:
    """The moments at which the clock shows the window's first minute, on every day that is searched."""
    first = _local(at_us, zone).date() - timedelta(days=1)
    for day in range(_SEARCHED_DAYS + 1):
        for fold in (0, 1):
            yield _moment(first + timedelta(days=day), window.from_minute, fold, zone)


def _moment(day: date, minute: int, fold: int, zone: tzinfo) -> int:
    local = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone, fold=fold)
    return (local - _EPOCH) // timedelta(microseconds=1)


def _settings_of_the_clock(at_us: int, zone: tzinfo) -> Iterator[int]:
    """The moments, to the second, at which the zone's distance from UTC changes."""
    before_us = at_us
    for hour in range(1, _SEARCHED_DAYS * 24 + 1):
        after_us = at_us + hour * _HOUR_US
        if _offset(before_us, zone) != _offset(after_us, zone):
            yield _set_between(before_us, after_us, zone)
        before_us = after_us


def _set_between(low_us: int, high_us: int, zone: tzinfo) -> int:
    old, low, high = _offset(low_us, zone), low_us // _US, -(-high_us // _US)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle * _US, zone) == old else (low, middle)
    return high * _US


def _offset(at_us: int, zone: tzinfo) -> timedelta | None:
    return _local(at_us, zone).utcoffset()


def _local(at_us: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone)
