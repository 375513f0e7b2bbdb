"""The failure-mode register in memory: which conduits are not inspected now, why, and what passed meanwhile.

Pure.  The kernel does the failing, with no process alive (see the dead-man switch); this only finds out and writes
down.  It is told by events of the other processes, and reconciles with what the kernel itself counts: an interval ends
when new flows are inspected and the kernel knows of no flow that still goes on without.

Coming back is deliberate: a flow that was let through goes on until its client dials anew or an operator restores it,
and as long as one does, the interval stays open, and a record says so each hour.  It must never end an interval because
it has lost sight of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from penstock.control.inspection import Inspection
from penstock.control.intervals import Cause, Hold, Interval, cause_of, records_of
from penstock.control.ports import US_PER_S, Clock
from penstock.control.state import State
from penstock.model import (
    Conduit,
    FailureMode,
    FlowsCounted,
    GrantFlows,
    Json,
    KernelFlowClosed,
    KernelFlowOpened,
    ProcessEnded,
    Reason,
    Record,
    RecordKind,
)
from penstock.policy import Policy

#: An interval that goes on is told again after so long, and flows that go on are counted again after so long.
TELL_AGAIN_US = 3600 * US_PER_S
COUNT_AGAIN_US = 10 * US_PER_S
#: Flows on the kernel path that are remembered, so that a fresh enforcer does not tell them twice.
MAX_KNOWN = 65_536

_FlowKey: TypeAlias = tuple[int, str, int, str, int, str]


class Failures:
    """Every interval that is going on, by conduit."""

    def __init__(self, state: State, clock: Clock, inspection: Inspection) -> None:
        self._state, self._clock, self._inspection = state, clock, inspection
        self._open: dict[str, Interval] = {}
        self._changed: dict[int, Interval] = {}
        self._known: dict[_FlowKey, None] = {}
        self._last_closed_us: dict[str, int] = {}
        #: Intervals from before a restart of control, and until when their flows were counted then.
        self._kept: dict[int, int] = {}
        self._next = 1
        self._counted_at_us: int | None = None
        self._has_news = False
        self._is_evidence_lost = False
        self._found_for: Policy | None = None
        self._by_name: dict[str, Conduit] = {}
        #: Flows that failed open and were told since the kernel was asked last, and what its counter said then.
        self._heard = 0
        self.first_packets: int | None = None

    # --- what is so now

    @property
    def open(self) -> tuple[Interval, ...]:
        """The intervals that are going on, by conduit."""
        return tuple(interval for _, interval in sorted(self._open.items()))

    def of(self, conduit: str) -> Interval | None:
        """The interval of this conduit that is going on."""
        return self._open.get(conduit)

    @property
    def passing(self) -> tuple[Interval, ...]:
        """The intervals in which flows may pass uninspected now."""
        return tuple(each for each in self.open if each.is_open_path)

    # --- what happens

    def lost(self, cause: Cause, why: str, at_us: int) -> list[Record]:
        """No worker inspects any more, or more is known about why."""
        policy = self._state.now.policy
        site = None if policy is None else policy.site
        records = self._inspection.lost(site, why, at_us)
        if records:
            for conduit in self._inspected():
                self._begin(conduit, cause, why, at_us)
        elif self._inspection.is_lost:
            for name, interval in list(self._open.items()):
                if Hold.WORKER in interval.holds:
                    self._put(name, interval.continued(cause, why))
        return records

    def ended(self, event: ProcessEnded) -> list[Record]:
        """A worker ended."""
        why = f"{event.name} ended: {event.why}" if event.why else f"{event.name} ended with status {event.status}"
        return self.lost(cause_of(event), why, event.at_us)

    def restored(self) -> list[Record]:
        """A fresh worker is armed: new flows are inspected."""
        return [*self._inspection.restored(), *self._lift(Hold.WORKER, self._open)]

    def flow_opened(self, event: KernelFlowOpened) -> list[Record]:
        """A flow took the kernel path."""
        key = _key(event)
        if not event.has_failed_open or key in self._known:
            return []
        if len(self._known) < MAX_KNOWN:
            self._known[key] = None
        self._heard += 1
        records = []
        for conduit in self._conduits_of(event.grant):
            interval = self._open.get(conduit.name)
            if interval is None:
                records += self._found(conduit, event)
                interval = self._open[conduit.name]
            grants = interval.grants if event.grant in interval.grants else (*interval.grants, event.grant)
            is_new = not event.was_found or event.at_us > self._kept.get(interval.number, 0)
            self._put(conduit.name, replace(interval, flows=interval.flows + is_new, grants=grants))
        return records

    def flow_closed(self, event: KernelFlowClosed) -> None:
        """A flow on the kernel path ended, with its counters."""
        self._known.pop(_key(event), None)
        if not event.has_failed_open:
            return
        self._has_news = True
        for name in self._names_of(event.grant):
            interval = self._open.get(name)
            if interval is None or event.grant not in interval.grants:
                continue
            self._last_closed_us[name] = max(event.at_us, self._last_closed_us.get(name, 0))
            ended = replace(
                interval,
                flows=max(1, interval.flows),
                packets=interval.packets + event.packets,
                bytes=interval.bytes + event.bytes,
                live_flows=max(0, interval.live_flows - 1),
                live_packets=max(0, interval.live_packets - event.packets),
                live_bytes=max(0, interval.live_bytes - event.bytes),
            )
            self._put(name, ended)

    def is_known(self, event: KernelFlowOpened) -> bool:
        """Whether this flow was told before: by the enforcer that was there before this one."""
        return event.was_found and _key(event) in self._known

    def passed(self, record: Record) -> None:
        """A record of the worker's journal: does it tell of requests that could not be written down?"""
        count = record.detail.get("passed_unrecorded")
        if record.kind is RecordKind.LOG_GAP and isinstance(count, int):
            for name, interval in list(self._open.items()):
                if interval.is_open_path and Hold.EVIDENCE in interval.holds:
                    self._put(name, replace(interval, unrecorded=interval.unrecorded + count))

    def evidence_is(self, *, is_healthy: bool) -> list[Record]:
        """Whether the evidence can be written; while it cannot, the declared failure mode decides."""
        if is_healthy is not self._is_evidence_lost:
            return []
        self._is_evidence_lost = not is_healthy
        if is_healthy:
            return self._lift(Hold.EVIDENCE, self._open)
        why, at_us = "the evidence cannot be written", self._clock().wall_us
        conduits = self._inspected()
        for conduit in conduits:
            self._begin(conduit, Cause.EVIDENCE_UNWRITABLE, why, at_us)
        return _failed(conduits, Reason.EVIDENCE_UNAVAILABLE, why, at_us)

    def hold(self, conduit: str, cause: Cause, why: str, at_us: int) -> None:
        """This conduit alone leaves inspection: it stands aside, or is drilled.  Whoever does it has recorded it."""
        found = next((each for each in self._inspected() if each.name == conduit), None)
        interval = self._open.get(conduit)
        if found is not None and (interval is None or cause.hold not in interval.holds):
            self._begin(found, cause, why, at_us)

    def release(self, conduit: str, hold: Hold) -> list[Record]:
        """The same is over."""
        return self._lift(hold, (conduit,))

    def aside(self, since_us: dict[str, int]) -> list[Record]:
        """Which conduits stand aside now, and since when."""
        for conduit, at_us in since_us.items():
            self.hold(conduit, Cause.STOOD_ASIDE, "stands aside", at_us)
        return self._lift(Hold.ASIDE, self._open.keys() - since_us.keys())

    # --- what the kernel counts

    def is_count_due(self) -> bool:
        """Whether the kernel should be asked what passes."""
        is_time = self._clock().wall_us - (self._counted_at_us or 0) >= COUNT_AGAIN_US
        return (self._has_news or is_time) and bool(self.passing)

    def counted(self, counted: FlowsCounted) -> list[Record]:
        """What the kernel itself carries now.  What it carries and nobody told of is found here."""
        cause, records = self._absent, self._missed(counted)
        self._counted_at_us, self._has_news = counted.at_us, False
        mine: dict[str, list[GrantFlows]] = {}
        for each in counted.flows:
            for conduit in self._conduits_of(each.grant) if each.uninspected or each.closing else ():
                mine.setdefault(conduit.name, []).append(each)
                if each.uninspected and conduit.name not in self._open:
                    records += self._found_open(conduit, cause, each.since_us or counted.at_us, counted.at_us)
        for name, interval in list(self._open.items()):
            if interval.is_open_path:
                records += self._take_count(name, interval, mine.get(name, []), counted.at_us)
        return records

    def _missed(self, counted: FlowsCounted) -> list[Record]:
        """What began and ended while nobody was there: the kernel's counter of first packets is all that is left of it.

        It cannot say whose they were, so every conduit that may go on uninspected gets an interval, marked as such.
        """
        before, self.first_packets = self.first_packets, counted.failed_open
        heard, self._heard = self._heard, 0
        if before is None or heard or self.passing or any(each.uninspected or each.closing for each in counted.flows):
            return []
        missed = counted.failed_open - before if counted.failed_open >= before else counted.failed_open
        conduits = tuple(each for each in self._inspected() if each.is_safety_critical)
        if not missed or not conduits:
            return []
        why = f"{missed} first packets were let through while nobody watched; whose is not known"
        over, cause = list[Interval](), self._absent
        for conduit in conduits:
            self._begin(conduit, cause, why, counted.at_us)
            found = replace(self._open[conduit.name], is_certain=False)
            over.append(self._finish(found.ended(counted.at_us, "nothing of it goes on any more")))
        return [
            *_failed(conduits, Reason.INSPECTION_UNAVAILABLE, why, counted.at_us),
            *records_of(over, counted.at_us),
        ]

    def tick(self) -> list[Record]:
        """Each second: what has gone on for an hour is told again."""
        at_us, due = self._clock().wall_us, list[Interval]()
        for name, interval in list(self._open.items()):
            if not interval.is_open_path and at_us - interval.seen_at_us >= COUNT_AGAIN_US:
                self._put(name, replace(interval, seen_at_us=at_us))
            if at_us - interval.told_at_us >= TELL_AGAIN_US:
                self._put(name, replace(self._open[name], told_at_us=at_us))
                due.append(self._open[name])
        return records_of(due, at_us)

    # --- keeping

    def changes(self) -> tuple[Interval, ...]:
        """The intervals that have changed since the last call."""
        changed, self._changed = tuple(self._changed.values()), {}
        return changed

    def keep_again(self, unkept: Iterable[Interval]) -> None:
        """These could not be kept; what has changed about them since is the newer."""
        self._changed = {each.number: each for each in unkept} | self._changed

    def reload(self, kept: Iterable[Interval], last_number: int) -> list[Record]:
        """After a restart of control: what was going on goes on, unless the machine was started anew."""
        moment, over = self._clock(), list[Interval]()
        self._next = last_number + 1
        for interval in kept:
            if interval.boot == moment.boot:
                self._open[interval.conduit] = interval
                self._kept[interval.number] = interval.seen_at_us
            else:
                ended = interval.ended(interval.seen_at_us, "the machine was started anew")
                over.append(self._finish(replace(ended, is_certain=False)))
        missed = [each for each in self._open.values() if Hold.WORKER in each.holds]
        if missed:
            first = min(missed, key=lambda each: each.began_at_us)
            self._inspection.resumed(first.why, first.began_at_us)
        lifted = [*self._lift(Hold.DRILL, self._open), *self._lift(Hold.EVIDENCE, self._open)]
        return [*records_of(over, moment.wall_us), *lifted]

    # --- one interval

    def _begin(self, conduit: Conduit, cause: Cause, why: str, at_us: int) -> None:
        present = self._open.get(conduit.name)
        if present is not None:
            self._put(conduit.name, present.continued(cause, why))
            return
        interval = Interval(
            number=self._next,
            conduit=conduit.name,
            mode=conduit.on_failure,
            cause=cause,
            why=why,
            boot=self._clock().boot,
            began_at_us=at_us,
            seen_at_us=at_us,
            told_at_us=self._clock().wall_us,
            holds=(cause.hold,),
        )
        self._next += 1
        self._put(conduit.name, interval)

    @property
    def _absent(self) -> Cause:
        """Who was away when something is found that was not seen to begin."""
        return Cause.GATE_AWAY if self._counted_at_us is None else Cause.ENFORCER_AWAY

    def _found(self, conduit: Conduit, event: KernelFlowOpened) -> list[Record]:
        """A flow that nobody expected: the end of the worker is told a moment later, or nobody was there to tell it."""
        if event.was_found or self._counted_at_us is None:
            return self._found_open(conduit, self._absent, event.at_us, event.at_us)
        self._begin(conduit, Cause.WORKER_ENDED, "a flow was let through", event.at_us)
        self._settle(conduit.name, event.at_us)
        return []

    def _found_open(self, conduit: Conduit, cause: Cause, since_us: int, at_us: int) -> list[Record]:
        """Flows go on uninspected, and it was not seen how that began."""
        why = f"found when {'control' if cause is Cause.GATE_AWAY else 'the enforcer'} came back"
        self._begin(conduit, cause, why, since_us)
        self._put(conduit.name, replace(self._open[conduit.name], is_certain=False))
        self._settle(conduit.name, at_us)
        return _failed((conduit,), Reason.INSPECTION_UNAVAILABLE, why, at_us)

    def _settle(self, name: str, at_us: int) -> None:
        """Where inspection is alive already, only what passes keeps the interval going."""
        if self._inspection.is_alive:
            self._put(name, replace(self._open[name], holds=(), back_at_us=at_us))

    def _take_count(self, name: str, interval: Interval, mine: list[GrantFlows], at_us: int) -> list[Record]:
        numbers = {*interval.grants, *(each.grant for each in mine)}
        live = sum(each.uninspected for each in mine)
        is_told = not any(each.closing for each in mine)
        self._has_news = self._has_news or not is_told
        interval = replace(
            interval,
            seen_at_us=at_us,
            flows=max(interval.flows, live),
            live_flows=live,
            live_packets=sum(each.packets for each in mine),
            live_bytes=sum(each.bytes for each in mine),
            grants=tuple(sorted(numbers)),
        )
        if (
            live
            or any(each.closing for each in mine)
            or interval.holds
            or interval.back_at_us is None
            or at_us < interval.back_at_us
        ):
            self._put(name, interval)
            return []
        ended_at_us = max(interval.back_at_us, self._last_closed_us.get(name, 0))
        by = "the last of its flows ended" if interval.flows else "inspected again, nothing had passed"
        return records_of((self._finish(interval.ended(ended_at_us, by)),), at_us)

    def _lift(self, hold: Hold, conduits: Iterable[str]) -> list[Record]:
        over, at_us = list[Interval](), self._clock().wall_us
        for name in list(conduits):
            interval = self._open.get(name)
            if interval is None or hold not in interval.holds:
                continue
            interval = interval.lifted(hold, at_us)
            self._has_news = True
            if interval.holds or interval.is_open_path:
                self._put(name, interval)
            else:
                over.append(self._finish(interval.ended(at_us, "inspected again")))
        return records_of(over, at_us)

    def _finish(self, interval: Interval) -> Interval:
        self._changed[interval.number] = interval
        self._open.pop(interval.conduit, None)
        self._last_closed_us.pop(interval.conduit, None)
        return interval

    def _put(self, name: str, interval: Interval) -> None:
        if self._open.get(name) != interval:
            self._open[name] = self._changed[interval.number] = interval

    # --- the site

    def _inspected(self) -> tuple[Conduit, ...]:
        policy = self._state.now.policy
        return () if policy is None else tuple(each for each in policy.site.conduits if each.permissions)

    def _conduits_of(self, grant: int) -> tuple[Conduit, ...]:
        """The safety-critical conduits of a grant; also of one that has ended, as far as it is remembered."""
        critical = self._critical()
        return tuple(critical[name] for name in self._names_of(grant) if name in critical)

    def _names_of(self, grant: int) -> tuple[str, ...]:
        live = self._state.now.grants.get(grant)
        if live is not None:
            return live.grant.conduits
        return tuple(each.conduit for each in self._open.values() if grant in each.grants)

    def _critical(self) -> dict[str, Conduit]:
        """The safety-critical conduits by name, found once a revision: thousands of flows fail over at once."""
        if self._found_for is not self._state.now.policy:
            self._found_for = self._state.now.policy
            self._by_name = {each.name: each for each in self._inspected() if each.is_safety_critical}
        return self._by_name


def _key(event: KernelFlowOpened | KernelFlowClosed) -> _FlowKey:
    return (event.grant, event.source, event.source_port, event.overlay, event.port, event.transport)


def _failed(conduits: Iterable[Conduit], reason: Reason, why: str, at_us: int) -> list[Record]:
    records = []
    for kind, mode in ((RecordKind.FAILED_OPEN, FailureMode.OPEN), (RecordKind.FAILED_CLOSED, FailureMode.CLOSED)):
        names: list[Json] = [each.name for each in conduits if each.on_failure is mode]
        if names:
            detail: dict[str, Json] = {"conduits": names, "why": why}
            records.append(Record(kind=kind, at_us=at_us, reason=reason.value, detail=detail))
    return records
