"""Who a proof means: the one subject that a source's key belongs to, for ever.

Logic on `PeopleStore`.  Nobody is merged by guess: the same name at two sources is two subjects, and a key that is new
under a name that is taken is refused, because names are given again and keys are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from penstock.control.people_store import PeopleStore
from penstock.control.ports import Moment
from penstock.control.rows import StoredSubject
from penstock.identity import MAX_NAME_LENGTH, Proof
from penstock.model import LOCAL, Reason, Subject, SubjectKind

#: What a person can type, a certificate can carry and a log line can show without quoting.
NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]*", re.IGNORECASE)
#: What sources may call somebody; it is never shown to anybody but administrators.
MAX_KEY_LENGTH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """A proof that makes nobody a subject here: why, and the truth for the evidence."""

    name: str
    reason: Reason
    why: str


class People:
    """Finds the subject of a proof, and keeps those that are seen for the first time."""

    def __init__(self, store: PeopleStore) -> None:
        self._store = store
        self.refusal: Callable[[StoredSubject], Stranger | None] = lambda _: None
        """What else may keep somebody out: an account that is over, or was not opened."""

    async def resolve(self, proof: Proof, moment: Moment) -> Subject | Stranger:
        """The subject that this proof makes.  Raises `Unavailable`."""
        name = full_name(proof.name, proof.source)
        if not NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH or not 0 < len(proof.key) <= MAX_KEY_LENGTH:
            return Stranger(
                name=name[:MAX_NAME_LENGTH], reason=Reason.SOURCE_REFUSED, why="its name cannot be used here"
            )
        stored = await self._stored(proof, name, moment)
        if isinstance(stored, Stranger):
            return stored
        if (refused := self._refused(stored, moment)) is not None:
            return refused
        if proof.source != LOCAL and stored.groups != proof.groups:
            await self._store.set_groups(stored.name, proof.groups, proof.attributes)
        await self._store.set_seen(stored.name, moment.wall_us)
        return subject_of(proof, stored)

    async def again(self, name: str, moment: Moment) -> StoredSubject | Stranger:
        """A subject as it is kept now, where it may still be signed in.  Raises `Unavailable`."""
        stored = await self._store.by_name(name)
        if stored is None:
            return Stranger(name=name, reason=Reason.NOT_SIGNED_IN, why="no subject of this gate")
        return self._refused(stored, moment) or stored

    def _refused(self, stored: StoredSubject, moment: Moment) -> Stranger | None:
        if stored.is_suspended:
            return Stranger(name=stored.name, reason=Reason.NOT_SIGNED_IN, why="suspended")
        if stored.ends_at_us is not None and stored.ends_at_us <= moment.wall_us:
            return Stranger(name=stored.name, reason=Reason.SUBJECT_ENDED, why="its time is over")
        return self.refusal(stored)

    async def key_of(self, name: str) -> str | None:
        """What its source calls a subject."""
        known = await self._store.by_name(name)
        return None if known is None else known.source_key or known.name

    async def name_of(self, source: str, key: str) -> str | None:
        """What the subject that this source means by this key is called here."""
        known = await self._store.by_key(source, key)
        return None if known is None else known.name

    async def _stored(self, proof: Proof, name: str, moment: Moment) -> StoredSubject | Stranger:
        if proof.source == LOCAL:
            known = await self._store.by_name(proof.key)
            if known is None or known.source != LOCAL:
                return Stranger(name=name, reason=Reason.NOT_SIGNED_IN, why="no subject of this gate")
            return known
        known = await self._store.by_key(proof.source, proof.key)
        if known is not None:
            return known
        new = StoredSubject(
            name=name,
            groups=proof.groups,
            is_suspended=False,
            added_at_us=moment.wall_us,
            enrolled_at_us=None,
            source=proof.source,
            source_key=proof.key,
            seen_at_us=moment.wall_us,
        )
        if not await self._store.add(new, proof.attributes):
            known = await self._store.by_key(proof.source, proof.key)
            if known is not None:  # twice at once, for the first time
                return known
            return Stranger(name=name, reason=Reason.IDENTITY_CONFLICT, why="the name belongs to somebody else")
        return new


def full_name(name: str, source: str) -> str:
    """What a subject is called: bare in the local store, ``NAME@SOURCE`` elsewhere."""
    return name if source == LOCAL else f"{name}@{source}"


def subject_of(proof: Proof, stored: StoredSubject) -> Subject:
    """The subject, with what was proved now.  The local store's own groups count for local subjects."""
    return Subject(
        name=stored.name,
        kind=SubjectKind.PERSON,
        groups=stored.groups if proof.source == LOCAL else proof.groups,
        factors=proof.factors,
        source=proof.source,
        graded=proof.graded,
        proved_at_us=proof.proved_at_us,
        barred_zones=proof.barred_zones,
    )
