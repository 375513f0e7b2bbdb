"""I/O: waiting for a turn.  Roles of the gate itself: who may operate, approve, write policy, audit, administer.

State of the gate, in memory and in the store.  It must never let anybody give themselves a role, hold two that are kept
apart, or take the last administrator away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress

from penstock.control.ports import Clock, Recorder
from penstock.control.roster_store import RosterStore
from penstock.control.rows import StoredSubject
from penstock.model import APART, LOCAL, Invalid, Json, Problem, Record, RecordKind, Role, Unavailable

#: How long whoever cuts somebody off waits to hear who else administers.
READ_WITHIN_S = 2.0
_HINT = "penstock role ls shows who has which"


class Roles:
    """Gives and takes roles, and says who has which."""

    def __init__(self, *, store: RosterStore, recorder: Recorder, clock: Clock) -> None:
        self._store, self._recorder, self._clock = store, recorder, clock
        self._roles: dict[str, frozenset[Role]] = {}
        self._turn = asyncio.Lock()
        self._leaving: set[str] = set()
        """Who is being taken out of use at this moment."""

    async def reload(self) -> None:
        """After a restart of control."""
        self._roles = await self._store.roles()

    @property
    def all(self) -> Mapping[str, frozenset[Role]]:
        """Everybody who has one."""
        return self._roles

    def of(self, name: str) -> frozenset[Role]:
        """What this subject may do to the gate."""
        return self._roles.get(name, frozenset())

    async def give(self, name: str, role: Role, by: str) -> None:
        """Somebody may do this from now on.  Raises `Invalid`, recorded."""
        async with self._turn:  # two at once could give what nobody holds together
            subject = await self._store.one(name)
            why = self._not_to_be_given(subject, name, role, by)
            if why:
                raise self._refused(name, role, by, why)
            if role in self.of(name):
                return
            await self._recorder.write([self._record(RecordKind.ROLE_GIVEN, name, role, by)], urgent=True)
            await self._store.give_role(name, role, by, self._clock().wall_us)
            self._roles[name] = self.of(name) | {role}

    async def take(self, name: str, role: Role, by: str) -> None:
        """Somebody may do this no more.  Raises `Invalid`, recorded where it is the last administrator."""
        async with self._turn:  # two at once could take the last two administrators
            if role not in self.of(name):
                raise Invalid(Problem(where="role", why=f"{name} is not {role.value}", hint=_HINT))
            if role is Role.ADMINISTRATOR and await self.is_last_administrator(name):
                raise self._refused(name, role, by, _last(name))
            with self._away(name) if role is Role.ADMINISTRATOR else nullcontext():
                await self._recorder.write([self._record(RecordKind.ROLE_TAKEN, name, role, by)], urgent=True)
                self._drop(name, role)
                await self._store.take_role(name, role)

    @asynccontextmanager
    async def leaving(self, name: str, by: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Around taking this subject out of use: nobody counts as another administrator who is leaving as well.

        Raises `Invalid`, recorded, for the last administrator.  An emergency waits for no disk: where it cannot be
        read, or not in time, who else administers, it goes on.  What is yielded is asked before anything of it is
        kept, and raises the same then.
        """

        async def require_other() -> None:
            if await self.is_last_administrator(name):
                raise self._refused(name, Role.ADMINISTRATOR, by, _last(name))

        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(READ_WITHIN_S):
                await require_other()
        with self._away(name):
            yield require_other

    @contextmanager
    def _away(self, name: str) -> Iterator[None]:
        self._leaving.add(name)
        try:
            yield
        finally:
            self._leaving.discard(name)

    async def is_last_administrator(self, name: str) -> bool:
        """Whether nobody else of this gate's own could administer it, with no network at all."""
        if Role.ADMINISTRATOR not in self.of(name):
            return False
        everybody = await self._store.everybody()  # who leaves is asked after that, without another wait
        able = {each.name for each in everybody if self._can_administer(each)} - (self._leaving - {name})
        return able == {name}

    def forget(self, name: str) -> None:
        """This subject was removed, and its roles with it."""
        self._roles.pop(name, None)

    def _can_administer(self, subject: StoredSubject) -> bool:
        is_able = subject.enrolled_at_us is not None and not subject.is_suspended and subject.ends_at_us is None
        is_own = subject.source == LOCAL and subject.kind == "person"
        return is_able and is_own and Role.ADMINISTRATOR in self.of(subject.name)

    def _not_to_be_given(self, subject: StoredSubject | None, name: str, role: Role, by: str) -> str:
        if subject is None or subject.kind == "removed":
            return "there is no subject of that name"
        if by == name:
            return "nobody gives a role to themselves"
        if subject.kind == "vendor":
            return f"{name} is a vendor's account; roles are for the site's own people"
        apart = sorted(each.value for each in self.of(name) if frozenset({each, role}) in APART)
        if apart:
            return f"{name} is {apart[0]}, and nobody is {apart[0]} and {role.value} at once"
        return ""

    def _refused(self, name: str, role: Role, by: str, why: str) -> Invalid:
        self._recorder.put([self._record(RecordKind.ROLE_REFUSED, name, role, by, why)])
        return Invalid(Problem(where="role", why=why, hint=_HINT))

    def _record(self, kind: RecordKind, name: str, role: Role, by: str, why: str = "") -> Record:
        detail: dict[str, Json] = {"role": role.value, "by": by}
        if why:
            detail["why"] = why
        return Record(kind=kind, at_us=self._clock().wall_us, subject=name, detail=detail)

    def _drop(self, name: str, role: Role) -> None:
        self._roles[name] = self.of(name) - {role}
        if not self._roles[name]:
            del self._roles[name]


def _last(name: str) -> str:
    return f"{name} is the last administrator of this gate's own; give the role to somebody else first"
