"""The register of operations that wait in the workers for a second person, and of those that waited lately.

Pure: what the workers tell comes in.  Bounded.  A hold ends when its worker says so, and when nobody is left who could:
the worker is gone, its grant has ended, or its time is long over.  It must never show a hold as waiting whose grant has
ended, nor take a worker's word for the hold of another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from penstock.control.held import End, Held, HoldKey, Verdict
from penstock.control.ports import US_PER_S, Clock
from penstock.control.state import State
from penstock.model import HoldDecided, HoldEnded, HoldEnding, OperationHeld, Reply

#: More than people can decide; what comes then is not shown, and times out in its worker.
MAX_WAITING = 512
#: What has ended can be looked at for a while.
MAX_ENDED = 256
SHOWN_FOR_US = 3600 * US_PER_S
#: The worker ends a hold at its time; control says so itself where it has not heard of that for this long.
PATIENCE_US = 3 * US_PER_S
#: No hold lasts longer, whatever a worker says; a site document may ask for one hour.
LONGEST_US = 2 * 3600 * US_PER_S


class HoldingWorker(Protocol):
    """The link to the worker that holds it."""

    @property
    def is_open(self) -> bool:
        """Whether it is there."""
        ...

    async def ask(self, message: HoldDecided) -> Reply:
        """`Done` where the operation still waited, `Failed` where not.  Raises `Unavailable` when it is silent."""
        ...


class Holds:
    """What waits, by flow and hold."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state, self._clock = state, clock
        self._waiting: dict[HoldKey, tuple[Held, HoldingWorker]] = {}
        self._ended: dict[HoldKey, Held] = {}
        self.endings: Counter[HoldEnding] = Counter()
        """How many ended in which way since control started."""
        self.decided: Counter[bool] = Counter()
        """How many were approved and disapproved, whatever became of them."""
        self.unshown = 0
        """How many could not be shown, because too many waited."""
        self.on_ended: Callable[[Held], None] = lambda _: None

    @property
    def waiting(self) -> tuple[Held, ...]:
        """What has not ended, what times out first in front."""
        live = self._state.now.grants
        found = [held for held, _ in self._waiting.values() if held.grant.number in live]
        return tuple(sorted(found, key=lambda held: (held.ends_steady_us, held.key)))

    @property
    def ended(self) -> tuple[Held, ...]:
        """What ended lately, the last in front."""
        return tuple(reversed(self._ended.values()))

    def of(self, key: HoldKey | None) -> Held | None:
        """One that waits or ended lately."""
        if key is None:
            return None
        found = self._waiting.get(key)
        if found is None:
            return self._ended.get(key)
        held = found[0]
        return held if held.grant.number in self._state.now.grants else _withdrawn(held, self._clock().wall_us)

    def worker_of(self, key: HoldKey) -> HoldingWorker | None:
        """Who holds it."""
        found = self._waiting.get(key)
        return None if found is None else found[1]

    def heard(self, worker: HoldingWorker, told: OperationHeld | HoldEnded) -> None:
        """A worker tells of a hold."""
        match told:
            case OperationHeld():
                self._held(worker, told)
            case HoldEnded():
                self._told_end(worker, told)

    def left(self, worker: object) -> None:
        """The link to a worker closed: nobody can decide what it held.  One that comes back tells it anew."""
        for key in [key for key, (_, holder) in self._waiting.items() if holder is worker]:
            self._end(key, End(ending=HoldEnding.WITHDRAWN, at_us=self._clock().wall_us, is_told=False))

    def decide(self, key: HoldKey, verdict: Verdict) -> None:
        """It is decided, and that is on record."""
        found = self._waiting.get(key)
        if found is not None:
            self._waiting[key] = replace(found[0], verdict=verdict), found[1]
            self.decided[verdict.is_approved] += 1

    def sweep(self) -> None:
        """Each second: end what nobody will tell the end of, forget what ended long ago."""
        moment, live = self._clock(), self._state.now.grants
        for key, (held, _) in list(self._waiting.items()):
            if held.grant.number not in live:
                self._end(key, End(ending=HoldEnding.WITHDRAWN, at_us=moment.wall_us, is_told=False))
            elif moment.steady_us >= held.ends_steady_us + PATIENCE_US:
                self._end(key, End(ending=HoldEnding.TIMED_OUT, at_us=moment.wall_us, is_told=False))
        old = [key for key, held in self._ended.items() if held.ends_steady_us + SHOWN_FOR_US < moment.steady_us]
        for key in old:
            del self._ended[key]

    def _held(self, worker: HoldingWorker, told: OperationHeld) -> None:
        key = told.flow, told.hold
        live = self._state.now.grants.get(told.grant)
        known, moment = self._waiting.get(key), self._clock()
        if live is None or self._is_over(key):
            return
        ends_steady_us = moment.steady_us + min(max(0, told.until_us - moment.wall_us), LONGEST_US)
        if known is not None and known[1] is worker:
            if told.until_us == known[0].told.until_us:  # else its end has moved, or the clock was set
                ends_steady_us = known[0].ends_steady_us
            # What is asked stays what was shown first: nobody approves one thing and lets another pass.
            same = replace(known[0].told, behind=told.behind, until_us=told.until_us, conduit=told.conduit)
            self._waiting[key] = replace(known[0], told=same, ends_steady_us=ends_steady_us), worker
            return
        if known is None and len(self._waiting) >= MAX_WAITING:
            self.unshown += 1
            return
        self._ended.pop(key, None)
        self._waiting[key] = Held(told=told, grant=live.grant, ends_steady_us=ends_steady_us), worker

    def _is_over(self, key: HoldKey) -> bool:
        """Whether its own worker has told its end: then nothing opens it again."""
        ended = self._ended.get(key)
        return ended is not None and ended.end is not None and ended.end.is_told

    def _told_end(self, worker: HoldingWorker, told: HoldEnded) -> None:
        key = told.flow, told.hold
        found = self._waiting.get(key)
        if found is not None and found[1] is worker:
            self._end(key, End(ending=told.ending, at_us=told.at_us, reason=told.reason))

    def _end(self, key: HoldKey, end: End) -> None:
        held, _ = self._waiting.pop(key)
        ended = replace(held, end=end)
        self._ended[key] = ended
        while len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        self.endings[end.ending] += 1
        self.on_ended(ended)


def _withdrawn(held: Held, at_us: int) -> Held:
    return replace(held, end=End(ending=HoldEnding.WITHDRAWN, at_us=at_us, is_told=False))
