"""Emergencies: isolate an asset, a zone or the whole site, and release it again.

They are state, not policy.  Isolating: in force in memory → kernel and workers cut → recorded and kept; no disk is
waited for before the cut, and for a bounded time after it.  Releasing opens paths, so evidence comes before effect.
It must never say that something is cut, recorded or kept which is not, nor let a restart or a revision undo a cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TypeAlias

from penstock.control.closing import in_time
from penstock.control.grants import Grants
from penstock.control.isolation import covered_grants, networks_of, spared_grants, title
from penstock.control.isolation_store import forget_isolation, keep_isolation, kept_isolations
from penstock.control.ports import Clock, Recorder
from penstock.control.revisions import Revisions
from penstock.control.rows import IsolatedKind, Isolation
from penstock.control.state import State
from penstock.control.store import Store
from penstock.model import Grant, Invalid, Json, Problem, Reason, Record, RecordKind, Unavailable

MAX_REASON_LENGTH = 500
#: How long the answer waits for a disk; the cut is done by then.
DISK_WITHIN_S = 2.0
#: How many flows that go on a record names; it always counts them.
_MAX_NAMED = 100
_MAX_SUGGESTED = 8

_IN_THE_RULES = "safety-critical flows are still in the kernel's rules"

_Key: TypeAlias = tuple[IsolatedKind, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolated:
    """What is isolated now.  `goes_on` are the safety-critical flows that still pass.

    `closed` counts the grants that ended now; `not_yet` says in sentences what is not done yet and will be tried again.
    """

    isolation: Isolation
    is_new: bool
    closed: int
    goes_on: tuple[Grant, ...]
    not_yet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What was released, how many machine paths are open again, and what is not done yet."""

    isolation: Isolation
    reopened: int
    not_yet: tuple[str, ...] = ()


