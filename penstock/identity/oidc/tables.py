"""JSON from a provider: bounded, one object, and typed looks into it.  Pure.

It must never let a value of another type, or a longer one, pass for what was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from penstock.model import Malformed

#: The largest answer of a provider that is read at all: discovery, keys, tokens, userinfo.
MAX_BODY_BYTES = 256 << 10
MAX_TEXT = 2048
#: Seconds since the epoch: beyond this (the year 9999) it is no time.
_MAX_TIME_S = 253_402_300_799


def read_table(body: bytes) -> Mapping[str, object]:
    """The JSON object in `body`.  Raises `Malformed`."""
    if len(body) > MAX_BODY_BYTES:
        raise Malformed(f"more than {MAX_BODY_BYTES} bytes of JSON")
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("no JSON") from None
    if not isinstance(value, dict):
        raise Malformed("JSON, but no object")
    return value


def text_in(table: Mapping[str, object], key: str, longest: int = MAX_TEXT) -> str | None:
    """The text under `key`, ``None`` where there is none.  Raises `Malformed` for anything else."""
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise Malformed(f"{key!r} is no text of 1 to {longest} characters")
    return value


def time_in(table: Mapping[str, object], key: str) -> float | None:
    """The seconds since the epoch under `key` (RFC 7519 section 2, NumericDate).  Raises `Malformed`."""
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_TIME_S:
        raise Malformed(f"{key!r} is no time")
    return float(value)


def texts_in(table: Mapping[str, object], key: str, most: int, longest: int = MAX_TEXT) -> tuple[str, ...] | None:
    """A list of at most `most` texts; one text alone counts as a list of it.  Raises `Malformed`."""
    value = table.get(key)
    if value is None:
        return None
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or len(items) > most:
        raise Malformed(f"{key!r} is no list of at most {most}")
    found = [item for item in items if isinstance(item, str) and len(item) <= longest]
    if len(found) != len(items):
        raise Malformed(f"{key!r} has items that are no text of at most {longest} characters")
    return tuple(found)


def is_set(table: Mapping[str, object], key: str) -> bool:
    """Whether `key` is ``true``."""
    return table.get(key) is True
