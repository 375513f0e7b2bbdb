"""How long transactions took, conduit by conduit: since control started, in the last minute, in the last ten.

Pure.  Workers and the observer tell each second what they measured; this adds it up and forgets it in time.  Nothing of
it is persisted: what was over a budget is in the evidence.  It must never believe a number that cannot be: a worker
parses hostile bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final

from penstock.bus.histogram import BUCKETS, merged, quantile_us, total_of, worst_us
from penstock.control.ports import US_PER_S

#: Windows move in steps of this.
SLICE_US: Final = 5 * US_PER_S
#: More in one message than this cannot be: one worker decodes less than a million messages a second.
MAX_COUNT: Final = 1 << 32


class Path(StrEnum):
    """How a conduit's messages go: through a worker, or past it."""

    INSPECTED = "inspected"
    KERNEL = "kernel"


class Window(Enum):
    """What figures are about; the value is a length in microseconds, 0 for everything since control started."""

    MINUTE = 60 * US_PER_S
    TEN_MINUTES = 600 * US_PER_S
    START = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Transactions in the buckets of `penstock.bus.histogram`: the whole of each, and the gate's share."""

    total: Mapping[int, int] = field(default_factory=dict)
    own: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What people read of a histogram, in microseconds; ``None`` where nothing was counted."""

    count: int
    p50_us: int | None
    p99_us: int | None
    p999_us: int | None
    worst_us: int | None


def figures(counts: Mapping[int, int]) -> Figures:
    """Count, median, 99th and 99.9th percentile, and the worst."""
    return Figures(
        count=total_of(counts),
        p50_us=quantile_us(counts, 0.5),
        p99_us=quantile_us(counts, 0.99),
        p999_us=quantile_us(counts, 0.999),
        worst_us=worst_us(counts),
    )


def believable(counts: Mapping[int, int]) -> dict[int, int]:
    """Of what another process says, what can be."""
    return {bucket: count for bucket, count in counts.items() if 0 <= bucket < BUCKETS and 0 < count <= MAX_COUNT}


class Series:
    """The transactions of one conduit on one path.  Times are those of the steady clock."""

    def __init__(self) -> None:
        self._start = Counts()
        self._slices: deque[tuple[int, Counts]] = deque()

    def add(self, counts: Counts, now_us: int) -> None:
        """These came in now."""
        self._start = _together(self._start, counts)
        begin_us = now_us - now_us % SLICE_US
        if self._slices and self._slices[-1][0] == begin_us:
            counts = _together(self._slices.pop()[1], counts)
        self._slices.append((begin_us, counts))
        while self._slices[0][0] <= now_us - Window.TEN_MINUTES.value - SLICE_US:
            self._slices.popleft()

    def within(self, window: Window, now_us: int) -> Counts:
        """What came in within this time; up to 5 s more, for windows move in steps."""
        if window is Window.START:
            return self._start
        recent = [counts for begin_us, counts in self._slices if begin_us > now_us - window.value - SLICE_US]
        return _together(*recent)


class Latencies:
    """Every conduit's series.  Only conduits of the policy have one: `keep` says which these are."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, Path], Series] = {}

    def add(self, conduit: str, path: Path, counts: Counts, now_us: int) -> None:
        """A process told what it measured."""
        self._series.setdefault((conduit, path), Series()).add(counts, now_us)

    def of(self, conduit: str, path: Path, window: Window, now_us: int) -> Counts:
        """What is known of this conduit on this path."""
        series = self._series.get((conduit, path))
        return Counts() if series is None else series.within(window, now_us)

    def keep(self, conduits: frozenset[str]) -> None:
        """Forget the series of conduits that are not there any more."""
        for key in [key for key in self._series if key[0] not in conduits]:
            del self._series[key]


def _together(*parts: Counts) -> Counts:
    return Counts(total=merged(part.total for part in parts), own=merged(part.own for part in parts))
