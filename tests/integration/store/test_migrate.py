"""Migrations on real PostgreSQL: order, checksums, two starting together, and one that fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from callboard.errors import StartError
from callboard.store.migrate import Migration, load, migrate, pending

# Who may call `callboard.notify`, and what.
ACL = """
select grantee::regrole::text as grantee, privilege_type from pg_proc, aclexplode(proacl)
where proname = 'notify' order by 1
"""


def write(directory: Path, **files: str) -> list[Migration]:
    directory.mkdir(exist_ok=True)
    for name, sql in files.items():
        (directory / f"{name[1:]}.sql").write_text(sql, encoding="utf-8")
    return load(directory)


async def rows(dsn: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_applies_in_order_once_and_only_what_is_missing(empty_dsn: str, tmp_path: Path) -> None:
    first = write(tmp_path / "m", _0001_one="create table callboard.t (n integer)")
    assert [m.version for m in await pending(empty_dsn, first)] == [1]
    assert [m.name for m in await migrate(empty_dsn, first)] == ["one"]
    both = write(tmp_path / "m", _0002_two="insert into callboard.t values (2); insert into callboard.t values (3)")
    assert [m.name for m in await pending(empty_dsn, both)] == ["two"]
    assert [m.name for m in await migrate(empty_dsn, both)] == ["two"]
    assert await migrate(empty_dsn, both) == []
    assert await pending(empty_dsn, both) == []
    assert await rows(empty_dsn, "select n from callboard.t order by n") == [(2,), (3,)]
    assert await rows(empty_dsn, "select version, name from callboard.schema_migrations order by 1") == [
        (1, "one"),
        (2, "two"),
    ]


async def test_pending_changes_nothing(empty_dsn: str) -> None:
    assert [m.version for m in await pending(empty_dsn)] == [m.version for m in load()]
    assert await rows(empty_dsn, "select to_regnamespace('callboard')") == [(None,)]


async def test_failing_migration_leaves_nothing_and_keeps_those_before_it(empty_dsn: str, tmp_path: Path) -> None:
    migrations = write(
        tmp_path / "m",
        _0001_good="create table callboard.good ()",
        _0002_bad="create table callboard.half (); select 1 / 0",
    )
    with pytest.raises(StartError, match=r"0002 \(bad\).*rolled back"):
        await migrate(empty_dsn, migrations)
    assert await rows(empty_dsn, "select to_regclass('callboard.good')::text, to_regclass('callboard.half')::text") == [
        ("callboard.good", None)
    ]
    assert [m.name for m in await pending(empty_dsn, migrations)] == ["bad"]
    mended = write(tmp_path / "m", _0002_bad="create table callboard.half ()")
    assert [m.name for m in await migrate(empty_dsn, mended)] == ["bad"]


async def test_first_migration_that_fails_leaves_no_schema(empty_dsn: str, tmp_path: Path) -> None:
    with pytest.raises(StartError):
        await migrate(empty_dsn, write(tmp_path / "m", _0001_bad="select 1 / 0"))
    assert await rows(empty_dsn, "select to_regnamespace('callboard')") == [(None,)]


@pytest.mark.parametrize("function", [migrate, pending])
async def test_edited_migration_is_refused(empty_dsn: str, tmp_path: Path, function: object) -> None:
    await migrate(empty_dsn, write(tmp_path / "m", _0001_one="create table callboard.t (n integer)"))
    edited = write(tmp_path / "m", _0001_one="create table callboard.t (n bigint)")
    assert callable(function)
    with pytest.raises(StartError, match=r"0001 \(one\) was changed after it was applied"):
        await function(empty_dsn, edited)


@pytest.mark.parametrize("function", [migrate, pending])
async def test_database_newer_than_the_program_is_refused(empty_dsn: str, tmp_path: Path, function: object) -> None:
    both = write(tmp_path / "m", _0001_one="select 1", _0002_two="select 1")
    await migrate(empty_dsn, both)
    assert callable(function)
    with pytest.raises(StartError, match=r"0002 \(two\).*upgrade Callboard"):
        await function(empty_dsn, both[:1])


async def test_nodes_that_start_together_apply_each_migration_once(empty_dsn: str) -> None:
    results = await asyncio.gather(*(migrate(empty_dsn) for _ in range(4)))
    applied = [migration.version for result in results for migration in result]
    assert sorted(applied) == [migration.version for migration in load()]


async def test_unreachable_database_stops_the_start() -> None:
    for function in (migrate, pending):
        with pytest.raises(StartError, match="cannot migrate"):
            await function("postgresql://nobody@127.0.0.1:1/none")


async def test_who_may_notify_is_kept_when_the_function_gets_parameters(empty_dsn: str) -> None:
    await migrate(empty_dsn, load()[:9])
    connection = await asyncpg.connect(empty_dsn)
    try:
        await connection.execute("revoke execute on function callboard.notify from public")
        await connection.execute("grant execute on function callboard.notify to pg_monitor")  # a role that is there
        before = await connection.fetch(ACL)
        assert {"pg_monitor", "-"} & {row["grantee"] for row in before} == {"pg_monitor"}
        await migrate(empty_dsn)
        assert await connection.fetch(ACL) == before
    finally:
        await connection.close()


async def test_anybody_may_notify_unless_somebody_has_said_otherwise(empty_dsn: str) -> None:
    await migrate(empty_dsn)
    assert await rows(empty_dsn, "select proacl from pg_proc where proname = 'notify'") == [(None,)]
