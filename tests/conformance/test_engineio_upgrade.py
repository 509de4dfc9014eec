"""Engine.IO 4, "Upgrade": from long-polling to WebSocket without losing, doubling or reordering a packet."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from tests.conformance.client import BOTH_PATHS, DEADLINE, ENGINE_PATH, Engine, Polling, Socket
from tests.conformance.server import PATIENT, Server

HEARTBEAT = PATIENT  # a ping would answer a poll that a test holds


@pytest.fixture(params=BOTH_PATHS)
async def endpoint(http: httpx.AsyncClient, server: Server, request: pytest.FixtureRequest) -> Engine:
    return Engine(http, server.origin, request.param)


@asynccontextmanager
async def probing(session: Polling) -> AsyncIterator[Socket]:
    async with session.engine.websocket(sid=session.sid) as socket:
        await socket.send("2probe")
        assert await socket.receive() == "3probe"
        yield socket


@asynccontextmanager
async def upgraded(session: Polling) -> AsyncIterator[Socket]:
    async with probing(session) as socket:
        await socket.send("5")
        yield socket


async def expect_alive(socket: Socket) -> None:
    if socket_path(socket) == ENGINE_PATH:
        await socket.expect_alive("4still here", "4still here")
    else:
        await socket.send("40/nowhere,")
        assert await socket.receive() == '44/nowhere,{"message":"Invalid namespace"}'


def socket_path(socket: Socket) -> str:
    request = socket.connection.request
    assert request is not None
    return request.path.partition("?")[0]


async def test_a_session_moves_to_websocket(endpoint: Engine) -> None:
    session = await endpoint.open_polling()
    async with upgraded(session) as socket:
        await expect_alive(socket)


async def test_a_poll_after_the_probe_is_ended_by_a_noop(endpoint: Engine) -> None:
    session = await endpoint.open_polling()
    async with probing(session) as socket:
        assert await session.receive(1) == ["6"]
        await socket.send("5")
        await expect_alive(socket)


async def test_a_poll_held_during_the_probe_is_ended_by_a_noop(endpoint: Engine) -> None:
    session = await endpoint.open_polling()
    async with session.held_poll() as poll, probing(session) as socket:
        async with asyncio.timeout(DEADLINE):
            response = await poll
        assert (response.status_code, response.text) == (200, "6")
        await socket.send("5")
        await expect_alive(socket)


async def test_polling_is_refused_after_the_upgrade(endpoint: Engine) -> None:
    session = await endpoint.open_polling()
    async with upgraded(session) as socket:
        await expect_alive(socket)
        assert (await session.poll()).status_code == 400
        assert (await session.post("4hello")).status_code == 400
        await expect_alive(socket)


async def test_a_second_websocket_after_the_upgrade_is_accepted_then_closed(endpoint: Engine) -> None:
    session = await endpoint.open_polling()
    async with upgraded(session) as socket:
        await expect_alive(socket)
        refused = await endpoint.websocket_refused(EIO="4", transport="websocket", sid=session.sid)
        assert refused is None
        await expect_alive(socket)


async def test_a_second_websocket_during_the_probe_is_closed(endpoint: Engine) -> None:
    session = await endpoint.open_polling()
    async with probing(session) as socket:
        refused = await endpoint.websocket_refused(EIO="4", transport="websocket", sid=session.sid)
        assert refused in (None, 400)
        await socket.send("5")
        await expect_alive(socket)


@pytest.mark.parametrize("packet", ["4hello", "2", "2other", "3probe", "abc", b"2probe"], ids=repr)
async def test_a_wrong_probe_closes_the_websocket_and_leaves_the_session(engine: Engine, packet: str | bytes) -> None:
    session = await engine.open_polling()
    async with engine.websocket(sid=session.sid) as socket:
        await socket.send(packet)
        assert await socket.closed() == []
    await session.send("4by polling")
    assert await session.receive(1) == ["4by polling"]


async def test_a_probe_given_up_leaves_the_session_on_polling(engine: Engine) -> None:
    session = await engine.open_polling()
    async with probing(session):
        await session.send("4one")
    await session.send("4two")
    received: list[str] = []
    async with asyncio.timeout(DEADLINE):
        while len(received) < 2:
            # A noop may still come for the probe that was.
            received += [packet for packet in await session.packets() if packet not in ("2", "6")]
    assert received == ["4one", "4two"]
    async with upgraded(session) as socket:
        await expect_alive(socket)


async def test_what_was_not_polled_comes_by_websocket(engine: Engine) -> None:
    session = await engine.open_polling()
    await session.send("4before", "bAQID")
    async with probing(session) as socket:
        await session.send("4during")
        await socket.send("5", "4after", b"\x04")
        assert await socket.receive_many(5) == ["4before", b"\x01\x02\x03", "4during", "4after", b"\x04"]


@pytest.mark.parametrize("seed", range(12))
async def test_an_upgrade_amid_messages_keeps_their_order_and_loses_none(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    session = await engine.open_polling()
    numbers = iter(range(10_000))
    sent: list[str] = []
    received: list[str | bytes] = []

    def batch() -> list[str]:
        packets = [f"4{next(numbers)}" for _ in range(chance.randrange(1, 20))]
        sent.extend(packets)
        return packets

    for _ in range(chance.randrange(4)):
        await session.send(*batch())
        if chance.random() < 0.5:
            received += await session.packets()
    async with probing(session) as socket:
        for _ in range(chance.randrange(4)):
            await session.send(*batch())
            if chance.random() < 0.5:
                received += await session.packets()
        await socket.send("5", *batch(), *batch())
        received = [packet for packet in received if packet not in ("2", "6")]
        received += await socket.receive_many(len(sent) - len(received))
        assert received == sent
        await expect_alive(socket)


async def test_a_post_at_the_moment_of_the_upgrade_is_not_lost(engine: Engine) -> None:
    for _ in range(10):
        session = await engine.open_polling()
        async with probing(session) as socket:
            posting = asyncio.create_task(session.post("4posted"))
            await socket.send("5")
            response = await posting
            await socket.send("4last")
            # Refused is an answer too: then the sender knows. Taken and lost is not.
            expected = ["4posted", "4last"] if response.status_code == 200 else ["4last"]
            assert await socket.receive_many(len(expected)) == expected
