"""Holds conduits to their latency budgets: tells who is over, and lets a safety-critical conduit step aside.

Stands between what workers and the observer tell and `Asides`.  It decides on what it was told, and on silence, so a
worker that is too busy to say so is found out.  It must never bring a conduit back: that is for people.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final, assert_never

from penstock.bus.histogram import count_over, merged
from penstock.control.aside import Asides, may_stand_aside
from penstock.control.budgets import Budget, Exceeded, Kept, Pulse, why_aside
from penstock.control.latency import Counts, Latencies, Path, believable
from penstock.control.live_flows import LiveFlows
from penstock.control.ports import US_PER_S, Clock, Moment, Recorder, Workers
from penstock.control.state import State
from penstock.model import (
    Conduit,
    Event,
    Invalid,
    Json,
    KernelFlowClosed,
    KernelFlowOpened,
    KernelFlowsFolded,
    LatencyMeasured,
    Record,
    RecordKind,
    TrafficCounted,
    Unavailable,
    WorkerMeasured,
)
from penstock.policy import Policy

#: A conduit without a flow for so long gains nothing by stepping aside.
IN_USE_US: Final = 60 * US_PER_S
#: How long until it is tried again where the kernel, or the evidence, did not take it.
RETRY_US: Final = 10 * US_PER_S
THE_BUDGET: Final = "the latency budget"


class Overload:
    """What was measured, and what follows from it."""

    def __init__(self, *, state: State, recorder: Recorder, workers: Workers, asides: Asides, clock: Clock) -> None:
        self._state, self._recorder, self._workers = state, recorder, workers
        self._asides, self._clock = asides, clock
        self.latencies, self.flows, self.pulse = Latencies(), LiveFlows(state), Pulse()
        self.budgets: dict[tuple[str, Path], Budget] = {}
        self.over: Counter[tuple[str, Path]] = Counter()
        """Transactions over their budget since control started."""
        self.lag: dict[int, int] = {}
        """The workers' event loops' lag since control started."""
        self.queues: dict[str, int] = {}
        self._used_us: dict[str, int] = {}
        self._tried_us: dict[str, int] = {}
        self._aside: frozenset[str] = frozenset()
        self._known: tuple[Policy | None, dict[str, Conduit]] = None, {}

    def hear(self, event: Event) -> None:
        """What another process has measured."""
        match event:
            case LatencyMeasured():
                self._measured(event)
            case WorkerMeasured():
                self._worker(event)
            case KernelFlowOpened() | KernelFlowClosed() | KernelFlowsFolded() | TrafficCounted():
                self.flows.hear(event)
            case _:
                pass

    async def sweep(self) -> None:
        """Each second: what there is to tell, and who must step aside."""
        moment, conduits = self._clock(), self._conduits()
        now_us = moment.steady_us
        self._forget(conduits)
        self.pulse.tick(now_us, is_alive=self._workers.is_alive)
        self._welcome_back()
        found = [self._record(*key, finding, moment) for key, finding in self._findings(now_us)]
        if found:
            self._recorder.put(found)
        for conduit in conduits.values():
            why = self._why_aside(conduit, now_us)
            if why is not None:
                await self._stand_aside(conduit, why, now_us)

    def _measured(self, event: LatencyMeasured) -> None:
        conduit = self._conduits().get(event.conduit)
        if conduit is None or event.path not in set(Path):
            return
        now_us, path = self._clock().steady_us, Path(event.path)
        own = {} if path is Path.KERNEL else believable(event.own)
        counts = Counts(total=believable(event.total), own=own)
        self.latencies.add(conduit.name, path, counts, now_us)
        self._used_us[conduit.name] = now_us
        if conduit.latency is not None:
            limit_us, share = conduit.latency.limit_us, _held_against(counts, path)
            self._budget(conduit.name, path, limit_us).add(share, now_us)
            self.over[conduit.name, path] += count_over(share, limit_us)

    def _worker(self, event: WorkerMeasured) -> None:
        now_us, lag = self._clock().steady_us, believable(event.lag)
        self.pulse.heard(lag, now_us)
        self.lag = merged((self.lag, lag))
        snapshot = self._state.now
        assets = {} if snapshot.policy is None else snapshot.policy.assets
        self.queues = {asset: count for asset, count in event.queues.items() if asset in assets and count > 0}
        self.flows.inspected = {n: count for n, count in event.flows.items() if n in snapshot.grants and count > 0}
        for conduit in self.flows.of_workers():
            self._used_us[conduit] = now_us

    def _budget(self, conduit: str, path: Path, limit_us: int) -> Budget:
        """The budget of now: a revision that changes the limit begins a new one."""
        found = self.budgets.get((conduit, path))
        if found is None or found.limit_us != limit_us:
            found = self.budgets[conduit, path] = Budget(limit_us)
        return found

    def _findings(self, now_us: int) -> list[tuple[tuple[str, Path], Exceeded | Kept]]:
        found = [(key, budget.tick(now_us)) for key, budget in self.budgets.items()]
        return [(key, finding) for key, finding in found if finding is not None]

    def _why_aside(self, conduit: Conduit, now_us: int) -> str | None:
        budget = conduit.latency
        if budget is None or not budget.steps_aside or not may_stand_aside(conduit):
            return None
        if self._asides.of(conduit.name) is not None or not self._workers.is_alive:
            return None
        if now_us - self._used_us.get(conduit.name, -IN_USE_US) >= IN_USE_US:
            return None
        if now_us - self._tried_us.get(conduit.name, -RETRY_US) < RETRY_US:
            return None
        return why_aside(self._budget(conduit.name, Path.INSPECTED, budget.limit_us), self.pulse, now_us)

    async def _stand_aside(self, conduit: Conduit, why: str, now_us: int) -> None:
        self._tried_us[conduit.name] = now_us
        try:
            await self._asides.stand_aside(conduit.name, why, THE_BUDGET)
            self._aside |= {conduit.name}
        except (Unavailable, Invalid):  # on record already where anything had been done; tried again in a while
            return

    def _welcome_back(self) -> None:
        """Who came back from standing aside is judged by what is measured from now on."""
        aside = frozenset(each.conduit for each in self._asides.standing)
        for conduit in self._aside - aside:
            self._tried_us.pop(conduit, None)
            if (budget := self.budgets.get((conduit, Path.INSPECTED))) is not None:
                budget.forgive()
            self.pulse.lag.clear()
        self._aside = aside

    def _conduits(self) -> dict[str, Conduit]:
        policy = self._state.now.policy
        if self._known[0] is not policy:
            conduits = () if policy is None else policy.site.conduits
            self._known = policy, {conduit.name: conduit for conduit in conduits}
        return self._known[1]

    def _forget(self, conduits: dict[str, Conduit]) -> None:
        """What belongs to conduits that a revision has taken away, or whose budget it has."""
        self.latencies.keep(frozenset(conduits))
        for name, path in list(self.budgets):
            if name not in conduits or conduits[name].latency is None:
                del self.budgets[name, path]
        for name in [name for name in self._used_us if name not in conduits]:
            del self._used_us[name]
        for key in [key for key in self.over if key[0] not in conduits]:
            del self.over[key]

    def _record(self, conduit: str, path: Path, finding: Exceeded | Kept, moment: Moment) -> Record:
        since_us = moment.wall_us - (moment.steady_us - finding.since_us)
        detail: dict[str, Json] = {
            "conduit": conduit,
            "path": path.value,
            "measured": "total" if path is Path.KERNEL else "own",
            "budget_us": self.budgets[conduit, path].limit_us,
            "since_us": since_us,
        }
        record = Record(kind=RecordKind.LATENCY_RESTORED, at_us=moment.wall_us, detail=detail)
        match finding:
            case Kept():
                return record
            case Exceeded(over=over, figures=of):
                told: dict[str, Json] = {
                    "over": over,
                    "count": of.count,
                    "p50_us": of.p50_us,
                    "p99_us": of.p99_us,
                    "p999_us": of.p999_us,
                    "worst_us": of.worst_us,
                }
                return replace(record, kind=RecordKind.LATENCY_EXCEEDED, detail=detail | told)
            case _:
                assert_never(finding)


def _held_against(counts: Counts, path: Path) -> dict[int, int]:
    """What a budget is about: the gate's share, and where nobody sees that, the whole."""
    return dict(counts.total if path is Path.KERNEL else counts.own)
