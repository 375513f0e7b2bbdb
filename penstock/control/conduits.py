"""What there is to say of each conduit now: its mode, its path, its flows, how long it takes, and its budget.

Pure: what others know, put together for people and for metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from penstock.bus.histogram import count_over
from penstock.control.aside import Asides
from penstock.control.latency import Counts, Figures, Path, Window, figures
from penstock.control.overload import Overload
from penstock.control.ports import Clock, Moment
from penstock.control.state import State
from penstock.model import Conduit, FailureMode


class Way(StrEnum):
    """How a conduit's flows go now."""

    INSPECTED = "inspected"
    KERNEL = "kernel"
    ASIDE = "aside"

    @property
    def path(self) -> Path:
        """Where its messages pass."""
        return Path.INSPECTED if self is Way.INSPECTED else Path.KERNEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Transactions of one conduit on one path in one window; `over` of them were over the budget."""

    path: Path
    window: Window
    total: Figures
    own: Figures
    over: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConduitNow:
    """One conduit.  Times are microseconds since the epoch; `why` says why it stands aside, where it does."""

    name: str
    mode: FailureMode
    way: Way
    flows: dict[Path, int]
    budget_us: int | None
    steps_aside: bool
    over_since_us: int | None
    aside_since_us: int | None
    why: str
    measured: tuple[Measured, ...]

    def of(self, path: Path, window: Window) -> Measured:
        """What was measured there and then."""
        return next(each for each in self.measured if (each.path, each.window) == (path, window))


class Conduits:
    """Every conduit of the policy in force."""

    def __init__(self, *, state: State, overload: Overload, asides: Asides, clock: Clock) -> None:
        self._state, self._overload, self._asides, self._clock = state, overload, asides, clock

    def now(self) -> tuple[ConduitNow, ...]:
        """All of them, in the order of the document."""
        policy, moment = self._state.now.policy, self._clock()
        flows = self._overload.flows.by_conduit()
        conduits = () if policy is None else policy.site.conduits
        return tuple(self._now(each, {path: flows[path][each.name] for path in Path}, moment) for each in conduits)

    def _now(self, conduit: Conduit, flows: dict[Path, int], moment: Moment) -> ConduitNow:
        aside = self._asides.of(conduit.name)
        way = Way.INSPECTED if conduit.permissions else Way.KERNEL
        way = way if aside is None else Way.ASIDE
        budget = self._overload.budgets.get((conduit.name, way.path))
        over_since_us = None if budget is None else budget.since_us
        return ConduitNow(
            name=conduit.name,
            mode=conduit.on_failure,
            way=way,
            flows=flows,
            budget_us=None if conduit.latency is None else conduit.latency.limit_us,
            steps_aside=conduit.latency is not None and conduit.latency.steps_aside,
            over_since_us=None if over_since_us is None else moment.wall_us - (moment.steady_us - over_since_us),
            aside_since_us=None if aside is None else aside.since_us,
            why="" if aside is None else aside.why,
            measured=tuple(self._measured(conduit, path, window, moment) for path in Path for window in Window),
        )

    def _measured(self, conduit: Conduit, path: Path, window: Window, moment: Moment) -> Measured:
        counts = self._overload.latencies.of(conduit.name, path, window, moment.steady_us)
        return Measured(
            path=path,
            window=window,
            total=figures(counts.total),
            own=figures(counts.own),
            over=_over(conduit, path, counts),
        )


def _over(conduit: Conduit, path: Path, counts: Counts) -> int | None:
    if conduit.latency is None:
        return None
    return count_over(counts.total if path is Path.KERNEL else counts.own, conduit.latency.limit_us)
