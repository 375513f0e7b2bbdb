"""I/O: drills on the live gate: begun, carried out one at a time, ended by their time, by an operator or by trouble.

Order: record, durable → kernel (which ends it by itself, should nobody tell it) → watched → kernel → watched → record.
A drill begins only inside the window that its conduit names; there is no way around that.  It must never go on when
inspection really dies: then the gate's own state of affairs decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from penstock.control.aside import Asides
from penstock.control.drill import Drill, DrillWatch, exercised, record_of
from penstock.control.drill_rules import Readiness, check
from penstock.control.failure_store import FailureStore
from penstock.control.failures import Failures
from penstock.control.intervals import Cause, Hold
from penstock.control.ports import US_PER_S, Clock, Enforcer, Recorder, Workers
from penstock.control.register import Register
from penstock.control.state import State
from penstock.model import FlowsCounted, KernelFlowOpened, Record, RecordKind, StandAside, StandBack, Unavailable

#: The kernel ends a drill by itself so long after its time, should control not be there any more.
BY_ITSELF_AFTER_MS = 1_000
#: How long machines have to come back into inspection; a slow poller dials anew within that.
RETURN_WITHIN_S = 15.0
#: How often the drill that runs is looked at.
LOOK_EVERY_S = 0.1
#: A wall clock that moved by more than this against the steady one was set: the times measured are worthless.
_STEP_US = US_PER_S


class Drills:
    """The drill that runs, if any, and those before."""

    def __init__(
        self,
        *,
        state: State,
        failures: Failures,
        register: Register,
        asides: Asides,
        store: FailureStore,
        recorder: Recorder,
        enforcer: Enforcer,
        workers: Workers,
        clock: Clock,
    ) -> None:
        self._state, self._failures, self._register, self._asides = state, failures, register, asides
        self._store, self._recorder, self._clock = store, recorder, clock
        self._enforcer, self._workers = enforcer, workers
        self.pause: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._begun: asyncio.Queue[tuple[DrillWatch, FlowsCounted]] = asyncio.Queue()
        self._watch: DrillWatch | None = None
        self._is_beginning = False
        self._stopped_by = ""
        self._left_over: tuple[Drill, ...] = ()
        self._unkept: list[Drill] = []

    @property
    def running(self) -> Drill | None:
        """The drill that runs, as far as it is seen."""
        return None if self._watch is None else self._watch.drill

    async def drill(self, number: int) -> Drill | None:
        """The drill of that number."""
        running = self.running
        return running if running is not None and running.number == number else await self._store.drill(number)

    async def begin(self, conduit: str, length_s: int, by: str) -> Drill:
        """Begin a drill; it goes on by itself.

        Raises `Invalid` with everything that speaks against it, `Unavailable` where the evidence cannot be written or
        the kernel does not answer: nothing has been cut then.
        """
        if self._is_beginning:
            raise Unavailable("another drill is about to begin; one at a time")
        self._is_beginning = True
        try:
            numbers = self._asides.grants_of(conduit)
            counted = await self._register.count(numbers) if numbers else FlowsCounted(flows=(), at_us=0)
            grants = {number: live.grant for number, live in self._state.now.grants.items()}
            numbers = tuple(number for number in numbers if number in grants)  # one may have ended meanwhile
            counted = replace(counted, flows=tuple(each for each in counted.flows if each.grant in grants))
            found = check(self._readiness(conduit, numbers, counted), conduit, length_s, self._clock().wall_us)
            active = [(grants[each.grant], each.inspected) for each in counted.flows]
            drill = Drill(
                number=await self._store.last_drill_number() + 1,
                conduit=conduit,
                mode=found.conduit.on_failure,
                by=by,
                boot=self._clock().boot,
                length_us=length_s * US_PER_S,
                began_at_us=self._clock().wall_us,
                grants=numbers,
                exercised=tuple(exercised(grant, flows) for grant, flows in active if flows),
                also=found.also,
            )
            started = record_of(RecordKind.DRILL_STARTED, drill, drill.began_at_us)
            await self._recorder.write([started], urgent=True)
            try:
                await self._store.put_drill(drill)
            except Unavailable as error:  # it has begun on record, so it ends there too
                undone = DrillWatch(drill).verdict(self._clock().wall_us, f"nothing was cut: {error}")
                self._recorder.put([record_of(RecordKind.DRILL_ENDED, undone, self._clock().wall_us)])
                raise
            self._watch, self._stopped_by = DrillWatch(drill), ""
            self._begun.put_nowait((self._watch, counted))
            return drill
        finally:
            self._is_beginning = False

    def stop(self, by: str) -> bool:
        """End the drill that runs, now; ``False`` when none does."""
        if self._watch is not None and not self._stopped_by:
            self._stopped_by = by
        return self._watch is not None

    def flow_opened(self, event: KernelFlowOpened) -> None:
        """A flow took the kernel path."""
        if self._watch is not None:
            self._watch.flow_opened(event)

    def passed(self, record: Record) -> None:
        """A record of the worker's journal."""
        if self._watch is not None:
            self._watch.passed(record)

    async def run(self) -> None:
        """Carry out what is begun, for ever."""
        while True:
            watch, before = await self._begun.get()
            try:
                await self.carry_out(watch, before)
            finally:
                self._watch = None

    async def carry_out(self, watch: DrillWatch, before: FlowsCounted) -> None:
        """One drill, from the cut to its last record.  When control ends meanwhile, it is brought back first."""
        trouble = "control ended"
        try:
            trouble = await self._exercise(watch, before)
        finally:
            trouble = await self._turn_back(watch, trouble)
            if not trouble:
                trouble = await self._await_return(watch)
            await self._finish(watch, trouble)

    async def reload(self) -> None:
        """After a restart of control: a drill that ran then is over."""
        self._left_over = await self._store.open_drills()
        for drill in self._left_over:
            watch = DrillWatch(drill)
            await self._finish(watch, "control was started anew meanwhile")

    async def bring_back(self) -> None:
        """The enforcer has (re)joined: what a drill of the control before has left aside is inspected again."""
        boot = self._clock().boot
        for drill in self._left_over:
            if drill.boot == boot and (numbers := self._without_aside(drill)):
                await self._enforcer.command(StandBack(numbers=numbers))
        self._left_over = ()

    async def sweep(self) -> None:
        """Each second: keep what the store did not take."""
        with suppress(Unavailable):
            while self._unkept:
                await self._store.put_drill(self._unkept[0])
                self._unkept.pop(0)

    def _readiness(self, conduit: str, numbers: tuple[int, ...], counted: FlowsCounted) -> Readiness:
        policy, grants = self._state.now.policy, self._state.now.grants
        return Readiness(
            site=None if policy is None else policy.site,
            shared=tuple(sorted({name for number in numbers for name in grants[number].grant.conduits} - {conduit})),
            running=None if self._watch is None else self._watch.drill.conduit,
            is_inspected=self._workers.is_alive and self._enforcer.is_synchronised,
            is_interval_open=self._failures.of(conduit) is not None,
            flows=counted.flows,
        )

    async def _exercise(self, watch: DrillWatch, before: FlowsCounted) -> str:
        """Cut, and watch for as long as it lasts; what went wrong."""
        drill, moment = watch.drill, self._clock()
        ttl_ms = drill.length_us // 1000 + BY_ITSELF_AFTER_MS
        try:
            watch.cut(moment.wall_us)
            for name in (drill.conduit, *drill.also):
                self._failures.hold(name, Cause.DRILL, f"drill {drill.number}", moment.wall_us)
            await self._enforcer.command(StandAside(numbers=drill.grants, ttl_ms=ttl_ms))
        except Unavailable as error:
            return f"nothing was cut: {error}"
        revision = self._state.now.revision
        while (passed_us := self._clock().steady_us - moment.steady_us) < drill.length_us:
            if trouble := self._trouble(drill, revision):
                return trouble
            await self.pause(min(LOOK_EVERY_S, (drill.length_us - passed_us) / US_PER_S))
        now = self._clock()
        if abs((now.wall_us - moment.wall_us) - (now.steady_us - moment.steady_us)) > _STEP_US:
            return "the clock was set meanwhile, so the times say nothing"
        try:
            watch.counted(before, await self._register.count(drill.grants))
        except Unavailable as error:
            return f"the kernel could not be asked: {error}"
        return ""

    def _trouble(self, drill: Drill, revision: int) -> str:
        if self._stopped_by:
            return f"stopped by {self._stopped_by}"
        if not self._workers.is_alive:
            return "inspection really died, so its declared failure mode is no drill any more"
        if not self._enforcer.is_synchronised:
            return "the enforcer went away"
        if self._state.now.revision != revision:
            return "another revision came into force"
        if self._state.now.aside.intersection((drill.conduit, *drill.also)):
            return "it was told to stand aside"
        grants = self._state.now.grants
        ended = [each for each in drill.exercised if each.is_machine and each.grant not in grants]
        return f"the grant of {ended[0].subject} to {ended[0].asset} ended" if ended else ""

    async def _turn_back(self, watch: DrillWatch, trouble: str) -> str:
        """Inspect again; what went wrong until now, and with that."""
        drill = watch.drill
        watch.turned_back(self._clock().wall_us)
        try:
            await self._enforcer.command(StandBack(numbers=self._without_aside(drill)))
        except Unavailable as error:
            left = f"the kernel ends it by itself, flows may go on uninspected until restored: {error}"
            trouble = f"{trouble}; {left}" if trouble else left
        for name in (drill.conduit, *drill.also):
            self._recorder.put(self._failures.release(name, Hold.DRILL))
        return trouble

    def _without_aside(self, drill: Drill) -> tuple[int, ...]:
        """The grants of a drill that come back with its end: not those that were told to stand aside."""
        aside = {number for conduit in self._state.now.aside for number in self._asides.grants_of(conduit)}
        return tuple(number for number in drill.grants if number not in aside)

    async def _await_return(self, watch: DrillWatch) -> str:
        """Wait until everything is inspected again, as long as it may take; what went wrong."""
        began_us, revision = self._clock().steady_us, self._state.now.revision
        while not watch.drill.has_returned and self._clock().steady_us - began_us < RETURN_WITHIN_S * US_PER_S:
            if trouble := self._trouble(watch.drill, revision):
                return trouble
            await self.pause(LOOK_EVERY_S)
        return ""

    async def _finish(self, watch: DrillWatch, trouble: str) -> None:
        """Written down first, seen by others as ended then."""
        drill = watch.verdict(self._clock().wall_us, trouble)
        ended = record_of(RecordKind.DRILL_ENDED, drill, self._clock().wall_us)
        try:
            await self._recorder.write([ended], urgent=True)
        except Unavailable:
            self._recorder.put([ended])
        self._unkept.append(drill)
        await self.sweep()
        watch.drill = drill
