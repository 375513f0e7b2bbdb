"""Standing aside: a safety-critical conduit leaves inspection for the kernel path, and comes back when told.

Whoever decides it (an operator, or the latency budget) says why.  Order: record, durable → keep → kernel → in force;
a step that fails undoes the ones before and says so.  It is part of every ruleset, so it survives restarts.

It must never let a conduit leave inspection whose declared failure mode is `closed`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, suppress

from penstock.control.failure_store import Aside, FailureStore
from penstock.control.ports import Clock, Enforcer, Recorder
from penstock.control.state import State
from penstock.model import (
    Conduit,
    Grant,
    Invalid,
    Json,
    Problem,
    Record,
    RecordKind,
    StandAside,
    StandBack,
    Unavailable,
)

#: Who stands a conduit aside when nobody in particular said so.
THE_GATE = "the gate"


class Asides:
    """Which conduits stand aside.  `turn` lets one change of policy, or one of these, happen at a time."""

    def __init__(
        self,
        *,
        state: State,
        store: FailureStore,
        recorder: Recorder,
        enforcer: Enforcer,
        clock: Clock,
        turn: AbstractAsyncContextManager[None],
    ) -> None:
        self._state, self._store, self._recorder = state, store, recorder
        self._enforcer, self._clock, self._turn = enforcer, clock, turn
        self._standing: dict[str, Aside] = {}

    @property
    def standing(self) -> tuple[Aside, ...]:
        """What stands aside now, by conduit."""
        return tuple(each for _, each in sorted(self._standing.items()))

    def of(self, conduit: str) -> Aside | None:
        """How this conduit stands aside, or ``None``."""
        return self._standing.get(conduit)

    async def reload(self) -> None:
        """After a restart of control: what stood aside stands aside."""
        self._standing = {each.conduit: each for each in await self._store.asides()}
        self._in_force()

    async def stand_aside(self, conduit: str, why: str, by: str = THE_GATE) -> bool:
        """Move the conduit's flows to the kernel path, in force on return; ``False`` when they are there already.

        Raises `Invalid` for a conduit that is not there, not inspected or not safety-critical, `Unavailable` when the
        evidence or the kernel does not take it: nothing has changed then.
        """
        async with self._turn:
            if not may_stand_aside(found := self._conduit(conduit)):
                hint = "only a conduit with on_failure: open, which somebody approved, may go on uninspected"
                raise Invalid(Problem(where="conduit", why=f"“{found.name}” is not safety-critical", hint=hint))
            if conduit in self._standing:
                return False
            aside = Aside(conduit=conduit, why=why, by=by, since_us=self._clock().wall_us)
            await self._recorder.write([self._record(RecordKind.STOOD_ASIDE, aside, by, why)], urgent=True)
            try:
                await self._store.put_aside(aside)
                await self._tell(StandAside(numbers=self.grants_of(conduit)))
            except Unavailable as error:
                self._recorder.put([self._record(RecordKind.STOOD_BACK, aside, by, f"undone: {error}")])
                with suppress(Unavailable):
                    await self._store.remove_aside(conduit)
                raise
            self._standing[conduit] = aside
            self._in_force()
            return True

    async def stand_back(self, conduit: str, by: str) -> bool:
        """Inspect the conduit's flows again: those on the kernel path are reset, so that their clients dial anew.

        ``False`` when it did not stand aside.  Raises `Unavailable` when the evidence or the kernel does not take it:
        it then stands aside as before.
        """
        async with self._turn:
            aside = self._standing.get(conduit)
            if aside is None:
                return False
            await self._recorder.write([self._record(RecordKind.STOOD_BACK, aside, by, "told to")], urgent=True)
            try:
                await self._store.remove_aside(conduit)
                await self._tell(StandBack(numbers=self.grants_of(conduit)))
            except Unavailable as error:
                self._recorder.put([self._record(RecordKind.STOOD_ASIDE, aside, aside.by, f"undone: {error}")])
                with suppress(Unavailable):  # the store did not take the removal, or takes it back
                    await self._store.put_aside(aside)
                raise
            del self._standing[conduit]
            self._in_force()
            return True

    async def sweep(self) -> None:
        """Forget what a later revision does not allow to stand aside; its ruleset has ended it already."""
        policy = self._state.now.policy
        allowed = {each.name for each in (() if policy is None else policy.site.conduits) if may_stand_aside(each)}
        if self._standing.keys() <= allowed:
            return
        async with self._turn:
            for conduit in self._standing.keys() - allowed:
                await self._store.remove_aside(conduit)
                aside = self._standing.pop(conduit)
                by = f"revision {self._state.now.revision}"
                self._recorder.put([self._record(RecordKind.STOOD_BACK, aside, by, "not safety-critical any more")])
                self._in_force()

    def grants_of(self, conduit: str) -> tuple[int, ...]:
        """The inspected grants that this conduit opened, perhaps together with others."""
        return tuple(
            sorted(
                number
                for number, live in self._state.now.grants.items()
                if conduit in live.grant.conduits and live.grant.is_inspected
            )
        )

    async def _tell(self, command: StandAside | StandBack) -> None:
        if command.numbers:
            await self._enforcer.command(command)

    def _conduit(self, name: str) -> Conduit:
        policy = self._state.now.policy
        found = None if policy is None else next((each for each in policy.site.conduits if each.name == name), None)
        if found is None:
            hint = "penstock failures lists every conduit"
            raise Invalid(Problem(where="conduit", why=f"there is no conduit “{name}”", hint=hint))
        return found

    def _in_force(self) -> None:
        self._state.set_aside(frozenset(self._standing))

    def _record(self, kind: RecordKind, aside: Aside, by: str, why: str) -> Record:
        grants: list[Json] = [*self.grants_of(aside.conduit)]
        detail: dict[str, Json] = {"conduit": aside.conduit, "by": by, "why": why, "grants": grants}
        if kind is RecordKind.STOOD_BACK:
            detail["since_us"] = aside.since_us
        return Record(kind=kind, at_us=self._clock().wall_us, detail=detail)


def may_stand_aside(conduit: Conduit) -> bool:
    """Whether it is inspected, and its declared failure mode is to go on without."""
    return conduit.is_safety_critical and bool(conduit.permissions)


def aside_numbers(grants: Iterable[Grant], aside: frozenset[str], allowed: Iterable[Conduit]) -> tuple[int, ...]:
    """The numbers of inspected grants of the conduits `aside` that are among `allowed` and may stand aside."""
    names = aside & {conduit.name for conduit in allowed if may_stand_aside(conduit)}
    return tuple(sorted(grant.number for grant in grants if grant.is_inspected and names & set(grant.conduits)))
