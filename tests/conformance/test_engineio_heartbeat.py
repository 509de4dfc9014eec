"""Engine.IO 4, "Heartbeat": the server pings every pingInterval and ends a session that does not pong.

Times are taken from before a session is opened: who is told late is not told early. Lower bounds leave the server a
quarter of tolerance; upper bounds are generous, for a busy machine.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.conformance.client import EARLY, LATE, Engine, now
from tests.conformance.server import SUITES, Heartbeat
from websockets.exceptions import ConnectionClosed

INTERVAL = SUITES.interval
TIMEOUT = 0.5
HEARTBEAT = Heartbeat(INTERVAL, TIMEOUT)


def check_end(began: float) -> None:
    assert (INTERVAL + TIMEOUT) * EARLY <= now() - began <= INTERVAL + TIMEOUT + LATE


async def test_polling_without_a_pong_is_closed(endpoint: Engine) -> None:
    began = now()
    session = await endpoint.open_polling()
    assert await session.packets() == ["2"]
    await session.expect_closed()
    check_end(began)


async def test_polling_without_any_request_is_closed(endpoint: Engine) -> None:
    session = await endpoint.open_polling()
    # Nothing can be watched here: a request would be a sign of life. The protocol's own time, doubled.
    await asyncio.sleep(2 * (INTERVAL + TIMEOUT))
    assert await session.is_unknown()


async def test_websocket_without_a_pong_is_closed(endpoint: Engine) -> None:
    began = now()
    async with endpoint.session() as socket:
        assert await socket.receive_any() == "2"
        with pytest.raises(ConnectionClosed):
            await socket.receive_any()
        check_end(began)


async def test_websocket_pong_frames_do_not_count_as_pong_packets(endpoint: Engine) -> None:
    async with endpoint.session() as socket:
        assert await socket.receive_any() == "2"
        await socket.connection.pong(b"3")
        with pytest.raises(ConnectionClosed):
            await socket.receive_any()