class Emergencies:
    """Isolates and releases."""

    def __init__(
        self, *, state: State, store: Store, recorder: Recorder, grants: Grants, revisions: Revisions, clock: Clock
    ) -> None:
        self._state, self._store, self._recorder, self._clock = state, store, recorder, clock
        self._grants, self._revisions = grants, revisions
        self._unkept: dict[_Key, Isolation] = {}
        self._unopened: dict[_Key, Isolation] = {}
        #: What is being released, until somebody isolates it again.
        self._releasing: set[_Key] = set()

    async def isolate(
        self, kind: IsolatedKind, name: str, reason: str, by: str, *, even_safety_critical: bool = False
    ) -> Isolated:
        """From the return on nothing passes to or from it.  Raises `Invalid` for what does not exist.

        What is isolated already stays so since then and for its first reason; the cut is made again.
        """
        isolation, before = self._wanted(kind, name, reason, by, even_safety_critical=even_safety_critical)
        self._state.set_isolations([*(each for each in self._state.now.isolations if each != before), isolation])
        self._unopened.pop((isolation.kind, isolation.name), None)
        self._releasing.discard((isolation.kind, isolation.name))
        victims = covered_grants(isolation, self._state.now)
        is_in_the_rules, of_rules = any(live.ends_steady_us is None for live in victims), list[str]()

        async def cut_besides() -> None:
            leave = self._revisions.leave_rules if is_in_the_rules else self._revisions.leave_rules_again
            if trouble := await leave():
                of_rules.append(f"{_IN_THE_RULES}: {trouble}; the gate keeps trying")
            if isolation.networks:
                await self._revisions.bar_sources()

        numbers = tuple(live.grant.number for live in victims)
        ended = await self._grants.end(numbers, Reason.ISOLATED, by, cut_besides)
        troubles = [_TROUBLES[name].format(count=len(ended.grants), why=why) for name, why in ended.troubles.items()]
        troubles += of_rules
        goes_on = spared_grants(isolation, self._state.now)
        if isolation != before:
            troubles += await self._write_down(isolation, len(ended.grants), goes_on, troubles)
        return Isolated(
            isolation=isolation,
            is_new=before is None,
            closed=len(ended.grants),
            goes_on=goes_on,
            not_yet=tuple(troubles),
        )

    async def release(self, kind: IsolatedKind, name: str, by: str) -> Released:
        """Let it be reached again; machine paths open at once, people ask anew.

        Raises `Invalid` for what is not isolated, and `Unavailable`, with everything as it was, when the evidence or
        the state cannot be written, or when it was isolated again meanwhile.
        """
        isolation = self._present(kind, name)
        if isolation is None:
            raise Invalid(_not_isolated(kind, name, self._state.now.isolations))
        key = (isolation.kind, isolation.name)
        if key in self._releasing:
            raise Unavailable(f"{title(isolation)} is being released already")
        self._releasing.add(key)
        try:
            await self._write_off(isolation, by)
        finally:
            self._releasing.discard(key)
        self._unkept.pop(key, None)
        self._state.set_isolations(each for each in self._state.now.isolations if each != isolation)
        if isolation.networks:
            await self._revisions.bar_sources()
        try:
            return Released(isolation=isolation, reopened=await self._revisions.reopen(isolation))
        except Unavailable as error:
            self._unopened[key] = isolation
            trouble = f"machine paths are not open again yet: {error}; the gate keeps trying"
            return Released(isolation=isolation, reopened=0, not_yet=(trouble,))

    def shown(self) -> tuple[tuple[Isolation, tuple[Grant, ...]], ...]:
        """Everything that is isolated, the oldest first, each with the safety-critical flows that still pass."""
        now = self._state.now
        return tuple((isolation, spared_grants(isolation, now)) for isolation in now.isolations)

    @property
    def not_cut(self) -> tuple[str, ...]:
        """What has ended, whatever ended it, but may still pass; it is tried again."""
        found = []
        if count := len(self._grants.uncut):
            found.append(f"the kernel has not confirmed the cut of {count} grants")
        if self._revisions.are_rules_due:
            found.append(_IN_THE_RULES)
        return tuple(found)

    @property
    def not_yet(self) -> tuple[str, ...]:
        """The same, and what else is not done yet and is tried again, in sentences."""
        found = [*self.not_cut]
        found += [f"{title(each)} is not kept yet: a restart would end it" for each in self._unkept.values()]
        found += [f"{title(each)} is released, but machine paths are not open yet" for each in self._unopened.values()]
        return tuple(found)

    async def reload(self) -> None:
        """At start, before anything is opened: what was isolated is isolated.  Raises `Unavailable`."""
        self._state.set_isolations(await kept_isolations(self._store))

    async def cut_again(self) -> None:
        """Take out of the kernel's rules what is still in them."""
        await self._revisions.leave_rules_again()

    async def sweep(self) -> None:
        """Keep and open what could not be kept and opened."""
        for key, isolation in list(self._unkept.items()):
            await self._keep(key, isolation)
        for key, isolation in list(self._unopened.items()):
            try:
                await self._revisions.reopen(isolation)
            except Unavailable:
                continue
            self._unopened.pop(key, None)

    def _wanted(
        self, kind: IsolatedKind, name: str, reason: str, by: str, *, even_safety_critical: bool
    ) -> tuple[Isolation, Isolation | None]:
        """The isolation that shall be in force, and the one of the same thing that was."""
        reason = reason.strip()
        if not reason or len(reason) > MAX_REASON_LENGTH:
            why = f"{len(reason)} signs; it needs 1 to {MAX_REASON_LENGTH}"
            raise Invalid(Problem(where="reason", why=why, hint="say in a sentence what happened"))
        policy, before = self._state.now.policy, self._present(kind, name)
        if before is not None:
            even = before.even_safety_critical or even_safety_critical
            return replace(before, even_safety_critical=even), before
        if policy is None:
            raise Unavailable("the gate has no policy yet")
        name = policy.site.name if kind is IsolatedKind.SITE and not name else name
        networks = networks_of(kind, name, policy.site)
        if networks is None:
            known = {
                IsolatedKind.ASSET: [asset.name for asset in policy.site.assets],
                IsolatedKind.ZONE: [zone.name for zone in policy.site.zones],
                IsolatedKind.SITE: [policy.site.name],
            }
            raise Invalid(_unknown(kind, name, known[kind]))
        isolation = Isolation(
            kind=kind,
            name=name,
            since_us=self._clock().wall_us,
            by=by,
            reason=reason,
            networks=networks,
            even_safety_critical=even_safety_critical,
        )
        return isolation, None

    def _present(self, kind: IsolatedKind, name: str) -> Isolation | None:
        is_any = kind is IsolatedKind.SITE and not name
        found = (each for each in self._state.now.isolations if each.kind is kind and (is_any or each.name == name))
        return next(found, None)

    async def _write_down(
        self, isolation: Isolation, closed: int, goes_on: tuple[Grant, ...], troubles: list[str]
    ) -> list[str]:
        """Record it and keep it, both durable; answers what did not succeed in time."""
        not_yet: list[Json] = [*troubles]
        named: list[Json] = [_named(grant) for grant in goes_on[:_MAX_NAMED]]
        detail: dict[str, Json] = {
            "by": isolation.by,
            "even_safety_critical": isolation.even_safety_critical,
            "grants_closed": closed,
            "goes_on": named,
            "goes_on_count": len(goes_on),
            "not_yet": not_yet,
        }
        record = _record(RecordKind.ISOLATED, isolation, self._clock().wall_us, detail)
        found = []
        if trouble := await in_time(self._recorder.write([record], urgent=True), DISK_WITHIN_S):
            if not self._recorder.is_healthy:  # what was refused is not written later
                self._recorder.put([record])
            found.append(f"it is not in the evidence yet: {trouble}")
        if trouble := await in_time(self._keep((isolation.kind, isolation.name), isolation), DISK_WITHIN_S):
            found.append(f"it is not kept yet: {trouble}")
        if (isolation.kind, isolation.name) in self._unkept:
            found.append("it is not kept yet, so it would end if the gate stopped now; the gate keeps trying")
        return found

    async def _write_off(self, isolation: Isolation, by: str) -> None:
        """Record the release, and forget the isolation for good.  Raises `Unavailable`: it then stays isolated."""
        now_us = self._clock().wall_us
        await self._recorder.write([_released(isolation, by, now_us)], urgent=True)
        try:
            await forget_isolation(self._store, isolation.kind, isolation.name)
            self._check_not_isolated_again(isolation)
        except Unavailable as error:
            present = self._present(isolation.kind, isolation.name) or isolation
            self._recorder.put([_record(RecordKind.ISOLATED, present, now_us, {"by": by, "undone": str(error)})])
            await self._keep((present.kind, present.name), present)
            raise

    def _check_not_isolated_again(self, isolation: Isolation) -> None:
        if (isolation.kind, isolation.name) not in self._releasing:
            raise Unavailable(f"{title(isolation)} was isolated again meanwhile, so it stays isolated")

    async def _keep(self, key: _Key, isolation: Isolation) -> None:
        """Keep it, again and again until the store takes it: or it would end with a restart."""
        if isolation not in self._state.now.isolations:  # it was released, or replaced by a harder one
            self._unkept.pop(key, None)
            return
        try:
            await keep_isolation(self._store, isolation)
        except Unavailable:
            self._unkept[key] = isolation
        else:
            self._unkept.pop(key, None)


