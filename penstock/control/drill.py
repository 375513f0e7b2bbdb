"""One drill: a conduit's declared failure mode, exercised on the live gate, and what was seen of it.

Pure.  Flows and records of the worker's journal come by, times and a verdict come out.  Every time is measured from
what the kernel and the worker say of their flows, not from when somebody looked.  It must never call a drill passed
that exercised nothing, or of which something is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from penstock.model import FailureMode, FlowsCounted, Grant, Json, KernelFlowOpened, Record, RecordKind, SubjectKind

#: What was under way when the conduit was cut may still be answered for so long.
UNDER_WAY_US = 300_000
#: The rows of an `operations` record: offset, operation, latency, outcome; an outcome from here on is no answer.
_UNANSWERED = 2


class DrillResult(StrEnum):
    """How a drill ended."""

    PASSED = "passed"
    FAILED = "failed"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercised:
    """One grant that had inspected flows when the drill began, and what became of them.

    `failover_us`: from the cut to its first flow on the kernel path.  `return_us`: from the end of the exercise to its
    first inspected flow.  `passed`: flows that went on uninspected.  `leaked`: answered requests although the conduit
    fails closed.
    """

    grant: int
    subject: str
    asset: str
    is_machine: bool
    flows: int
    failover_us: int | None = None
    return_us: int | None = None
    passed: int = 0
    leaked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One drill.  Times are microseconds since the epoch.  `also` are the other conduits that share its grants.

    `refused` counts the first packets that the gate refused meanwhile because inspection was not alive, all conduits
    taken together.
    """

    number: int
    conduit: str
    mode: FailureMode
    by: str
    boot: str
    length_us: int
    began_at_us: int
    grants: tuple[int, ...]
    exercised: tuple[Exercised, ...]
    also: tuple[str, ...] = ()
    cut_at_us: int | None = None
    back_at_us: int | None = None
    ended_at_us: int | None = None
    result: DrillResult | None = None
    why: str = ""
    refused: int = 0

    @property
    def failover_us(self) -> int | None:
        """The longest time until a grant was on the kernel path."""
        return max((each.failover_us for each in self.exercised if each.failover_us is not None), default=None)

    @property
    def return_us(self) -> int | None:
        """The longest time until a grant was inspected again."""
        return max((each.return_us for each in self.exercised if each.return_us is not None), default=None)

    @property
    def has_returned(self) -> bool:
        """Whether every machine is inspected again.  People come back when they want to."""
        return all(each.return_us is not None for each in self.exercised if each.is_machine)


def exercised(grant: Grant, flows: int) -> Exercised:
    """A grant that has inspected flows now."""
    return Exercised(
        grant=grant.number,
        subject=grant.subject.name,
        asset=grant.asset,
        is_machine=grant.subject.kind is SubjectKind.MACHINE,
        flows=flows,
    )


