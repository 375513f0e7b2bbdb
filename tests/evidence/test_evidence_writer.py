"""The writer under asyncio: durable answers, group commit, and honesty after failures."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence_fakes import Clock, FaultyDisk, open_log, record, verified
from test_evidence_log import indexes, lines

from penstock.evidence.line import decode
from penstock.evidence.writer import Timing, Writer
from penstock.model import RecordKind, Unavailable

QUICK = Timing(window_ms=1, retry_s=0.005, checkpoint_s=0.005, keep_s=0.0)
SLOW = Timing(window_ms=60_000, retry_s=60, checkpoint_s=60, keep_s=60)
WAIT_S = 10


class StoppedDisk(FaultyDisk):
    """A disk whose syncs wait until the test lets them go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()

    def sync_data(self, descriptor: int) -> None:
        assert self.go.wait(WAIT_S)
        super().sync_data(descriptor)


class RenamingDisk(FaultyDisk):
    """A disk that tells the event loop when a checkpoint took its place."""

    def __init__(self) -> None:
        super().__init__()
        self._tell: Callable[[], object] = lambda: None

    def tell(self, loop: asyncio.AbstractEventLoop) -> asyncio.Event:
        renamed = asyncio.Event()
        self._tell = lambda: loop.call_soon_threadsafe(renamed.set)
        return renamed

    def rename(self, source: Path, destination: Path) -> None:
        super().rename(source, destination)
        self._tell()


class Health:
    """What a writer tells of its health."""

    def __init__(self) -> None:
        self.told: list[bool] = []
        self._changed = asyncio.Event()

    def __call__(self, is_healthy: bool) -> None:  # noqa: FBT001  the shape that the writer calls
        self.told.append(is_healthy)
        self._changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.told) < count:
                self._changed.clear()
                await self._changed.wait()


def test_written_records_are_durable_when_write_returns(tmp_path: Path) -> None:
    async def scenario() -> None:
        with open_log(tmp_path) as log:
            async with Writer(log, Clock(), timing=QUICK) as writer:
                assert await writer.write([record(0), record(1)]) == range(1, 3)
                assert indexes(tmp_path) == [0, 1]

    asyncio.run(scenario())


