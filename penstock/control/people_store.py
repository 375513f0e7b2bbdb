"""Where people of all identity sources are kept, behind the store's one door; no decision waits for it.

A subject of another source than the local one is tied to the key that the source gave, for ever: its name never
becomes anybody else's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection, insert, select, update

from penstock.control import schema
from penstock.control.rows import StoredSubject
from penstock.control.sign_in_rows import stored_subject
from penstock.control.store import Store


class PeopleStore:
    """The table of subjects, as sign-ins of any source need it.  Every method raises `Unavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def by_key(self, source: str, key: str) -> StoredSubject | None:
        """Whoever that source means by this key."""
        table = schema.subjects
        return await self._one(lambda query: query.where(table.c.source == source, table.c.source_key == key))

    async def by_name(self, name: str) -> StoredSubject | None:
        """The subject of that name, of whatever source."""
        return await self._one(lambda query: query.where(schema.subjects.c.name == name))

    async def add(self, subject: StoredSubject, attributes: Mapping[str, str]) -> bool:
        """Keep somebody whom another source has shown for the first time; ``False`` when the name is taken by now."""
        table = schema.subjects

        def work(connection: Connection) -> bool:
            if connection.execute(select(table.c.name).where(table.c.name == subject.name)).one_or_none() is not None:
                return False
            connection.execute(
                insert(table).values(
                    name=subject.name,
                    groups=_json(sorted(subject.groups)),
                    is_suspended=0,
                    last_step=-1,
                    added_at_us=subject.added_at_us,
                    source=subject.source,
                    source_key=subject.source_key,
                    attributes=_json(dict(attributes)),
                    kind=subject.kind,
                    seen_at_us=subject.seen_at_us,
                )
            )
            return True

        return await self._store.carry_out(work)

    async def set_groups(self, name: str, groups: frozenset[str], attributes: Mapping[str, str] | None = None) -> None:
        """Keep which groups somebody has now, and attributes where they are given."""
        table = schema.subjects
        values = {"groups": _json(sorted(groups))}
        if attributes is not None:
            values["attributes"] = _json(dict(attributes))
        change = update(table).where(table.c.name == name).values(**values)
        await self._store.carry_out(lambda c: c.execute(change))

    async def set_seen(self, name: str, at_us: int) -> None:
        """Keep when somebody signed in last."""
        table = schema.subjects
        change = update(table).where(table.c.name == name).values(seen_at_us=at_us)
        await self._store.carry_out(lambda c: c.execute(change))

    async def _one(self, narrow: object) -> StoredSubject | None:
        query = narrow(select(schema.subjects))  # type: ignore[operator]
        row = await self._store.carry_out(lambda c: c.execute(query).one_or_none())
        return None if row is None else stored_subject(row)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
