"""Subjects as administrators handle them: added with a code to enrol, suspended, resumed; every act is recorded."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from penstock.control.grants import Grants
from penstock.control.people_store import PeopleStore
from penstock.control.ports import Clock, Recorder
from penstock.control.state import State
from penstock.control.store import Store
from penstock.identity import MAX_NAME_LENGTH, Invitation, LocalSource, NotLookedAt, Preparation
from penstock.model import LOCAL, Invalid, Json, Problem, Reason, Record, RecordKind, Unauthenticated

#: What a person can type, a certificate can carry and a log line can show without quoting.
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]*", re.IGNORECASE)
MAX_GROUPS = 64


class Subjects:
    """Adds, enrols, suspends and resumes subjects."""

    def __init__(
        self,
        *,
        source: LocalSource,
        store: Store,
        people: PeopleStore,
        state: State,
        recorder: Recorder,
        grants: Grants,
        clock: Clock,
    ) -> None:
        self._source, self._store, self._state, self._recorder = source, store, state, recorder
        self._grants, self._clock, self._people = grants, clock, people
        self.leaving: Callable[[str, str], AbstractAsyncContextManager[Callable[[], Awaitable[None]]]] = _unasked
        """Around a suspension: whoever has a say in it raises `Invalid`, and again before it is kept."""
        self.after_suspending: Callable[[str, str], Awaitable[None]] = _nothing
        self.before_resuming: Callable[[str], Awaitable[None]] = _nothing
        self.forget_sign_ins: Callable[..., Awaitable[None]] = _nothing
        """Forgets ended sign-ins for good, again and again until the store takes it."""

    async def add(self, name: str, groups: tuple[str, ...], by: str) -> Invitation:
        """Add a subject; the answer holds the code to enrol with.  Raises `Invalid`."""
        check_names(name, groups)
        now_us = self._clock().wall_us
        detail: dict[str, Json] = {"groups": [*sorted(set(groups))], "by": by}
        await self._store.check_free(name)
        await self._recorder.write([Record(kind=RecordKind.SUBJECT_ADDED, at_us=now_us, subject=name, detail=detail)])
        await self._store.add_subject(name, frozenset(groups), now_us)
        return await self._source.invite(name, now_us)

    async def prepare(self, code: str, source: str) -> Preparation:
        """Show the secret of an enrolment.  Raises `Unauthenticated`."""
        with self._refusals(source):
            return await self._source.prepare(code, source, self._clock().wall_us)

    async def prepared(self, code: str, source: str) -> Preparation:
        """Show it again.  Raises `Unauthenticated`."""
        with self._refusals(source):
            return await self._source.prepared(code, source, self._clock().wall_us)

    async def confirm(self, code: str, password: str, first_code: str, source: str) -> str:
        """Finish an enrolment; answers whose.  Raises `Unauthenticated`, `Invalid` and `Unavailable`."""
        now_us = self._clock().wall_us
        again = set[str]()

        async def recorded(name: str) -> None:
            known = await self._people.by_name(name)
            is_elsewhere = known is not None and known.source != LOCAL
            factors: list[Json] = ["totp"] if is_elsewhere else ["password", "totp"]
            detail: dict[str, Json] = {"factors": factors, "source": source}
            if known is not None and known.enrolled_at_us is not None:
                again.add(name)
            kind = RecordKind.FACTOR_RESET if again else RecordKind.SUBJECT_ENROLLED
            record = Record(kind=kind, at_us=now_us, subject=name, detail=detail)
            await self._recorder.write([record], urgent=True)

        with self._refusals(source):
            name = await self._source.confirm(code, password, first_code, source, now_us, recorded)
        if again:  # whoever has the old authenticator may be signed in
            await self.end_everything(name, name, Reason.NOT_SIGNED_IN)
        return name

    async def invite_new(self, name: str) -> Invitation:
        """A code for a subject that is there; one that was handed out before is void."""
        return await self._source.invite(name, self._clock().wall_us)

    async def forget_stations(self, name: str) -> None:
        """This account is at home nowhere any more."""
        await self._source.turnstile.forget(name)

    async def suspend(self, name: str, by: str) -> int:
        """From now on this subject is nobody: no sign-in, and every grant ends.  Answers how many ended.

        Raises `Invalid` when there is no such subject.  An emergency waits for no disk: `Unavailable` means that
        everything has ended, but a proof may help again.
        """
        async with self.leaving(name, by) as require:
            ended = await self.end_everything(name, by)
            await require()
            await self._suspend(name, by)
            ended += await self.end_everything(name, by)  # what began in between
        await self.after_suspending(name, by)
        return ended

    async def resume(self, name: str, by: str) -> None:
        """This subject may sign in again.  Raises `Invalid` when there is none of that name."""
        await self.before_resuming(name)
        at_us = self._clock().wall_us
        record = Record(kind=RecordKind.SUBJECT_RESUMED, at_us=at_us, subject=name, detail={"by": by})
        await self._recorder.write([record], urgent=True)
        await self._store.set_suspended(name, is_suspended=False)
        await self._source.turnstile.release(name)

    @contextmanager
    def _refusals(self, source: str) -> Iterator[None]:
        """Record a code that was refused; one that was not looked at costs no room in the evidence."""
        try:
            yield
        except NotLookedAt:
            raise
        except Unauthenticated:
            detail: dict[str, Json] = {"source": source, "kind": "enrolment"}
            reason, at_us = Reason.NOT_SIGNED_IN.value, self._clock().wall_us
            self._recorder.put([Record(kind=RecordKind.SIGN_IN_REFUSED, at_us=at_us, reason=reason, detail=detail)])
            raise

    async def end_everything(self, name: str, by: str, reason: Reason = Reason.GRANT_REVOKED) -> int:
        """End every sign-in and grant of a subject; answers how many grants.  It waits for no disk before that."""
        snapshot = self._state.now
        mine = tuple(key for key, sign_in in snapshot.sign_ins.items() if sign_in.subject.name == name)
        for token_hash in mine:
            self._state.drop_sign_in(token_hash)
        numbers = tuple(n for n, live in snapshot.grants.items() if live.sign_in and live.grant.subject.name == name)
        ended = await self._grants.close_all(numbers, reason, by)
        if mine:
            await self.forget_sign_ins(*mine)
        return ended

    async def _suspend(self, name: str, by: str) -> None:
        if not await self._store.set_suspended(name, is_suspended=True):
            raise Invalid(Problem(where="name", why="there is no subject of that name"))
        at_us = self._clock().wall_us
        self._recorder.put([Record(kind=RecordKind.SUBJECT_SUSPENDED, at_us=at_us, subject=name, detail={"by": by})])


async def _nothing(*_: str) -> None:
    """Nobody else has a say."""


@asynccontextmanager
async def _unasked(*_: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The same."""
    yield _nothing


def check_names(name: str, groups: tuple[str, ...]) -> None:
    """Whether a subject may be called so, and be in such groups.  Raises `Invalid` with all that is wrong."""
    problems = []
    hint = "letters, digits and . _ @ + -, beginning with a letter or digit"
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        problems.append(Problem(where="name", why=f"not a name of 1 to {MAX_NAME_LENGTH} signs", hint=hint))
    if len(groups) > MAX_GROUPS:
        problems.append(Problem(where="groups", why=f"more than {MAX_GROUPS}"))
    problems += [
        Problem(where="groups", why=f"{group[:MAX_NAME_LENGTH]!r} is not a name", hint=hint)
        for group in groups
        if not _NAME.fullmatch(group) or len(group) > MAX_NAME_LENGTH
    ]
    if problems:
        raise Invalid(*problems)
