"""The life of the process: how it ends, what a crash leaves, and two on one data directory."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import aiohttp
import asyncpg
import pytest
from tests.integration.serve.kit import WAIT_SECONDS, Server, database, tab, until

from callboard.store.migrate import LOCK as MIGRATION_LOCK

Launch = Callable[..., Server]


async def hold_poll(server: Server, session: aiohttp.ClientSession) -> asyncio.Task[str]:
    """A poll that the server holds."""

    async def get(url: str) -> str:
        async with session.get(url) as answer:
            return await answer.text()

    url = f"{server.url}/socket.io/?EIO=4&transport=polling"
    sid = (await get(url)).split('"sid":"')[1].split('"')[0]
    poll = asyncio.create_task(get(f"{url}&sid={sid}"))
    # It goes out on the connection that is open already, so it is held before a new one is accepted and answered.
    await asyncio.sleep(0)
    async with server.rest() as client:
        assert (await client.get("/healthz")).is_success
    assert not poll.done()
    return poll


@pytest.mark.parametrize(("number", "group"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
async def test_a_signal_ends_everything_in_order(launch: Launch, number: signal.Signals, group: bool) -> None:
    server = launch()
    postgres = server.postgres_pid()
    assert postgres is not None
    async with aiohttp.ClientSession() as session, tab(server, "u1") as websocket:
        poll = await hold_poll(server, session)
        server.send(number, group=group)
        assert await poll == "1"
        await websocket.ended.wait()
    assert server.wait() == 0
    assert server.postgres_pid() is None
    assert not (server.data_dir / "server.json").exists()
    assert [line["event"] for line in server.log_lines()][-3:] == [
        "server.stopping",
        "database.embedded_stopped",
        "server.stopped",
    ]
    assert "Traceback" not in server.log_text()


async def test_a_signal_while_starting_ends_the_start(launch: Launch, dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        # The migrations' lock: the server waits for it, for as long as two minutes.
        await connection.execute("select pg_advisory_lock($1)", MIGRATION_LOCK)
        server = launch(ready=False, DATABASE_URL=dsn)
        waiting = (
            "select count(*) from pg_locks join pg_database on pg_database.oid = database"
            " where datname = current_database() and locktype = 'advisory' and not granted"
        )
        async with asyncio.timeout(WAIT_SECONDS):
            while not await connection.fetchval(waiting):
                assert server.pid
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    finally:
        await connection.close()
    assert "Traceback" not in server.log_text()
    assert server.log_lines("server.started") == []


async def test_after_a_crash_it_serves_again_with_what_was_there(launch: Launch) -> None:
    server = launch()
    async with tab(server, "u1") as here:
        await server.notify("u1", title="before the crash")
        await here.until_title("before the crash")
        server.kill()
        await here.ended.wait()
    assert server.postgres_pid() is not None, "the database outlives a crash of the server"
    assert (server.data_dir / "server.json").exists()
    async with database(server) as connection:
        await connection.execute("create table cut (id integer)")
        async with connection.transaction():
            await connection.execute("insert into cut values (1)")
            await connection.execute("select callboard.notify(array['u1'], 'note', 'committed while down', '')")
        undone = connection.transaction()
        await undone.start()
        await connection.execute("insert into cut values (2)")
        await connection.execute("select callboard.notify(array['u1'], 'note', 'rolled back', '')")
        await undone.rollback()
    server.start()
    assert server.seconds_to_ready < 20
    assert len(server.log_lines("database.embedded_found")) == 1
    async with tab(server, "u1") as here, server.rest("u1") as client:
        await here.until_count(2)
        listed = (await client.get("/api/v1/notifications")).json()["items"]
        assert [item["title"] for item in listed] == ["committed while down", "before the crash"]
        await server.notify("u1", title="after the crash")
        await here.until_title("after the crash")
        assert "rolled back" not in here.titles()


async def test_after_a_crash_of_the_database_too(launch: Launch) -> None:
    server = launch()
    await server.notify("u1", title="before the crash")
    postgres = server.postgres_pid()
    assert postgres is not None
    server.kill()
    server.kill_process(postgres)
    server.start()
    async with tab(server, "u1") as here:
        await here.until_count(1)
    assert server.stop() == 0
    assert server.postgres_pid() is None


async def test_notify_in_sql_reaches_a_client_that_is_connected_once_committed(server: Server, user: str) -> None:
    async with tab(server, user) as here, database(server) as connection:
        call = "select callboard.notify(array[$1::text], 'note', $2::text, '', '{\"n\": 1}')"
        async with connection.transaction():
            await connection.execute(call, user, "committed")
        undone = connection.transaction()
        await undone.start()
        await connection.execute(call, user, "rolled back")
        await undone.rollback()
        await connection.execute(call, user, "last")
        await here.until_title("last")
        assert here.titles() == ["committed", "last"]
        await here.until_count(2)
        assert here.got("notification:new")[0]["data"] == {"n": 1}


async def test_two_servers_on_one_directory_are_one_service(launch: Launch) -> None:
    first = launch()
    second = launch()
    assert second.port != first.port
    assert len(second.log_lines("database.embedded_found")) == 1
    async with tab(first, "u1") as at_first:
        async with tab(second, "u1") as at_second:
            for sender, title in ((first, "from first"), (second, "from second")):
                await sender.notify("u1", title=title)
                await at_first.until_title(title)
                await at_second.until_title(title)
            await at_first.until_count(2)
            await at_second.until_count(2)
        postgres = first.postgres_pid()
        assert second.stop() == 0
        assert second.log_lines("database.embedded_stopped") == []
        assert first.postgres_pid() == postgres
        await first.notify("u1", title="alone again")
        await at_first.until_title("alone again")
    assert first.stop() == 0
    assert first.postgres_pid() is None


async def test_the_node_that_led_may_leave(launch: Launch, dsn: str) -> None:
    first = launch(DATABASE_URL=dsn)
    second = launch(DATABASE_URL=dsn)
    assert len(first.log_lines("relay.leading")) == 1
    assert second.log_lines("relay.leading") == []
    async with tab(second, "u1") as here:
        assert first.stop() == 0
        await second.notify("u1", title="new leader")
        await here.until_title("new leader")
    await until(lambda: len(second.log_lines("relay.leading")) == 1)
    assert second.stop() == 0
