"""A held operation as control knows it: what waits in a worker, under whose grant, who decided, how it ended.  Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from penstock.model import Grant, HoldEnding, OperationHeld

#: The evidence number of a flow, and which held operation of that flow.
HoldKey: TypeAlias = tuple[int, int]

#: Numbers of flows and holds are 64 bits at most.
_NAME = re.compile(r"([0-9]{1,20})\.([0-9]{1,20})")


class HoldState(StrEnum):
    """What has become of a held operation, for people: it waits, it was decided and the worker has it, or its end."""

    WAITING = "waiting"
    APPROVED = "approved"
    DISAPPROVED = "disapproved"
    FORWARDED = "forwarded"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"
    NOT_ALLOWED = "not_allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a second person decided: `by` is who (``NAME@SOURCE``), `why` what they said, `at_us` wall clock time."""

    is_approved: bool
    by: str
    why: str
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How it ended; `is_told`: the worker said so, else control did, because nobody is there to say it."""

    ending: HoldEnding
    at_us: int
    reason: str = ""
    is_told: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One held operation.  `ends_steady_us` is its time-out on the clock that nobody can set."""

    told: OperationHeld
    grant: Grant
    ends_steady_us: int
    verdict: Verdict | None = None
    end: End | None = None

    @property
    def key(self) -> HoldKey:
        """Flow and hold."""
        return self.told.flow, self.told.hold

    @property
    def name(self) -> str:
        """``1042.1``: how people and records name it."""
        return hold_name(self.key)

    @property
    def state(self) -> HoldState:
        """What has become of it."""
        if self.end is not None:
            return HoldState(self.end.ending.value)
        if self.verdict is not None:
            return HoldState.APPROVED if self.verdict.is_approved else HoldState.DISAPPROVED
        return HoldState.WAITING

    @property
    def is_undecided(self) -> bool:
        """Whether it still waits for a second person."""
        return self.end is None and self.verdict is None

    def left_us(self, steady_us: int) -> int:
        """Microseconds until its time-out, 0 where that is over."""
        return max(0, self.ends_steady_us - steady_us)


def hold_name(key: HoldKey) -> str:
    """``1042.1``."""
    return f"{key[0]}.{key[1]}"


def hold_key(name: str) -> HoldKey | None:
    """The other way round; ``None`` where that is no such name."""
    found = _NAME.fullmatch(name)
    return None if found is None else (int(found[1]), int(found[2]))
