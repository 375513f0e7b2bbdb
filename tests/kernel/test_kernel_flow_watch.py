"""The watch of the connection table when the kernel does not answer; what it does with real flows is in tests/netns."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator

import pytest

from penstock.kernel import flow_watch as module
from penstock.kernel.conntrack import Connections
from penstock.kernel.entries import Entry
from penstock.kernel.flow_watch import FlowWatch
from penstock.model import Event, EventsLost


class Events:
    """Events of which the first reading says that some were lost, seven of them."""

    def __init__(self) -> None:
        self._ends = os.pipe()
        self._has_lost = True

    def fileno(self) -> int:
        return self._ends[0]

    def received(self) -> None:
        if self._has_lost:
            self._has_lost = False
            raise OSError(errno.ENOBUFS, "lost")

    def lost(self) -> int:
        return 7

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


class Table:
    """A connection table that cannot be read the first two times, and is empty then."""

    refusals = 2

    def everything(self) -> Iterator[Entry]:
        if Table.refusals:
            Table.refusals -= 1
            raise TimeoutError("timed out")
        return iter(())

    def close(self) -> None:
        pass


def test_a_loss_is_told_also_when_the_table_cannot_be_read_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """And made good then: a watch that gave up would remember every end from then on, and tell of no loss again."""
    monkeypatch.setattr(module, "ConnectionEvents", Events)
    monkeypatch.setattr(module, "Connections", Table)
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    told: list[Event] = []

    async def scenario() -> None:
        watch = FlowWatch(Connections.__new__(Connections), told.append)
        watch.read()
        async with asyncio.timeout(20):
            await watch._tasks["reconcile"]
        watch.close()

    asyncio.run(scenario())
    (event,) = told
    assert isinstance(event, EventsLost)
    assert (event.count, event.opened, event.closed) == (7, 0, 0)
    assert Table.refusals == 0
