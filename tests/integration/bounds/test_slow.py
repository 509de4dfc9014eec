"""The settings that bound what waits for a client that does not read, and what becomes of that client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from structlog.testing import capture_logs
from tests.integration.bounds.conftest import PATIENCE, POLLING, Client, Running, Serve, until

from callboard import telemetry

SLOW = telemetry.CLOSED.labels("slow")
# What one message holds, here.
FILL = 20_000


async def stop_reading(node: Running, client: Client) -> int:
    """Send durable messages until some wait in the server; how many. The client takes no byte of them."""
    connection = node.connection(client)
    sent = 0
    while not connection.paused:
        await node.publish("fill", FILL)
        sent += 1
    return sent


@asynccontextmanager
async def answering_pings(client: Client) -> AsyncIterator[None]:
    """Within the block the client answers every ping, although it reads none: it says so again and again."""

    async def answer() -> None:
        while True:
            client.say("3")
            await asyncio.sleep(0.05)

    task = asyncio.create_task(answer())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def heartbeats(node: Running, client: Client, times: int) -> None:
    """Wait until so many pings were answered: each ping and each answer moves the session's deadline."""
    session = node.connection(client).session
    for _ in range(2 * times):
        before = session.deadline
        async with asyncio.timeout(PATIENCE):
            while session.deadline == before:
                await asyncio.sleep(0.01)


async def events(client: Client, until_name: str) -> list[tuple[str, str | None]]:
    """Names and positions of the messages up to one of this name."""
    seen: list[tuple[str, str | None]] = []
    while not seen or seen[-1][0] != until_name:
        name, _, *position = json.loads((await client.text()).removeprefix("42/feed,"))
        if name != "notification:unread-count":
            seen.append((name, position[0] if position else None))
    return seen


async def test_socket_max_unsent_bytes_closes_who_answers_pings_and_its_user_comes_back(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_UNSENT_BYTES="200000", SOCKET_PING_INTERVAL="1000", SOCKET_PING_TIMEOUT="3000")
    closed = SLOW._value.get()
    async with node.joined() as client, answering_pings(client):
        connection, pid = node.connection(client), client.pid
        await stop_reading(node, client)
        await heartbeats(node, client, 3)
        assert not connection.closed
        most = 0
        with capture_logs() as logs:
            while not connection.closed:
                most = max(most, connection.sink.unsent())
                await node.publish("fill", FILL)
            assert 200_000 - 2 * FILL < most <= 200_000
        assert [entry["reason"] for entry in logs if entry["event"] == "socket.closed"] == ["slow"]
        assert SLOW._value.get() == closed + 1
        # Too much was missed to send it at once: the client is told, and goes on from a snapshot.
        async with node.joined(pid=pid) as again:
            assert again.pid != pid
            await node.publish("after")
            assert [name for name, _ in await events(again, "after")] == ["after"]


async def test_socket_max_unsent_bytes_closes_who_does_not_poll(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_UNSENT_BYTES="200000")
    async with node.http() as http:
        sid = json.loads((await http.get(POLLING)).text[1:])["sid"]
        await http.post(f"{POLLING}&sid={sid}", content=f'40/feed,{{"token":"{node.token()}"}}')
        connection = node.node.engine.connections[sid]
        await until(lambda: node.node.has_room("/feed", "user:u1"))
        with capture_logs() as logs:
            while not connection.closed:
                assert connection.sink.unsent() <= 200_000
                await node.publish("fill", FILL)
        assert [entry["reason"] for entry in logs if entry["event"] == "socket.closed"] == ["slow"]
        assert (await http.get(f"{POLLING}&sid={sid}")).status_code == 400, "which makes the stock client come back"


async def test_who_was_slow_recovers_what_it_missed_if_that_is_little(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_UNSENT_BYTES="200000")
    async with node.joined() as client:
        connection, pid = node.connection(client), client.pid
        await node.publish("first")
        [(_, offset)] = await events(client, "first")
        for _ in range(500):
            node.send("burst", FILL)
        await until(lambda: connection.closed)
        for name in ("second", "third"):
            await node.publish(name)
        async with node.joined(pid=pid, offset=offset) as again:
            assert again.pid == pid
            assert [name for name, _ in await events(again, "third")] == ["second", "third"]


async def test_socket_max_held_volatile(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_HELD_VOLATILE="2", SOCKET_MAX_UNSENT_VOLATILE_BYTES="0")
    async with node.joined() as client:
        filled = await stop_reading(node, client)
        dropped = node.node.engine.traffic.dropped
        for name in ("old", "new"):
            for key in ("a", "b", "c"):
                node.send(f"{name}-{key}", 1, key=key)
        node.send("without a key", 1)
        await node.publish("durable")
        # Two of them by newer ones, both of the third key, and the one without a key.
        assert node.node.engine.traffic.dropped == dropped + 2 + 2 + 1
        names = [name for name, _ in await events(client, "new-b")]
        assert names == [*["fill"] * filled, "durable", "new-a", "new-b"], "durable ones wait for no volatile one"


async def test_socket_max_unsent_volatile_bytes(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_UNSENT_VOLATILE_BYTES="500000")
    async with node.joined() as client:
        filled = await stop_reading(node, client)
        while node.connection(client).sink.unsent() <= 65_536:  # more than the default lets one join
            await node.publish("fill", FILL)
            filled += 1
        dropped = node.node.engine.traffic.dropped
        node.send("volatile", 1)
        assert node.node.engine.traffic.dropped == dropped
        assert [name for name, _ in await events(client, "volatile")] == [*["fill"] * filled, "volatile"]
