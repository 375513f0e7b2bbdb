"""I/O: the process `control`: opens the state, the evidence and the local sockets, and keeps everything moving.

It holds no privileges at all.  If it dies, what is granted goes on until it expires, and nothing new is granted.  It
must never take a decision here: it only connects sockets, files and clocks with the parts that `gate` wires.
"""

from __future__ import annotations

import asyncio
import resource
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from penstock.bus.channel import Link, listen
from penstock.bus.codec import Message
from penstock.bus.journal_reader import JournalReader
from penstock.bus.pauses import avoid_pauses
from penstock.bus.privileges import keep_only
from penstock.control.gate import Gate, Given
from penstock.control.intervals import Cause
from penstock.control.journal import JournalTransfer
from penstock.control.links import EnforcerLink, WorkerLinks, tell
from penstock.control.making import makers
from penstock.control.names_link import NamesLinks
from penstock.control.neighbours import hardware_of
from penstock.control.observers import Observers
from penstock.control.ports import US_PER_S, Moment, Recorder
from penstock.control.store import Store
from penstock.control.tally import Tally
from penstock.control.without_kernel import AbsentKernel, require_fit, started
from penstock.evidence import Log, Writer, load_or_make_key, publish_key
from penstock.identity import Authority, Passwords, Seal, read_or_make_secret
from penstock.model import (
    Done,
    Event,
    Failed,
    FlowsRefused,
    GateSettings,
    Hello,
    HoldEnded,
    Json,
    OperationHeld,
    PayloadLost,
    PayloadRemoved,
    PayloadStored,
    Publication,
    Record,
    RecordKind,
    Unavailable,
    WorkerTripped,
)
from penstock.policy import accept, parse, read_documents

LOOK_AT_CLOCKS_S = 1.0
KEEP_HOUSE_S = 3600.0
#: A wall clock that moved against the steady one by more than this was set.
CLOCK_STEP_US = 2 * US_PER_S
TOKEN_BYTES = 32
#: How long the threads of the store and of the evidence may keep the event loop from the interpreter (5 ms else): the
#: answer of the enforcer to a cut waits for it.
SWITCH_S = 0.0005
#: What was read in copies was not judged before it passed.
OBSERVED: dict[str, Json] = {"path": "kernel", "is_enforced": False}
#: How long until the enforcer is asked again to count a worker's heartbeat.
RETRY_S = 0.2


def read_clock() -> Moment:
    """Now, on both clocks."""
    return Moment(
        wall_us=time.time_ns() // 1000, steady_us=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000, boot=_BOOT
    )


_BOOT = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


async def run_control(settings: GateSettings, serve_web: Callable[[Gate], Awaitable[None]]) -> None:
    """Run control until cancelled.  Raises `Unavailable`, `Invalid` and `Tampered` where it cannot start."""
    keep_only()
    _raise_descriptor_limit()
    sys.setswitchinterval(SWITCH_S)
    state_dir, keys, now_us = Path(settings.state_dir), Path(settings.state_dir) / "keys", read_clock().wall_us
    authority = Authority(keys, settings.names[0], settings.names, now_us)
    seal = Seal(read_or_make_secret(keys / "totp.key"), secrets.token_bytes)
    store = Store(state_dir / "state.db")
    await store.open()
    journal = JournalReader(Path(settings.run_dir) / "worker-1.ring")
    observed = JournalReader(Path(settings.run_dir) / "observer.ring")

    def set_healthy(is_healthy: bool) -> None:  # noqa: FBT001 - the state itself is the argument
        for each in (journal, observed):
            each.set_healthy(is_healthy)

    try:
        with _open_log(state_dir, keys, settings.names[0]) as log:
            async with Writer(log, _wall_us, on_health_change=set_healthy) as writer:
                control = Control(settings, store, Evidence(log, writer), authority, seal, (journal, observed))
                await control.run(serve_web)
    finally:
        await store.close()


