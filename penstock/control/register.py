"""The failure-mode register: `failures` with the store, the evidence and the kernel around it.

It keeps what is going on over restarts, asks the kernel what passes, and brings flows that failed open back into
inspection when an operator says so.  It must never reset a flow before the evidence holds who asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from penstock.control.aside import Asides, may_stand_aside
from penstock.control.drill import Drill, DrillResult
from penstock.control.drill_rules import window_of
from penstock.control.failure_store import Aside, FailureStore
from penstock.control.failures import Failures
from penstock.control.intervals import Hold, Interval
from penstock.control.ports import US_PER_S, Clock, Enforcer, Recorder, Workers
from penstock.control.state import State
from penstock.model import (
    Conduit,
    CountFlows,
    FlowsCounted,
    GrantFlows,
    Invalid,
    Json,
    Problem,
    Record,
    RecordKind,
    Site,
    StandBack,
    Unavailable,
)
from penstock.policy import next_opening


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restoring has reset: flows that went on uninspected, by grant, and when (microseconds, epoch)."""

    conduit: str
    at_us: int
    flows: tuple[GrantFlows, ...]
    stood_aside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRow:
    """One conduit in the failure-mode register.  `opens_us`: when its window for drills is open next, or is now.

    A drill is overdue where the last one is missing, did not pass, or is older than the conduit's plan allows.
    """

    conduit: Conduit
    interval: Interval | None
    aside: Aside | None
    last_drill: Drill | None
    is_drill_overdue: bool
    opens_us: int | None


