"""Engine.IO 4, "Heartbeat": the server pings every pingInterval, as long as it is answered.

Pongs have more time here than in the fixture's own heartbeat: a busy machine is late for that. Times are taken from
before a session is opened: who is told late is not told early. Lower bounds leave the server a quarter of tolerance;
upper bounds are generous.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.conformance.client import EARLY, LATE, SOCKET_PATH, Engine, Polling, Socket, now
from tests.conformance.server import SUITES, Heartbeat
from websockets.exceptions import ConnectionClosed

INTERVAL = SUITES.interval
HEARTBEAT = Heartbeat(INTERVAL, 2.0)


@asynccontextmanager
async def joined(endpoint: Engine) -> AsyncIterator[Socket]:
    """A session that will not be closed for want of a Socket.IO CONNECT packet."""
    async with endpoint.session() as socket:
        if endpoint.path == SOCKET_PATH:
            await socket.send("40")
            await socket.receive_many(2)
        yield socket


async def join(session: Polling) -> None:
    if session.engine.path == SOCKET_PATH:
        await session.send("40")
        await session.receive(2)


async def expect_timeout(socket: Socket) -> None:
    """One more ping comes, which nobody answers, then the server closes."""
    packet = await socket.receive_any()
    assert packet == "2"
    with pytest.raises(ConnectionClosed):
        await socket.receive_any()


def check_rhythm(began: float, times: list[float]) -> None:
    for number, at in enumerate(times, 1):
        assert number * INTERVAL * EARLY <= at - began <= number * (INTERVAL + LATE)


async def test_polling_is_pinged_as_long_as_it_answers(endpoint: Engine) -> None:
    began = now()
    session = await endpoint.open_polling()
    await join(session)
    times = []
    for _ in range(4):
        assert await session.packets() == ["2"]
        times.append(now())
        await session.send("3")
    check_rhythm(began, times)


async def test_websocket_is_pinged_as_long_as_it_answers(endpoint: Engine) -> None:
    began, times = now(), []
    async with joined(endpoint) as socket:
        for _ in range(4):
            assert await socket.receive_any() == "2"
            times.append(now())
            await socket.send("3")
    check_rhythm(began, times)


async def test_a_session_that_upgraded_is_pinged_on_its_websocket(endpoint: Engine) -> None:
    began = now()
    session = await endpoint.open_polling()
    await join(session)
    async with endpoint.websocket(sid=session.sid) as socket:
        await socket.send("2probe")
        assert await socket.receive_any() == "3probe"
        await socket.send("5")
        times = []
        for _ in range(3):
            assert await socket.receive_any() == "2"
            times.append(now())
            await socket.send("3")
        check_rhythm(began, times)
        await expect_timeout(socket)


async def test_one_silent_session_does_not_disturb_another(endpoint: Engine) -> None:
    async with joined(endpoint) as lively, joined(endpoint) as silent:
        answering = asyncio.create_task(lively.receive())
        assert await silent.receive_any() == "2"
        with pytest.raises(ConnectionClosed):
            await silent.receive_any()
        assert not answering.done()
        assert lively.connection.close_code is None
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
