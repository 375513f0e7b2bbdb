"""I/O: the enforcer process: makes the kernel do what control says, and tells control what the kernel did.

Stands between control (commands over ``enforcer.sock``) and netfilter.  The kernel enforces without it: while this
process is away, grants still expire and everything else is still refused.  Starting it changes nothing in the kernel.

It must never open anything by itself, and holds no right but CAP_NET_ADMIN and CAP_NET_RAW.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from penstock.bus import Capability, Link, Message, avoid_pauses, keep_only, listen
from penstock.kernel.aliases import Aliases, standing_addresses
from penstock.kernel.apply import prepare
from penstock.kernel.boot import FOLDER, BootFiles
from penstock.kernel.conntrack import Connections
from penstock.kernel.counting import Counting
from penstock.kernel.cutting import Cutting
from penstock.kernel.elements import ADMITTING, LEADING, STANDING, Elements, grant_keys, owner_of, service_of
from penstock.kernel.ending import Ending
from penstock.kernel.flow_watch import FlowWatch
from penstock.kernel.held import HeldKeys
from penstock.kernel.loading import RESTORED, Loading
from penstock.kernel.oversight import Oversight
from penstock.kernel.refusal_watch import RefusalWatch
from penstock.kernel.switches import Switches
from penstock.model import (
    ApplyRuleset,
    ArmWorker,
    CloseGrant,
    CloseGrants,
    CountFlows,
    CountTraffic,
    Done,
    Event,
    EventsLost,
    Failed,
    GatePlace,
    GateSettings,
    KeepGrants,
    KernelDrifted,
    Occupied,
    OpenGrant,
    PenstockError,
    ProbeOverlay,
    Reply,
    Ruleset,
    StandAside,
    StandBack,
    Unavailable,
    VerifyKernel,
    WorkerTripped,
)

SOCKET_NAME = "enforcer.sock"
#: An element's timeout is counted in jiffies; by then it has passed.
EXPIRED_AFTER_S = 0.05
#: How often the armed dead-man switches are looked at: one dump of at most 16 elements.
LOOK_AT_SWITCHES_S = 0.1
#: How long the safety-critical flows of a gate that has just been switched on wait for inspection to be alive.
FIRST_WORKER_WITHIN_S = 3.0
#: Events that wait for control while it is away, and bytes that wait for it while it is slow.
MAX_WAITING_EVENTS = 20_000
MAX_BACKLOG_BYTES = 8 << 20


async def run(settings: GateSettings) -> None:
    """Be the enforcer until cancelled.  Raises `Unavailable` where this machine cannot be a gate."""
    keep_only(Capability.NET_ADMIN, Capability.NET_RAW)
    prepare(settings.place)
    enforcer = Enforcer(settings.place, Path(settings.state_dir) / FOLDER)
    try:
        avoid_pauses()
        server = await listen(Path(settings.run_dir) / SOCKET_NAME, enforcer.receive, enforcer.forget_link)
        async with server:
            await server.serve_forever()
    finally:
        enforcer.close()


class Enforcer:
    """The enforcer's state: what it knows of the kernel, and whom it tells.  Lives in one event loop."""

    def __init__(self, place: GatePlace, boot: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._boot = BootFiles(boot, self._tell_not_kept)
        self._elements, self._connections = Elements(), Connections()
        self._control: Link | None = None
        self._waiting: deque[Event] = deque()
        self._overflow = 0
        self._watch, self._refusals = FlowWatch(self._connections, self._tell), RefusalWatch(self._tell)
        self._flows = self._watch.flows
        self._ending = Ending(self._connections, self._flows, self._watch)
        self._counting = Counting(self._connections, self._flows)
        self._held = HeldKeys()
        self._cutting = Cutting(self._elements, self._held, self._ending)
        self._expiries: dict[int, asyncio.TimerHandle] = {}
        self._standing: dict[tuple[str, bytes], int] = {}
        self._switches = Switches()
        self._aliases = Aliases(self._tell_occupied)
        self._loading = Loading(self._elements, lambda: self._switches.armed_marks)
        self._oversight = Oversight(self._loading, place, self._tell)
        self._look: asyncio.TimerHandle | None = None
        #: On a kernel without a table: the first ruleset, until its standing flows may begin.
        self._is_fresh = False
        self._held_back: Ruleset | None = None
        self._until: asyncio.TimerHandle | None = None
        self._adopt()

    def close(self) -> None:
        """Let go of the kernel's sockets; everything in the kernel stays as it is."""
        self._aliases.close()
        for due in (*self._expiries.values(), self._look, self._until):
            if due is not None:
                due.cancel()
        self._counting.close()
        self._oversight.close()
        self._boot.close()
        self._cutting.close()
        for opened in (self._loading, self._elements, self._connections, self._ending, self._watch, self._refusals):
            opened.close()

    # --- control

    async def receive(self, link: Link, message: Message) -> Reply | None:
        """Carry out one command.  Only one link commands; it is told the events from its first message on."""
        if isinstance(message, ProbeOverlay):
            return await self._probe(message.ruleset)
        if self._control is not None and self._control.is_open and self._control is not link:
            return Failed(why="another control is connected already")
        if self._control is not link:
            self._control = link
            self._tell_waiting()
        try:
            match message:
                case VerifyKernel():
                    reply: Reply | None = await self._oversight.verify()
                case CloseGrants():
                    reply = await self._cut_all(message.numbers)
                case KeepGrants():
                    reply = await self._cut_all(tuple(self._elements.numbers() - set(message.numbers)))
                case _:
                    reply = self._carry_out(message)
        except (PenstockError, OSError) as error:
            reply = Failed(why=str(error))
        return reply

    def forget_link(self, link: Link) -> None:
        """The link is closed: keep everything, and let the next control come."""
        if self._control is link:
            self._control = None

    def _carry_out(self, message: Message) -> Reply | None:
        try:
            return self._carried_out(message)
        except OSError as error:
            if error.errno != errno.ENOENT or not self._oversight.put_back():
                raise
            return self._carried_out(message)  # somebody had removed the table under it

    def _carried_out(self, message: Message) -> Reply | None:
        match message:
            case CountFlows():
                self._watch.read()
                return self._counting.answer(message, _now_us())
            case CountTraffic():
                self._watch.count()
            case ApplyRuleset():
                self._apply(message.ruleset)
                self._boot.keep(message.ruleset, standing_addresses(message.ruleset))
            case OpenGrant():
                self._open(message)
            case CloseGrant():
                self._cut(message.grant.number)
            case StandAside():
                self._elements.stand_aside(message.numbers, message.ttl_ms)
                self._ending.unattended(message.numbers)
            case StandBack():
                self._stand_back(message.numbers)
            case ArmWorker():
                self._arm(message)
            case _:
                return None
        return Done()

    # --- commands

    def _apply(self, ruleset: Ruleset) -> None:
        """Load a ruleset.  The first one of all waits a little with its safety-critical flows.

        Nothing passes yet on a kernel without a table.  A flow that opened now, before a worker is armed, would fail
        open and stay uninspected for as long as it lasts, which may be weeks.
        """
        if self._is_fresh or self._held_back is not None:
            self._is_fresh = False
            self._load(replace(ruleset, standing=()))
            self._held_back = ruleset
            if self._until is None:
                self._until = self._loop.call_later(FIRST_WORKER_WITHIN_S, self._begin)
        else:
            self._load(ruleset)

    def _begin(self) -> None:
        """A worker is armed, or none came in time: safety-critical flows begin, inspected or not."""
        ruleset, self._held_back = self._held_back, None
        if self._until is not None:
            self._until.cancel()
            self._until = None
        if ruleset is not None:
            self._load(ruleset)

    async def _probe(self, ruleset: Ruleset) -> Reply:
        try:
            held = await self._aliases.occupied(ruleset)
        except (PenstockError, OSError, ValueError) as error:
            return Failed(why=str(error))
        holders = tuple((str(address), holder) for address, holder in sorted(held.items()))
        return Occupied(holders=holders) if holders else Done()

    def _tell_not_kept(self, why: str) -> None:
        """Out of the thread that writes."""
        event = KernelDrifted(differences=(why,), by="the disk", is_corrected=False, at_us=_now_us())
        self._loop.call_soon_threadsafe(self._tell, event)

    def _tell_occupied(self, address: str, holder: str) -> None:
        why = f"{address} is not taken as an overlay address: {holder} has it"
        self._tell(KernelDrifted(differences=(why,), by=holder, is_corrected=False, at_us=_now_us()))

    def _load(self, ruleset: Ruleset) -> None:
        self._aliases.take(ruleset)
        self._loading.load(ruleset)
        self._set_aside(frozenset(ruleset.aside))
        self._aliases.release(ruleset)
        before = self._standing
        self._remember_static()
        for key, number in before.items():
            if self._standing.get(key) != number:
                self._ending.withdrawn([number])  # no packet of it passes any more; this closes its ends

    def _set_aside(self, numbers: frozenset[int]) -> None:
        """Grants that stand aside until told are the ruleset's; those that do so for a time only are left alone."""
        held = self._elements.unattended()
        self._elements.stand_aside(numbers - {number for number, left_ms in held.items() if left_ms is None}, None)
        self._ending.unattended(numbers - held.keys())
        back = [number for number, left_ms in held.items() if left_ms is None and number not in numbers]
        if back:
            self._stand_back(back)

    def _open(self, command: OpenGrant) -> None:
        grant = command.grant
        self._elements.open_grant(grant, command.ttl_ms)
        self._held.hold(grant.number, grant_keys(grant))
        self._expire_in(grant.number, command.ttl_ms / 1000)

    def _cut(self, number: int) -> None:
        expiry = self._expiries.pop(number, None)
        if expiry is not None:
            expiry.cancel()
        self._elements.close_grant(number, self._held.release(number))
        self._ending.withdrawn([number])

    async def _cut_all(self, numbers: tuple[int, ...]) -> Done:
        """The same for many, in slices that let events be read between them."""
        for number in numbers:
            expiry = self._expiries.pop(number, None)
            if expiry is not None:
                expiry.cancel()
        try:
            await self._cutting.cut(numbers)
        except OSError as error:
            if error.errno != errno.ENOENT or not self._oversight.put_back():
                raise
            await self._cutting.cut(numbers)
        return Done()

    def _arm(self, command: ArmWorker) -> None:
        """Arm a switch, but never that of a process which has tripped: control is told (again) that it must end."""
        alive = self._elements.alive()
        self._tell_tripped(self._switches.trip(alive))
        if not self._switches.may_arm(command, alive):
            self._tell_tripped([(command.mark, command.pid)])
            raise Unavailable("the dead-man switch of this worker has tripped")
        self._elements.arm(command.mark)
        self._switches.armed(command)
        self._look_later()
        self._begin()

    def _look_later(self) -> None:
        if self._look is None and self._switches.is_any_armed:
            self._look = self._loop.call_later(LOOK_AT_SWITCHES_S, self._look_at_switches)

    def _look_at_switches(self) -> None:
        self._look = None
        try:
            alive = self._elements.alive()
            tripped = self._switches.trip(alive)
            if tripped and not alive:
                self._ending.abandoned()
            self._tell_tripped(tripped)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            self._oversight.suspect()  # the table is gone, which says nothing about the workers
        finally:
            self._look_later()

    def _tell_tripped(self, tripped: list[tuple[int, int]]) -> None:
        for mark, pid in tripped:
            self._tell(WorkerTripped(mark=mark, pid=pid, at_us=_now_us()))

    def _expire_in(self, number: int, left_s: float) -> None:
        earlier = self._expiries.pop(number, None)
        if earlier is not None:
            earlier.cancel()
        self._expiries[number] = self._loop.call_later(left_s + EXPIRED_AFTER_S, self._expired, number)

    def _expired(self, number: int) -> None:
        """The kernel has stopped its packets by itself; its flows are closed here."""
        del self._expiries[number]
        self._held.release(number)
        self._ending.withdrawn([number])

    def _stand_back(self, numbers: Iterable[int]) -> None:
        self._elements.stand_back(numbers)
        self._ending.attended(numbers)

    # --- what is in the kernel already

    def _adopt(self) -> None:
        """Learn what an earlier enforcer left in the kernel; on an empty kernel there is nothing to learn.

        Flows of grants that ended meanwhile are closed now: the kernel has only stopped their packets.
        """
        ended: frozenset[int] = frozenset()
        self._watch.adopt()
        try:
            self._elements.adopt(RESTORED)
            self._remember_static()
            for name in (*ADMITTING, *LEADING):
                for element in self._elements.dump(name):
                    self._held.add(owner_of(element), name, element.key)
            self._is_fresh = not self._standing and not self._elements.live()  # nothing passes that could be disturbed
            for number, left_ms in self._elements.live().items():
                self._expire_in(number, left_ms / 1000)
            ended = self._flows.numbers - self._elements.numbers() - set(self._standing.values())
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            self._is_fresh = True
        self._ending.withdrawn(ended)
        for event in self._flows.found(_now_us()):
            self._tell(event)

    def _remember_static(self) -> None:
        self._flows.inspected = frozenset(service_of(element.key) for element in self._elements.dump("inspect"))
        self._standing = {(name, each.key): owner_of(each) for name in STANDING for each in self._elements.dump(name)}

    # --- events

    def _tell(self, event: Event) -> None:
        """To control, or into the queue of what it has missed; when that is full, what comes is counted only."""
        control = self._control
        if control is not None and control.is_open and control.backlog_bytes < MAX_BACKLOG_BYTES:
            self._tell_waiting()
            control.send(event)
        elif len(self._waiting) < MAX_WAITING_EVENTS:
            self._waiting.append(event)
        else:
            self._overflow += 1

    def _tell_waiting(self) -> None:
        while self._waiting and self._control is not None:
            self._control.send(self._waiting.popleft())
        if self._overflow and self._control is not None:
            why = f"control took none for so long that more than {MAX_WAITING_EVENTS} waited"
            lost, self._overflow = self._overflow, 0
            self._control.send(EventsLost(count=lost, why=why, opened=0, closed=0, at_us=_now_us()))


def _now_us() -> int:
    return time.time_ns() // 1000
