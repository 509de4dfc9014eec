"""Engine.IO 4: the close packet, and every other way in which a session ends."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.conformance.client import BOTH_PATHS, DEADLINE, Engine
from tests.conformance.server import PATIENT, Server

HEARTBEAT = PATIENT  # a ping would answer a poll that a test holds


@pytest.fixture(params=BOTH_PATHS)
async def engine(http: httpx.AsyncClient, server: Server, request: pytest.FixtureRequest) -> Engine:
    return Engine(http, server.origin, request.param)


async def test_close_packet_ends_a_polling_session(engine: Engine) -> None:
    session = await engine.open_polling()
    await session.send("1")
    assert await session.is_unknown()
    assert (await session.post("4too late")).status_code == 400


async def test_close_packet_ends_a_held_poll_with_a_noop(engine: Engine) -> None:
    session = await engine.open_polling()
    async with session.held_poll() as poll:
        await session.send("1")
        async with asyncio.timeout(DEADLINE):
            response = await poll
    assert (response.status_code, response.text) == (200, "6")
    assert await session.is_unknown()


async def test_close_packet_ends_a_websocket_session(engine: Engine) -> None:
    async with engine.session() as socket:
        await socket.send("1")
        assert await socket.closed() == []
        sid = socket.handshake.sid
    assert (await engine.request("GET", EIO="4", transport="polling", sid=sid)).status_code == 400


async def test_closing_the_websocket_ends_the_session(engine: Engine) -> None:
    async with engine.session() as socket:
        await socket.connection.close(1000)
        assert socket.connection.close_code == 1000
        sid = socket.handshake.sid
    assert (await engine.request("GET", EIO="4", transport="polling", sid=sid)).status_code == 400


async def test_a_websocket_that_is_cut_off_disturbs_nobody(engine: Engine) -> None:
    async with engine.session() as lively:
        async with engine.session() as cut:
            cut.connection.transport.abort()
        await (await lively.connection.ping())
        assert lively.connection.close_code is None


async def test_close_packet_ends_a_session_that_upgraded(engine: Engine) -> None:
    session = await engine.open_polling()
    async with engine.websocket(sid=session.sid) as socket:
        await socket.send("2probe")
        assert await socket.receive() == "3probe"
        await socket.send("5", "1")
        assert await socket.closed() == []
    assert await session.is_unknown()
