"""An embedded server that ends by itself: it is started again, where it was, and not too often."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from tests.integration.store.clusters import FAST, PATIENCE, ask, postmaster, runs

from callboard.store import embedded
from callboard.store.embedded import EmbeddedPostgres


@asynccontextmanager
async def kept_running(*servers: EmbeddedPostgres) -> AsyncIterator[None]:
    watching = [asyncio.create_task(server.keep_running()) for server in servers]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)


async def until_another_answers(data_dir: Path, dsn: str, ended: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError, ValueError, asyncpg.PostgresError):
                if postmaster(data_dir) != ended and await ask(dsn) == 1:
                    return
            await asyncio.sleep(embedded.POLL)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
async def test_server_that_ends_by_itself_is_started_again_once(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, end: signal.Signals
) -> None:
    monkeypatch.setattr(embedded, "WATCH", 0.05)
    servers = [EmbeddedPostgres(data_dir, settings=FAST) for _ in range(2)]
    for server in servers:
        dsn = await server.start()
    await ask(dsn, "create table kept as select 42 as answer")
    async with kept_running(*servers):
        for _ in range(2):
            pid = postmaster(data_dir)
            os.kill(pid, end)
            await until_another_answers(data_dir, dsn, pid)
        assert await ask(dsn, "select answer from kept") == 42
        assert not await servers[0].abandoned()
    pid = postmaster(data_dir)
    for server in servers:
        assert runs(pid)
        await server.stop()
    assert not runs(pid)


async def test_server_that_is_started_again_answers_where_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory whose name is too long for a socket is reached by another, which users have in their DSN."""
    monkeypatch.setattr(embedded, "WATCH", 0.05)
    data_dir = tmp_path / ("x" * 120)
    server = EmbeddedPostgres(data_dir, settings=FAST)
    dsn = await server.start()
    async with kept_running(server):
        pid = postmaster(data_dir)
        os.kill(pid, signal.SIGKILL)
        await until_another_answers(data_dir, dsn, pid)
    await server.stop()


async def test_server_that_cannot_start_again_is_tried_less_and_less_often(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    server = EmbeddedPostgres(data_dir, settings=FAST)
    await server.start()
    os.kill(postmaster(data_dir), signal.SIGKILL)
    version = data_dir / "postgres" / "PG_VERSION"
    good = version.read_text()
    version.write_text("9\n")

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            version.write_text(good)
        if len(pauses) == 9:
            raise asyncio.CancelledError

    async with asyncio.timeout(PATIENCE):
        while runs(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])):
            await asyncio.sleep(embedded.POLL)
    assert await server.abandoned()
    monkeypatch.setattr(embedded, "_pause", pause)
    with pytest.raises(asyncio.CancelledError):
        await server.keep_running()
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30, 1]
    assert await ask(server.dsn()) == 1
    await server.stop()


async def test_a_cluster_that_was_deleted_is_not_made_anew(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    async def pause(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise asyncio.CancelledError

    server = EmbeddedPostgres(data_dir, settings=FAST)
    await server.start()
    pid = postmaster(data_dir)
    os.kill(pid, signal.SIGQUIT)
    async with asyncio.timeout(PATIENCE):
        while runs(pid):
            await asyncio.sleep(embedded.POLL)
    shutil.rmtree(data_dir / "postgres")
    monkeypatch.setattr(embedded, "_pause", pause)
    with pytest.raises(asyncio.CancelledError):
        await server.keep_running()
    assert not (data_dir / "postgres").exists()
    await server.stop()
