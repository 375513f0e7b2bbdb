"""A break-glass request as a value: who asked to open which account and why, who opened it, until when.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class GlassState(StrEnum):
    """What has become of a request."""

    ASKED = "asked"
    OPEN = "open"
    REFUSED = "refused"
    LAPSED = "lapsed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Glass:
    """One request.

    Times are wall clock microseconds; `ends_steady_us` is the end on the clock that nobody can set, of the start of
    the machine that `boot` names.  `by` asked, `opened_by` let it be (or ``sealed envelope``), `ended_by` ended it.
    """

    number: int
    subject: str
    reason: str
    by: str
    asked_at_us: int
    length_s: int
    boot: str
    state: GlassState = GlassState.ASKED
    ends_at_us: int = 0
    ends_steady_us: int = 0
    opened_by: str = ""
    opened_at_us: int | None = None
    ended_at_us: int | None = None
    ended_by: str = ""
    why: str = ""
