"""Engine.IO 4, "Heartbeat": the server pings every pingInterval and ends a session that does not pong.

Times are taken from before a session is opened: who is told late is not told early. Lower bounds leave the server a
quarter of tolerance; upper bounds are generous, for a busy machine.
"""

from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.conformance.client import (
    BOTH_PATHS,
    PING_INTERVAL_MS,
    Engine,
)
from tests.conformance.server import Heartbeat, Server
from websockets.exceptions import ConnectionClosed

INTERVAL = PING_INTERVAL_MS / 1000
TIMEOUT = 0.5
HEARTBEAT = Heartbeat(INTERVAL, TIMEOUT)
EARLY = 0.75
LATE = 3.0


@pytest.fixture(params=BOTH_PATHS)
async def engine(http: httpx.AsyncClient, server: Server, request: pytest.FixtureRequest) -> Engine:
    return Engine(http, server.origin, request.param)


def now() -> float:
    return asyncio.get_running_loop().time()


def check_end(began: float) -> None:
    assert (INTERVAL + TIMEOUT) * EARLY <= now() - began <= INTERVAL + TIMEOUT + LATE


async def test_polling_without_a_pong_is_closed(engine: Engine) -> None:
    began = now()
    session = await engine.open_polling()
    assert await session.packets() == ["2"]
    await session.expect_closed()
    check_end(began)


async def test_polling_without_any_request_is_closed(engine: Engine) -> None:
    session = await engine.open_polling()
    # Nothing can be watched here: a request would be a sign of life. The protocol's own time, doubled.
    await asyncio.sleep(2 * (INTERVAL + TIMEOUT))
    assert await session.is_unknown()


async def test_websocket_without_a_pong_is_closed(engine: Engine) -> None:
    began = now()
    async with engine.session() as socket:
        assert await socket.receive_any() == "2"
        with pytest.raises(ConnectionClosed):
            await socket.receive_any()
        check_end(began)


async def test_websocket_pong_frames_do_not_count_as_pong_packets(engine: Engine) -> None:
    async with engine.session() as socket:
        assert await socket.receive_any() == "2"
        await socket.connection.pong(b"3")
        with pytest.raises(ConnectionClosed):
            await socket.receive_any()
