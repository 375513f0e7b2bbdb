"""I/O: the time zone database (IANA) of the machine: which names it knows, and the rules of one of them.

Read once and kept.  It comes with the system's package tzdata, found by Path in `zoneinfo.TZPATH`.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, ZoneInfoNotFoundError, available_timezones

from penstock.model import Unavailable


@cache
def timezone_names() -> frozenset[str]:
    """Every name that the database knows, such as ``Europe/Berlin``; none where there is no database."""
    return frozenset(available_timezones())


@lru_cache(maxsize=256)
def timezone_of(name: str) -> ZoneInfo:
    """The rules of one time zone.  Raises `Unavailable` where the database is missing, or lacks the name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        folders = ", ".join(folder for folder in TZPATH if Path(folder).is_dir()) or "none"
        raise Unavailable(
            f"the time zone {name!r} is not in this machine's database (folders: {folders}); install the package tzdata"
        ) from error