class Evidence:
    """The evidence log as control writes it."""

    def __init__(self, log: Log, writer: Writer) -> None:
        self._log, self._writer, self.tally = log, writer, Tally()

    @property
    def is_healthy(self) -> bool:
        """Whether the last records reached the disk."""
        return self._writer.is_healthy

    @property
    def size(self) -> int:
        """How many records the evidence holds."""
        return self._log.size

    async def write(self, records: Sequence[Record], *, urgent: bool = False) -> range:
        """Durable on return.  Raises `Unavailable`."""
        written = await self._writer.write(records, urgent=urgent)
        self.tally.add(records)
        return written

    def put(self, records: Sequence[Record]) -> bool:
        """Written soon."""
        is_in_order = self._writer.put(records)
        self.tally.add(records)
        return is_in_order


class Control:
    """The running process: sockets, clocks and the journal around one `Gate`."""

    def __init__(
        self,
        settings: GateSettings,
        store: Store,
        recorder: Recorder,
        authority: Authority,
        seal: Seal,
        journals: tuple[JournalReader, JournalReader],
    ) -> None:
        self._settings, self._recorder = settings, recorder
        self._run_dir = Path(settings.run_dir)
        self._workers = WorkerLinks()
        link = EnforcerLink(self._run_dir / "enforcer.sock", self._heard, self._enforcer_joined)
        self._enforcer = link if settings.has_kernel else AbsentKernel()
        self._joining: asyncio.Queue[tuple[Link, Hello]] = asyncio.Queue()
        self._store = store
        self.gate = Gate(
            Given(
                settings=settings,
                store=store,
                recorder=recorder,
                enforcer=self._enforcer,
                workers=self._workers,
                authority=authority,
                passwords=Passwords(),
                seal=seal,
                clock=read_clock,
                make_token=lambda: secrets.token_urlsafe(TOKEN_BYTES),
                make_random=secrets.token_bytes,
                turn=asyncio.Lock(),
                makers=makers(settings, store, seal),
                locate=hardware_of if settings.has_kernel else lambda _: None,
            )
        )
        self._names = NamesLinks(self.gate.state, settings.place)
        journal, observed = journals
        self._observers = Observers(self.gate, recorder, read_clock)
        self._transfer = JournalTransfer(journal, self.gate, store, recorder, read_clock)
        self._observed = JournalTransfer(observed, self.gate, store, recorder, read_clock, detail=OBSERVED)

    async def run(self, serve_web: Callable[[Gate], Awaitable[None]]) -> None:
        """Run everything until cancelled."""
        await self.gate.begin(await self._documents())
        avoid_pauses()
        self._recorder.put([started(read_clock().wall_us, self._settings.not_enforced)])
        server = await listen(self._run_dir / "control.sock", self._heard, self._left)
        try:
            async with asyncio.TaskGroup() as group:
                if isinstance(self._enforcer, EnforcerLink):
                    group.create_task(self._enforcer.run())
                group.create_task(self._welcome_workers())
                group.create_task(self._transfer.follow())
                group.create_task(self._observed.follow())
                group.create_task(self._observers.follow())
                group.create_task(self._follow_clocks())
                group.create_task(self.gate.drills.run())
                group.create_task(self._keep_house())
                group.create_task(self._names.follow())
                group.create_task(_awaited(serve_web(self.gate)))
        finally:
            server.close()

    async def _documents(self) -> dict[str, str]:
        """The site of a gate that never ran; one that did has its own last revision."""
        if await self._store.last_revision() is not None:
            return {}
        return read_documents(Path(self._settings.site_path))

    async def _heard(self, link: Link, message: Message) -> Done | Failed | None:
        """A message of the enforcer, a worker or the supervisor."""
        match message:
            case Hello(role="names"):
                self._names.add(link)
            case Hello(role="worker"):
                self._workers.add(link, message)
                self._joining.put_nowait((link, message))
            case Hello(role="observer"):
                self._observers.joined(link, message)
            case PayloadStored() | PayloadLost() | PayloadRemoved():
                return await self._observers.receive(message)
            case WorkerTripped():
                self._workers.end(message)
                if not self._workers.is_alive:
                    self._recorder.put(self.gate.events.records_of(message))
            case OperationHeld() | HoldEnded():
                self.gate.holds.heard(link, message)
            case _ if isinstance(message, Event):
                if isinstance(message, FlowsRefused):
                    self.gate.stations.refused(message)
                records = self.gate.events.records_of(message)
                self._recorder.put(records)
                await self._transfer.remember_sessions(records)
            case _:
                pass
        return None

    def _left(self, link: Link) -> None:
        """A link of a worker, of the observer, of the responder or of the supervisor closed."""
        self._observers.left(link)
        self._names.remove(link)
        self.gate.holds.left(link)
        if self._workers.remove(link):
            why, at_us = "the last worker left", read_clock().wall_us
            self._recorder.put(self.gate.failures.lost(Cause.WORKER_ENDED, why, at_us))

    async def _enforcer_joined(self) -> None:
        await self.gate.revisions.synchronise(self._workers.armed)
        await self.gate.reconcile()

    async def _welcome_workers(self) -> None:
        while True:
            link, hello = await self._joining.get()
            try:
                await self.gate.revisions.inform(_Single(link))
                await self._arm(link, hello)
            except Unavailable:
                link.close()  # the worker comes back, and gets everything anew
                continue
            self._workers.arm(link)
            if self._workers.is_alive:  # its switch may have tripped by now
                self._recorder.put(self.gate.failures.restored())

    async def _arm(self, link: Link, hello: Hello) -> None:
        """Wait for the enforcer as long as the worker is there.  Raises `Unavailable` when it is not."""
        while link.is_open:
            try:
                await self.gate.revisions.arm(hello.mark, hello.pid)
            except Unavailable:
                await asyncio.sleep(RETRY_S)
            else:
                return
        raise Unavailable("the worker is gone")

    async def _follow_clocks(self) -> None:
        """Each second: has the wall clock been set, and what has expired?"""
        before = read_clock()
        while True:
            await asyncio.sleep(LOOK_AT_CLOCKS_S)
            now = read_clock()
            if record := clock_step(before, now):
                self._recorder.put([record])
                self.gate.following.stepped((now.wall_us - before.wall_us) - (now.steady_us - before.steady_us))
            before = now
            try:
                await self.gate.sweep()
            except Unavailable:
                continue

    async def _keep_house(self) -> None:
        while True:
            with suppress(Unavailable):
                await self.gate.keep_house()
            await asyncio.sleep(KEEP_HOUSE_S)


