"""A gate in memory for tests: real state, policy and identity; the enforcer, the workers and the evidence are fakes."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pyotp
from argon2 import PasswordHasher

from penstock.bus.codec import Message, decode, encode
from penstock.control import ActiveSignIn, Asking, Gate, Given, LiveGrant, Moment, SignedIn, SignInKind, Store
from penstock.control.tally import Tally
from penstock.identity import Authority, Credentials, Passwords, Seal
from penstock.model import (
    ApplyRuleset,
    BarSources,
    Binding,
    CloseGrant,
    CloseGrants,
    Command,
    CountFlows,
    Decision,
    Done,
    FlowsCounted,
    GatePlace,
    GateSettings,
    Grant,
    GrantFlows,
    KeepGrants,
    Listener,
    Occupied,
    OpenGrant,
    ProbeOverlay,
    Publication,
    PublishGrant,
    PublishRevision,
    Record,
    RecordKind,
    ReplaceGrants,
    Reply,
    Ruleset,
    StandAside,
    StandBack,
    Unavailable,
    Verified,
    VerifyKernel,
    WithdrawGrant,
    WithdrawGrants,
)

S = 1_000_000
PASSWORD = "correct horse battery"
STATION = "10.20.0.50"
SITE = """\
site: riverside-water
domain: riverside.ot
overlay: 100.64.0.0/16
zones:
  control-room: {networks: [10.20.0.0/24]}
  filtration: {networks: [10.20.10.0/24]}
assets:
  scada-1: {zone: control-room, role: scada, address: 10.20.0.12}
  historian: {zone: control-room, role: historian, address: 10.20.0.13}
  plc-filter-1: {zone: filtration, role: plc, address: 10.20.10.11, services: {modbus: 502}}
  plc-dosing: {zone: filtration, role: dosing, address: 10.20.10.12, services: {modbus: 502}}
  plc-secret: {zone: filtration, role: safety, address: 10.20.10.13, services: {modbus: 502}}
conduits:
  SCADA polls the filters:
    from: {role: scada, zone: control-room}
    to: {role: plc, zone: filtration}
    allow: {modbus: [read]}
    on_failure: open
    approved_by: safety.officer@riverside
  The historian reads the dosing rate:
    from: {role: historian}
    to: {asset: plc-dosing}
    allow: {modbus: [read]}
  Operators look at the filters:
    from: {group: operators}
    to: {asset: plc-filter-1}
    allow: {modbus: [read]}
    require: {factors: two}
    session: {length: 2h, idle: 15m}
  Operators set the dosing rate:
    from: {group: operators}
    to: {asset: plc-dosing}
    allow: {modbus: [read, {write: {holding_registers: 10-12}}]}
    require: {factors: two, tls: true}
    session: {length: 8h, idle: 15m}
  Safety engineers only:
    from: {group: safety}
    to: {asset: plc-secret}
    allow: {modbus: [read]}
    require: {factors: phishing-resistant}
tests:
  - {may: read, on: plc-filter-1, over: modbus, as: {group: operators, factors: two}}
