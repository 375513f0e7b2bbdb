"""Grants follow their subjects: a group that is taken away, a proof that is given anew.

Stands between whoever learns of the change and `grants`.  A group that is taken away is as important as one that is
given: what it allowed ends at once.  It must never leave a grant in force that its subject would not get now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from penstock.control import minting
from penstock.control.grants import Grants
from penstock.control.people_store import PeopleStore
from penstock.control.ports import Clock, Recorder
from penstock.control.revisions import Revisions
from penstock.control.rows import ActiveSignIn, LiveGrant
from penstock.control.state import State
from penstock.model import LOCAL, Json, Reason, Record, RecordKind, Subject, Unavailable


class Following:
    """Brings sign-ins and grants up to what their subjects are now."""

    def __init__(
        self,
        *,
        state: State,
        store: PeopleStore,
        grants: Grants,
        revisions: Revisions,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._state, self._store, self._grants, self._revisions = state, store, grants, revisions
        self._recorder, self._clock = recorder, clock

    async def regroup(
        self,
        name: str,
        groups: frozenset[str],
        by: str,
        attributes: Mapping[str, str] | None = None,
        before: frozenset[str] = frozenset(),
        *,
        is_recorded: bool = False,
    ) -> int:
        """Somebody has these groups from now on; answers how many grants ended with those that were taken away.

        `before` are those that are kept, where nobody need be signed in for the change to be told right; `is_recorded`:
        it is in the evidence already.
        Raises `Unavailable` where it could not be kept: it is in force all the same.
        """
        before = before.union(
            *(each.subject.groups for each in self._state.now.sign_ins.values() if each.subject.name == name)
        )
        self._put_groups(name, groups)
        ended = await self._follow_groups(name, groups, by)
        detail: dict[str, Json] = {
            "groups": [*sorted(groups)],
            "added": [*sorted(groups - before)],
            "removed": [*sorted(before - groups)],
            "grants_closed": ended,
            "by": by,
        }
        at_us = self._clock().wall_us
        if not is_recorded:
            self._recorder.put([Record(kind=RecordKind.SUBJECT_CHANGED, at_us=at_us, subject=name, detail=detail)])
        await self._store.set_groups(name, groups, attributes)
        if self._put_groups(name, groups, of_source=LOCAL):  # begun meanwhile with what was kept until now
            ended += await self._follow_groups(name, groups, by)
        return ended

    async def agree(self, token_hash: str) -> None:
        """This sign-in has a new proof of another source: a group that it lacks is in no sign-in of its subject.

        It takes away only.  What it has beyond the others, these get when their source is asked again: or a proof that
        was on its way would give back what was taken meanwhile.
        """
        newest = self._state.now.sign_ins.get(token_hash)
        if newest is None or newest.identity == LOCAL:
            return
        name, groups = newest.subject.name, newest.subject.groups
        others = tuple(each for each in self._state.now.sign_ins.values() if each.subject.name == name)
        removed = frozenset[str]().union(*(each.subject.groups for each in others)) - groups
        if not removed:
            return
        for each in others:
            self._state.put_sign_in(replace(each, subject=replace(each.subject, groups=each.subject.groups & groups)))
        by = f"identity source {newest.identity}"
        ended = await self._follow(
            lambda live: live.grant.subject.name == name,
            lambda subject: replace(subject, groups=subject.groups & groups),
            Reason.MEMBERSHIP_ENDED,
            by,
        )
        detail: dict[str, Json] = {"groups": [*sorted(groups)], "added": [], "removed": [*sorted(removed)]}
        detail |= {"grants_closed": ended, "by": by}
        at_us = self._clock().wall_us
        self._recorder.put([Record(kind=RecordKind.SUBJECT_CHANGED, at_us=at_us, subject=name, detail=detail)])

    def _put_groups(self, name: str, groups: frozenset[str], of_source: str | None = None) -> bool:
        """Whether some sign-in had others."""
        others = [
            each
            for each in self._state.now.sign_ins.values()
            if each.subject.name == name and each.subject.groups != groups and of_source in {None, each.identity}
        ]
        for sign_in in others:
            self._state.put_sign_in(replace(sign_in, subject=replace(sign_in.subject, groups=groups)))
        return bool(others)

    async def _follow_groups(self, name: str, groups: frozenset[str], by: str) -> int:
        return await self._follow(
            lambda live: live.grant.subject.name == name,
            lambda subject: replace(subject, groups=groups),
            Reason.MEMBERSHIP_ENDED,
            by,
        )

    def stepped(self, step_us: int) -> None:
        """The wall clock was set by so much: proofs are as old as they were.  The workers see to it themselves."""
        for sign_in in tuple(self._state.now.sign_ins.values()):
            self._state.put_sign_in(replace(sign_in, subject=_moved(sign_in.subject, step_us)))
        self._state.put_grants(
            replace(live, grant=replace(live.grant, subject=_moved(live.grant.subject, step_us)))
            for live in tuple(self._state.now.grants.values())
            if live.sign_in is not None
        )

    async def proved_again(self, sign_in: ActiveSignIn) -> int:
        """A sign-in has a newer proof: its grants go on as long as that allows.  Answers how many ended."""
        return await self._follow(
            lambda live: live.sign_in == sign_in.token_hash,
            lambda _: sign_in.subject,
            Reason.MEMBERSHIP_ENDED,
            sign_in.subject.name,
        )

    async def _follow(
        self,
        concerns: Callable[[LiveGrant], bool],
        change: Callable[[Subject], Subject],
        reason: Reason,
        by: str,
    ) -> int:
        """Give these grants their subject as it is now; end those that it would not get."""
        over, moved, moment = dict[Reason, list[int]](), list[LiveGrant](), self._clock()
        for number, live in self._state.now.grants.items():
            if live.sign_in is None or not concerns(live):
                continue
            changed = replace(live, grant=replace(live.grant, subject=change(live.grant.subject)))
            path, why = self._revisions.path_of(changed)
            carried = None if path is None else minting.carried_over(changed.grant, path, self._state.now.revision)
            if path is None or carried is None:
                over.setdefault(reason if why is Reason.NO_CONDUIT else why, []).append(number)
            else:
                moved.append(minting.followed(changed, carried, path, moment))
        ended = 0
        for why, numbers in over.items():
            ended += await self._grants.close_all(tuple(numbers), why, by)
        for live in moved:
            try:
                await self._grants.follow(live)
            except Unavailable:  # what cannot be told what is allowed now must not go on as it was
                ended += await self._grants.close_all((live.grant.number,), reason, by)
        return ended


def _moved(subject: Subject, step_us: int) -> Subject:
    return replace(subject, proved_at_us=subject.proved_at_us + step_us)
