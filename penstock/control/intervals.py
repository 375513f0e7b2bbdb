"""Intervals in which a conduit was not inspected: what began them, what passed, what ended them.

Pure: values, and the rules by which one follows from another.  `failures` keeps them.  It must never make an interval
look shorter or emptier than what is known of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from penstock.model import FailureMode, Json, ProcessEnded, Record, RecordKind


class Cause(StrEnum):
    """Why a conduit was not inspected.  The set is closed: records, screens and the failure table rely on it."""

    WORKER_KILLED = "worker_killed"
    WORKER_STOPPED = "worker_stopped"
    WORKER_ENDED = "worker_ended"
    SWITCH_TRIPPED = "switch_tripped"
    ENFORCER_AWAY = "enforcer_away"
    GATE_AWAY = "gate_away"
    EVIDENCE_UNWRITABLE = "evidence_unwritable"
    STOOD_ASIDE = "stood_aside"
    DRILL = "drill"

    @property
    def hold(self) -> Hold:
        """What must be over before the conduit is inspected again."""
        match self:
            case Cause.EVIDENCE_UNWRITABLE:
                return Hold.EVIDENCE
            case Cause.STOOD_ASIDE:
                return Hold.ASIDE
            case Cause.DRILL:
                return Hold.DRILL
            case (
                Cause.WORKER_KILLED
                | Cause.WORKER_STOPPED
                | Cause.WORKER_ENDED
                | Cause.SWITCH_TRIPPED
                | Cause.ENFORCER_AWAY
                | Cause.GATE_AWAY
            ):
                return Hold.WORKER
            case _:
                assert_never(self)


class Hold(StrEnum):
    """What keeps an interval going."""

    WORKER = "worker"
    EVIDENCE = "evidence"
    ASIDE = "aside"
    DRILL = "drill"


#: Worse than what was known before about the same failure: the link closes before the supervisor says why.
_MORE_IS_KNOWN = {Cause.WORKER_ENDED: 0, Cause.SWITCH_TRIPPED: 1, Cause.WORKER_KILLED: 2, Cause.WORKER_STOPPED: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One interval of one conduit.  Times are microseconds since the epoch.

    `holds` is what keeps it going; without any, new flows are inspected, and it goes on for as long as flows that
    were let through before do.  `back_at_us` is when that was so first.  `seen_at_us`: until then it is known to have
    lasted.  `flows`, `packets` and `bytes` count what passed uninspected and has ended, `live_…` what still passes;
    `unrecorded` counts requests that were judged, but could not be written down.  `is_certain`: it is known that this
    conduit was meant, and when it began.
    """

    number: int
    conduit: str
    mode: FailureMode
    cause: Cause
    why: str
    boot: str
    began_at_us: int
    seen_at_us: int
    told_at_us: int
    holds: tuple[Hold, ...] = ()
    back_at_us: int | None = None
    ended_at_us: int | None = None
    ended_by: str = ""
    flows: int = 0
    packets: int = 0
    bytes: int = 0
    live_flows: int = 0
    live_packets: int = 0
    live_bytes: int = 0
    unrecorded: int = 0
    grants: tuple[int, ...] = ()
    is_certain: bool = True

    @property
    def is_open_path(self) -> bool:
        """Whether flows pass uninspected meanwhile."""
        return self.mode is FailureMode.OPEN

    @property
    def passed(self) -> dict[str, int]:
        """Everything that passed: what has ended and what still does."""
        return {
            "flows": self.flows,
            "packets": self.packets + self.live_packets,
            "bytes": self.bytes + self.live_bytes,
        }

    def continued(self, cause: Cause, why: str) -> Interval:
        """Another cause on top, or more that is known about the first one."""
        holds = self.holds if cause.hold in self.holds else (*self.holds, cause.hold)
        is_better = _MORE_IS_KNOWN.get(cause, -1) > _MORE_IS_KNOWN.get(self.cause, 9)
        said = self.why if why in self.why else f"{self.why}; {why}"
        return replace(self, holds=holds, cause=cause if is_better else self.cause, why=said, back_at_us=None)

    def lifted(self, hold: Hold, at_us: int) -> Interval:
        """One of the causes is over; the last one is remembered with its time."""
        if hold not in self.holds:
            return self
        holds = tuple(each for each in self.holds if each is not hold)
        return replace(self, holds=holds, seen_at_us=at_us, back_at_us=None if holds else at_us)

    def ended(self, at_us: int, by: str) -> Interval:
        """It is over.  What still passed when it was seen last has ended."""
        return replace(
            self,
            ended_at_us=at_us,
            seen_at_us=at_us,
            ended_by=by,
            holds=(),
            packets=self.packets + self.live_packets,
            bytes=self.bytes + self.live_bytes,
            live_flows=0,
            live_packets=0,
            live_bytes=0,
        )


def cause_of(ended: ProcessEnded) -> Cause:
    """What the end of a worker means: stopped, killed from outside, or ended by itself."""
    if "heartbeat" in ended.why:
        return Cause.WORKER_STOPPED
    return Cause.WORKER_KILLED if ended.status < 0 else Cause.WORKER_ENDED


def records_of(intervals: Iterable[Interval], at_us: int) -> list[Record]:
    """What the evidence says about intervals: that they go on, or how they ended and what passed.

    One record for each conduit that is open, one for all that are closed: nothing passes there.
    """
    found, shut = [], dict[bool, list[Interval]]()
    for interval in intervals:
        is_over = interval.ended_at_us is not None
        if interval.is_open_path:
            kind = RecordKind.FAILED_OPEN_ENDED if is_over else RecordKind.FAILED_OPEN_CONTINUES
            found.append(Record(kind=kind, at_us=at_us, detail=_detail(interval)))
        else:
            shut.setdefault(is_over, []).append(interval)
    for is_over, together in shut.items():
        kind = RecordKind.FAILED_CLOSED_ENDED if is_over else RecordKind.FAILED_CLOSED_CONTINUES
        names: list[Json] = [each.conduit for each in together]
        began_at_us = min(each.began_at_us for each in together)
        detail: dict[str, Json] = {"conduits": names, "began_at_us": began_at_us, "why": together[0].why}
        found.append(Record(kind=kind, at_us=at_us, detail=detail))
    return found


def _detail(interval: Interval) -> dict[str, Json]:
    detail: dict[str, Json] = {
        "conduit": interval.conduit,
        "interval": interval.number,
        "cause": interval.cause.value,
        "why": interval.why,
        "began_at_us": interval.began_at_us,
        **interval.passed,
        "is_certain": interval.is_certain,
    }
    if interval.unrecorded:
        detail["unrecorded"] = interval.unrecorded
    if interval.back_at_us is not None:
        detail["inspected_again_at_us"] = interval.back_at_us
    if interval.ended_at_us is None:
        detail["live_flows"] = interval.live_flows
        return detail
    length_us = interval.ended_at_us - interval.began_at_us
    return detail | {"ended_at_us": interval.ended_at_us, "length_us": length_us, "by": interval.ended_by}