class Register:
    """The failure-mode register of one gate."""

    def __init__(
        self,
        *,
        state: State,
        failures: Failures,
        asides: Asides,
        store: FailureStore,
        recorder: Recorder,
        enforcer: Enforcer,
        workers: Workers,
        clock: Clock,
    ) -> None:
        self._state, self._failures, self._asides, self._store = state, failures, asides, store
        self._recorder, self._enforcer, self._workers, self._clock = recorder, enforcer, workers, clock
        #: Restorings whose first inspected flow has not come yet, by conduit.
        self._awaited: dict[str, Restored] = {}
        self._first_packets: int | None = None
        self.is_current = True
        """Whether what was shown last was so then: the kernel could be asked."""

    async def reload(self) -> None:
        """After a restart of control: take up what was going on."""
        kept, last = await self._store.open_intervals(), await self._store.last_interval_number()
        self._recorder.put(self._failures.reload(kept, last))
        self._failures.first_packets = self._first_packets = await self._store.first_packets(self._clock().boot)
        await self.flush()

    async def reconcile(self) -> None:
        """The enforcer has (re)joined: find what passes that nobody was there to tell of.  Raises `Unavailable`."""
        self._recorder.put(self._failures.counted(await self.count()))
        await self.flush()

    async def sweep(self) -> None:
        """Each second: notice what nobody tells of, ask the kernel where that is due, keep what has changed."""
        since = {each.conduit: each.since_us for each in self._asides.standing}
        records = [
            *self._failures.aside(since),
            *self._failures.evidence_is(is_healthy=self._recorder.is_healthy),
            *self._failures.tick(),
        ]
        if self._enforcer.is_synchronised and self._failures.is_count_due():
            with suppress(Unavailable):  # asked again in a second: what is not known stays open
                records += self._failures.counted(await self.count())
        if records:
            self._recorder.put(records)
        await self.flush()

    async def refresh(self) -> None:
        """Ask the kernel now, so that what is shown is so; `is_current` says whether it answered."""
        self.is_current = self._enforcer.is_synchronised
        if self.is_current and self._failures.passing:
            try:
                self._recorder.put(self._failures.counted(await self.count()))
            except Unavailable:
                self.is_current = False

    async def flush(self) -> None:
        """Keep what has changed; what the store does not take is tried again."""
        counted = self._failures.first_packets
        if counted is not None and counted != self._first_packets:
            with suppress(Unavailable):
                await self._store.put_first_packets(self._clock().boot, counted)
                self._first_packets = counted
        changed = self._failures.changes()
        if changed:
            try:
                await self._store.put_intervals(changed)
            except Unavailable:
                self._failures.keep_again(changed)

    async def count(self, numbers: tuple[int, ...] = ()) -> FlowsCounted:
        """What the kernel carries now.  Raises `Unavailable`."""
        answer = await self._enforcer.command(CountFlows(numbers=numbers))
        if not isinstance(answer, FlowsCounted):
            raise Unavailable("there is no kernel to ask")
        return answer

    async def rows(self) -> tuple[RegisterRow, ...]:
        """Every conduit, in the order of the document, with what is so now."""
        await self.refresh()
        policy, drills = self._state.now.policy, await self._store.last_drills()
        return () if policy is None else tuple(self._row(policy.site, each, drills) for each in policy.site.conduits)

    def _row(self, site: Site, conduit: Conduit, drills: Mapping[str, Drill]) -> RegisterRow:
        now_us, drill, window = self._clock().wall_us, drills.get(conduit.name), window_of(site, conduit)
        return RegisterRow(
            conduit=conduit,
            interval=self._failures.of(conduit.name),
            aside=self._asides.of(conduit.name),
            last_drill=drill,
            is_drill_overdue=is_overdue(conduit, drill, now_us),
            opens_us=None if window is None else next_opening(window, now_us),
        )

    async def drills(self, conduit: str) -> tuple[Drill, ...]:
        """The last drills of a conduit, newest first.  Raises `Invalid` for one that is not there."""
        self._conduit(conduit)
        return await self._store.drills(conduit)

    async def intervals(self, conduit: str) -> tuple[Interval, ...]:
        """The last intervals of a conduit, newest first.  Raises `Invalid` for one that is not there."""
        self._conduit(conduit)
        await self.refresh()
        await self.flush()
        return await self._store.intervals(conduit)

    async def forget_old(self) -> None:
        """Each hour: keep no more than is useful."""
        await self._store.forget_old()

    async def restore(self, conduit: str, by: str) -> Restored:
        """Bring the conduit's flows back into inspection: end its standing aside, reset what goes on uninspected.

        Their clients dial anew, and are inspected.  Raises `Invalid` where there is nothing to restore, `Unavailable`
        where inspection, the kernel or the evidence is not there: then nothing is reset.
        """
        found = self._conduit(conduit)
        interval = self._failures.of(conduit)
        if not may_stand_aside(found):
            raise _invalid(
                f"“{conduit}” never goes on uninspected", "its failure mode is closed, or nothing inspects it"
            )
        if interval is not None and Hold.DRILL in interval.holds:
            raise _invalid(
                f"“{conduit}” is being drilled", "the drill brings it back; end it with Ctrl-C where it runs"
            )
        if not self._workers.is_alive:
            raise Unavailable(
                "no worker is armed, so nothing could be inspected yet; try again when inspection is alive"
            )
        counted = await self.count(self._asides.grants_of(conduit))
        passing = tuple(each for each in counted.flows if each.uninspected)
        stood_aside = self._asides.of(conduit) is not None
        if not passing and not stood_aside:
            raise _invalid(f"no flow of “{conduit}” goes on uninspected", "penstock failures shows what does")
        restored = Restored(conduit=conduit, at_us=self._clock().wall_us, flows=passing, stood_aside=stood_aside)
        self._awaited[conduit] = restored
        try:
            await self._bring_back(restored, by)
        except Unavailable:
            self._awaited.pop(conduit, None)
            raise
        return restored

    async def _bring_back(self, restored: Restored, by: str) -> None:
        if restored.stood_aside:
            await self._asides.stand_back(restored.conduit, by)
            return
        flows: list[Json] = [
            {"grant": each.grant, "flows": each.uninspected, "packets": each.packets, "bytes": each.bytes}
            for each in restored.flows
        ]
        detail: dict[str, Json] = {"conduit": restored.conduit, "by": by, "why": "restored", "flows": flows}
        record = Record(kind=RecordKind.STOOD_BACK, at_us=restored.at_us, detail=detail)
        await self._recorder.write([record], urgent=True)
        await self._enforcer.command(StandBack(numbers=tuple(each.grant for each in restored.flows)))

    def passed(self, record: Record) -> None:
        """A record of the worker's journal: it may be the first inspected flow after a restoring."""
        self._failures.passed(record)
        if not self._awaited or record.kind is not RecordKind.FLOW_OPENED or record.grant is None:
            return
        live = self._state.now.grants.get(record.grant)
        for conduit in () if live is None else live.grant.conduits:
            restored = self._awaited.get(conduit)
            if restored is not None and record.at_us >= restored.at_us:
                del self._awaited[conduit]
                self._recorder.put([_inspected_again(restored, record)])

    def _conduit(self, name: str) -> Conduit:
        policy = self._state.now.policy
        found = None if policy is None else next((each for each in policy.site.conduits if each.name == name), None)
        if found is None:
            raise _invalid(f"there is no conduit “{name}”", "penstock failures lists every conduit")
        return found


def is_overdue(conduit: Conduit, last: Drill | None, now_us: int) -> bool:
    """Whether the conduit's plan asks for a drill by now."""
    if conduit.drill is None:
        return False
    if last is None or last.ended_at_us is None or last.result is not DrillResult.PASSED:
        return True
    return now_us - last.ended_at_us > conduit.drill.every_s * US_PER_S


def _inspected_again(restored: Restored, record: Record) -> Record:
    detail: dict[str, Json] = {
        "conduit": restored.conduit,
        "restored_at_us": restored.at_us,
        "after_us": record.at_us - restored.at_us,
    }
    return Record(
        kind=RecordKind.CONDUIT_INSPECTED,
        at_us=record.at_us,
        grant=record.grant,
        subject=record.subject,
        asset=record.asset,
        detail=detail,
    )


def _invalid(why: str, hint: str) -> Invalid:
    return Invalid(Problem(where="conduit", why=why, hint=hint))
