"""The unmodified npm client at the bounds: what will pass never makes it give up, and what has stopped is let go."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs
from tests.integration.bounds.conftest import Running, Serve, until
from tests.peers.process import Peer, run_peer

from callboard.realtime.connection import Reason

TRANSPORTS = ["websocket", "polling"]
# After these the stock client stays away: it left by itself, or was sent away for good.
FOR_GOOD = {Reason.CLIENT, Reason.ADMIN}


@asynccontextmanager
async def stock_client(node: Running, transports: str) -> AsyncIterator[Peer]:
    """The npm client, told to join /feed as u1."""
    async with run_peer("recovery.mjs", node.url, transports) as peer:
        peer.tell(do="open", namespace="/feed", token=node.token("u1"))
        yield peer


async def connects(peer: Peer) -> bool:
    """Wait for the next connect; whether it recovered. No refusal that makes the client give up comes before."""
    while (seen := await peer.seen())["seen"] != "connect":
        assert seen["seen"] != "connect_error" or seen.get("code") is None, seen
    return bool(seen["recovered"])


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_it_waits_for_a_place_among_its_users_connections(serve: Serve, transports: str) -> None:
    node = await serve(SOCKET_MAX_CONNECTIONS_PER_USER="1")
    with capture_logs() as logs:
        async with node.joined("u1") as first, stock_client(node, transports) as peer:
            await until(lambda: [entry.get("code") for entry in logs].count("too_many_connections") >= 3)
            first.say("1")
            await first.closed()
            assert await connects(peer) is False


@pytest.mark.parametrize("transports", TRANSPORTS)
@pytest.mark.parametrize("bound", ["SOCKET_MAX_UNAUTHENTICATED_PER_ADDRESS", "MAX_SOCKET_CONNECTIONS"])
async def test_it_waits_for_a_place_for_its_handshake(serve: Serve, transports: str, bound: str) -> None:
    node = await serve(**{bound: "1"})
    with capture_logs() as logs:
        async with node.client(), stock_client(node, transports) as peer:
            await until(lambda: [entry.get("code") for entry in logs].count("unavailable") >= 3)
            for connection in list(node.node.engine.connections.values()):
                connection.close(Reason.NO_CONNECT)
            assert await connects(peer) is False


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_it_comes_back_and_recovers_after_every_end_that_will_pass(serve: Serve, transports: str) -> None:
    node = await serve()
    async with stock_client(node, transports) as peer:
        assert await connects(peer) is False
        for reason in Reason:
            if reason not in FOR_GOOD:
                [connection] = node.node.engine.connections.values()
                connection.close(reason)
                assert await connects(peer) is True, reason


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_a_client_that_was_stopped_is_gone_in_time_and_recovers_when_it_goes_on(
    serve: Serve, transports: str
) -> None:
    interval, timeout = 1.0, 1.0
    node = await serve(SOCKET_PING_INTERVAL="1000", SOCKET_PING_TIMEOUT="1000")
    with capture_logs() as logs:
        async with stock_client(node, transports) as peer:
            await connects(peer)
            os.kill(peer.pid, signal.SIGSTOP)
            try:
                async with asyncio.timeout(interval + timeout + 5.0):
                    await until(lambda: not node.node.engine.connections)
                await node.publish("missed")
            finally:
                os.kill(peer.pid, signal.SIGCONT)
            assert await connects(peer) is True
            while (seen := await peer.seen())["seen"] != "message" or seen["name"] != "missed":
                pass
    assert "ping timeout" in [entry["reason"] for entry in logs if entry["event"] == "socket.closed"]
