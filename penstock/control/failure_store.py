"""Where the failure-mode register is kept: what stands aside, intervals without inspection, drills.

Behind the store's one door and its one thread; no decision waits for it.  Values go in and come out as JSON text, so
that a field more needs no migration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, func, insert, select

from penstock.control import schema
from penstock.control.drill import Drill
from penstock.control.intervals import Interval
from penstock.control.store import Store

#: So many intervals that are over are kept, some years of a busy gate; the evidence has them all.
MAX_KEPT = 10_000


_FIRST_PACKETS, _BOOT = "failed_open", "failed_open.boot"


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

    async def put_intervals(self, intervals: Iterable[Interval]) -> None:
        """Keep intervals, or what has changed about them."""
        table = schema.intervals
        rows = [
            {
                "number": each.number,
                "conduit": each.conduit,
                "ended_at_us": each.ended_at_us,
                "body": msgspec.json.encode(each).decode(),
            }
            for each in intervals
        ]
        if not rows:
            return

        def work(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.number.in_([row["number"] for row in rows])))
            connection.execute(insert(table), rows)

        await self._store.carry_out(work)

    async def open_intervals(self) -> tuple[Interval, ...]:
        """Every interval that was not ended, by number."""
        table = schema.intervals
        query = select(table.c.body).where(table.c.ended_at_us.is_(None)).order_by(table.c.number)
        bodies = await self._store.carry_out(lambda c: c.execute(query).scalars().all())
        return tuple(msgspec.json.decode(body, type=Interval) for body in bodies)

    async def intervals(self, conduit: str, limit: int = 100) -> tuple[Interval, ...]:
        """The last intervals of a conduit, newest first."""
        table = schema.intervals
        query = select(table.c.body).where(table.c.conduit == conduit).order_by(table.c.number.desc()).limit(limit)
        bodies = await self._store.carry_out(lambda c: c.execute(query).scalars().all())
        return tuple(msgspec.json.decode(body, type=Interval) for body in bodies)

    async def last_interval_number(self) -> int:
        """The largest number that an interval has; 0 where there is none."""
        query = select(func.max(schema.intervals.c.number))
        return await self._store.carry_out(lambda c: c.execute(query).scalar()) or 0

    async def put_drill(self, drill: Drill) -> None:
        """Keep a drill, or how it ended."""
        table = schema.drills
        row = {
            "number": drill.number,
            "conduit": drill.conduit,
            "ended_at_us": drill.ended_at_us,
            "body": msgspec.json.encode(drill).decode(),
        }

        def work(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.number == drill.number))
            connection.execute(insert(table).values(**row))

        await self._store.carry_out(work)

    async def drill(self, number: int) -> Drill | None:
        """The drill of that number."""
        query = select(schema.drills.c.body).where(schema.drills.c.number == number)
        body = await self._store.carry_out(lambda c: c.execute(query).scalar_one_or_none())
        return None if body is None else msgspec.json.decode(body, type=Drill)

    async def drills(self, conduit: str, limit: int = 100) -> tuple[Drill, ...]:
        """The last drills of a conduit, newest first."""
        table = schema.drills
        query = select(table.c.body).where(table.c.conduit == conduit).order_by(table.c.number.desc()).limit(limit)
        bodies = await self._store.carry_out(lambda c: c.execute(query).scalars().all())
        return tuple(msgspec.json.decode(body, type=Drill) for body in bodies)

    async def last_drills(self) -> dict[str, Drill]:
        """The last drill of every conduit that was ever drilled."""
        table = schema.drills
        last = select(func.max(table.c.number)).group_by(table.c.conduit)
        query = select(table.c.body).where(table.c.number.in_(last))
        bodies = await self._store.carry_out(lambda c: c.execute(query).scalars().all())
        found = (msgspec.json.decode(body, type=Drill) for body in bodies)
        return {each.conduit: each for each in found}

    async def open_drills(self) -> tuple[Drill, ...]:
        """Every drill that was not ended."""
        query = select(schema.drills.c.body).where(schema.drills.c.ended_at_us.is_(None))
        bodies = await self._store.carry_out(lambda c: c.execute(query).scalars().all())
        return tuple(msgspec.json.decode(body, type=Drill) for body in bodies)

    async def last_drill_number(self) -> int:
        """The largest number that a drill has; 0 where there is none."""
        query = select(func.max(schema.drills.c.number))
        return await self._store.carry_out(lambda c: c.execute(query).scalar()) or 0

    async def put_first_packets(self, boot: str, count: int) -> None:
        """Keep what the kernel's counter of flows that failed open said last, in this start of the machine."""
        table, values = schema.counters, {_BOOT: _number_of(boot), _FIRST_PACKETS: count}

        def work(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.name.in_(values)))
            connection.execute(insert(table), [{"name": name, "value": value} for name, value in values.items()])

        await self._store.carry_out(work)

    async def first_packets(self, boot: str) -> int | None:
        """What it said last: 0 where the machine was started anew, ``None`` where it was never read."""
        query = select(schema.counters).where(schema.counters.c.name.in_((_BOOT, _FIRST_PACKETS)))
        rows = await self._store.carry_out(lambda c: c.execute(query).all())
        found: dict[str, int] = {row.name: row.value for row in rows}
        if _FIRST_PACKETS not in found:
            return None
        return found[_FIRST_PACKETS] if found.get(_BOOT) == _number_of(boot) else 0

    async def forget_old(self) -> None:
        """Drop the oldest intervals that are over."""
        table = schema.intervals
        ended = select(table.c.number).where(table.c.ended_at_us.is_not(None))
        old = ended.order_by(table.c.number.desc()).offset(MAX_KEPT)
        await self._store.carry_out(lambda c: c.execute(delete(table).where(table.c.number.in_(old))))


def _number_of(boot: str) -> int:
    """A start of the machine as a 62-bit number: counters hold nothing else."""
    return int.from_bytes(hashlib.sha256(boot.encode()).digest()[:8], "big") >> 2