class DrillWatch:
    """What is seen of the drill that runs."""

    def __init__(self, drill: Drill) -> None:
        self.drill = drill

    def cut(self, at_us: int) -> None:
        """The conduit leaves inspection: this was a moment before."""
        self.drill = replace(self.drill, cut_at_us=at_us)

    def turned_back(self, at_us: int) -> None:
        """It is inspected again: this was a moment before."""
        self.drill = replace(self.drill, back_at_us=at_us)

    def flow_opened(self, event: KernelFlowOpened) -> None:
        """A flow took the kernel path."""
        drill = self.drill
        if drill.cut_at_us is None or not event.has_failed_open or not self._is_exercising(event.at_us):
            return
        since_us = event.at_us - drill.cut_at_us
        for each in drill.exercised:
            if each.grant == event.grant:
                first_us = since_us if each.failover_us is None else each.failover_us
                self._put(replace(each, passed=each.passed + 1, failover_us=first_us))

    def passed(self, record: Record) -> None:
        """A record of the worker's journal."""
        each = next((each for each in self.drill.exercised if each.grant == record.grant), None)
        if each is None:
            return
        if record.kind is RecordKind.FLOW_OPENED:
            self._inspected(each, record.at_us)
        elif record.kind is RecordKind.OPERATIONS and self.drill.mode is FailureMode.CLOSED:
            self._put(replace(each, leaked=each.leaked + sum(map(self._is_exercising, _answered_us(record)))))

    def counted(self, before: FlowsCounted, after: FlowsCounted) -> None:
        """The kernel's own view when the exercise began and when it ended."""
        refused = max(0, after.failed_closed - before.failed_closed)
        self.drill = replace(self.drill, refused=refused)
        if self.drill.mode is FailureMode.CLOSED:
            carried = {each.grant: each.inspected + each.uninspected for each in after.flows}
            for each in self.drill.exercised:
                self._put(replace(each, leaked=each.leaked + carried.get(each.grant, 0)))

    def verdict(self, at_us: int, trouble: str) -> Drill:
        """How it ended; with a trouble it was aborted."""
        problems = _problems(self.drill)
        result = DrillResult.ABORTED if trouble else DrillResult.FAILED if problems else DrillResult.PASSED
        why = trouble or "; ".join(problems)
        return replace(self.drill, ended_at_us=at_us, result=result, why=why)

    def _is_exercising(self, at_us: int) -> bool:
        """Whether the conduit was out of inspection then, what was under way having settled where it fails closed."""
        cut_us, back_us = self.drill.cut_at_us, self.drill.back_at_us
        settled_us = UNDER_WAY_US if self.drill.mode is FailureMode.CLOSED else 0
        return cut_us is not None and cut_us + settled_us <= at_us and (back_us is None or at_us < back_us)

    def _inspected(self, each: Exercised, at_us: int) -> None:
        back_us = self.drill.back_at_us
        if back_us is not None and at_us >= back_us:
            if each.return_us is None:
                self._put(replace(each, return_us=at_us - back_us))
        elif self.drill.mode is FailureMode.CLOSED and self._is_exercising(at_us):
            self._put(replace(each, leaked=each.leaked + 1))

    def _put(self, changed: Exercised) -> None:
        every = tuple(changed if each.grant == changed.grant else each for each in self.drill.exercised)
        self.drill = replace(self.drill, exercised=every)


def _problems(drill: Drill) -> list[str]:
    found = []
    for each in drill.exercised:
        way = f"{each.subject} to {each.asset}"
        if drill.mode is FailureMode.OPEN and each.failover_us is None:
            found.append(f"{way} was not on the kernel path again while the exercise lasted")
        if drill.mode is FailureMode.CLOSED and (each.leaked or each.passed):
            found.append(f"{way} passed although the conduit fails closed")
        if each.is_machine and each.return_us is None:
            found.append(f"{way} was not inspected again in time")
    return found


def _answered_us(record: Record) -> list[int]:
    """When the answered requests of an `operations` record were judged."""
    rows, found = record.detail.get("rows"), []
    for row in rows if isinstance(rows, list) else ():
        match row:
            case [int(offset_us), _, _, int(outcome)] if outcome < _UNANSWERED:
                found.append(record.at_us + offset_us)
    return found + _summed_us(record)


def _summed_us(record: Record) -> list[int]:
    """The same of sums: the last request of each that was answered stands for all of it."""
    sums, found = record.detail.get("sums"), []
    for each in sums if isinstance(sums, list) else ():
        match each:
            case {"answered_us": int(answered_us)}:
                found.append(record.at_us + answered_us)
    return found


def record_of(kind: RecordKind, drill: Drill, at_us: int) -> Record:
    """What the evidence says about a drill: that it begins, or how it ended."""
    also: list[Json] = [*drill.also]
    grants: list[Json] = [*drill.grants]
    detail: dict[str, Json] = {
        "conduit": drill.conduit,
        "drill": drill.number,
        "mode": drill.mode.value,
        "by": drill.by,
        "length_us": drill.length_us,
        "grants": grants,
        "also": also,
    }
    if kind is RecordKind.DRILL_ENDED and drill.result is not None:
        machines: list[Json] = [_told(each) for each in drill.exercised]
        detail |= {
            "result": drill.result.value,
            "why": drill.why,
            "began_at_us": drill.began_at_us,
            "failover_us": drill.failover_us,
            "return_us": drill.return_us,
            "refused": drill.refused,
            "exercised": machines,
        }
    return Record(kind=kind, at_us=at_us, detail=detail)


def _told(each: Exercised) -> Json:
    return {
        "grant": each.grant,
        "subject": each.subject,
        "asset": each.asset,
        "flows": each.flows,
        "passed": each.passed,
        "leaked": each.leaked,
        "failover_us": each.failover_us,
        "return_us": each.return_us,
    }
