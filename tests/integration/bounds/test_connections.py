"""The settings that bound connections: how many, how long until they are somebody's, how long without a sign."""

from __future__ import annotations

import asyncio
import json

import pytest
from structlog.testing import capture_logs
from tests.integration.bounds.conftest import POLLING, SOON, Running, Serve
from tests.integration.transports.native_client import NativeClient


async def refused_websocket(node: Running, **headers: str) -> tuple[int, dict[str, str]]:
    async with NativeClient(node.port) as client:
        return await client.request(**headers)


async def test_socket_connect_timeout(serve: Serve) -> None:
    node = await serve(SOCKET_CONNECT_TIMEOUT="300", SOCKET_PING_TIMEOUT="1000")
    async with node.client() as client, node.joined() as other, asyncio.timeout(SOON):
        assert await client.closed() == (1008, "no namespace in time")
        other.say('42/feed,1["nothing"]')
        await other.ack(1)


async def test_socket_ping_interval_and_timeout(serve: Serve) -> None:
    node = await serve(SOCKET_PING_INTERVAL="1000", SOCKET_PING_TIMEOUT="1500")
    with capture_logs() as logs:
        async with node.client() as client, asyncio.timeout(1.0 + 1.5 + 5.0):
            assert (client.handshake["pingInterval"], client.handshake["pingTimeout"]) == (1000, 1500)
            await client.join(node.token())
            assert (await client.end()).endswith(b"\x81\x012"), "a ping, and then the line is cut"
    assert [entry["reason"] for entry in logs if entry["event"] == "socket.closed"] == ["ping timeout"]


async def test_socket_upgrade_timeout(serve: Serve) -> None:
    node = await serve(SOCKET_UPGRADE_TIMEOUT="300", SOCKET_PING_TIMEOUT="1000")
    async with node.http() as http:
        sid = json.loads((await http.get(POLLING)).text[1:])["sid"]
        async with node.client(f"EIO=4&transport=websocket&sid={sid}") as client, asyncio.timeout(SOON):
            assert (await client.closed())[0] == 1002
        joined = await http.post(f"{POLLING}&sid={sid}", content=f'40/feed,{{"token":"{node.token()}"}}')
        assert joined.status_code == 200, "the session goes on"


async def test_max_socket_connections(serve: Serve) -> None:
    node = await serve(MAX_SOCKET_CONNECTIONS="2")
    async with node.joined("u1"), node.joined("u2"):
        answer = await node.handshake()
        assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (503, True)
        status, headers = await refused_websocket(node)
        assert (status, int(headers["retry-after"]) >= 1) == (503, True)


async def test_socket_max_unauthenticated_per_address(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_UNAUTHENTICATED_PER_ADDRESS="2", TRUSTED_PROXIES="127.0.0.1")
    async with node.client() as first, node.client():
        answer = await node.handshake()
        assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (503, True)
        status, headers = await refused_websocket(node)
        assert (status, int(headers["retry-after"]) >= 1) == (503, True)
        assert (await node.handshake(x_forwarded_for="192.0.2.1")).status_code == 200, "another address"
        await first.join(node.token())
        assert (await node.handshake()).status_code == 200


async def test_socket_max_connections_per_user(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_CONNECTIONS_PER_USER="2")
    async with node.joined("u1"), node.joined("u1") as second, node.client() as third:
        third.say(f'40/feed,{{"token":"{node.token("u1")}"}}')
        assert await third.closed() == (1008, "too many connections")
        async with node.joined("u2"):
            pass
        second.say("1")
        await second.closed()
        async with node.joined("u1"):
            pass


# Who may come from where


ORIGINS = "https://app.example:8443, http://b.example"


@pytest.mark.parametrize("origin", ["https://app.example:8443", "http://b.example", "own", None])
async def test_a_listed_origin_our_own_and_none_connect(serve: Serve, origin: str | None) -> None:
    node = await serve(SOCKET_CORS_ORIGIN=ORIGINS)
    origin = node.url if origin == "own" else origin
    headers = {} if origin is None else {"origin": origin}
    assert (await node.handshake(**headers)).status_code == 200
    async with node.client(host=f"127.0.0.1:{node.port}", **headers) as client:
        await client.join(node.token())


async def test_any_other_origin_is_refused_on_both_transports(serve: Serve) -> None:
    node = await serve(SOCKET_CORS_ORIGIN=ORIGINS)
    others = (
        "https://app.example",
        "https://app.example:443",
        "http://app.example:8443",
        "https://app.example:84433",
        "https://app.example:8443/",
        "https://app.example:8443.evil.example",
        "https://evil-app.example:8443",
        "https://sub.app.example:8443",
        "HTTPS://APP.EXAMPLE:8443",
        "https://b.example",
        "http://localhost:5173",
        f"https://127.0.0.1:{node.port}",
        "null",
        "*",
    )
    for origin in others:
        answer = await node.handshake(origin=origin)
        assert answer.status_code == 403, origin
        assert "access-control-allow-origin" not in answer.headers
        status, _ = await refused_websocket(node, origin=origin, host=f"127.0.0.1:{node.port}")
        assert status == 403, origin
    assert node.node.engine.connections == {}


async def test_a_page_of_a_listed_origin_may_read_the_answer(serve: Serve) -> None:
    node = await serve(SOCKET_CORS_ORIGIN=ORIGINS)
    answer = await node.handshake(origin="http://b.example")
    assert answer.headers["access-control-allow-origin"] == "http://b.example"
    assert answer.headers["access-control-allow-credentials"] == "true"
    without = await serve(SOCKET_CORS_ORIGIN=ORIGINS, SOCKET_CORS_CREDENTIALS="false")
    assert "access-control-allow-credentials" not in (await without.handshake(origin="http://b.example")).headers
