"""The pool on real PostgreSQL: results, transactions, and what a broken connection looks like to a caller."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from callboard.errors import Invalid, StartError, StoreError, Unavailable
from callboard.store.database import DEADLOCKS, Database, Deadlock
from callboard.store.embedded import EmbeddedPostgres


async def within(seconds: float, awaitable: Awaitable[object]) -> None:
    async with asyncio.timeout(seconds):
        await awaitable


async def test_results_and_json_as_text(database: Database) -> None:
    assert await database.execute("create table t (n integer, j jsonb)") == "CREATE TABLE"
    assert await database.execute("insert into t values ($1, $2), (2, null)", 1, '{"a": 1}') == "INSERT 0 2"
    assert [tuple(row) for row in await database.fetch("select * from t order by n")] == [
        (1, '{"a": 1}'),
        (2, None),
    ]
    row = await database.fetchrow("select j from t where n = 1")
    assert row is not None
    assert row["j"] == '{"a": 1}'
    assert await database.fetchrow("select j from t where n = 3") is None
    assert await database.fetchval("select max(n) from t") == 2


async def test_transaction_commits_or_rolls_back_whole(database: Database) -> None:
    await database.execute("create table t (n integer)")

    async def insert(number: int, error: Exception | None) -> None:
        async with database.transaction() as queries:
            await queries.execute("insert into t values ($1)", number)
            assert await queries.fetchval("select count(*) from t where n = $1", number) == 1
            if error is not None:
                raise error

    await insert(1, None)
    with pytest.raises(LookupError):
        await insert(2, LookupError())
    assert [row["n"] for row in await database.fetch("select n from t")] == [1]


async def test_nothing_runs_on_a_transaction_that_has_ended(database: Database) -> None:
    async with database.transaction() as queries:
        await queries.execute("select 1")
    with pytest.raises(AttributeError):
        await queries.execute("select 1")


async def test_error_of_the_caller_passes_a_transaction_unchanged(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction():
            raise FileNotFoundError("the caller's own")

    with pytest.raises(FileNotFoundError):
        await fail()


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        ("select * from nowhere", ()),
        ("select 1 / 0", ()),
        ("select $1::integer", ("text",)),
        ("insert into callboard.people (id) values ('a'), ('a')", ()),
    ],
)
async def test_refused_statement_is_a_store_error_without_its_values(
    database: Database, statement: str, arguments: tuple[object, ...]
) -> None:
    with pytest.raises(StoreError) as error:
        await database.fetch(statement, *arguments)
    assert "text" not in error.value.message.split(":")[1]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_text_that_postgresql_cannot_hold_is_invalid(database: Database, text: str) -> None:
    with pytest.raises(Invalid):
        await database.fetchval("select $1::text", text)


async def test_json_with_nul_is_invalid(database: Database) -> None:
    with pytest.raises(Invalid):
        await database.fetchval("select $1::jsonb", '{"a": "\\u0000"}')


async def test_terminated_connection_is_unavailable_once_and_then_replaced(dsn: str) -> None:
    database = await Database.open(dsn, min_size=1, max_size=1)
    with pytest.raises(Unavailable):
        await database.fetchval("select pg_terminate_backend(pg_backend_pid())")
    assert await database.fetchval("select 1") == 1
    await database.close()


async def test_connection_terminated_in_a_transaction_is_unavailable_and_rolled_back(dsn: str) -> None:
    database = await Database.open(dsn, min_size=1, max_size=1)
    await database.execute("create table t (n integer)")

    async def insert() -> None:
        async with database.transaction() as queries:
            await queries.execute("insert into t values (1)")
            await queries.execute("select pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Unavailable):
        await insert()
    assert await database.fetchval("select count(*) from t") == 0
    await database.close()


async def test_connection_lost_while_idle_in_a_transaction_is_unavailable(dsn: str, database: Database) -> None:
    other = await Database.open(dsn, min_size=1, max_size=1)

    async def commit_on_a_dead_connection() -> None:
        async with other.transaction() as queries:
            pid = await queries.fetchval("select pg_backend_pid()")
            await database.fetchval("select pg_terminate_backend($1, 10000)", pid)

    with pytest.raises(Unavailable):
        await commit_on_a_dead_connection()
    assert await other.fetchval("select 1") == 1
    await other.close()


async def test_no_free_connection_is_unavailable_within_a_second_or_so(dsn: str) -> None:
    database = await Database.open(dsn, min_size=1, max_size=1)
    async with database.transaction():
        with pytest.raises(Unavailable) as error:
            await within(5, database.fetchval("select 1"))
    assert error.value.retry_after == 1
    assert await database.fetchval("select 1") == 1
    await database.close()


async def test_a_deadlock_of_transactions_is_unavailable(dsn: str, database: Database) -> None:
    await database.execute("create table t (n integer primary key); insert into t values (1), (2)")
    both_hold = asyncio.Barrier(2)

    async def update(first: int, second: int) -> None:
        async with database.transaction() as queries:
            await queries.execute("update t set n = n where n = $1", first)
            await both_hold.wait()
            await queries.execute("update t set n = n where n = $1", second)

    results = await asyncio.gather(update(1, 2), update(2, 1), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Deadlock", "NoneType"]
    assert issubclass(Deadlock, Unavailable)


@pytest.mark.parametrize("deadlocks", [0, 2, 3])
async def test_a_statement_that_a_deadlock_undid_is_done_again(database: Database, deadlocks: int) -> None:
    await database.execute("create table t (n integer); create sequence tries")
    undone = "if nextval('tries') <= %d then raise exception using errcode = '40P01'; end if"
    statement = f"do $$ begin insert into t values (1); {undone % deadlocks}; end $$"
    if deadlocks < DEADLOCKS:
        await database.execute(statement)
    else:
        with pytest.raises(Unavailable):
            await database.execute(statement)
    assert await database.fetchval("select count(*) from t") == (deadlocks < DEADLOCKS)
    assert await database.fetchval("select last_value from tries") == min(deadlocks + 1, DEADLOCKS)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose sockets keep their place: under a long path each start gives them another one."""
    with tempfile.TemporaryDirectory(prefix="callboard-") as directory:
        yield Path(directory)


