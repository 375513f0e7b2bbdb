"""How long transactions took, conduit by conduit: the whole of each, and the gate's own share.

Pure: times come in, counts go out.  `total` runs from the last byte of a request, as the worker reads it, until its
answer is written to the client; `own` is what of that was not the asset's: reading to writing, in both directions.  It
must never cost more than a few hundred nanoseconds a message (`bench/inspect_micro.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from penstock.bus.histogram import SHORT, SHORT_US, Histogram
from penstock.model import LatencyMeasured
from penstock.proxy.shown import Place

#: How a conduit's messages go when a worker reads them.
INSPECTED: Final = "inspected"
_NS_PER_US: Final = 1000


class Meter:
    """The transactions of one conduit."""

    __slots__ = ("_own_counts", "_total_counts", "conduit", "own", "total")

    def __init__(self, conduit: str) -> None:
        self.conduit = conduit
        self.total, self.own = Histogram(), Histogram()
        self._total_counts, self._own_counts = self.total.counts, self.own.counts

    def add(self, total_ns: int, own_ns: int) -> None:
        """Count one transaction.  The usual case is `Histogram.add` twice, without the calls."""
        total_us, own_us = total_ns // _NS_PER_US, own_ns // _NS_PER_US
        if 0 <= own_us <= total_us < SHORT_US:
            self._total_counts[SHORT[total_us]] += 1
            self._own_counts[SHORT[own_us]] += 1
        else:
            self.total.add(total_us)
            self.own.add(own_us)


class Transaction(msgspec.Struct, gc=False):
    """A request that was forwarded and waits for its answer.

    `tag` is of its row (0: none could be written), `ordinal` counts the flow's requests, `at_us` is when it came,
    `place` is where its answer is kept.  Who moves the bytes notes when that was on a clock that nobody sets, and how
    long it took until they were on their way.
    """

    tag: int
    ordinal: int
    at_us: int
    meter: Meter
    place: Place
    received_ns: int = 0
    own_ns: int = 0
    heard_us: int = 0
    """When a part of its answer came that was not the last one."""


class Meters:
    """The meters of one worker: one for each conduit that ever allowed something."""

    def __init__(self) -> None:
        self._meters: dict[str, Meter] = {}

    def of(self, conduit: str | None) -> Meter:
        """The meter of this conduit."""
        name = conduit or ""
        meter = self._meters.get(name)
        if meter is None:
            meter = self._meters[name] = Meter(name)
        return meter

    def take(self, now_us: int) -> Iterator[LatencyMeasured]:
        """What was measured since the last time, for each conduit that had anything."""
        for meter in self._meters.values():
            total = meter.total.take()
            if total:
                yield LatencyMeasured(
                    conduit=meter.conduit, path=INSPECTED, total=total, own=meter.own.take(), at_us=now_us
                )
