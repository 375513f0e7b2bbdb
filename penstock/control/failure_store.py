"""Where the failure-mode register is kept: what stands aside, intervals without inspection, drills.

Behind the store's one door and its one thread; no decision waits for it.  Values go in and come out as JSON text, so
that a field more needs no migration.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from penstock.control import schema
from penstock.control.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A conduit that has been told to leave inspection: why, by whom, and since when."""

    conduit: str
    why: str
    by: str
    since_us: int


class FailureStore:
    """The tables of the failure-mode register.  Every method raises `Unavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put_aside(self, aside: Aside) -> None:
        """Keep that a conduit stands aside."""
        table = schema.asides
        values = {"conduit": aside.conduit, "why": aside.why, "by": aside.by, "since_us": aside.since_us}

        def work(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.conduit == aside.conduit))
            connection.execute(insert(table).values(**values))

        await self._store.carry_out(work)

    async def remove_aside(self, conduit: str) -> None:
        """The conduit stands aside no more."""
        table = schema.asides
        await self._store.carry_out(lambda c: c.execute(delete(table).where(table.c.conduit == conduit)))

    async def asides(self) -> tuple[Aside, ...]:
        """Every conduit that stands aside, by name."""
        query = select(schema.asides).order_by(schema.asides.c.conduit)
        rows = await self._store.carry_out(lambda c: c.execute(query).all())
        return tuple(Aside(**row._asdict()) for row in rows)
