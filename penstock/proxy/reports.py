"""I/O: each second a worker tells control what it measured: its conduits' transactions, its event loop, its flows.

Control aggregates and decides by it; a worker that tells nothing is suspect.  What cannot be sent now is counted on and
sent later.  It must never wait for control.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import Final

from penstock.bus import Link
from penstock.bus.histogram import Histogram
from penstock.model import FIRST_WORKER_MARK, HoldEnded, LatencyMeasured, OperationHeld, WorkerMeasured
from penstock.proxy.hall import Hall
from penstock.proxy.office import Clock

REPORT_S: Final = 1.0
#: More than this is not taken by control: it hangs, and hears the rest when it has caught up.
MAX_BACKLOG_BYTES: Final = 1 << 20


class Line:
    """The way to control, while there is one."""

    def __init__(self) -> None:
        self.link: Link | None = None

    @property
    def is_free(self) -> bool:
        """Whether control takes what it is sent."""
        return self.link is not None and self.link.is_open and self.link.backlog_bytes <= MAX_BACKLOG_BYTES

    def send(self, *messages: LatencyMeasured | WorkerMeasured | OperationHeld | HoldEnded) -> None:
        """Put them on their way."""
        for message in messages:
            if self.link is not None:
                self.link.send(message)


def measured(hall: Hall, lag: Histogram, now_us: int) -> list[LatencyMeasured | WorkerMeasured]:
    """What was measured since the last time."""
    return [
        *hall.meters.take(now_us),
        WorkerMeasured(
            mark=FIRST_WORKER_MARK,
            pid=os.getpid(),
            lag=lag.take(),
            flows=dict(Counter(flow.grant.number for flow in hall.flows)),
            queues=hall.slots.queues,
            at_us=now_us,
        ),
    ]


async def report(line: Line, hall: Hall, lag: Histogram, clock: Clock) -> None:
    """Tell control each second, for ever."""
    while True:
        await asyncio.sleep(REPORT_S)
        if line.is_free:
            line.send(*measured(hall, lag, clock.now_us()))