async def check_fit(settings: GateSettings) -> None:
    """Before anything starts: is there something in the site that this gate could not enforce?

    Raises `Invalid` with all of it, and where the document itself is wrong.
    """
    store = Store(Path(settings.state_dir) / "state.db")
    await store.open()
    try:
        last = await store.last_revision()
    finally:
        await store.close()
    documents = read_documents(Path(settings.site_path)) if last is None else last.documents
    require_fit(accept(parse(documents), 1), has_kernel=settings.has_kernel)


class _Single:
    """One worker, as the contract of all of them."""

    is_alive = True

    def __init__(self, link: Link) -> None:
        self._link = link

    async def publish(self, publication: Publication) -> None:
        await tell(self._link, publication)


def clock_step(before: Moment, now: Moment) -> Record | None:
    """The record of a wall clock that was set between two looks, or ``None``."""
    step_us = (now.wall_us - before.wall_us) - (now.steady_us - before.steady_us)
    if abs(step_us) <= CLOCK_STEP_US:
        return None
    return Record(kind=RecordKind.CLOCK_STEPPED, at_us=now.wall_us, detail={"step_us": step_us})


def _open_log(state_dir: Path, keys: Path, origin: str) -> Log:
    key = load_or_make_key(keys / "evidence.key")
    folder = state_dir / "evidence"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    publish_key(folder, key, origin)
    return Log.open(folder, key, origin, _wall_us)


def _raise_descriptor_limit() -> None:
    """Connections to the portal that say nothing yet must not take the evidence its files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _wall_us() -> int:
    return read_clock().wall_us


async def _awaited(work: Awaitable[None]) -> None:
    await work
