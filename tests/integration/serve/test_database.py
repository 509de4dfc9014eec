"""The database: one's own by DATABASE_URL, one that cannot be reached, and one that goes away and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import httpx
import pytest
from tests.integration.serve.kit import WAIT_SECONDS, Server, callboard, tab

from callboard.store.embedded import EmbeddedPostgres

Launch = Callable[..., Server]


@pytest.fixture
async def own(home: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL server that the test may stop."""
    postgres = EmbeddedPostgres(home / "own", settings={"fsync": "off"})
    await postgres.start()
    yield postgres
    await postgres.stop()


async def ask(server: Server, path: str, user: str | None = None) -> httpx.Response:
    async with server.rest(user) as client:
        return await client.get(path)


async def until_ready(server: Server) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (await ask(server, "/readyz")).is_success:
        assert time.monotonic() < deadline, server.log_text()


async def test_database_url_is_migrated_and_used(launch: Launch, empty_dsn: str) -> None:
    server = launch(DATABASE_URL=empty_dsn)
    await server.notify("u1", title="kept elsewhere")
    assert not (server.data_dir / "postgres").exists()
    assert server.log_lines("server.started")[0]["database"] == "DATABASE_URL"
    connection = await asyncpg.connect(empty_dsn)
    try:
        assert await connection.fetchval("select title from callboard.notifications") == "kept elsewhere"
        assert server.stop() == 0
        # A database that is not ours goes on.
        assert await connection.fetchval("select 1") == 1
    finally:
        await connection.close()


async def test_a_data_directory_that_is_gone_is_noticed_at_once(launch: Launch) -> None:
    server = launch()
    elsewhere = server.data_dir.with_name("elsewhere")
    server.data_dir.rename(elsewhere)  # PostgreSQL goes on with what it holds open
    answer = await ask(server, "/readyz")
    assert answer.status_code == 503
    assert "are gone" in answer.json()["detail"]
    elsewhere.rename(server.data_dir)
    assert (await ask(server, "/readyz")).status_code == 200


async def test_an_embedded_database_that_dies_comes_back_and_nobody_has_lost_anything(launch: Launch) -> None:
    server = launch()
    async with tab(server, "u1") as page:
        await server.notify("u1", title="before")
        await page.until_title("before")
        pid = server.postgres_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while server.postgres_pid() in (pid, None):
            await asyncio.sleep(0.05)
        await until_ready(server)
        await server.notify("u1", title="after")
        await page.until_title("after")
        assert page.titles() == ["before", "after"]
    assert len(server.log_lines("database.embedded_ended")) == 1
    assert server.stop() == 0
    assert server.postgres_pid() is None


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["migrate"]])
def test_an_unreachable_database_is_one_line_without_the_password(home: Path, command: list[str]) -> None:
    begun = time.monotonic()
    ended = callboard(
        *command,
        "--data-dir",
        str(home / "data"),
        cwd=home,
        DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/stage?password=hunter3",
    )
    assert time.monotonic() - begun < 15
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("Error: DATABASE_URL (postgresql://me@127.0.0.1:1/stage): cannot connect")
    assert ended.stderr.count("\n") == 1
    assert "hunter" not in ended.stderr


async def test_while_the_database_is_away_sockets_stay_and_requests_are_told_to_come_again(
    launch: Launch, own: EmbeddedPostgres
) -> None:
    server = launch(DATABASE_URL=own.dsn())
    async with tab(server, "u1") as here:
        await server.notify("u1", title="before")
        await here.until_count(1)

        await own.stop()
        begun = time.monotonic()
        refused = await ask(server, "/api/v1/notifications", "u1")
        assert time.monotonic() - begun < 5
        assert refused.status_code == 503
        assert refused.json()["code"] == "unavailable"
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await ask(server, "/readyz")).status_code == 503
        assert (await ask(server, "/healthz")).status_code == 200
        assert (await here.call("notification:read-all", {}))["error"]["code"] == "unavailable"
        async with tab(server, "u2", namespaces=("/jobs",)) as other:
            assert other.client.connected

        assert await own.start() == own.dsn()
        await until_ready(server)
        connection = await asyncpg.connect(own.dsn())
        try:
            await connection.execute("select callboard.notify(array['u1'], 'note', 'after', '')")
        finally:
            await connection.close()
        await here.until_title("after")
        await here.until_count(2)
        assert not here.ended.is_set()
        assert here.titles() == ["before", "after"]
    assert len(server.log_lines("database.lost")) == 1
    assert len(server.log_lines("database.back")) == 1
    assert server.log_lines("task.failed", task="relay") == []
    assert server.stop() == 0