async def test_stopped_server_is_unavailable_in_about_a_second_and_comes_back(short_path: Path) -> None:
    server = EmbeddedPostgres(short_path / "data", settings={"fsync": "off"})
    database = await Database.open(await server.start(), min_size=2, max_size=4)
    await server.stop()
    for _ in range(4):
        with pytest.raises(Unavailable):
            await within(3, database.fetchval("select 1"))

    async def begin() -> None:
        async with database.transaction() as queries:
            await queries.fetchval("select 1")

    with pytest.raises(Unavailable):
        await within(3, begin())
    await server.start()
    assert await database.fetchval("select 1") == 1
    await database.close()
    await server.stop()


async def test_closed_pool_is_unavailable(dsn: str) -> None:
    database = await Database.open(dsn)
    await database.close()
    with pytest.raises(Unavailable):
        await database.fetchval("select 1")


async def test_close_does_not_wait_for_ever(dsn: str) -> None:
    database = await Database.open(dsn, min_size=1, max_size=1)

    async def outlive() -> None:
        async with database.transaction():
            await within(10, database.close(timeout=0.05))

    with pytest.raises(Unavailable):
        await outlive()


@pytest.mark.parametrize("ask", ["fetch", "fetchrow", "fetchval", "execute"])
async def test_a_connection_that_is_ended_between_two_steps_of_a_statement_is_a_lost_one(
    database: Database, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    """It was prepared, and before it is run somebody gives the database up."""
    prepare = vars(asyncpg.Connection)["_get_statement"]

    async def prepare_and_end(self: asyncpg.Connection, *args: object, **kwargs: object) -> object:
        statement = await prepare(self, *args, **kwargs)
        self.terminate()
        return statement

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "_get_statement", prepare_and_end)
        with pytest.raises(Unavailable):
            await getattr(database, ask)("select $1::integer", 1)
    assert await database.fetchval("select 1") == 1


async def test_an_attribute_that_is_missing_otherwise_is_a_defect(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: asyncpg.Connection, *args: object, **kwargs: object) -> object:
        raise AttributeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "_get_statement", fail)
        with pytest.raises(AttributeError, match="a defect"):
            await database.fetchval("select $1::integer", 1)
    assert await database.fetchval("select 1") == 1


