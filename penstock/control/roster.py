"""I/O: waiting for a turn.  People as administrators handle them: vendors, break-glass accounts, changes, ends.

Every act is recorded with who did it.  An end is final whatever the clock says later, and a name never becomes anybody
else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from penstock.control.following import Following
from penstock.control.people import Stranger
from penstock.control.ports import US_PER_S, Clock, Recorder
from penstock.control.roles import Roles
from penstock.control.roster_store import RosterStore
from penstock.control.rows import StoredSubject
from penstock.control.state import State
from penstock.control.subjects import Subjects, check_names
from penstock.identity import Invitation, Proof
from penstock.model import LOCAL, Invalid, Json, Problem, Reason, Record, RecordKind, Unavailable

DAY_US = 86_400 * US_PER_S
MAX_VENDOR_US = 90 * DAY_US
WARN_US = 7 * DAY_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A temporary account: who answers for it, and when it ends (wall clock, microseconds)."""

    name: str
    sponsor: str
    ends_at_us: int


class Roster:
    """Keeps the terms of accounts, and ends those that are over."""

    def __init__(
        self,
        *,
        subjects: Subjects,
        roles: Roles,
        following: Following,
        state: State,
        store: RosterStore,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._subjects, self._roles, self._following = subjects, roles, following
        self._state = state
        self._store, self._recorder, self._clock = store, recorder, clock
        self._vendors: dict[str, Vendor] = {}
        self._regrouping = asyncio.Lock()
        self._over: set[str] = set()
        self._unfollowed: dict[str, str] = {}
        """Sponsors who are gone and whose vendors may not all be suspended yet, and who did it."""

    async def reload(self) -> None:
        """After a restart of control; a sponsor may have gone whose vendors could not be suspended any more."""
        everybody = await self._store.everybody()
        for each in everybody:
            if each.kind == "vendor" and each.ends_at_us and not each.is_suspended:
                self._vendors[each.name] = Vendor(
                    name=each.name, sponsor=each.sponsor or "", ends_at_us=each.ends_at_us
                )
        there = {each.name for each in everybody if not each.is_suspended and each.kind == "person"}
        self._unfollowed = {each.sponsor: "the gate" for each in self._vendors.values() if each.sponsor not in there}

    async def add_vendor(self, name: str, groups: tuple[str, ...], sponsor: str, until_us: int, by: str) -> Invitation:
        """A temporary account of somebody from outside; the answer holds the code to enrol with.  Raises `Invalid`."""
        now_us = self._clock().wall_us
        check_names(name, groups)
        await self._check_sponsor(sponsor)
        _check_end(until_us, now_us)
        new = _new(name, groups, "vendor", now_us, sponsor, until_us)
        await self._added(new, by, {"sponsor": sponsor, "ends_at_us": until_us})
        self._vendors[name] = Vendor(name=name, sponsor=sponsor, ends_at_us=until_us)
        return await self._subjects.invite_new(name)

    async def add_break_glass(self, name: str, groups: tuple[str, ...], by: str) -> Invitation:
        """An account that is shut until two people open it.  Raises `Invalid`."""
        check_names(name, groups)
        await self._added(_new(name, groups, "break-glass", self._clock().wall_us), by, {})
        return await self._subjects.invite_new(name)

    async def extend(self, name: str, until_us: int, by: str, sponsor: str | None = None) -> None:
        """Move the end of a vendor's account; one that was over may sign in again.  Raises `Invalid`."""
        known, now_us = await self._known(name), self._clock().wall_us
        if known.kind != "vendor":
            raise Invalid(Problem(where="name", why=f"{name} is not a vendor's account", hint="penstock subject ls"))
        await self._check_sponsor(sponsor or known.sponsor or "")
        _check_end(until_us, now_us)
        detail: dict[str, Json] = {"ends_at_us": until_us, "sponsor": sponsor or known.sponsor, "by": by}
        await self._write(RecordKind.SUBJECT_CHANGED, name, detail)
        await self._store.set_end(name, until_us, sponsor)
        self._over.discard(name)
        self._vendors[name] = Vendor(name=name, sponsor=sponsor or known.sponsor or "", ends_at_us=until_us)

    async def change(
        self, name: str, added: frozenset[str], removed: frozenset[str], by: str
    ) -> tuple[int, tuple[str, ...]]:
        """Add and remove groups of a subject of this gate; answers how many grants ended, and the groups now.

        What is removed waits for no disk; what is added is recorded before.  Raises `Invalid` and `Unavailable`.
        """
        known = await self._known(name)
        if known.source != LOCAL:
            hint = f"groups of {known.source} are what it says; map them in the site document"
            raise Invalid(Problem(where="name", why=f"{name} belongs to the identity source {known.source}", hint=hint))
        missing = sorted(removed - known.groups)
        if missing:
            raise Invalid(Problem(where="groups", why=f"{name} is not in {missing[0]}", hint="penstock subject ls"))
        if not added and not removed:
            raise Invalid(Problem(where="groups", why="nothing to change", hint="--add-group or --remove-group"))
        groups = (known.groups | added) - removed
        check_names(name, tuple(groups))
        ended = await self._take_groups(name, removed, by) if removed else 0
        if added - known.groups:
            groups = await self._give_groups(name, added, by)
        return ended, tuple(sorted(groups))

    async def _take_groups(self, name: str, removed: frozenset[str], by: str) -> int:
        async with self._regrouping:
            kept = (await self._known(name)).groups
            return await self._following.regroup(name, kept - removed, by, before=kept)

    async def _give_groups(self, name: str, added: frozenset[str], by: str) -> frozenset[str]:
        kept = (await self._known(name)).groups
        detail: dict[str, Json] = {"groups": [*sorted(kept | added)], "added": [*sorted(added - kept)], "removed": []}
        await self._write(RecordKind.SUBJECT_CHANGED, name, {**detail, "grants_closed": 0, "by": by})
        async with self._regrouping:  # what is taken away while it is recorded stays away
            groups = (await self._known(name)).groups | added
            await self._following.regroup(name, groups, by, is_recorded=True)
            return groups

    async def invite(self, name: str, by: str) -> Invitation:
        """A new code to enrol with; the old factors go on until that is done.  Raises `Invalid`."""
        known = await self._known(name)
        if known.source != LOCAL:
            why = f"{name} proves who they are to {known.source}"
            raise Invalid(Problem(where="name", why=why, hint="ask its administrator"))
        detail: dict[str, Json] = {"by": by, "what": "invited again", "was_enrolled": known.enrolled_at_us is not None}
        await self._write(RecordKind.SUBJECT_CHANGED, name, detail)
        return await self._subjects.invite_new(name)

    async def remove(self, name: str, by: str) -> int:
        """The end of a subject: everything it holds ends, its factors go, its name stays taken.  Raises `Invalid`."""
        await self._known(name)
        async with self._roles.leaving(name, by) as require:
            return await self._end(name, by, "removed", require)

    async def follow_sponsor(self, name: str, by: str) -> None:
        """Whoever answered for vendors does so no more: they are suspended as well.

        What could not be kept is tried again at the next sweep.  Raises `Unavailable` then.
        """
        self._unfollowed[name] = by
        trouble = None
        for vendor in [each for each in self._vendors.values() if each.sponsor == name]:
            try:
                await self._subjects.suspend(vendor.name, f"{by}, with its sponsor {name}")
            except Unavailable as error:
                trouble = error
            else:
                self._vendors.pop(vendor.name, None)
        if trouble is not None:
            raise trouble
        self._unfollowed.pop(name, None)

    def resumed(self, known: StoredSubject) -> None:
        """A subject may sign in again: its end holds again."""
        if known.kind == "vendor" and known.ends_at_us:
            self._vendors[known.name] = Vendor(
                name=known.name, sponsor=known.sponsor or "", ends_at_us=known.ends_at_us
            )

    async def require_resumable(self, name: str) -> None:
        """Whoever lets a subject in again asks first.  Raises `Invalid`."""
        known = await self._known(name)
        if known.kind == "vendor":
            await self._check_sponsor(known.sponsor or "")
        self.resumed(known)

    def end_of(self, name: str) -> int | None:
        """When this account ends (wall clock, microseconds), where it is a temporary one."""
        vendor = self._vendors.get(name)
        return None if vendor is None else vendor.ends_at_us

    def limited(self, name: str, proof: Proof) -> Proof:
        """A proof of a temporary account is worth nothing beyond its end."""
        end = self.end_of(name)
        return proof if end is None else replace(proof, ends_at_us=min(end, proof.ends_at_us or end))

    def ending(self, sponsor: str | None = None) -> tuple[Vendor, ...]:
        """The vendors whose time is over within a week, the first first; of one sponsor, or all."""
        now_us = self._clock().wall_us
        found = [
            each
            for each in self._vendors.values()
            if each.ends_at_us - now_us <= WARN_US and sponsor in {None, each.sponsor}
        ]
        return tuple(sorted(found, key=lambda each: each.ends_at_us))

    def is_over(self, known: StoredSubject) -> Stranger | None:
        """The refusal of a subject whose time is over."""
        if known.name in self._over:
            return Stranger(name=known.name, reason=Reason.SUBJECT_ENDED, why="its time is over")
        return None

    async def sweep(self) -> None:
        """Each second: end what is over, and whatever began while it ended."""
        now_us = self._clock().wall_us
        for vendor in tuple(self._vendors.values()):
            if vendor.ends_at_us <= now_us:
                with suppress(Unavailable):
                    await self._end(vendor.name, "the gate", "its time is over")
        for name, by in tuple(self._unfollowed.items()):
            with suppress(Unavailable):
                await self.follow_sponsor(name, by)
        here = {sign_in.subject.name for sign_in in self._state.now.sign_ins.values()}
        for name in self._over & here:
            await self._subjects.end_everything(name, "the gate", Reason.SUBJECT_ENDED)

    async def _end(self, name: str, by: str, why: str, require: Callable[[], Awaitable[None]] | None = None) -> int:
        """Memory first: an end waits for no disk.  What could not be kept is tried again at the next sweep.

        With `require` it is for good, once that does not raise.
        """
        self._over.add(name)
        ended = await self._subjects.end_everything(name, by, Reason.SUBJECT_ENDED)
        if require is not None:
            try:
                await require()
            except Invalid:
                self._over.discard(name)
                raise
            await self._store.remove(name)
            self._roles.forget(name)
        else:
            await self._store.set_end(name, 0)
        self._vendors.pop(name, None)
        detail: dict[str, Json] = {"by": by, "why": why, "grants_closed": ended}
        at_us = self._clock().wall_us
        self._recorder.put([Record(kind=RecordKind.SUBJECT_ENDED, at_us=at_us, subject=name, detail=detail)])
        await self.follow_sponsor(name, by)
        await self._subjects.forget_stations(name)
        return ended

    async def _known(self, name: str) -> StoredSubject:
        known = await self._store.one(name)
        if known is None or known.kind == "removed":
            raise Invalid(Problem(where="name", why="there is no subject of that name", hint="penstock subject ls"))
        return known

    async def _check_sponsor(self, name: str) -> None:
        known = await self._store.one(name)
        is_active = known is not None and not known.is_suspended and known.ends_at_us is None
        is_active = is_active and (known is not None and (known.source != LOCAL or known.enrolled_at_us is not None))
        if known is None or not is_active or known.kind != "person":
            why = f"{name or 'nobody'} is not an active person of this gate"
            raise Invalid(Problem(where="sponsor", why=why, hint="somebody who is enrolled and answers for the vendor"))

    async def _added(self, new: StoredSubject, by: str, detail: dict[str, Json]) -> None:
        if await self._store.one(new.name) is not None:
            why = f"there is, or was, a subject {new.name}"
            raise Invalid(Problem(where="name", why=why, hint="take another name"))
        groups: list[Json] = [*sorted(new.groups)]
        await self._write(RecordKind.SUBJECT_ADDED, new.name, {"groups": groups, "kind": new.kind, "by": by, **detail})
        await self._store.add(new)

    async def _write(self, kind: RecordKind, name: str, detail: dict[str, Json]) -> None:
        await self._recorder.write([Record(kind=kind, at_us=self._clock().wall_us, subject=name, detail=detail)])


def _new(
    name: str,
    groups: tuple[str, ...],
    kind: str,
    now_us: int,
    sponsor: str | None = None,
    ends_at_us: int | None = None,
) -> StoredSubject:
    return StoredSubject(
        name=name,
        groups=frozenset(groups),
        is_suspended=False,
        added_at_us=now_us,
        enrolled_at_us=None,
        sponsor=sponsor,
        ends_at_us=ends_at_us,
        kind=kind,
    )


def _check_end(until_us: int, now_us: int) -> None:
    if not now_us < until_us <= now_us + MAX_VENDOR_US:
        why = f"an end within the next {MAX_VENDOR_US // DAY_US} days is needed"
        raise Invalid(Problem(where="until", why=why, hint="--until 2026-12-31; extend it when it is time"))
