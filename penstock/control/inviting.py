"""Inviting somebody whom a directory knows to add an authenticator here: the second factor that the directory lacks.

Whoever is invited must have signed in once, so that the authenticator belongs to the directory's key of that person and
not to a name.  It must never invite somebody whose source has factors of its own, nor a subject of this gate.
"""

from __future__ import annotations

from penstock.control.identities import Identities
from penstock.control.people_store import PeopleStore
from penstock.control.ports import Clock, Recorder
from penstock.control.rows import StoredSubject
from penstock.identity import Invitation, LocalSource
from penstock.model import LOCAL, Invalid, Json, LdapPlan, Problem, Record, RecordKind


class Inviting:
    """Hands out codes."""

    def __init__(
        self, *, source: LocalSource, people: PeopleStore, identities: Identities, recorder: Recorder, clock: Clock
    ) -> None:
        self._source, self._people, self._identities = source, people, identities
        self._recorder, self._clock = recorder, clock

    async def invite(self, name: str, by: str) -> Invitation:
        """A code for a new authenticator; one that was handed out before is void.  Raises `Invalid`."""
        known = await self._people.by_name(name)
        problem = self._problem(name, known)
        if problem is not None:
            raise Invalid(problem)
        now_us = self._clock().wall_us
        detail: dict[str, Json] = {"what": "invited to add an authenticator", "by": by}
        await self._recorder.write([Record(kind=RecordKind.ADMINISTERED, at_us=now_us, subject=name, detail=detail)])
        return await self._source.invite(name, now_us)

    def _problem(self, name: str, known: StoredSubject | None) -> Problem | None:
        if known is None:
            hint = "people of a directory are NAME@SOURCE, and sign in once with their password before"
            return Problem(where="name", why=f"there is no subject {name}", hint=hint)
        if known.source == LOCAL:
            hint = "`penstock subject add` prints the code for somebody new"
            return Problem(where="name", why=f"{name} is a subject of this gate", hint=hint)
        if not isinstance(self._identities.plan(known.source), LdapPlan):
            hint = "ask for the stronger factor there"
            return Problem(where="name", why=f"the identity source {known.source} has its own factors", hint=hint)
        if known.is_suspended:
            return Problem(where="name", why=f"{name} is suspended", hint=f"penstock subject resume {name}")
        return None
