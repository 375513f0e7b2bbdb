"""Failed sign-ins and known stations in the state store: what the limits of `penstock.identity` are kept in.

Each function is part of one transaction.  The tables are bounded, and nobody can push the counter of an account that
exists out of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, not_, or_, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from penstock.control import schema
from penstock.identity import Attempts

_DAY_US = 86_400 * 1_000_000
_KNOWN_FOR_US = 30 * _DAY_US
#: Of names that do not exist; made up faster than they are forgotten, they go.
MAX_LOCKOUTS = 50_000
_OF_ACCOUNTS = "account:"


def change(
    connection: Connection, key: str, change_of: Callable[[Attempts], Attempts | None]
) -> tuple[Attempts, Attempts | None]:
    """Read, change and write a counter; ``None`` removes it.  Answers before and after."""
    table = schema.lockouts
    row = connection.execute(select(table).where(table.c.key == key)).one_or_none()
    before = Attempts() if row is None else _attempts(row)
    after = change_of(before)
    if after is None:
        if row is not None:
            connection.execute(delete(table).where(table.c.key == key))
    elif row is None:
        connection.execute(insert(table).values(key=key, **_counts(after)))
    elif after != before:
        connection.execute(update(table).where(table.c.key == key).values(**_counts(after)))
    return before, after


def stations(connection: Connection) -> tuple[tuple[str, str, int], ...]:
    """Every account, an address that it is known from, and since when."""
    return tuple((row.name, row.address, row.seen_at_us) for row in connection.execute(select(schema.stations)))


def put_station(connection: Connection, name: str, address: str, at_us: int, forgotten: tuple[str, ...]) -> None:
    """An account is known from this address, and no more from `forgotten`."""
    table = schema.stations
    fresh = sqlite_insert(table).values(name=name, address=address, seen_at_us=at_us)
    connection.execute(
        fresh.on_conflict_do_update(index_elements=[table.c.name, table.c.address], set_={"seen_at_us": at_us})
    )
    connection.execute(delete(table).where(table.c.name == name, table.c.address.in_(forgotten)))


def drop_stations(connection: Connection, name: str) -> None:
    """An account is known from nowhere."""
    connection.execute(delete(schema.stations).where(schema.stations.c.name == name))


def forget_old(connection: Connection, now_us: int) -> None:
    """Drop failures of more than a day ago, but those of accounts, which only a right proof takes away."""
    table, known = schema.lockouts, schema.stations
    is_of_account = table.c.key.startswith(_OF_ACCOUNTS)
    connection.execute(delete(table).where(and_(not_(is_of_account), table.c.last_at_us < now_us - _DAY_US)))
    connection.execute(delete(known).where(known.c.seen_at_us < now_us - _KNOWN_FOR_US))
    surplus = connection.execute(select(func.count()).select_from(table)).scalar_one() - MAX_LOCKOUTS
    if surplus > 0:
        of_subjects = select(_OF_ACCOUNTS + schema.subjects.c.name)
        oldest = (
            select(table.c.key)
            .where(or_(not_(is_of_account), table.c.key.not_in(of_subjects)))
            .order_by(table.c.last_at_us)
            .limit(surplus)
        )
        connection.execute(delete(table).where(table.c.key.in_(oldest)))


def _attempts(row: Any) -> Attempts:
    return Attempts(failures=row.failures, last_at_us=row.last_at_us, until_us=row.until_us)


def _counts(attempts: Attempts) -> dict[str, int]:
    return {"failures": attempts.failures, "last_at_us": attempts.last_at_us, "until_us": attempts.until_us}
