"""Held operations for tests: a worker that holds them, and people around a gate in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from control_world import PASSWORD, S, World

from penstock.control import ActiveSignIn, SignedIn, SignInKind
from penstock.identity import Credentials
from penstock.model import (
    Done,
    Failed,
    Grant,
    HoldDecided,
    HoldEnded,
    HoldEnding,
    OperationClass,
    OperationHeld,
    Reply,
    Role,
    Target,
    Unavailable,
)

FLOW = 1042
CONTROL_ROOM = "10.20.0.60"
WRITE = bytes.fromhex("00010000000901100000000102 00fa".replace(" ", ""))


class HoldingWorker:
    """A worker behind its link: takes decisions, and tells the end as the real one does."""

    def __init__(self, world: World) -> None:
        self.world, self.decisions = world, list[HoldDecided]()
        self.is_open, self.is_silent, self.is_late = True, False, False
        self.ending: HoldEnding | None = None
        self.before_answer: Callable[[], None] = lambda: None

    async def ask(self, message: HoldDecided) -> Reply:
        """One decision."""
        self.world.steps.append("worker HoldDecided")
        self.before_answer()
        if self.is_silent or not self.is_open:
            raise Unavailable("the other process is gone")
        if self.is_late:
            return Failed(why=f"{message.flow}.{message.hold} does not wait")
        self.decisions.append(message)
        usual = HoldEnding.FORWARDED if message.is_approved else HoldEnding.REFUSED
        self.end(message.hold, self.ending or usual)
        return Done()

    def hold(self, grant: Grant, number: int = 1, for_s: float = 60, **changed: object) -> OperationHeld:
        """Tell control that an operation waits."""
        told = held(grant, number, self.world.clock.wall_us, for_s)
        told = replace(told, **changed)  # type: ignore[arg-type]
        self.world.gate.holds.heard(self, told)
        return told

    def end(self, number: int, ending: HoldEnding, reason: str = "") -> None:
        """Tell control that it waits no longer."""
        ended = HoldEnded(flow=FLOW, hold=number, ending=ending, at_us=self.world.clock.wall_us, reason=reason)
        self.world.gate.holds.heard(self, ended)


def held(grant: Grant, number: int, now_us: int, for_s: float = 60) -> OperationHeld:
    """A write of one register, as a worker tells it."""
    target = Target(operation_class=OperationClass.WRITE, table="holding_registers", first=10, count=1, values=(250,))
    return OperationHeld(
        flow=FLOW,
        hold=number,
        grant=grant.number,
        conduit=grant.conduits[0],
        operation="modbus.write",
        code="16",
        name="Write Multiple Registers",
        unit=1,
        targets=(target,),
        data=WRITE.hex(),
        source="10.20.0.50:40000",
        at_us=now_us,
        until_us=now_us + int(for_s * S),
    )


async def asking(world: World, name: str = "ada") -> tuple[HoldingWorker, Grant]:
    """Somebody with a grant, and the worker that holds what they ask."""
    sign_in = await world.signed_in(name)
    return HoldingWorker(world), await world.open(sign_in)


async def approving(world: World, name: str = "bob", role: Role | None = Role.APPROVER) -> ActiveSignIn:
    """Somebody else, who may decide."""
    await world.enrol(name)
    if role is not None:
        await world.gate.roles.give(name, role, "uid 0")
    return await elsewhere(world, name)


async def elsewhere(world: World, name: str) -> ActiveSignIn:
    """Sign in at another station: whoever signs in at the same one ends what is bound to its address."""
    credentials = Credentials(subject=name, password=PASSWORD, code=world.code(name), source=CONTROL_ROOM)
    outcome = await world.gate.sign_ins.sign_in(credentials, SignInKind.CLIENT)
    assert isinstance(outcome, SignedIn)
    world.clock.pass_s(30)
    return outcome.sign_in
