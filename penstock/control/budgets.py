"""When a conduit is over its latency budget, and when a worker is too busy for it.

Pure: counts and times (of the steady clock) come in, findings go out.  A finding is told at most once a minute; a
decision to leave inspection needs more than one bad moment.  It must never take a pause of its own for silence of the
worker: after one it begins to wait anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from penstock.bus.histogram import count_over, merged, total_of
from penstock.control.latency import Figures, figures
from penstock.control.ports import US_PER_S

MINUTE_US: Final = 60 * US_PER_S
#: What a decision to leave inspection looks at, and what it takes: so large a share, and so many at least.
OVERLOAD_US: Final = 10 * US_PER_S
OVERLOAD_SHARE: Final = 0.01
OVERLOAD_COUNT: Final = 3
#: A loop's lag must be over in so many reports (of a second each): one stall is not an overload.
OVERLOAD_REPORTS: Final = 3
#: Reports that are kept apart: four a second for a minute, where one is due.
MAX_PARTS: Final = 240
#: A worker that is alive tells something each second.
SILENCE_US: Final = 3 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """Transactions of the last minute took longer than the budget: so many of `figures.count`; since when they do."""

    over: int
    figures: Figures
    since_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A whole minute was within the budget again; since when it had not been."""

    since_us: int


class Recent:
    """Counts of the last so many microseconds, always added up: a part for each report, as long as these are few."""

    def __init__(self, length_us: int) -> None:
        self._length_us = length_us
        self._parts: deque[tuple[int, Mapping[int, int]]] = deque()
        self.counts: dict[int, int] = {}

    def add(self, counts: Mapping[int, int], now_us: int) -> None:
        """These came in now."""
        if counts:
            if len(self._parts) >= MAX_PARTS:
                at_us, last = self._parts.pop()
                self._parts.append((at_us, merged((last, counts))))
            else:
                self._parts.append((now_us, counts))
            for bucket, count in counts.items():
                self.counts[bucket] = self.counts.get(bucket, 0) + count

    def forget(self, now_us: int) -> None:
        """Some time went by."""
        while self._parts and self._parts[0][0] <= now_us - self._length_us:
            for bucket, count in self._parts.popleft()[1].items():
                left = self.counts[bucket] - count
                if left:
                    self.counts[bucket] = left
                else:
                    del self.counts[bucket]

    def clear(self) -> None:
        """Forget everything."""
        self._parts.clear()
        self.counts.clear()

    def parts_over(self, limit_us: int) -> int:
        """How many of the parts hold something over the limit."""
        return sum(count_over(counts, limit_us) > 0 for _, counts in self._parts)


def is_over(counts: Mapping[int, int], limit_us: int) -> bool:
    """Whether too many are over the limit: more than one in a hundred, and more than an accident."""
    over = count_over(counts, limit_us)
    return over >= OVERLOAD_COUNT and over > OVERLOAD_SHARE * total_of(counts)


class Budget:
    """One conduit on one path against its limit."""

    def __init__(self, limit_us: int) -> None:
        self.limit_us = limit_us
        self._minute, self._recent = Recent(MINUTE_US), Recent(OVERLOAD_US)
        self._since_us: int | None = None
        self._told_us = 0

    @property
    def since_us(self) -> int | None:
        """Since when it is over, ``None`` while it is not."""
        return self._since_us

    @property
    def is_overloaded(self) -> bool:
        """Whether the last ten seconds were too much."""
        return is_over(self._recent.counts, self.limit_us)

    @property
    def recent(self) -> tuple[int, int]:
        """Of the transactions of the last ten seconds, how many were over, and how many there were."""
        return count_over(self._recent.counts, self.limit_us), total_of(self._recent.counts)

    def add(self, counts: Mapping[int, int], now_us: int) -> None:
        """These transactions came in now."""
        self._minute.add(counts, now_us)
        self._recent.add(counts, now_us)

    def forgive(self) -> None:
        """Inspection begins anew: what was before says nothing about it."""
        self._recent.clear()

    def tick(self, now_us: int) -> Exceeded | Kept | None:
        """Some time went by: what there is to tell, if anything.  Once a minute at most."""
        self._minute.forget(now_us)
        self._recent.forget(now_us)
        over = count_over(self._minute.counts, self.limit_us)
        if self._since_us is None:
            if not over:
                return None
            self._since_us = now_us
        elif now_us - self._told_us < MINUTE_US:
            return None
        elif not over:
            kept = Kept(since_us=self._since_us)
            self._since_us = None
            return kept
        self._told_us = now_us
        return Exceeded(over=over, figures=figures(self._minute.counts), since_us=self._since_us)


class Pulse:
    """How a worker is: the lag of its event loop, and when it was heard last."""

    def __init__(self) -> None:
        self.lag = Recent(OVERLOAD_US)
        self._heard_us: int | None = None
        self._ticked_us: int | None = None

    def heard(self, lag: Mapping[int, int], now_us: int) -> None:
        """It told what it measured."""
        self._heard_us = now_us
        self.lag.add(lag, now_us)

    def tick(self, now_us: int, *, is_alive: bool) -> None:
        """Some time went by.  A worker that is not alive is not waited for; nor is one, while nobody listened."""
        was_away = self._ticked_us is None or now_us - self._ticked_us >= SILENCE_US
        if was_away or not is_alive:
            self._heard_us = now_us
        self._ticked_us = now_us
        self.lag.forget(now_us)

    def silent_us(self, now_us: int) -> int:
        """How long it has told nothing."""
        return 0 if self._heard_us is None else max(0, now_us - self._heard_us)

    def is_silent(self, now_us: int) -> bool:
        """Whether that is longer than a worker that is well would take."""
        return self.silent_us(now_us) >= SILENCE_US

    def is_over(self, limit_us: int) -> bool:
        """Whether what is ready waits longer than the limit for its turn, again and again."""
        return is_over(self.lag.counts, limit_us) and self.lag.parts_over(limit_us) >= OVERLOAD_REPORTS


def why_aside(budget: Budget, pulse: Pulse, now_us: int) -> str | None:
    """Why this conduit must leave inspection now, ``None`` where it need not."""
    limit_ms = budget.limit_us / 1000
    if pulse.is_silent(now_us):
        return f"the worker is alive, but has told nothing for {pulse.silent_us(now_us) / US_PER_S:.1f} s"
    if budget.is_overloaded:
        over, count = budget.recent
        return f"{over} of {count} transactions of the last 10 s took longer than {limit_ms:g} ms in the gate"
    if pulse.is_over(budget.limit_us):
        return f"what is ready to be read waits longer than {limit_ms:g} ms for the worker, again and again"
    return None