def test_records_that_come_together_share_one_sync(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = FaultyDisk()
        with open_log(tmp_path, disk) as log:
            disk.calls.clear()
            async with Writer(log, Clock(), timing=SLOW) as writer:
                for index in range(50):
                    assert writer.put([record(index)])
                await writer.write([record(50)], urgent=True)
                assert disk.calls == ["write", "sync_data"]
        assert indexes(tmp_path) == list(range(51))

    asyncio.run(scenario())


def test_urgent_record_does_not_wait_for_company(tmp_path: Path) -> None:
    async def scenario() -> None:
        with open_log(tmp_path) as log:
            async with Writer(log, Clock(), timing=SLOW) as writer, asyncio.timeout(WAIT_S):
                assert await writer.write([record(0)], urgent=True) == range(1, 2)

    asyncio.run(scenario())


def test_close_writes_what_waits_and_signs_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        with open_log(tmp_path) as log:
            async with Writer(log, Clock(), timing=SLOW) as writer:
                writer.put([record(0)])
        report = verified(tmp_path)
        assert (report.is_verified, report.covered, report.size) == (True, 2, 2)

    asyncio.run(scenario())


def test_checkpoint_follows_new_records_by_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = RenamingDisk()
        with open_log(tmp_path, disk) as log:
            async with Writer(log, Clock(), timing=QUICK) as writer:
                renamed = disk.tell(asyncio.get_running_loop())
                await writer.write([record(0)])
                async with asyncio.timeout(WAIT_S):
                    await renamed.wait()
                assert verified(tmp_path).covered == 2

    asyncio.run(scenario())


def test_event_loop_goes_on_while_the_disk_is_silent(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = StoppedDisk()
        with open_log(tmp_path, disk) as log:
            async with Writer(log, Clock(), timing=QUICK) as writer:
                disk.go.clear()
                write = asyncio.ensure_future(writer.write([record(0)], urgent=True))
                for _ in range(100):
                    await asyncio.sleep(0)
                    writer.put([record(1)])
                assert not write.done()
                disk.go.set()
                assert await write == range(1, 2)

    asyncio.run(scenario())


def test_record_that_no_line_can_hold_is_refused_where_it_is_given(tmp_path: Path) -> None:
    async def scenario() -> None:
        with open_log(tmp_path) as log:
            async with Writer(log, Clock(), timing=QUICK) as writer:
                with pytest.raises(ValueError, match="split its detail"):
                    writer.put([record(0, text="x" * 70_000)])
                await writer.write([record(1)])
        assert indexes(tmp_path) == [1]

    asyncio.run(scenario())


def test_write_on_a_full_disk_is_refused_not_written_later_and_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk, health = FaultyDisk(), Health()
        with open_log(tmp_path, disk) as log:
            async with Writer(log, Clock(), timing=QUICK, on_health_change=health) as writer:
                disk.free_bytes = 20
                with pytest.raises(Unavailable, match="No space left"):
                    await writer.write([record(0)])
                await health.until(1)
                assert not writer.is_healthy
                with pytest.raises(Unavailable, match="No space left"):
                    await writer.write([record(1)])
                disk.free_bytes = None
                await health.until(2)
                assert writer.is_healthy
                await writer.write([record(2)])
        assert health.told == [False, True]
        assert indexes(tmp_path) == [2]
        report = verified(tmp_path)
        assert report.is_verified
        assert [gap.lost for gap in report.gaps] == [{"flow.closed": 2}]
        assert "No space left" in report.gaps[0].why

    asyncio.run(scenario())


def test_put_on_a_full_disk_is_kept_in_memory_and_written_when_there_is_space(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk, health = FaultyDisk(), Health()
        with open_log(tmp_path, disk) as log:
            async with Writer(log, Clock(), timing=QUICK, on_health_change=health) as writer:
                disk.free_bytes = 20
                assert writer.put([record(0)])
                await health.until(1)
                assert not writer.put([record(1)])
                disk.free_bytes = None
                await health.until(2)
        assert indexes(tmp_path) == [0, 1]
        assert verified(tmp_path).gaps == ()

    asyncio.run(scenario())


def test_what_does_not_fit_in_memory_is_counted_by_kind_before_what_comes_after(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk, health = FaultyDisk(), Health()
        with open_log(tmp_path, disk) as log:
            async with Writer(log, Clock(), timing=QUICK, max_queued_bytes=1000, on_health_change=health) as writer:
                disk.errors["write"] = 1 << 30
                writer.put([record(0)])
                await health.until(1)
                taken = 1
                while writer.queued_bytes < 850:
                    writer.put([record(taken)])
                    taken += 1
                for index in range(7):
                    assert not writer.put([record(100 + index)])
                disk.errors.clear()
                await health.until(2)
                assert await writer.write([record(999)]) == range(taken + 2, taken + 3)
        entries = [decode(line).record for line in lines(tmp_path)]
        assert entries[1].kind is RecordKind.LOG_GAP
        assert entries[1].detail["lost"] == {"flow.closed": 7}
        assert indexes(tmp_path) == [*range(taken), 999]
        assert verified(tmp_path).is_verified

    asyncio.run(scenario())


def test_close_on_a_broken_disk_tells_that_records_are_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = FaultyDisk()
        with open_log(tmp_path, disk) as log:
            writer = Writer(log, Clock(), timing=SLOW)
            writer.start()
            writer.put([record(0)])
            disk.errors["write"] = 1 << 30
            with pytest.raises(Unavailable):
                await writer.close()
        assert indexes(tmp_path) == []
        assert verified(tmp_path).is_verified

    asyncio.run(scenario())


def test_failed_checkpoint_makes_the_writer_unhealthy_until_it_succeeds(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk, health = FaultyDisk(), Health()
        with open_log(tmp_path, disk) as log:
            async with Writer(log, Clock(), timing=QUICK, on_health_change=health) as writer:
                disk.errors["rename"] = 1
                await writer.write([record(0)])
                await health.until(2)
                assert health.told == [False, True]
        assert verified(tmp_path).covered == 2

    asyncio.run(scenario())


def test_start_on_a_full_disk_is_found_and_recorded_without_any_other_record(tmp_path: Path) -> None:
    async def scenario() -> None:
        open_log(tmp_path).close()
        disk, health = FaultyDisk(), Health()
        disk.free_bytes = 50
        with open_log(tmp_path, disk) as log:
            async with Writer(log, Clock(), timing=QUICK, on_health_change=health):
                await health.until(1)
                disk.free_bytes = None
                await health.until(2)
        assert health.told == [False, True]
        report = verified(tmp_path)
        assert (report.is_verified, report.by_kind, report.covered) == (True, {"log.started": 2}, 2)

    asyncio.run(scenario())
