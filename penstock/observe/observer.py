"""I/O: the process `observer`: copies of packets into the payload store, and read passively into the journal.

Stands beside the kernel path, never in it: when it is dead or slow, flows go on and copies are lost, which is counted.
Keeping goes before reading: what comes faster than it can be read is kept all the same.  It holds CAP_NET_ADMIN, for
the packet log, and no secret.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from penstock.bus import Capability, Journal, Link, Message, RingWriter, connect, keep_only
from penstock.kernel import Copy, CopyLog
from penstock.model import (
    Done,
    Failed,
    GateSettings,
    Grant,
    Hello,
    Json,
    LatencyMeasured,
    Malformed,
    ObserveGrants,
    PayloadLost,
    PayloadRemoved,
    PayloadStored,
    Unavailable,
)
from penstock.observe.packets import datagram_of, segment_of
from penstock.observe.reading import Reading
from penstock.observe.spool import STORE_BYTES, WHOLE, Growing, Spool, finish, keep, oldest_beyond, recover

JOURNAL_NAME: Final = "observer.ring"
FOLDER: Final = ("evidence", "payload")
TICK_S: Final = 0.25
REPORT_EVERY_TICKS: Final = 4
#: Datagrams (64 packets each) that are taken in one go, and packets that are read in one go.
TAKE_AT_ONCE: Final = 16
READ_AT_ONCE: Final = 200
#: Packets that may wait to be read; more are kept, but not read.
MAX_UNREAD: Final = 20_000
#: Copies of a grant that control has not told of yet wait so long, so many of them; then they are kept without a name.
#: And so long copies of a grant that has ended may still come.
PATIENCE_S: Final = 2.0
MAX_UNKNOWN: Final = 8192
#: What must be told to control and waits for it; older losses are then told as one.
MAX_REPORTS: Final = 1000
_RECONNECT_S: Final = 0.2
_MODULO: Final = 1 << 32


async def run(settings: GateSettings) -> None:
    """Be the observer until cancelled."""
    keep_only(Capability.NET_ADMIN)
    folder = Path(settings.state_dir).joinpath(*FOLDER)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ring = RingWriter(Path(settings.run_dir) / JOURNAL_NAME)
    observer = Observer(folder, Journal(ring, _now_us()))
    gc.collect()
    gc.freeze()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(observer.follow_control(Path(settings.run_dir) / "control.sock"))
            group.create_task(observer.recover())
            group.create_task(observer.keep_house())
    finally:
        observer.close()


class Observer:
    """Everything that the process holds.  Lives in one event loop."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._loop, self._folder, self._journal = asyncio.get_running_loop(), folder, journal
        self._reports: deque[PayloadStored | PayloadLost] = deque()
        self._left = recover(folder, _now_us())  # which they are, before this observer adds its own
        self._spool, self._reading = Spool(folder, self._report_lost), Reading(journal)
        self._grants: dict[int, Grant] = {}
        self._stored: frozenset[int] = frozenset()
        self._leaving: dict[int, float] = {}
        self._unknown: deque[tuple[float, Copy]] = deque()
        self._unread: deque[tuple[Grant, Copy]] = deque()
        self._unread_lost: dict[int, tuple[int, int, int]] = {}
        self._is_reading = False
        self._expected: int | None = None
        self._gap = (0, 0, 0)
        self._overrun_us = 0
        self._last_us = 0
        self._link: Link | None = None
        self._is_fresh = self._may_be_full = True
        self._log = CopyLog()
        self._loop.add_reader(self._log.fileno(), self.take)

    def close(self) -> None:
        """End in order: everything that was taken is on the disk, and the next observer tells of it."""
        self._loop.remove_reader(self._log.fileno())
        self._log.end()
        while self.take():
            pass
        self._log.close()
        for _, copy in self._unknown:
            self._keep(copy)
        while self._unread:
            self._read_next()
        self._reading.end_all("the observer stopped", _now_us())
        self._spool.close_all()
        for file in self._spool.over:
            with suppress(OSError):  # a part that stays is recovered by the next one
                finish(file, _now_us())

    # --- copies

    def take(self) -> bool:
        """Take in a portion of what the kernel has copied; whether there may be more."""
        try:
            for _ in range(TAKE_AT_ONCE):
                copies = self._log.received()
                if copies is None:
                    return False
                for copy in copies:
                    self._take(copy)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._overrun_us = self._overrun_us or _now_us()  # how many, the next number says
        return True

    def _take(self, copy: Copy) -> None:
        expected, self._expected = self._expected, (copy.number + 1) % _MODULO
        now_us = copy.at_us or _now_us()
        if expected is not None and copy.number != expected:
            missing, from_us, _ = self._gap
            self._gap = missing + (copy.number - expected) % _MODULO, from_us or self._last_us, now_us
            self._overrun_us = 0
        self._last_us = now_us
        if not copy.at_us:
            copy = copy._replace(at_us=now_us)
        if copy.grant in self._grants:
            self._know(self._grants[copy.grant], copy)
        elif len(self._unknown) < MAX_UNKNOWN:
            self._unknown.append((self._loop.time(), copy))
        else:
            self._keep(copy)

    def _know(self, grant: Grant, copy: Copy) -> None:
        if grant.number in self._stored:
            self._keep(copy)
        if not Reading.can_read(grant):
            return
        if len(self._unread) < MAX_UNREAD:
            self._unread.append((grant, copy))
            self._read_soon()
        else:
            count, from_us, _ = self._unread_lost.get(grant.number, (0, copy.at_us, 0))
            self._unread_lost[grant.number] = count + 1, from_us, copy.at_us

    def _keep(self, copy: Copy) -> None:
        self._spool.add(copy.grant, lambda: self._about(copy.grant), copy.at_us, copy.data)

    def _about(self, number: int) -> dict[str, Json]:
        grant = self._grants.get(number)
        if grant is None:
            return {"grant": number}
        return {
            "grant": number,
            "subject": grant.subject.name,
            "asset": grant.asset,
            "service": grant.service,
            "conduits": [*grant.conduits],
        }

    def _read_soon(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self._loop.call_soon(self._read_some)

    def _read_some(self) -> None:
        self._is_reading = False
        for _ in range(min(READ_AT_ONCE, len(self._unread))):
            self._read_next()
        if self._unread:
            self._read_soon()

    def _read_next(self) -> None:
        grant, copy = self._unread.popleft()
        segment = segment_of(copy.data)
        if segment is not None:
            self._reading.take(grant, segment, copy.at_us)
        elif (datagram := datagram_of(copy.data)) is not None:
            self._reading.take_datagram(grant, datagram, copy.at_us)

    # --- control

    async def follow_control(self, path: Path) -> None:
        """Take over which grants are copied, for ever."""

        async def receive(_: Link, message: Message) -> Done | Failed | None:
            if not isinstance(message, ObserveGrants):
                return Failed(why=f"an observer does not take {type(message).__name__}")
            self._observe(message)
            return Done()

        while True:
            with suppress(Unavailable, Malformed, OSError):
                link = await connect(path, receive)
                link.send(Hello(role="observer", mark=int(self._is_fresh), pid=os.getpid()))
                self._is_fresh, self._link = False, link
                await link.run()
            self._link = None
            await asyncio.sleep(_RECONNECT_S)

    def _observe(self, message: ObserveGrants) -> None:
        known = {grant.number: grant for grant in message.grants}
        until_s = self._loop.time() + PATIENCE_S
        for number in self._grants.keys() - known.keys() - self._leaving.keys():
            self._leaving[number] = until_s  # its last copies are still in the kernel
        for number in known:
            self._leaving.pop(number, None)
        kept = {number: self._grants[number] for number in self._leaving}
        self._stored = frozenset(message.stored) | (self._stored & kept.keys())
        self._grants = known | kept
        self._meet_unknown(0)

    def _part(self, now_us: int) -> None:
        """Let go of the grants that ended a while ago."""
        now_s = self._loop.time()
        for number in [number for number, until_s in self._leaving.items() if until_s <= now_s]:
            del self._leaving[number], self._grants[number]
            self._reading.end(number, now_us)
            self._spool.close(number)

    def _meet_unknown(self, patience_s: float) -> None:
        """Copies whose grant is known by now, or has been waited for long enough."""
        waiting, self._unknown = self._unknown, deque()
        now_s = self._loop.time()
        for since_s, copy in waiting:
            if copy.grant in self._grants:
                self._know(self._grants[copy.grant], copy)
            elif patience_s and now_s - since_s > patience_s:
                self._keep(copy)
            else:
                self._unknown.append((since_s, copy))

    # --- the store

    async def recover(self) -> None:
        """Tell of what an earlier observer left.  Gigabytes may be: read in a thread, and copies go on being taken."""
        self._reports.extend(await asyncio.to_thread(list, self._left))

    async def keep_house(self) -> None:
        """Some times a second: write, close, tell, remove."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            now_us = _now_us()
            self._journal.tick()
            self._meet_unknown(PATIENCE_S)
            self._part(now_us)
            self._reading.tick(now_us)
            self._spool.flush(now_us)
            await self._finish_files()
            if ticks % REPORT_EVERY_TICKS == 0:
                self._spool.check_space(now_us)
                self._count_losses(now_us)
                self._measure(now_us)
                await self._tell_control()

    async def _finish_files(self) -> None:
        over, self._spool.over = self._spool.over, []
        for file in over:
            stored = await asyncio.to_thread(_finished, file)
            if stored is not None:
                self._reports.append(stored)

    def _count_losses(self, now_us: int) -> None:
        count, from_us, until_us = self._gap
        if count:
            self._gap = 0, 0, 0
            why = "copies came faster than they were taken"
            self._report_lost(_lost(0, count, why, (from_us, until_us, now_us), is_stored=False))
        elif self._overrun_us and now_us - self._overrun_us > PATIENCE_S * 1_000_000:
            why = "the kernel threw copies away, and none came since to say how many"
            self._report_lost(_lost(0, None, why, (self._overrun_us, now_us, now_us), is_stored=False))
            self._overrun_us = 0
        for number, (skipped, first_us, last_us) in self._unread_lost.items():
            why = "packets came faster than they could be decoded"
            self._report_lost(
                _lost(number, skipped, why, (first_us, last_us, now_us), is_stored=number in self._stored)
            )
        self._unread_lost.clear()

    def _measure(self, now_us: int) -> None:
        link = self._link
        if link is not None:
            for measured in self._reading.measured(now_us):
                link.send(measured)

    def _report_lost(self, lost: PayloadLost) -> None:
        if len(self._reports) < MAX_REPORTS or not isinstance(self._reports[-1], PayloadLost):
            self._reports.append(lost)
            return
        last = self._reports.pop()
        assert isinstance(last, PayloadLost)
        both = None if last.count is None or lost.count is None else last.count + lost.count
        times = last.from_us, lost.until_us, lost.at_us
        self._reports.append(_lost(0, both, "several losses, while control was away", times, is_stored=False))

    async def _tell_control(self) -> None:
        """Tell what waits, in order; what control has not on the disk stays."""
        while self._reports and await self._is_told(self._reports[0]):
            told = self._reports.popleft()
            if isinstance(told, PayloadStored):
                keep(self._folder, told.sha256)
                self._may_be_full = True
        if not self._may_be_full:
            return
        for path, size_bytes in oldest_beyond(self._folder, STORE_BYTES):
            name = path.name.removesuffix(WHOLE)
            why = f"the store is limited to {STORE_BYTES >> 20} MiB"
            asked = PayloadRemoved(sha256=name, grant=0, size_bytes=size_bytes, why=why, at_us=_now_us())
            if not await self._is_told(asked):
                return
            path.unlink(missing_ok=True)
        self._may_be_full = False

    async def _is_told(self, report: PayloadStored | PayloadLost | PayloadRemoved | LatencyMeasured) -> bool:
        link = self._link
        if link is None:
            return False
        try:
            return isinstance(await link.ask(report), Done)
        except Unavailable:
            link.close()
            return False


def _finished(file: Growing) -> PayloadStored | None:
    """A file that cannot be closed now stays a part, for the next observer to recover."""
    try:
        return finish(file, _now_us())
    except OSError:
        return None


def _lost(grant: int, count: int | None, why: str, times: tuple[int, int, int], *, is_stored: bool) -> PayloadLost:
    from_us, until_us, at_us = times
    return PayloadLost(
        grant=grant, count=count, why=why, is_stored=is_stored, from_us=from_us, until_us=until_us, at_us=at_us
    )


def _now_us() -> int:
    return time.time_ns() // 1000
