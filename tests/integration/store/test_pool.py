"""Who gets which connection: one that was used well is at hand, any other goes the long way, and none is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import asyncpg
import pytest

from callboard.store import pool as module
from callboard.store.database import Database
from callboard.store.pool import LENT_FOR, Pool, lost


async def ended(connections: list[Any], database: Database) -> None:
    """End the server's side of connections, and wait until ours has noticed."""
    for connection in connections:
        await database.fetchval("select pg_terminate_backend($1, 10000)", connection.get_server_pid())
    async with asyncio.timeout(10):
        while not all(lost(connection) for connection in connections):
            await asyncio.sleep(0)


async def under_way(database: Database, pid: int) -> None:
    """Wait until a statement sleeps in the server process `pid`."""
    asked = "select exists (select from pg_stat_activity where pid = $1 and wait_event = 'PgSleep')"
    async with asyncio.timeout(10):
        while not await database.fetchval(asked, pid):
            pass


async def cancelled_asleep(work: Coroutine[Any, Any, object], database: Database, pid: int) -> None:
    """Begin the work, and cancel it while its statement sleeps in the server process `pid`."""
    task = asyncio.create_task(work)
    await under_way(database, pid)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_connection_that_was_used_last_is_used_next(dsn: str) -> None:
    pool = await Pool.open(dsn, min_size=2, max_size=2)
    first, second = await pool.acquire(), await pool.acquire()
    await pool.release(first, well=True)
    await pool.release(second, well=True)
    assert await pool.acquire() is second
    assert await pool.acquire() is first
    await pool.release(first, well=True)
    await pool.release(second, well=True)
    await pool.close()


async def test_connections_that_broke_at_hand_are_replaced_and_nobody_meets_them(dsn: str, database: Database) -> None:
    pool = await Pool.open(dsn, min_size=3, max_size=3)
    broken = [await pool.acquire() for _ in range(3)]
    for connection in broken:
        await pool.release(connection, well=True)
    await ended(broken, database)
    replaced = [await pool.acquire() for _ in range(3)]
    assert [await connection.fetchval("select 1") for connection in replaced] == [1, 1, 1]
    for connection in replaced:
        await pool.release(connection, well=True)
    await pool.close()


async def test_one_that_broke_in_use_gives_its_place_to_another(dsn: str, database: Database) -> None:
    pool = await Pool.open(dsn, min_size=1, max_size=1)
    connection = await pool.acquire()
    await ended([connection], database)
    await pool.release(connection, well=True)
    other = await pool.acquire()
    assert await other.fetchval("select 1") == 1
    await pool.release(other, well=False)
    await pool.close()


async def pids_of(pool: Pool, uses: int) -> Counter[int]:
    """How often each server process served, of so many uses one after another."""
    pids: Counter[int] = Counter()
    for _ in range(uses):
        connection = await pool.acquire()
        pids[await connection.fetchval("select pg_backend_pid()")] += 1
        await pool.release(connection, well=True)
    return pids


async def test_a_connection_that_has_had_its_statements_is_replaced(dsn: str) -> None:
    pool = await Pool.open(dsn, min_size=1, max_size=1, max_statements=LENT_FOR)
    pids = await pids_of(pool, 2 * LENT_FOR + 2)
    assert len(pids) == 3
    assert max(pids.values()) <= LENT_FOR + 1
    await pool.close()


async def test_a_connection_that_has_not_is_kept_however_often_it_was_looked_at(dsn: str) -> None:
    pool = await Pool.open(dsn, min_size=1, max_size=1)
    assert len(await pids_of(pool, 2 * LENT_FOR + 2)) == 1
    await pool.close()


async def test_a_connection_whose_end_the_server_does_not_answer_is_waited_for_no_longer_than_any(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    pool = await Pool.open(dsn, min_size=1, max_size=1)
    await pids_of(pool, LENT_FOR)
    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Pool, "release", never)
        patched.setattr(module, "ACQUIRE_TIMEOUT", 0)
        with pytest.raises(TimeoutError):
            await pool.acquire()
    pool.terminate()


