"""I/O: the end of grants, one or ten thousand in the same steps, and none of them waits for another's disk.

Stands behind `Grants`.  Out of the snapshot → kernel, one transaction (cut) → workers → record → state.  What could not
be done is done again until it is, and said plainly until then.  It must never let a cut wait for the disk, nor let an
enforcer that hangs keep the workers from ending flows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from penstock.control.ports import Clock, Enforcer, Moment, Recorder, Workers
from penstock.control.rows import LiveGrant
from penstock.control.sessions import Sessions
from penstock.control.state import State
from penstock.control.store import Store
from penstock.model import (
    CloseGrant,
    CloseGrants,
    Grant,
    Json,
    Reason,
    Record,
    RecordKind,
    Unavailable,
    WithdrawGrant,
    WithdrawGrants,
)

#: The kernel cuts within milliseconds.  After this time the workers begin, whatever the enforcer is doing.
PATIENCE_S = 0.5
#: How long the answer to a cut waits for the state's disk; the work goes on, and nothing passes meanwhile.
KEPT_WITHIN_S = 2.0
#: Of how many grants that have ended it is known why, for whoever had them and asks.
REMEMBERED = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What ended now; `troubles` say what could not be done yet: ``not_cut_yet`` by the kernel, ``worker``."""

    grants: tuple[Grant, ...] = ()
    troubles: Mapping[str, Json] = field(default_factory=dict)


