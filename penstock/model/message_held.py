"""What is said of operations that wait for a second person: a worker tells what it holds, control what was decided.

Events of a worker to control, and the one answer; see `penstock.model.message`.  `flow` is the flow's number in
evidence, `hold` counts the held operations of that flow; written together (``1042.1``) they name one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from penstock.model.operation import Target, Value

#: How much of what a decider says goes on record.
MAX_WHY_CHARACTERS = 200


class HoldEnding(StrEnum):
    """What became of a held operation."""

    FORWARDED = "forwarded"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"
    """Whoever sent it is gone, or the flow has ended for another reason."""
    NOT_ALLOWED = "not_allowed"
    """It was approved, but policy, grant, rate or evidence do not let it pass any more; or they changed before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBefore:
    """What stood in objects that a held operation writes, as traffic showed it `age_us` before it was asked.

    `target` is the place of the operation's target, `first` the number of its first element that is known, `values` one
    an element from there on.
    """

    target: int
    first: int
    values: tuple[Value, ...]
    age_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationHeld:
    """An operation waits in a worker for a second person; it is refused at `until_us` if nobody decides.

    Told again whenever control comes back or `behind` changes: the last one counts.  `operation` is the title of its
    classes (``modbus.write``), `data` the exact bytes in hexadecimal, secrets overwritten, `source` where its sender
    is (address:port).  `behind` is how many more requests of the flow wait until this one is decided.  `before` is what
    its objects held, where traffic has shown it.
    """

    flow: int
    hold: int
    grant: int
    conduit: str
    operation: str
    code: str
    name: str
    unit: int | None
    targets: tuple[Target, ...]
    data: str
    source: str
    at_us: int
    until_us: int
    behind: int = 0
    before: tuple[ShownBefore, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldEnded:
    """It waits no longer.  `reason` is a value of `Reason` where it was not forwarded."""

    flow: int
    hold: int
    ending: HoldEnding
    at_us: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldDecided:
    """Somebody has decided, and that is on record: `decided_by` is a subject (name@source), `why` what they said.

    Answered with `Done` where the operation still waited (what became of it is told by `HoldEnded`), else `Failed`.
    """

    flow: int
    hold: int
    is_approved: bool
    decided_by: str
    why: str