async def test_many_at_once_share_what_connections_there_may_be(dsn: str) -> None:
    database = await Database.open(dsn, min_size=1, max_size=2)
    pids = await asyncio.gather(*(database.fetchval("select pg_backend_pid()") for _ in range(40)))
    assert len(set(pids)) <= 2
    await database.close()


async def test_whoever_waits_gets_the_connection_that_becomes_free(dsn: str) -> None:
    pool = await Pool.open(dsn, min_size=1, max_size=1)
    connection = await pool.acquire()
    waiting = [asyncio.create_task(pool.acquire()) for _ in range(2)]
    await asyncio.sleep(0)
    for each in waiting:
        pid = connection.get_server_pid()
        await pool.release(connection, well=True)
        connection = await each
        assert connection.get_server_pid() == pid
    await pool.release(connection, well=True)
    await pool.close()


async def test_the_connection_of_a_cancelled_statement_is_free_when_that_has_ended(
    dsn: str, database: Database
) -> None:
    other = await Database.open(dsn, min_size=1, max_size=1)
    pid = await other.fetchval("select pg_backend_pid()")
    await cancelled_asleep(other.fetchval("select pg_sleep(60)"), database, pid)
    async with asyncio.timeout(10):
        assert await other.fetchval("select pg_backend_pid()") == pid
        await other.close()


async def test_a_transaction_that_is_cancelled_is_rolled_back_before_its_connection_is_used_again(
    dsn: str, database: Database
) -> None:
    other = await Database.open(dsn, min_size=1, max_size=1)
    pid = await other.fetchval("select pg_backend_pid()")
    await other.execute("create table t (n integer)")

    async def insert() -> None:
        async with other.transaction() as queries:
            await queries.execute("insert into t values (1)")
            await queries.execute("select pg_sleep(60)")

    await cancelled_asleep(insert(), database, pid)
    async with asyncio.timeout(10):
        assert await other.fetchval("select count(*) from t") == 0
        await other.close()


async def test_cancelled_while_waiting_for_a_connection_takes_none(dsn: str) -> None:
    pool = await Pool.open(dsn, min_size=1, max_size=1)
    connection = await pool.acquire()
    waiting = [asyncio.create_task(pool.acquire()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.wait(waiting)
    await pool.release(connection, well=True)
    assert await pool.acquire() is connection
    await pool.release(connection, well=True)
    async with asyncio.timeout(10):
        await pool.close()


@pytest.mark.parametrize("turns", range(8))
async def test_cancelled_about_when_it_gets_one_takes_none(dsn: str, turns: int) -> None:
    pool = await Pool.open(dsn, min_size=1, max_size=1)
    connection = await pool.acquire()
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    releasing = asyncio.create_task(pool.release(connection, well=True))
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting, releasing})
    if not waiting.cancelled():
        await pool.release(waiting.result(), well=True)
    async with asyncio.timeout(10):
        await pool.release(await pool.acquire(), well=True)
        await pool.close()


async def use_until_closed(pool: Pool) -> None:
    while True:
        connection = await pool.acquire()
        await connection.fetchval("select 1")
        await pool.release(connection, well=True)


async def test_close_waits_for_those_in_use_and_ends_those_at_hand_too(dsn: str, database: Database) -> None:
    pool = await Pool.open(dsn, min_size=3, max_size=3)
    connections = [await pool.acquire() for _ in range(3)]
    pids = [connection.get_server_pid() for connection in connections]
    for connection in connections[1:]:
        await pool.release(connection, well=True)
    closing = asyncio.create_task(pool.close())
    async with asyncio.timeout(10):
        with pytest.raises(asyncpg.InterfaceError):
            await use_until_closed(pool)
        assert await connections[0].fetchval("select 1") == 1
        assert not closing.done()
        await pool.release(connections[0], well=True)
        await closing
        while await database.fetchval("select exists (select from pg_stat_activity where pid = any ($1))", pids):
            pass
