"""The isolations in the state store: one row each, gone when it is released.  The evidence has their history."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from penstock.control import schema
from penstock.control.rows import IsolatedKind, Isolation
from penstock.control.store import Store


async def keep_isolation(store: Store, isolation: Isolation) -> None:
    """Keep it, in place of an earlier one of the same thing; durable on return.  Raises `Unavailable`."""
    values = {
        "kind": isolation.kind.value,
        "name": isolation.name,
        "since_us": isolation.since_us,
        "by": isolation.by,
        "reason": isolation.reason,
        "networks": json.dumps(isolation.networks),
        "even_safety_critical": int(isolation.even_safety_critical),
    }

    def work(connection: Connection) -> None:
        connection.execute(_removal(isolation.kind, isolation.name))
        connection.execute(insert(schema.isolations).values(**values))

    await store.carry_out(work)


async def forget_isolation(store: Store, kind: IsolatedKind, name: str) -> None:
    """It was released; durable on return.  Raises `Unavailable`."""

    def work(connection: Connection) -> None:
        connection.execute(_removal(kind, name))

    await store.carry_out(work)


async def kept_isolations(store: Store) -> tuple[Isolation, ...]:
    """Everything that is isolated, the oldest first.  Raises `Unavailable`."""
    query = select(schema.isolations).order_by(schema.isolations.c.since_us, schema.isolations.c.name)
    return tuple(_isolation(row) for row in await store.carry_out(lambda c: c.execute(query).all()))


def _removal(kind: IsolatedKind, name: str) -> Any:
    table = schema.isolations
    return delete(table).where(table.c.kind == kind.value, table.c.name == name)


def _isolation(row: Any) -> Isolation:
    return Isolation(
        kind=IsolatedKind(row.kind),
        name=row.name,
        since_us=row.since_us,
        by=row.by,
        reason=row.reason,
        networks=tuple(json.loads(row.networks)),
        even_safety_critical=bool(row.even_safety_critical),
    )
