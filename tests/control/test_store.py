import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from penstock.control import Store, schema
from penstock.control.isolation_store import forget_isolation, keep_isolation, kept_isolations
from penstock.control.rows import IsolatedKind, Isolation
from penstock.control.store import GRANT_REST_US, MAX_GRANT_NUMBER
from penstock.identity import Attempts
from penstock.model import Invalid, Unavailable

MIGRATIONS = Path(__file__).parents[2] / "penstock/control/migrations"


@pytest.fixture
def path(tmp_path: Path, template: Path) -> Path:
    copy = tmp_path / "state.db"
    copy.write_bytes(template.read_bytes())
    return copy


def on(path: Path, scenario: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        store = Store(path)
        await store.open()
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(run())


def occupy(path: Path, number: int, closed_at_us: int | None) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "insert into grants (number, body, boot, closed_at_us) values (?, '{}', 'b', ?)", (number, closed_at_us)
        )
    connection.close()


def test_migrations_make_exactly_the_schema_that_the_code_knows(template: Path) -> None:
    engine = create_engine(f"sqlite:///{template}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [schema.SCHEMA_VERSION]


def test_every_table_is_strict_and_every_commit_reaches_the_disk(path: Path) -> None:
    async def scenario(store: Store) -> None:
        def look(connection: Any) -> tuple[Any, Any, list[Any]]:
            run = connection.exec_driver_sql
            return (
                run("pragma journal_mode").scalar(),
                run("pragma synchronous").scalar(),
                run(
                    "select name, strict from pragma_table_list where schema = 'main' and name not like 'sqlite_%'"
                ).all(),
            )

        mode, synchronous, tables = await store._run(look)
        assert (mode, synchronous) == ("wal", 2)
        ours = {name: strict for name, strict in tables if name != "alembic_version"}
        assert set(ours) == set(schema.metadata.tables)
        assert set(ours.values()) == {1}

    on(path, scenario)


def test_a_database_of_another_release_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    connection.close()

    async def open_it() -> None:
        store = Store(path)
        with pytest.raises(Unavailable, match="schema 9999"):
            await store.open()
        await store.close()

    asyncio.run(open_it())


def test_a_database_of_an_earlier_release_is_brought_up_with_all_that_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    occupy(path, 7, 5)

    async def look(store: Store) -> None:
        assert await store._run(lambda c: c.exec_driver_sql("select number from grants").scalar_one()) == 7
        assert await kept_isolations(store) == ()

    on(path, look)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


def test_an_isolation_is_kept_whole_once_each_thing_and_gone_when_released(path: Path) -> None:
    first = Isolation(
        kind=IsolatedKind.ZONE,
        name="filtration",
        since_us=7,
        by="uid 0",
        reason="ransom \N{EM DASH} 'quoted'",
        networks=("10.20.10.0/24", "10.20.11.5"),
        even_safety_critical=True,
    )
    site = Isolation(kind=IsolatedKind.SITE, name="riverside-water", since_us=9, by="uid 0", reason="x")

    async def scenario(store: Store) -> None:
        await keep_isolation(store, site)
        await keep_isolation(store, first)
        await keep_isolation(store, replace(site, even_safety_critical=True))
        assert await kept_isolations(store) == (first, replace(site, even_safety_critical=True))
        await forget_isolation(store, IsolatedKind.ZONE, "filtration")
        await forget_isolation(store, IsolatedKind.ASSET, "riverside-water")
        assert [each.kind for each in await kept_isolations(store)] == [IsolatedKind.SITE]

    on(path, scenario)


def test_a_new_database_is_readable_by_the_gates_own_user_only(tmp_path: Path) -> None:
    async def nothing(_store: Store) -> None:
        return

    on(tmp_path / "new/state.db", nothing)
    assert (tmp_path / "new/state.db").stat().st_mode & 0o777 == 0o600


def test_grant_numbers_go_round_and_leave_out_those_that_live_or_rest(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("insert into counters values ('grant', ?)", (MAX_GRANT_NUMBER - 1,))
    connection.close()
    occupy(path, 1, None)
    occupy(path, 2, 1000)

    async def scenario(store: Store) -> None:
        assert await store.next_grant_numbers(2) == (MAX_GRANT_NUMBER, 3)
        assert await store.next_grant_numbers() == (4,)
        assert await store.next_grant_numbers(0) == ()

    on(path, scenario)


def test_a_closed_number_rests_for_six_days(path: Path) -> None:
    occupy(path, 1, 1000)

    async def scenario(store: Store) -> None:
        await store.forget_old(1000 + GRANT_REST_US)
        assert await store.next_grant_numbers() == (2,)
        await store.forget_old(1001 + GRANT_REST_US)
        occupy_free = await store._run(lambda c: c.exec_driver_sql("select count(*) from grants").scalar())
        assert occupy_free == 0

    on(path, scenario)


def test_a_used_time_step_is_used_for_good(path: Path) -> None:
    async def scenario(store: Store) -> None:
        await store.add_subject("ada", frozenset(), 1)
        assert await store.accept_step("ada", 10)
        assert not await store.accept_step("ada", 10)
        assert not await store.accept_step("ada", 9)
        assert await store.accept_step("ada", 11)

    on(path, scenario)


def test_counters_of_failures_survive_and_disappear(path: Path) -> None:
    async def scenario(store: Store) -> None:
        seven = Attempts(failures=7, last_at_us=5, until_us=9)
        assert await store.change_attempts("account:ada", lambda _: seven) == (Attempts(), seven)
        assert await store.change_attempts("account:ada", lambda found: found) == (seven, seven)
        assert await store.change_attempts("account:ada", lambda _: None) == (seven, None)
        assert (await store.change_attempts("account:ada", lambda found: found))[0] == Attempts()

    on(path, scenario)


def test_a_name_is_taken_once(path: Path) -> None:
    async def scenario(store: Store) -> None:
        await store.add_subject("ada", frozenset({"a"}), 1)
        with pytest.raises(Invalid, match="already"):
            await store.add_subject("ada", frozenset(), 1)

    on(path, scenario)


def test_a_silent_database_is_unavailable_not_a_crash(path: Path) -> None:
    async def scenario(store: Store) -> None:
        with sqlite3.connect(path) as other:
            other.execute("drop table counters")
        other.close()
        with pytest.raises(Unavailable, match="state database"):
            await store.next_grant_numbers()

    on(path, scenario)