_TROUBLES = {
    "not_cut_yet": "the kernel has not confirmed the cut of {count} grants: {why}; the gate keeps trying",
    "worker": "inspection did not confirm the end of {count} grants: {why}; it is started anew without them",
}


def _record(kind: RecordKind, isolation: Isolation, at_us: int, detail: dict[str, Json]) -> Record:
    what: dict[str, Json] = {"kind": isolation.kind.value, "name": isolation.name, "why": isolation.reason}
    return Record(
        kind=kind,
        at_us=at_us,
        asset=isolation.name if isolation.kind is IsolatedKind.ASSET else None,
        reason=Reason.ISOLATED.value,
        detail=what | detail,
    )


def _released(isolation: Isolation, by: str, at_us: int) -> Record:
    detail: dict[str, Json] = {"by": by, "isolated_by": isolation.by, "since_us": isolation.since_us}
    return _record(RecordKind.RELEASED, isolation, at_us, detail)


def _named(grant: Grant) -> dict[str, Json]:
    conduits: list[Json] = [*grant.conduits]
    return {
        "grant": grant.number,
        "subject": grant.subject.name,
        "asset": grant.asset,
        "service": grant.service,
        "conduits": conduits,
    }


def _unknown(kind: IsolatedKind, name: str, known: list[str]) -> Problem:
    near = _nearest(name, known)
    hint = f"there is {', '.join(near)}" if near else ""
    return Problem(where="name", why=f"there is no {kind.value} {name!r}", hint=hint)


def _not_isolated(kind: IsolatedKind, name: str, isolations: Iterable[Isolation]) -> Problem:
    words = f"{kind.value} {name}".strip()
    isolated = ", ".join(title(each) for each in isolations)
    return Problem(where="name", why=f"{words} is not isolated", hint=f"isolated: {isolated or 'nothing'}")


def _nearest(name: str, known: list[str]) -> list[str]:
    """Names that somebody in a hurry may have meant."""
    return get_close_matches(name, known, _MAX_SUGGESTED, 0.4) or sorted(known)[:_MAX_SUGGESTED]
