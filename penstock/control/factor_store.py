"""Where people's own factors are kept: passkeys, recovery codes, the authenticator, and what was changed last.

Behind the store's one door; every method is one transaction and raises `Unavailable`.  It must never hold a code, only
its mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from penstock.control import schema
from penstock.control.store import Store
from penstock.identity import Passkey, PasskeyFault

MAX_PASSKEYS = 10
#: So many changes of one subject are kept for its page.
MAX_CHANGES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorChange:
    """One change of somebody's factors, as its owner sees it; `source` is the address that it came from."""

    at_us: int
    what: str
    source: str


class FactorStore:
    """The tables of passkeys, recovery codes and changes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- passkeys

    async def passkeys(self, subject: str) -> tuple[Passkey, ...]:
        """The passkeys of a subject, in the order in which they were added."""
        table = schema.passkeys
        query = select(table).where(table.c.subject == subject).order_by(table.c.added_at_us, table.c.credential_id)
        rows = await self._store.carry_out(lambda c: c.execute(query).all())
        return tuple(_passkey(row) for row in rows)

    async def passkey(self, credential_id: str) -> Passkey | None:
        """The passkey of that credential ID, whosever it is."""
        query = select(schema.passkeys).where(schema.passkeys.c.credential_id == credential_id)
        row = await self._store.carry_out(lambda c: c.execute(query).one_or_none())
        return None if row is None else _passkey(row)

    async def add_passkey(self, passkey: Passkey) -> PasskeyFault | None:
        """Keep a new one, or say why not: it is known, perhaps as somebody else's, or there are too many."""
        table = schema.passkeys
        known = select(table.c.credential_id).where(table.c.credential_id == passkey.credential_id)
        count = select(func.count()).select_from(table).where(table.c.subject == passkey.subject)
        values = {**asdict(passkey), "is_synced": int(passkey.is_synced)}

        def work(connection: Connection) -> PasskeyFault | None:
            if connection.execute(known).one_or_none() is not None:
                return PasskeyFault.KNOWN
            if connection.execute(count).scalar_one() >= MAX_PASSKEYS:
                return PasskeyFault.TOO_MANY
            connection.execute(insert(table).values(**values))
            return None

        return await self._store.carry_out(work)

    async def use_passkey(self, credential_id: str, sign_count: int, now_us: int) -> bool:
        """Keep the new sign counter; ``False`` when it did not grow, or the passkey was removed or barred by now."""
        table = schema.passkeys
        grows = or_(table.c.sign_count < sign_count, (table.c.sign_count == 0) & (sign_count == 0))
        change = (
            update(table)
            .where(table.c.credential_id == credential_id, table.c.barred_at_us.is_(None), grows)
            .values(sign_count=sign_count, used_at_us=now_us)
        )
        return await self._store.carry_out(lambda c: c.execute(change).rowcount == 1)

    async def bar_passkey(self, credential_id: str, now_us: int) -> None:
        """Take it no more: somebody has a copy."""
        table = schema.passkeys
        change = update(table).where(table.c.credential_id == credential_id).values(barred_at_us=now_us)
        await self._store.carry_out(lambda c: c.execute(change))

    async def rename_passkey(self, subject: str, credential_id: str, title: str) -> None:
        """Call a passkey of this subject something else."""
        table = schema.passkeys
        change = update(table).where(table.c.credential_id == credential_id, table.c.subject == subject)
        await self._store.carry_out(lambda c: c.execute(change.values(title=title)))

    async def remove_passkey(self, subject: str, credential_id: str) -> None:
        """Forget a passkey of this subject."""
        table = schema.passkeys
        gone = delete(table).where(table.c.credential_id == credential_id, table.c.subject == subject)
        await self._store.carry_out(lambda c: c.execute(gone))

    # --- recovery codes: what penstock.identity asks for

    async def recovery_marks(self, subject: str) -> tuple[str, ...]:
        """The marks of the codes that were not used yet."""
        table = schema.recovery_codes
        query = select(table.c.code_hash).where(table.c.subject == subject, table.c.used_at_us.is_(None))
        return tuple(await self._store.carry_out(lambda c: c.execute(query).scalars().all()))

    async def spend_recovery_code(self, subject: str, mark: str, now_us: int) -> bool:
        """Use a code up; ``False`` when it was used up already."""
        table = schema.recovery_codes
        unused = (table.c.code_hash == mark, table.c.subject == subject, table.c.used_at_us.is_(None))
        change = update(table).where(*unused).values(used_at_us=now_us)
        return await self._store.carry_out(lambda c: c.execute(change).rowcount == 1)

    async def replace_recovery_codes(self, subject: str, marks: Sequence[str], now_us: int) -> None:
        """Keep these; all earlier ones of the subject are void."""
        table = schema.recovery_codes
        rows = [{"code_hash": mark, "subject": subject, "added_at_us": now_us} for mark in marks]

        def work(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.subject == subject))
            connection.execute(insert(table), rows)

        await self._store.carry_out(work)

    async def recovery_made_at_us(self, subject: str) -> int | None:
        """When the codes of this subject were made; ``None`` where there are none."""
        table = schema.recovery_codes
        query = select(func.max(table.c.added_at_us)).where(table.c.subject == subject)
        return await self._store.carry_out(lambda c: c.execute(query).scalar())

    # --- the authenticator, and what was changed last

    async def set_authenticator(self, subject: str, totp_sealed: bytes, step: int) -> bool:
        """Another authenticator from now on; ``False`` where the subject has none to replace."""
        table = schema.subjects
        present = (table.c.name == subject, table.c.totp_sealed.is_not(None))
        change = update(table).where(*present).values(totp_sealed=totp_sealed, last_step=step)
        return await self._store.carry_out(lambda c: c.execute(change).rowcount == 1)

    async def note_change(self, subject: str, change: FactorChange) -> None:
        """Keep a change for the page of its owner; the oldest ones go."""
        table = schema.factor_changes
        mine = select(table.c.number).where(table.c.subject == subject).order_by(table.c.number.desc())

        def work(connection: Connection) -> None:
            connection.execute(insert(table).values(subject=subject, **asdict(change)))
            connection.execute(delete(table).where(table.c.number.in_(mine.offset(MAX_CHANGES).limit(MAX_CHANGES))))

        await self._store.carry_out(work)

    async def changes(self, subject: str) -> tuple[FactorChange, ...]:
        """The last changes, newest first."""
        table = schema.factor_changes
        query = select(table).where(table.c.subject == subject).order_by(table.c.number.desc()).limit(MAX_CHANGES)
        rows = await self._store.carry_out(lambda c: c.execute(query).all())
        return tuple(FactorChange(at_us=row.at_us, what=row.what, source=row.source) for row in rows)


def _passkey(row: Any) -> Passkey:
    return Passkey(**{**row._asdict(), "is_synced": bool(row.is_synced)})
