"""Roles, terms of accounts and break-glass requests in the state store; no decision waits for it."""

from __future__ import annotations

import json

import msgspec
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from penstock.control import schema
from penstock.control.glass import Glass
from penstock.control.rows import StoredSubject
from penstock.control.sign_in_rows import stored_subject
from penstock.control.store import Store
from penstock.model import Invalid, Problem, Role

_SEAL = "break_glass_seal"


class RosterStore:
    """What administrators decide about people.  Every method is one transaction and raises `Unavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def everybody(self) -> tuple[StoredSubject, ...]:
        """Every subject, by name."""
        return await self._store.subjects()

    async def one(self, name: str) -> StoredSubject | None:
        """The subject of that name."""
        query = select(schema.subjects).where(schema.subjects.c.name == name)
        row = await self._store.carry_out(lambda c: c.execute(query).one_or_none())
        return None if row is None else stored_subject(row)

    async def add(self, subject: StoredSubject) -> None:
        """Add a local subject with its terms.  Raises `Invalid` when the name is taken, or was."""
        table = schema.subjects

        def work(connection: Connection) -> None:
            if connection.execute(select(table.c.name).where(table.c.name == subject.name)).one_or_none() is not None:
                why = f"there is, or was, a subject {subject.name}"
                raise Invalid(Problem(where="name", why=why, hint="take another name"))
            connection.execute(
                insert(table).values(
                    name=subject.name,
                    groups=json.dumps(sorted(subject.groups), separators=(",", ":"), ensure_ascii=False),
                    is_suspended=0,
                    last_step=-1,
                    added_at_us=subject.added_at_us,
                    kind=subject.kind,
                    sponsor=subject.sponsor,
                    ends_at_us=subject.ends_at_us,
                )
            )

        await self._store.carry_out(work)

    async def set_end(self, name: str, ends_at_us: int, sponsor: str | None = None) -> None:
        """From then on this account is over; 0: it is, whatever the clock says."""
        table, values = schema.subjects, {"ends_at_us": ends_at_us}
        change = update(table).where(table.c.name == name).values(**values, **({"sponsor": sponsor} if sponsor else {}))
        await self._store.carry_out(lambda c: c.execute(change))

    async def remove(self, name: str) -> None:
        """This subject has ended for good: what it could prove is gone, its name is kept."""
        table = schema.subjects
        held = (schema.passkeys, schema.recovery_codes, schema.roles, schema.enrolments, schema.sign_ins)
        values = {"password_hash": None, "totp_sealed": None, "ends_at_us": 0, "kind": "removed"}

        def work(connection: Connection) -> None:
            for each in held:
                connection.execute(delete(each).where(each.c.subject == name))
            connection.execute(update(table).where(table.c.name == name).values(**values))

        await self._store.carry_out(work)

    # --- roles

    async def roles(self) -> dict[str, frozenset[Role]]:
        """Who has which."""
        found: dict[str, frozenset[Role]] = {}
        for row in await self._store.carry_out(lambda c: c.execute(select(schema.roles)).all()):
            found[row.subject] = found.get(row.subject, frozenset()) | {Role(row.role)}
        return found

    async def give_role(self, name: str, role: Role, by: str, at_us: int) -> None:
        """Somebody has a role."""
        fresh = sqlite_insert(schema.roles).values(subject=name, role=role.value, given_at_us=at_us, by=by)
        await self._store.carry_out(lambda c: c.execute(fresh.on_conflict_do_nothing()))

    async def take_role(self, name: str, role: Role) -> None:
        """Somebody has a role no more."""
        table = schema.roles
        gone = delete(table).where(table.c.subject == name, table.c.role == role.value)
        await self._store.carry_out(lambda c: c.execute(gone))

    # --- break-glass

    async def next_glass(self) -> int:
        """A number that no request had."""
        table = schema.counters

        def work(connection: Connection) -> int:
            found = connection.execute(select(table.c.value).where(table.c.name == "break_glass")).scalar_one_or_none()
            fresh = sqlite_insert(table).values(name="break_glass", value=(found or 0) + 1)
            connection.execute(
                fresh.on_conflict_do_update(index_elements=[table.c.name], set_={"value": fresh.excluded.value})
            )
            return (found or 0) + 1

        return await self._store.carry_out(work)

    async def put_glass(self, glass: Glass) -> None:
        """Keep a request, or what has become of it."""
        table = schema.break_glass
        fresh = sqlite_insert(table).values(
            number=glass.number,
            subject=glass.subject,
            reason=glass.reason,
            asked_at_us=glass.asked_at_us,
            ended_at_us=glass.ended_at_us,
            body=msgspec.json.encode(glass).decode(),
        )
        changed = {key: fresh.excluded[key] for key in ("ended_at_us", "body")}
        upsert = fresh.on_conflict_do_update(index_elements=[table.c.number], set_=changed)
        await self._store.carry_out(lambda c: c.execute(upsert))

    async def glasses(self, limit: int = 100) -> tuple[Glass, ...]:
        """The last requests, the newest first, and every one that has not ended."""
        table = schema.break_glass

        def work(connection: Connection) -> dict[int, str]:
            last = connection.execute(select(table).order_by(table.c.number.desc()).limit(limit)).all()
            standing = connection.execute(select(table).where(table.c.ended_at_us.is_(None))).all()
            return {row.number: row.body for row in (*last, *standing)}

        bodies = await self._store.carry_out(work)
        return tuple(msgspec.json.decode(bodies[n], type=Glass) for n in sorted(bodies, reverse=True))

    async def seal_of(self, name: str) -> str | None:
        """The hash of the two halves that open this account, while they were not used."""
        query = select(schema.subjects.c.attributes).where(schema.subjects.c.name == name)
        text = await self._store.carry_out(lambda c: c.execute(query).scalar_one_or_none())
        found = None if text is None else json.loads(text).get(_SEAL)
        return found if isinstance(found, str) else None

    async def change_seal(self, name: str, before: str | None, after: str | None) -> bool:
        """Put a hash in the place of another; ``False`` where it was not `before` any more.  ``None``: none."""
        table = schema.subjects

        def work(connection: Connection) -> bool:
            text = connection.execute(select(table.c.attributes).where(table.c.name == name)).scalar_one_or_none()
            values = {} if text is None else json.loads(text)
            if text is None or values.get(_SEAL) != before:
                return False
            values = {key: value for key, value in values.items() if key != _SEAL}
            if after is not None:
                values[_SEAL] = after
            connection.execute(update(table).where(table.c.name == name).values(attributes=json.dumps(values)))
            return True

        return await self._store.carry_out(work)