"""
DOCUMENTS = {"site.yaml": SITE}


class Clock:
    """Two clocks that only tests move."""

    def __init__(self) -> None:
        self.wall_us, self.steady_us, self.boot = 1_800_000_000 * S, 5_000 * S, "boot-1"

    def __call__(self) -> Moment:
        return Moment(wall_us=self.wall_us, steady_us=self.steady_us, boot=self.boot)

    def pass_s(self, seconds: float) -> None:
        """Time passes."""
        self.wall_us += int(seconds * S)
        self.steady_us += int(seconds * S)

    def set_wall_s(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.wall_us += int(seconds * S)


class FakeEnforcer:
    """A kernel in memory, behind the real message codec."""

    def __init__(self, steps: list[str]) -> None:
        self.steps, self.open, self.ttl_ms = steps, dict[int, Grant](), dict[int, int]()
        self.ruleset: Ruleset | None = None
        self.armed: list[int] = []
        self.aside: set[int] = set()
        self.aside_ttl_ms: list[int | None] = []
        self.flows: list[GrantFlows] = []
        """What the connection table shows."""
        self.counters: dict[str, int] = {}
        self.now_us: Callable[[], int] = lambda: 0
        self.occupied: tuple[tuple[str, str], ...] = ()
        self.failing: set[str] = set()
        self.is_synchronised = True
        self.differences: tuple[str, ...] = ()

    async def command(self, command: Command) -> Reply:
        if isinstance(command, ProbeOverlay):  # a question: no step
            return Occupied(holders=self.occupied) if self.occupied else Done()
        if isinstance(command, VerifyKernel):
            return Verified(differences=self.differences, checked=120)
        message = decode(encode(command)[4:])
        name = type(message).__name__
        await asyncio.sleep(0)
        self.steps.append(f"enforcer {name}")
        if name in self.failing:
            raise Unavailable(f"{name} failed")
        if isinstance(message, CountFlows):
            flows = [each for each in self.flows if not message.numbers or each.grant in message.numbers]
            return FlowsCounted(flows=tuple(flows), at_us=self.now_us(), **self.counters)
        self._take(message)
        return Done()

    def _take(self, message: Message) -> None:
        match message:
            case OpenGrant():
                self.open[message.grant.number] = message.grant
                self.ttl_ms[message.grant.number] = message.ttl_ms
            case CloseGrant():
                self.open.pop(message.grant.number, None)
            case CloseGrants():
                for number in message.numbers:
                    self.open.pop(number, None)
            case KeepGrants():
                self.open = {n: g for n, g in self.open.items() if n in message.numbers}
            case ApplyRuleset():
                self.ruleset = message.ruleset
                self.aside = set(message.ruleset.aside)
            case StandAside():
                self.aside |= set(message.numbers)
                self.aside_ttl_ms.append(message.ttl_ms)
            case StandBack():
                self.aside -= set(message.numbers)
            case _:
                self.armed.append(getattr(message, "mark", 0))

    @property
    def standing(self) -> dict[str, int]:
        """Source address → grant number of what the ruleset admits for ever."""
        return {each.source: each.grant for each in (self.ruleset.standing if self.ruleset else ())}


class FakeWorkers:
    """One worker in memory, behind the real message codec."""

    def __init__(self, steps: list[str]) -> None:
        self.steps, self.grants, self.revision = steps, dict[int, Grant](), 0
        self.failing: set[str] = set()
        self.is_alive = True
        self.barred: tuple[str, ...] = ()

    async def publish(self, publication: Publication) -> None:
        message = decode(encode(publication)[4:])
        name = type(message).__name__
        await asyncio.sleep(0)
        self.steps.append(f"worker {name}")
        if name in self.failing:
            raise Unavailable(f"{name} failed")
        match message:
            case PublishGrant():
                self.grants[message.grant.number] = message.grant
            case WithdrawGrant():
                self.grants.pop(message.number, None)
            case WithdrawGrants():
                for number in message.numbers:
                    self.grants.pop(number, None)
            case BarSources():
                self.barred = message.networks
            case ReplaceGrants():
                self.grants = {grant.number: grant for grant in message.grants}
            case PublishRevision():
                self.revision = message.revision


class FakeRecorder:
    """Evidence in memory; unhealthy is a full disk."""

    def __init__(self, steps: list[str]) -> None:
        self.steps, self.records, self.is_healthy = steps, list[Record](), True
        self.tally = Tally()

    @property
    def size(self) -> int:
        return len(self.records)

    async def write(self, records: Sequence[Record], *, urgent: bool = False) -> range:
        assert urgent in (True, False)
        await asyncio.sleep(0)
        if not self.is_healthy:
            raise Unavailable("no space left on device")
        self.put(records)
        return range(len(self.records))

    def put(self, records: Sequence[Record]) -> bool:
        self.records += records
        self.tally.add(records)
        self.steps += [f"record {record.kind.value}" for record in records]
        return self.is_healthy

    def of(self, kind: RecordKind) -> list[Record]:
        """The records of one kind."""
        return [record for record in self.records if record.kind is kind]


class World:
    """A gate in a folder, with its surroundings; `restart` makes control anew on the same database."""

    def __init__(self, folder: Path, template: Path) -> None:
        shutil.copy(template, folder / "state.db")
        self.folder, self.clock, self.steps = folder, Clock(), list[str]()
        self.enforcer, self.workers, self.recorder = (
            FakeEnforcer(self.steps),
            FakeWorkers(self.steps),
            FakeRecorder(self.steps),
        )
        self.enforcer.now_us = lambda: self.clock.wall_us
        self.secrets: dict[str, str] = {}
        self.makers: dict[type, Callable[[Any], object]] = {}
        self.stations: dict[str, str | None] = {}
        self.gate: Gate

    async def start(self, documents: dict[str, str] | None = None) -> None:
        """Start control, and let the enforcer and the worker join."""
        names = ("gate.riverside.ot",)
        settings = GateSettings(
            state_dir=str(self.folder),
            run_dir=str(self.folder),
            site_path="",
            names=names,
            place=GatePlace(interface="ot0", address="10.20.0.2"),
            portal=(Listener(host="127.0.0.1", port=0),),
            tunnel=(Listener(host="127.0.0.1", port=8444),),
        )
        store = Store(self.folder / "state.db")
        await store.open()
        self.gate = Gate(
            Given(
                settings=settings,
                store=store,
                recorder=self.recorder,
                enforcer=self.enforcer,
                workers=self.workers,
                authority=Authority(self.folder / "keys", names[0], names, self.clock.wall_us),
                passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)),
                seal=Seal(bytes(32), secrets.token_bytes),
                clock=self.clock,
                make_token=lambda: secrets.token_urlsafe(32),
                make_random=secrets.token_bytes,
                turn=asyncio.Lock(),
                makers=self.makers,
                locate=lambda source: self.stations.get(source, "02:00:00:00:00:50") if "." in source else None,
            )
        )
        await self.gate.begin(documents or DOCUMENTS)
        await self.gate.revisions.synchronise(())
        await self.gate.reconcile()
        await self.gate.revisions.inform(self.workers)
        await self.gate.revisions.arm(7)

    async def stop(self) -> None:
        """End control; kernel and worker stay as they are."""
        await self.gate.store.close()

    async def restart(self) -> None:
        """End control and start it again."""
        await self.stop()
        await self.start()

    async def enrol(self, name: str = "ada", *groups: str) -> None:
        """Add a subject and enrol it."""
        invitation = await self.gate.subjects.add(name, groups or ("operators",), "uid 0")
        self.secrets[name] = (await self.gate.subjects.prepare(invitation.code, STATION)).secret
        await self.gate.subjects.confirm(invitation.code, PASSWORD, self.code(name), STATION)
        self.clock.pass_s(30)

    def code(self, name: str = "ada") -> str:
        """The one-time code of this moment."""
        return pyotp.TOTP(self.secrets[name]).at(self.clock.wall_us // S)

    async def sign_in(self, name: str = "ada", csr_pem: str | None = None) -> ActiveSignIn:
        """Sign in, and let a step pass so that the next code is new."""
        credentials = Credentials(subject=name, password=PASSWORD, code=self.code(name), source=STATION)
        outcome = await self.gate.sign_ins.sign_in(credentials, SignInKind.CLIENT, csr_pem)
        assert isinstance(outcome, SignedIn)
        self.clock.pass_s(30)
        return outcome.sign_in

    async def signed_in(self, name: str = "ada", *groups: str) -> ActiveSignIn:
        """Enrol and sign in."""
        await self.enrol(name, *groups)
        return await self.sign_in(name)

    async def ask(
        self,
        sign_in: ActiveSignIn,
        asset: str = "plc-filter-1",
        binding: Binding = Binding.ADDRESS,
        source: str = STATION,
    ) -> LiveGrant | Decision:
        """Ask for a grant."""
        asking = Asking(sign_in=sign_in, asset=asset, service=None, binding=binding, source=source)
        return await self.gate.grants.open(asking)

    async def open(self, sign_in: ActiveSignIn, asset: str = "plc-filter-1", source: str = STATION) -> Grant:
        """Open a grant that the policy allows."""
        live = await self.ask(sign_in, asset, source=source)
        assert isinstance(live, LiveGrant)
        return live.grant

    def machine(self, name: str) -> Grant:
        """The grant of a machine."""
        return next(l.grant for l in self.gate.state.now.grants.values() if l.grant.subject.name == name)  # noqa: E741


async def make_template(path: Path) -> None:
    """An empty state database, made once, because migrations take longer than tests."""
    store = Store(path)
    await store.open()
    await store.close()


def play(world: World, scenario: Callable[[World], Coroutine[Any, Any, None]], *, is_started: bool = True) -> None:
    """Run a scenario on a gate."""

    async def run() -> None:
        if is_started:
            await world.start()
        try:
            await scenario(world)
        finally:
            await world.stop()

    asyncio.run(run())