@contextmanager
def frozen(postmaster: int) -> Iterator[None]:
    """Stops every process of a PostgreSQL server, as a machine that is suspended: it keeps its sockets, silently."""
    parents = {int(path.name): path / "stat" for path in Path("/proc").iterdir() if path.name.isdigit()}
    pids = [postmaster]
    for pid, stat in parents.items():
        with suppress(OSError):  # it has ended
            if int(stat.read_text().rpartition(")")[2].split()[1]) == postmaster:
                pids.append(pid)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_whoever_waits_for_a_database_that_froze_is_told_within_a_second(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "data", settings={"fsync": "off"})
    database = await Database.open(await postgres.start())
    postmaster = int((tmp_path / "data" / "postgres" / "postmaster.pid").read_text().split()[0])
    try:
        await database.fetchval("select pg_sleep(1)")  # is slow, and answers
        with capture_logs() as lines:
            with frozen(postmaster):
                begun = time.monotonic()
                waiting = [asyncio.create_task(database.fetchval("select 1")) for _ in range(4)]
                ended = await asyncio.gather(*waiting, return_exceptions=True)
                assert [type(each) for each in ended] == [Unavailable] * 4
                assert time.monotonic() - begun < 5  # and not the 12 of a lost network
                for _ in range(100):  # by now nobody waits
                    with pytest.raises(Unavailable):
                        await database.fetchval("select 1")
            async with asyncio.timeout(30):
                while [line["event"] for line in lines][-1] != "database.answers":
                    await asyncio.sleep(0)
            assert await database.fetchval("select 1") == 1
        assert [line["event"] for line in lines] == ["database.frozen", "database.answers"]
    finally:
        await database.close()
        await postgres.stop()


@pytest.mark.parametrize("broken", ["postgresql://nobody@127.0.0.1:1/none", "not a dsn"])
async def test_database_that_cannot_be_reached_stops_the_start(broken: str) -> None:
    with pytest.raises(StartError):
        await Database.open(broken)


async def test_statement_has_a_timeout(database: Database) -> None:
    assert await database.fetchval("show statement_timeout") == "10s"

    async def take_too_long() -> None:
        async with database.transaction() as queries:
            await queries.execute("set local statement_timeout = '20ms'")
            await queries.execute("select pg_sleep(60)")

    with pytest.raises(Unavailable):
        await take_too_long()


async def test_uuid_v7_sorts_by_time_and_has_its_version_and_variant(database: Database) -> None:
    before = await database.fetchval("select callboard.uuid_v7()")
    milliseconds = await database.fetchval("select (extract(epoch from clock_timestamp()) * 1000)::bigint")
    assert before.version == 7
    assert before.variant == "specified in RFC 4122"
    assert abs((before.int >> 80) - milliseconds) < 60_000
    assert await database.fetchval("select callboard.uuid_v7()") != before


async def test_updated_at_is_kept_by_trigger(database: Database) -> None:
    await database.execute("insert into callboard.people (id) values ('u1')")
    await database.execute("update callboard.people set name = 'Mira', updated_at = '2000-01-01'")
    assert await database.fetchval("select updated_at > created_at from callboard.people")


async def test_publish_needs_no_right_on_the_tables(dsn: str, database: Database, postgres: EmbeddedPostgres) -> None:
    name = await database.fetchval("select current_database()")
    admin = await asyncpg.connect(postgres.dsn(name, role="postgres"))
    await admin.execute("create role host; grant usage on schema callboard to host; set role host")
    try:
        await admin.execute("select callboard.publish('{user:u1}', 'n', '{}')")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await admin.execute(
                "insert into callboard.outbox (namespace, rooms, name, payload) values ('/', '{a}', 'n', '')"
            )
    finally:
        await admin.execute("reset role; revoke all on schema callboard from host; drop role host")
        await admin.close()
    assert await database.fetchval("select count(*) from callboard.outbox") == 1


async def test_uuid_v7_keeps_the_order_within_a_millisecond(database: Database) -> None:
    async with database.transaction() as queries:
        ids = [await queries.fetchval("select callboard.uuid_v7()") for _ in range(300)]
    assert ids == sorted(ids)
    assert {(id_.version, id_.variant) for id_ in ids} == {(7, "specified in RFC 4122")}
