"""Typed fields out of a table: each getter returns a value, or notes what is wrong and returns ``None``.

Stands between the YAML tree and the section parsers, so that every section refuses unknown keys in the same words.
It must never give a default for something that was written but could not be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from penstock.policy.faults import Faults, Place, did_you_mean, shown
from penstock.policy.numbers import read_duration
from penstock.policy.source import Kind, Listing, Scalar, Table, Value

#: RFC 1123, section 2.1: a DNS label, because assets are reached by name.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
#: A name that an identity source gives: anything printable without spaces.
_FOREIGN = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}\Z")
LINE_LENGTH = 120


class Fields:
    """The fields of one table.  `what` names the table in messages, `later` are keys of versions to come."""

    def __init__(
        self, table: Table, faults: Faults, what: str, known: Iterable[str], later: Iterable[str] = ()
    ) -> None:
        self.table, self.faults, self.what = table, faults, what
        self._values = {entry.key.text: entry.value for entry in table.entries}
        known, later = frozenset(known), frozenset(later)
        for entry in table.entries:
            if entry.key.text in later:
                faults.add(
                    entry.key.place,
                    f"{entry.key.text!r} is not supported by this version",
                    "remove it: this version does not enforce it, and what is not enforced is not accepted",
                )
            elif entry.key.text not in known:
                why = f"unknown key {shown(entry.key.text)} in {what}"
                faults.add(entry.key.place, why, did_you_mean(entry.key.text, known))

    def place(self, key: str) -> Place:
        """Where the value of `key` stands, or the table itself."""
        value = self._values.get(key)
        return self.table.place if value is None else value.place

    def has(self, key: str) -> bool:
        """Whether the key is written."""
        return key in self._values

    def need(self, *keys: str) -> bool:
        """Note every one of `keys` that is not written; whether all are."""
        missing = [key for key in keys if key not in self._values]
        for key in missing:
            self.faults.add(self.table.place, f"{self.what} needs {key!r}", f"add `{key}: …`")
        return not missing

    def value(self, key: str) -> Value | None:
        """The value as it stands."""
        return self._values.get(key)

    def text(self, key: str) -> str | None:
        """Printable text of one line."""
        value = self._values.get(key)
        return None if value is None else text_of(value, self.faults, repr(key))

    def name(self, key: str) -> str | None:
        """A name of ours (see `name_of`)."""
        value = self._values.get(key)
        return None if value is None else name_of(value, self.faults, repr(key))

    def foreign(self, key: str) -> str | None:
        """A name that an identity source gives, such as a group's."""
        text = self.text(key)
        if text is None or _FOREIGN.match(text):
            return text
        self.faults.add(self.place(key), f"{shown(text)} is no name: it has spaces or more than 128 characters")
        return None

    def boolean(self, key: str) -> bool | None:
        """``true`` or ``false``."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, Scalar) and value.kind is Kind.BOOLEAN:
            return value.text.lower() == "true"
        self.faults.add(value.place, f"{key!r} must be true or false", "without quotes")
        return None

    def integer(self, key: str, low: int, high: int) -> int | None:
        """A whole number from `low` to `high`."""
        value = self._values.get(key)
        return None if value is None else integer_of(value, self.faults, repr(key), low, high)

    def duration(self, key: str, low_s: int, high_s: int) -> int | None:
        """Seconds out of ``8h``, ``15m``, ``1h30m``, within `low_s` to `high_s`."""
        value = self._values.get(key)
        if value is None:
            return None
        seconds = read_duration(value.text) if isinstance(value, Scalar) else None
        if seconds is None:
            self.faults.add(value.place, f"{key!r} is no duration", "write it as 8h, 15m or 90s")
        elif not low_s <= seconds <= high_s:
            self.faults.add(value.place, f"{key!r} must be from {low_s} s to {high_s} s, it is {seconds} s")
            return None
        return seconds

    def choice(self, key: str, known: Iterable[str]) -> str | None:
        """One of a closed set of words."""
        text, names = self.text(key), tuple(known)
        if text is None or text in names:
            return text
        self.faults.unknown(self.place(key), f"value of {key!r}:", text, names)
        return None

    def inner(self, key: str) -> Table | None:
        """A table."""
        value = self._values.get(key)
        return None if value is None else table_of(value, self.faults, repr(key))

    def listing(self, key: str) -> tuple[Value, ...] | None:
        """The items of a list."""
        value = self._values.get(key)
        if value is None or isinstance(value, Listing):
            return None if value is None else value.items
        self.faults.add(value.place, f"{key!r} must be a list", f"write `{key}: […]`")
        return None


def text_of(value: Value, faults: Faults, what: str, longest: int = LINE_LENGTH) -> str | None:
    """Printable text of one line out of a scalar."""
    if not isinstance(value, Scalar) or value.kind is Kind.NOTHING or not value.text.strip():
        faults.add(value.place, f"{what} must be text")
        return None
    text = value.text.strip()
    if len(text) > longest or not text.isprintable():
        faults.add(value.place, f"{what} must be one line of at most {longest} printable characters")
        return None
    if text != value.text:
        faults.add(value.place, f"{what} begins or ends with a space", f"write {shown(text)}")
        return None
    return text


def name_of(value: Value, faults: Faults, what: str) -> str | None:
    """A name of ours out of a scalar: small letters, digits and hyphens, as in DNS."""
    text = text_of(value, faults, what)
    if text is None or _NAME.match(text):
        return text
    hint = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")
    faults.add(
        value.place,
        f"{what} must be small letters, digits and hyphens, at most 63: {shown(text)} is not",
        f"for example {hint!r}" if hint else "",
    )
    return None


def integer_of(value: Value, faults: Faults, what: str, low: int, high: int) -> int | None:
    """A whole number from `low` to `high` out of a scalar."""
    if not isinstance(value, Scalar) or value.kind is not Kind.INTEGER:
        faults.add(value.place, f"{what} must be a whole number")
        return None
    number = int(value.text)
    if low <= number <= high:
        return number
    faults.add(value.place, f"{what} must be from {low} to {high}, it is {number}")
    return None


def table_of(value: Value, faults: Faults, what: str) -> Table | None:
    """A table; an empty value counts as an empty one."""
    if isinstance(value, Table):
        return value
    if isinstance(value, Scalar) and value.kind is Kind.NOTHING:
        return Table(place=value.place)
    faults.add(value.place, f"{what} must be a table of keys and values")
    return None