class Closing:
    """Ends grants, and remembers what is not done yet."""

    def __init__(
        self,
        *,
        state: State,
        store: Store,
        recorder: Recorder,
        enforcer: Enforcer,
        workers: Workers,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._state, self._store, self._recorder, self._clock = state, store, recorder, clock
        self._enforcer, self._workers, self._sessions = enforcer, workers, sessions
        self._uncut: dict[int, Grant] = {}
        self._unkept: dict[int, int] = {}
        self._lately: dict[int, tuple[str, Reason]] = {}

    @property
    def uncut(self) -> frozenset[int]:
        """The grants that have ended but that the kernel has not confirmed to be cut."""
        return frozenset(self._uncut)

    def lately(self, subject: str) -> dict[int, Reason]:
        """Which grants of this subject ended lately, and why; what was before the start of control is not known."""
        return {number: reason for number, (name, reason) in self._lately.items() if name == subject}

    async def end(
        self, numbers: tuple[int, ...], reason: Reason, by: str = "", then: Callable[[], Awaitable[None]] | None = None
    ) -> Ended:
        """End these grants and everything under them; those that had ended already are left out of the answer.

        `then` is what belongs to the cut besides: it is done after it, and before a disk is waited for.
        """
        lives = self._state.drop_grants(numbers)
        self._remember(lives, reason)  # at once: whoever sees that a grant is gone must find out why
        # the store's thread would only keep this one from the interpreter while the kernel's answer waits
        grants = tuple(live.grant for live in lives)
        troubles = await self.cut(grants, reason) if grants else {}
        if then is not None:
            await then()
        if not grants:
            return Ended()
        moment, detail = self._clock(), dict[str, Json]({"by": by} if by else {})
        self._recorder.put(self._records(lives, reason, detail | troubles, moment))
        await in_time(self.keep(tuple(grant.number for grant in grants), moment.wall_us), KEPT_WITHIN_S)
        return Ended(grants=grants, troubles=troubles)

    async def cut(self, grants: tuple[Grant, ...], reason: Reason) -> dict[str, Json]:
        """Kernel, then workers; answers what could not be done.  The kernel is told again until it confirms."""
        troubles: dict[str, Json] = {}
        cutting = asyncio.ensure_future(self._enforcer.command(_close(grants)))
        await asyncio.wait({cutting}, timeout=PATIENCE_S)
        try:
            await self._workers.publish(_withdraw(grants, reason))
        except Unavailable as error:
            troubles["worker"] = str(error)
        try:
            await cutting
        except Unavailable as error:
            self._uncut |= {grant.number: grant for grant in grants}
            troubles["not_cut_yet"] = str(error)
        return troubles

    async def ended(self, lives: tuple[LiveGrant, ...], reason: Reason) -> None:
        """Write down the end of grants that nothing has to be cut of."""
        self._remember(lives, reason)
        moment = self._clock()
        self._recorder.put(self._records(lives, reason, {}, moment))
        await self.keep(tuple(live.grant.number for live in lives), moment.wall_us)

    async def keep(self, numbers: tuple[int, ...], at_us: int) -> None:
        """Keep that they have ended, again and again until the store takes it: or they would come back."""
        try:
            await self._store.close_grants(numbers, at_us)
        except Unavailable:
            self._unkept |= dict.fromkeys(numbers, at_us)
        else:
            for number in numbers:
                self._unkept.pop(number, None)

    async def cut_again(self) -> None:
        """Cut what the kernel has not confirmed."""
        uncut = dict(self._uncut)
        if uncut:
            try:
                await self._enforcer.command(_close(tuple(uncut.values())))
            except Unavailable:
                pass
            else:
                for number in uncut:
                    self._uncut.pop(number, None)

    async def keep_again(self) -> None:
        """Keep what the store has not taken."""
        if self._unkept:
            await self.keep(tuple(self._unkept), max(self._unkept.values()))

    def _records(
        self, lives: tuple[LiveGrant, ...], reason: Reason, detail: dict[str, Json], moment: Moment
    ) -> list[Record]:
        found: list[Record] = []
        for live in lives:
            why = _why(live, reason, moment)
            totals = self._sessions.totals(live.grant.number)
            found += [
                closed(live.grant, moment, why.value, detail | totals),
                *self._sessions.ended(live, moment.wall_us, why),
            ]
        return found

    def _remember(self, lives: Iterable[LiveGrant], reason: Reason) -> None:
        moment = self._clock()
        for live in lives:
            self._lately[live.grant.number] = (live.grant.subject.name, _why(live, reason, moment))
            if len(self._lately) > REMEMBERED:
                del self._lately[next(iter(self._lately))]


def _why(live: LiveGrant, reason: Reason, moment: Moment) -> Reason:
    has_expired = live.ends_steady_us is not None and live.ends_steady_us <= moment.steady_us
    is_stale = has_expired and live.limit_steady_us not in {None, live.ends_steady_us}
    return Reason.PROOF_TOO_OLD if is_stale else Reason.GRANT_EXPIRED if has_expired else reason


async def in_time(work: Awaitable[object], within_s: float) -> str:
    """Wait for a disk, but not for ever; answers what is wrong, empty when it is done.  The work goes on."""
    working = asyncio.ensure_future(work)
    await asyncio.wait({working}, timeout=within_s)
    if not working.done():
        working.add_done_callback(lambda done: done.cancelled() or done.exception())  # retrieved
        return f"not done within {within_s:g} s"
    try:
        working.result()
    except Unavailable as error:
        return str(error)
    return ""


def closed(grant: Grant, moment: Moment, reason: str, detail: dict[str, Json]) -> Record:
    """The record of a grant's end."""
    return Record(
        kind=RecordKind.GRANT_CLOSED,
        at_us=moment.wall_us,
        grant=grant.number,
        subject=grant.subject.name,
        asset=grant.asset,
        protocol=grant.protocol,
        reason=reason,
        detail=detail,
    )


def _close(grants: tuple[Grant, ...]) -> CloseGrant | CloseGrants:
    if len(grants) == 1:
        return CloseGrant(grant=grants[0])
    return CloseGrants(numbers=tuple(grant.number for grant in grants))


def _withdraw(grants: tuple[Grant, ...], reason: Reason) -> WithdrawGrant | WithdrawGrants:
    if len(grants) == 1:
        return WithdrawGrant(number=grants[0].number, reason=reason.value)
    return WithdrawGrants(numbers=tuple(grant.number for grant in grants), reason=reason.value)
