"""The worker's records reach the evidence once, also those that were written just before control is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from control_world import FakeRecorder, World, play

from penstock.bus import FlowJournal, Journal, JournalReader, Outcome, RingWriter
from penstock.control.journal import JournalTransfer
from penstock.model import Operation, OperationClass, Record, Unavailable

READ = Operation(protocol="modbus", classes=(OperationClass.READ,), code="3", name="Read", unit=1, targets=())


class SlowRecorder(FakeRecorder):
    """A disk that takes nothing before it is let; `asked` tells that records wait for it."""

    def __init__(self) -> None:
        super().__init__([])
        self.asked, self.let = asyncio.Event(), asyncio.Event()
        self.is_broken = False

    async def write(self, records: Sequence[Record], *, urgent: bool = False) -> range:
        self.asked.set()
        await self.let.wait()
        if self.is_broken:
            raise Unavailable("input/output error")
        return await super().write(records, urgent=urgent)


class Following:
    """A worker's journal with an open flow, and a transfer that follows it."""

    def __init__(self, world: World) -> None:
        self.path, self._now_us = world.folder / "worker-1.ring", world.clock.wall_us
        self.journal = Journal(RingWriter(self.path, 1 << 15), self._now_us)
        self.flow: FlowJournal = self.journal.open_flow(world.machine("scada-1"), "10.20.0.12:40001", self._now_us)
        tag = self.flow.define(0, READ, "SCADA polls the filters", b"read")
        assert tag is not None
        self._tag, self.recorder = tag, SlowRecorder()
        transfer = JournalTransfer(
            JournalReader(self.path), world.gate, world.gate.store, self.recorder, world.clock, finish_within_s=0.3
        )
        self.task = asyncio.create_task(transfer.follow())

    def exchange(self, ordinal: int) -> None:
        """A request and its answer."""
        assert self.flow.judged(self._tag, ordinal, self._now_us)
        self.flow.answered(ordinal, Outcome.ANSWERED, 250)

    async def stop(self) -> None:
        """What SIGTERM does."""
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task

    @property
    def told(self) -> list[str]:
        """The kinds of what the evidence has."""
        return [record.kind.value for record in self.recorder.records]


def following(world: World, scenario: Callable[[Following], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario up to the first write, which waits."""

    async def run(world: World) -> None:
        started = Following(world)
        await asyncio.wait_for(started.recorder.asked.wait(), 5)
        await scenario(started)

    play(world, run)


def test_what_was_written_before_the_stop_is_in_the_evidence(world: World) -> None:
    """Rows that are not due yet are told, and nothing is left in the ring."""

    async def scenario(now: Following) -> None:
        now.recorder.let.set()
        now.exchange(0)
        await now.stop()
        assert now.told == ["session.opened", "flow.opened", "operations"]
        assert now.journal.ring.free_share == 1.0

    following(world, scenario)


def test_records_that_are_being_written_at_the_stop_are_told_once(world: World) -> None:
    """The write that was under way goes on."""

    async def scenario(now: Following) -> None:
        now.exchange(0)
        asyncio.get_running_loop().call_soon(now.recorder.let.set)
        await now.stop()
        assert now.told == ["session.opened", "flow.opened", "operations"]

    following(world, scenario)


def test_a_broken_disk_does_not_hold_up_the_stop_and_nothing_is_freed(world: World) -> None:
    """The next reader gets what the evidence did not take."""

    async def scenario(now: Following) -> None:
        now.recorder.is_broken = True
        now.recorder.let.set()
        async with asyncio.timeout(5):
            await now.stop()
        assert now.told == []
        again = JournalReader(now.path).read(world.clock.wall_us)
        assert [record.kind.value for record in again] == ["flow.opened"]

    following(world, scenario)
