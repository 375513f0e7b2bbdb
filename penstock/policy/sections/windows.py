"""The `windows:` section: recurring times of the week, such as maintenance hours."""

from __future__ import annotations

from penstock.model import Window
from penstock.policy.faults import Faults, shown
from penstock.policy.fields import Fields, name_of, table_of, text_of
from penstock.policy.numbers import DAYS, read_clock
from penstock.policy.source import Entry
from penstock.policy.timezones import timezone_names

KEYS = ("days", "from", "to", "timezone")


def read_window(entry: Entry, faults: Faults) -> Window | None:
    """One window, or ``None`` with the reason in `faults`."""
    name = name_of(entry.key, faults, "the name of a window")
    table = table_of(entry.value, faults, f"window {entry.key.text!r}")
    if name is None or table is None:
        return None
    fields = Fields(table, faults, f"window {name!r}", KEYS)
    is_complete = fields.need(*KEYS)
    days, timezone = _days(fields), _timezone(fields)
    from_minute, until_minute = _minute(fields, "from"), _minute(fields, "to")
    if not is_complete or not days or timezone is None or from_minute is None or until_minute is None:
        return None
    return Window(name=name, days=days, from_minute=from_minute, until_minute=until_minute, timezone=timezone)


def _days(fields: Fields) -> tuple[int, ...]:
    listed = fields.listing("days")
    if listed == ():
        fields.faults.add(fields.place("days"), "'days' names no day", f"of: {', '.join(DAYS)}")
    found: set[int] = set()
    for item in listed or ():
        text = text_of(item, fields.faults, "a day")
        if text is None:
            continue
        if text not in DAYS:
            fields.faults.unknown(item.place, "day", text, DAYS)
        elif DAYS.index(text) in found:
            fields.faults.add(item.place, f"the day {text!r} stands here twice", "remove one of them")
        else:
            found.add(DAYS.index(text))
    return tuple(sorted(found))


def _minute(fields: Fields, key: str) -> int | None:
    text = fields.text(key)
    minute = None if text is None else read_clock(text)
    if text is not None and minute is None:
        hint = 'write "00:00" for midnight at the end of the day' if text == "24:00" else 'write it as "06:00"'
        fields.faults.add(fields.place(key), f"{shown(text)} is no time of the day from 00:00 to 23:59", hint)
    return minute


def _timezone(fields: Fields) -> str | None:
    text = fields.text("timezone")
    if text is None:
        return None
    known = timezone_names()
    if not known:
        why = "this machine has no time zone database, so nobody can tell when the window is open"
        fields.faults.add(fields.place("timezone"), why, "install the package tzdata")
    elif text not in known:
        fields.faults.unknown(fields.place("timezone"), "time zone", text, known)
    else:
        return text
    return None
