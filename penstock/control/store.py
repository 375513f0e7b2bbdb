"""I/O: the one door to the state database.  SQLAlchemy Core on SQLite: WAL, synchronous=FULL, STRICT, one connection.

Every method is one transaction on one worker thread, durable when it returns; times come in as arguments.  No decision
ever waits for it: control decides on `state`.  It must never hold a token, a password or a code: only their hashes.

One connection writes, reads and checkpoints, because SQLite before 3.51.3 can damage a WAL that two connections reset
at once (see docs/decisions/0005-state-store.md).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from penstock.control import counting, schema
from penstock.control.rows import ActiveSignIn, LiveGrant, SignInKind, StoredRevision, StoredSubject
from penstock.control.sign_in_rows import sign_in_of, sign_in_values, stored_subject
from penstock.identity import Account, Attempts, Enrolment
from penstock.model import LOCAL, Grant, Invalid, Problem, Unavailable

T = TypeVar("T")

MAX_GRANT_NUMBER = 0xFF_FFFF
#: A closed grant's number rests for six days: conntrack keeps an established connection for five (432,000 s).
GRANT_REST_US = 6 * 86_400 * 1_000_000
_MIGRATIONS = Path(__file__).with_name("migrations")
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "mmap_size=0", "cache_size=-2048")

_CHANGING = ("sign_in", "body", "ends_steady_us", "limit_steady_us", "boot", "session_at_us")
_CLOSE = (
    update(schema.grants)
    .where(schema.grants.c.number == bindparam("ended"))
    .values(closed_at_us=bindparam("at_us", type_=schema.Number))
)


class Store:
    """The state of one gate, in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "penstock-store")
        self._engine: Engine | None = None

    async def open(self) -> None:
        """Open the database; make it when there is none.  Raises `Unavailable`, also on a schema of another version."""
        await self._on_thread(self._open)

    async def close(self) -> None:
        """Close the database."""
        if self._engine is not None:
            await self._on_thread(self._engine.dispose)
        self._thread.shutdown()

    # --- accounts and enrolments: what penstock.identity asks for

    async def account(self, name: str) -> Account | None:
        """The account of that name."""

        def read(connection: Connection) -> Account | None:
            row = connection.execute(select(schema.subjects).where(schema.subjects.c.name == name)).one_or_none()
            return None if row is None else _account(row)

        return await self._run(read)

    async def set_password_hash(self, name: str, password_hash: str) -> None:
        """Replace the hash, after a change of its parameters."""
        table = schema.subjects
        await self._run(
            lambda c: c.execute(update(table).where(table.c.name == name).values(password_hash=password_hash))
        )

    async def accept_step(self, name: str, step: int) -> bool:
        """Remember the one-time step as used; ``False`` when it or a later one was used already."""
        table = schema.subjects
        change = update(table).where(table.c.name == name, table.c.last_step < step).values(last_step=step)
        return await self._run(lambda c: c.execute(change).rowcount == 1)

    async def change_attempts(
        self, key: str, change: Callable[[Attempts], Attempts | None]
    ) -> tuple[Attempts, Attempts | None]:
        """Read, change and write a counter of failed sign-ins; ``None`` removes it.  Answers before and after."""
        return await self._run(lambda connection: counting.change(connection, key, change))

    async def stations(self) -> tuple[tuple[str, str, int], ...]:
        """Every account, an address that it is known from, and since when."""
        return await self._run(counting.stations)

    async def put_station(self, name: str, address: str, at_us: int, forgotten: tuple[str, ...]) -> None:
        """An account is known from this address, and no more from `forgotten`."""
        await self._run(lambda connection: counting.put_station(connection, name, address, at_us, forgotten))

    async def drop_stations(self, name: str) -> None:
        """An account is known from nowhere."""
        await self._run(lambda connection: counting.drop_stations(connection, name))

    async def add_enrolment(self, enrolment: Enrolment) -> None:
        """Open an enrolment; an earlier one of the same subject ends."""
        table = schema.enrolments

        def work(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.subject == enrolment.subject))
            connection.execute(
                insert(table).values(
                    code_hash=enrolment.code_hash,
                    subject=enrolment.subject,
                    expires_at_us=enrolment.expires_at_us,
                    totp_sealed=enrolment.totp_sealed,
                )
            )

        await self._run(work)

    async def enrolment(self, code_hash: str, now_us: int) -> Enrolment | None:
        """The open enrolment with that code, unless it has expired."""
        table = schema.enrolments
        query = select(table).where(table.c.code_hash == code_hash, table.c.expires_at_us > now_us)
        row = await self._run(lambda c: c.execute(query).one_or_none())
        return None if row is None else Enrolment(**row._asdict())

    async def set_enrolment_secret(self, code_hash: str, totp_sealed: bytes) -> None:
        """Keep the secret that was just shown."""
        table = schema.enrolments
        change = update(table).where(table.c.code_hash == code_hash).values(totp_sealed=totp_sealed)
        await self._run(lambda c: c.execute(change))

    async def finish_enrolment(self, enrolment: Enrolment, password_hash: str | None, step: int, now_us: int) -> bool:
        """Give the account its password and secret and use up the code; ``False`` when it was used up already."""
        table, people = schema.enrolments, schema.subjects

        def work(connection: Connection) -> bool:
            spent = delete(table).where(
                table.c.code_hash == enrolment.code_hash, table.c.totp_sealed == enrolment.totp_sealed
            )
            if connection.execute(spent).rowcount != 1:
                return False
            connection.execute(
                update(people)
                .where(people.c.name == enrolment.subject)
                .values(
                    password_hash=password_hash,
                    totp_sealed=enrolment.totp_sealed,
                    last_step=step,
                    enrolled_at_us=func.coalesce(people.c.enrolled_at_us, now_us),
                )
            )
            for held in (schema.passkeys, schema.recovery_codes):  # whoever lost one authenticator starts anew
                connection.execute(delete(held).where(held.c.subject == enrolment.subject))
            return True

        return await self._run(work)

    # --- subjects

    async def check_free(self, name: str) -> None:
        """Raises `Invalid` when the name is taken."""
        if await self.account(name) is not None:
            raise Invalid(Problem(where="name", why=f"there is a subject {name} already", hint="take another name"))

    async def add_subject(self, name: str, groups: frozenset[str], now_us: int) -> None:
        """Add a subject that has yet to enrol.  Raises `Invalid` when the name is taken."""
        table = schema.subjects

        def work(connection: Connection) -> None:
            if connection.execute(select(table.c.name).where(table.c.name == name)).one_or_none() is not None:
                raise Invalid(Problem(where="name", why=f"there is a subject {name} already", hint="take another name"))
            connection.execute(
                insert(table).values(
                    name=name, groups=_json(sorted(groups)), is_suspended=0, last_step=-1, added_at_us=now_us
                )
            )

        await self._run(work)

    async def subjects(self) -> tuple[StoredSubject, ...]:
        """Every subject, by name."""
        table = schema.subjects
        rows = await self._run(lambda c: c.execute(select(table).order_by(table.c.name)).all())
        return tuple(stored_subject(row) for row in rows)

    async def set_suspended(self, name: str, *, is_suspended: bool) -> bool:
        """Suspend, with every sign-in, or resume a subject; ``False`` when there is none of that name."""
        table, sign_ins = schema.subjects, schema.sign_ins

        def work(connection: Connection) -> bool:
            if is_suspended:
                connection.execute(delete(sign_ins).where(sign_ins.c.subject == name))
            change = update(table).where(table.c.name == name).values(is_suspended=int(is_suspended))
            return connection.execute(change).rowcount == 1

        return await self._run(work)

    # --- sign-ins

    async def add_sign_in(self, sign_in: ActiveSignIn) -> bool:
        """Keep a sign-in; ``False`` when its subject is suspended by now."""
        people = schema.subjects
        suspended = select(people.c.is_suspended).where(people.c.name == sign_in.subject.name)
        values = sign_in_values(sign_in)

        def work(connection: Connection) -> bool:
            if connection.execute(suspended).scalar_one_or_none():
                return False
            connection.execute(insert(schema.sign_ins).values(**values))
            return True

        return await self._run(work)

    async def change_sign_in(self, sign_in: ActiveSignIn) -> None:
        """Keep what has changed about a sign-in."""
        table = schema.sign_ins
        change = update(table).where(table.c.token_hash == sign_in.token_hash).values(**sign_in_values(sign_in))
        await self._run(lambda c: c.execute(change))

    async def leave_sign_in(self, token_hash: str) -> None:
        """Keep that a portal was left alone."""
        table = schema.sign_ins
        change = update(table).where(table.c.token_hash == token_hash).values(kind=SignInKind.LEFT.value)
        await self._run(lambda c: c.execute(change))

    async def sign_ins(self) -> tuple[ActiveSignIn, ...]:
        """Every sign-in that was not ended, with the groups that its subject has now; suspended subjects have none."""
        table, people = schema.sign_ins, schema.subjects
        is_in = (people.c.is_suspended == 0, people.c.ends_at_us.is_not(0))
        query = select(table, people.c.groups).join(people).where(*is_in)
        return tuple(sign_in_of(row) for row in await self._run(lambda c: c.execute(query).all()))

    async def remove_sign_ins(self, token_hashes: tuple[str, ...]) -> None:
        """Forget sign-ins that ended."""
        table = schema.sign_ins
        await self._run(lambda c: c.execute(delete(table).where(table.c.token_hash.in_(token_hashes))))

    # --- revisions

    async def add_revision(self, revision: StoredRevision) -> None:
        """Keep an accepted revision.  Numbers only grow."""
        values = {
            "number": revision.number,
            "documents": _json(revision.documents),
            "accepted_at_us": revision.accepted_at_us,
            "accepted_by": revision.accepted_by,
        }
        await self._run(lambda c: c.execute(insert(schema.revisions).values(**values)))

    async def next_revision_number(self) -> int:
        """A number that no revision had, accepted or not."""

        def work(connection: Connection) -> int:
            number = _counter(connection, "revision") + 1
            _set_counter(connection, "revision", number)
            return number

        return await self._run(work)

    async def remove_revision(self, number: int) -> None:
        """Take back a revision that could not be put in force."""
        table = schema.revisions
        await self._run(lambda c: c.execute(delete(table).where(table.c.number == number)))

    async def last_revision(self) -> StoredRevision | None:
        """The revision in force, or ``None`` before the first."""
        found = await self.revisions(1)
        return found[0] if found else None

    async def revisions(self, limit: int = 100) -> tuple[StoredRevision, ...]:
        """The last `limit` revisions, newest first."""
        query = select(schema.revisions).order_by(schema.revisions.c.number.desc()).limit(limit)
        rows = await self._run(lambda c: c.execute(query).all())
        return tuple(StoredRevision(**{**row._asdict(), "documents": json.loads(row.documents)}) for row in rows)

    # --- grants

    async def next_grant_numbers(self, count: int = 1) -> tuple[int, ...]:
        """Numbers that no flow can carry: 1 to 0xFFFFFF in turn, leaving out those that live or rest."""
        taken = schema.grants.c.number

        def work(connection: Connection) -> tuple[int, ...]:
            last = number = _counter(connection, "grant")
            found: list[int] = []
            while len(found) < count:
                number = number % MAX_GRANT_NUMBER + 1
                if connection.execute(select(taken).where(taken == number)).one_or_none() is None:
                    found.append(number)
                if number == last and len(found) < count:
                    raise Unavailable("every grant number lives or rests")
            if found:
                _set_counter(connection, "grant", number)
            return tuple(found)

        return await self._run(work)

    async def put_grants(self, lives: Iterable[LiveGrant]) -> None:
        """Keep grants, or what has changed about them, in one transaction."""
        table = schema.grants
        rows = [
            {
                "number": live.grant.number,
                "sign_in": live.sign_in,
                "body": msgspec.json.encode(live.grant).decode(),
                "ends_steady_us": live.ends_steady_us,
                "limit_steady_us": live.limit_steady_us,
                "boot": live.boot,
                "session_at_us": live.session_at_us,
            }
            for live in lives
        ]
        fresh = sqlite_insert(table)
        changed = {key: fresh.excluded[key] for key in _CHANGING}
        upsert = fresh.on_conflict_do_update(index_elements=[table.c.number], set_=changed)
        if rows:
            await self._run(lambda connection: connection.execute(upsert, rows))

    async def close_grants(self, numbers: tuple[int, ...], now_us: int) -> None:
        """These grants ended, in one transaction; their numbers start to rest."""
        if numbers:
            ended = [{"ended": number, "at_us": now_us} for number in numbers]
            await self._run(lambda c: c.execute(_CLOSE, ended))

    async def live_grants(self) -> tuple[LiveGrant, ...]:
        """Every grant that was not closed, by number."""
        table = schema.grants
        query = select(table).where(table.c.closed_at_us.is_(None)).order_by(table.c.number)
        return tuple(_live(row) for row in await self._run(lambda c: c.execute(query).all()))

    # --- housekeeping

    async def forget_old(self, now_us: int) -> None:
        """Drop rested grant numbers, enrolments that expired, and old failures and stations: see `counting`."""
        grants, enrolments = schema.grants, schema.enrolments

        def work(connection: Connection) -> None:
            connection.execute(delete(grants).where(grants.c.closed_at_us < now_us - GRANT_REST_US))
            connection.execute(delete(enrolments).where(enrolments.c.expires_at_us <= now_us))
            counting.forget_old(connection, now_us)

        await self._run(work)

    async def carry_out(self, work: Callable[[Connection], T]) -> T:
        """One transaction of a door beside this one (`failure_store`, `isolation_store`).  Raises `Unavailable`."""
        return await self._run(work)

    async def _run(self, work: Callable[[Connection], T]) -> T:
        def transaction() -> T:
            if self._engine is None:
                raise Unavailable("the state database is not open")
            with self._engine.begin() as connection:
                return work(connection)

        return await self._on_thread(transaction)

    async def _on_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except SQLAlchemyError as error:
            why = getattr(error, "orig", None) or type(error).__name__  # the engine's own words, without the statement
            raise Unavailable(f"the state database does not answer: {why}") from error

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        engine = create_engine(
            f"sqlite:///{self._path}", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        event.listen(engine, "connect", _set_pragmas)
        with engine.begin() as connection:
            _bring_up(connection, self._path.name)
        self._engine = engine


def _bring_up(connection: Connection, name: str) -> None:
    """Bring the schema up to this release's; refuse one that this release does not know: a later one made it."""
    found = None
    if inspect(connection).get_table_names():
        found = connection.execute(text("select version_num from alembic_version")).scalar_one()
    if found == schema.SCHEMA_VERSION:
        return
    if found is not None and not any(_MIGRATIONS.glob(f"versions/{found}_*.py")):
        raise Unavailable(
            f"{name} has schema {found}, this release knows {schema.SCHEMA_VERSION}; run the release it is of"
        )
    # Alembic costs 10 MB of memory, so it is only loaded where there is something to migrate.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _counter(connection: Connection, name: str) -> int:
    table = schema.counters
    return connection.execute(select(table.c.value).where(table.c.name == name)).scalar_one_or_none() or 0


def _set_counter(connection: Connection, name: str, value: int) -> None:
    table = schema.counters
    if connection.execute(update(table).where(table.c.name == name).values(value=value)).rowcount == 0:
        connection.execute(insert(table).values(name=name, value=value))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _account(row: Any) -> Account:
    return Account(
        name=row.name,
        groups=frozenset(json.loads(row.groups)),
        is_suspended=bool(row.is_suspended),
        password_hash=row.password_hash,
        totp_sealed=row.totp_sealed,
        last_step=row.last_step,
        is_elsewhere=row.source != LOCAL,
    )


def _live(row: Any) -> LiveGrant:
    return LiveGrant(
        grant=msgspec.json.decode(row.body, type=Grant),
        boot=row.boot,
        sign_in=row.sign_in,
        ends_steady_us=row.ends_steady_us,
        session_at_us=row.session_at_us,
        limit_steady_us=row.limit_steady_us,
    )
