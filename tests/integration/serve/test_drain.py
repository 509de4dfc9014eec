"""SIGTERM: what is committed goes out, nobody new comes in, and the end comes in time whatever peers do."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import asyncpg
import pytest
from tests.integration.serve.kit import Server, database, raw, tab, until

Launch = Callable[..., Server]
POLLING = "/socket.io/?EIO=4&transport=polling"


@asynccontextmanager
async def held_up(dsn: str) -> AsyncIterator[None]:
    """Within the block the relay cannot look into the outbox, so a drain goes on for its whole time."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("lock table callboard.outbox in access exclusive mode")
            yield
    finally:
        await connection.close()


async def test_what_is_committed_goes_out_before_the_end(launch: Launch, dsn: str) -> None:
    leader = launch(data="leader", DATABASE_URL=dsn)
    follower = launch(data="follower", DATABASE_URL=dsn)
    for server in (follower, leader):
        async with tab(server, "u1") as here, database(server, dsn) as connection:
            # Without NOTIFY: only a relay that looks once more finds it in time.
            async with connection.transaction():
                for number in range(3):
                    await connection.execute(
                        "select callboard.enqueue(array['user:u1'], 'test:last', jsonb_build_object('n', $1::int))",
                        number,
                    )
            server.send(signal.SIGTERM)
            await here.ended.wait()
            assert [payload["n"] for payload in here.got("test:last")] == [0, 1, 2]
        assert server.wait() == 0
        assert server.log_lines("server.unflushed") == []


async def test_while_it_drains_nobody_new_comes_in(launch: Launch, dsn: str) -> None:
    server = launch(DATABASE_URL=dsn)
    async with tab(server, "u1") as here, server.rest() as client:
        async with held_up(dsn):
            server.send(signal.SIGTERM)
            await until(lambda: bool(server.log_lines("server.stopping")))
            answer = await client.get(POLLING)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with raw(server):
                    raise AssertionError("it was accepted")
            assert refused.value.status == 503
            answer = await client.get("/readyz")
            assert (answer.status_code, "stopping" in answer.json()["detail"]) == (503, True)
            assert (await client.get("/healthz")).is_success
            assert not here.ended.is_set()
            await here.ended.wait()
        assert server.wait() == 0
    assert len(server.log_lines("server.unflushed")) == 1


async def test_who_waits_for_a_hosts_transaction_is_told_that_it_is_the_end(launch: Launch, dsn: str) -> None:
    server = launch(DATABASE_URL=dsn)
    new = {"type": "note", "title": "t", "message": ""}
    host = await asyncpg.connect(dsn)
    try:
        async with host.transaction(), server.rest("boss", "admin") as client:
            await host.execute("select callboard.notify(array['u1'], 'note', 'held', '')")
            calls = [{"user_id": "u1", **new}, {"user_ids": ["u1", "u2"], **new}]
            waiting = [asyncio.create_task(client.post("/api/v1/notifications", json=call)) for call in calls]
            while not await host.fetchval("select count(*) from pg_locks where not granted"):
                assert not [task for task in waiting if task.done()]
            server.send(signal.SIGTERM)
            answers = await asyncio.gather(*waiting)
            assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, "unavailable")] * 2
            assert server.wait() == 0
    finally:
        await host.close()
    assert "Traceback" not in server.log_text()
    assert server.log_lines("library.failed") == []


async def test_a_second_signal_waits_for_nothing(launch: Launch, dsn: str) -> None:
    server = launch(DATABASE_URL=dsn)
    async with held_up(dsn), tab(server, "u1") as here:
        server.send(signal.SIGTERM)
        await until(lambda: bool(server.log_lines("server.stopping")))
        server.send(signal.SIGTERM)
        await here.ended.wait()
        assert server.wait() == 0
    assert len(server.log_lines("server.hurried")) == 1
    assert server.log_lines("server.unflushed") == []
    assert "Traceback" not in server.log_text()


@pytest.mark.parametrize("hurry", [False, True])
async def test_peers_that_are_stuck_do_not_hold_up_the_end(launch: Launch, hurry: bool) -> None:
    server = launch(SOCKET_MAX_UNAUTHENTICATED_PER_ADDRESS="200")
    address = ("127.0.0.1", server.port)
    with (
        socket.create_connection(address) as silent,
        socket.create_connection(address) as half_a_head,
        socket.create_connection(address) as half_a_body,
        socket.create_connection(address) as never_reads,
        socket.socket() as takes_no_answer,
    ):
        token = server.token("u1")
        half_a_head.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        half_a_body.sendall(
            b"POST /api/v1/notifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
            + server.token("boss", "admin").encode()
            + b"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        never_reads.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        never_reads.sendall(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        async with database(server) as connection:
            await connection.execute(
                "select callboard.notify(array['u1'], 'note', 'large', repeat('x', 2000), "
                "jsonb_build_object('x', repeat('y', 10000))) from generate_series(1, 100)"
            )
        takes_no_answer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        takes_no_answer.connect(address)
        takes_no_answer.sendall(
            (
                f"GET /api/v1/notifications?limit=100 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n" * 8
            ).encode()
        )
        async with tab(server, "u1", token=token):
            assert silent.fileno() > 0
            begun = time.monotonic()
            server.send(signal.SIGTERM)
        if hurry:
            await until(lambda: bool(server.log_lines("server.stopping")))
            server.send(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait) == 0
    assert time.monotonic() - begun < 30
    assert server.postgres_pid() is None
