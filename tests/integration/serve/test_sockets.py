"""Bad input over sockets: one clear answer, one line in the log, and nobody else is touched."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.integration.serve.kit import WAIT_SECONDS, Server, connect_raw, raw, tab, until

Launch = Callable[..., Server]

POLLING = "/socket.io/?EIO=4&transport=polling"
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"
LISTED = "http://localhost:5173"
FOREIGN = "http://evil.example"


@asynccontextmanager
async def logged_once(server: Server, code: str) -> AsyncIterator[None]:
    """Within the block the server refuses one client, and says so in one line."""
    before = len(server.log_lines("socket.refused"))
    yield
    await until(lambda: len(server.log_lines("socket.refused")) > before)
    async with server.rest() as client:
        assert (await client.get("/healthz")).is_success
    assert [line["code"] for line in server.log_lines("socket.refused")[before:]] == [code]


async def open_polling(client: httpx.AsyncClient) -> str:
    """The path of a new polling session."""
    answer = await client.get(POLLING)
    assert answer.status_code == 200
    return f"{POLLING}&sid={json.loads(answer.text[1:])['sid']}"


async def refused_upgrade(server: Server, **headers: str) -> aiohttp.WSServerHandshakeError:
    """How a WebSocket's handshake is refused."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with raw(server, **headers):
            raise AssertionError("it was accepted")
    return refused.value


# The connect step


@pytest.mark.parametrize(
    ("token", "code"),
    [(None, "token_missing"), ("", "token_missing"), ("eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl", "token_invalid")],
)
async def test_a_wrong_token_is_refused_at_connect(server: Server, token: str | None, code: str) -> None:
    async with logged_once(server, code), raw(server) as socket:
        answer = await connect_raw(socket, "/feed", token)
        assert answer.startswith("44")
        problem = json.loads(answer[2:])
        assert problem["data"] == {"code": code}
        assert problem["message"]
        # The connection is not ended by it: the page may ask for a new token and try again.
        assert (await connect_raw(socket, "/feed", server.token("u1"))).startswith("40")
    if token:
        assert token not in server.log_text()
        assert token.split(".")[2] not in server.log_text()


async def test_an_expired_token_and_another_algorithm_are_refused_at_connect(server: Server) -> None:
    secret = (server.data_dir / "jwt-secret").read_bytes()
    later = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    for exp, algorithm, code in ((1_700_000_000, "HS256", "token_expired"), (later, "HS512", "token_invalid")):
        token = jwt.encode({"sub": "u1", "exp": exp}, secret, algorithm=algorithm)
        async with logged_once(server, code), raw(server) as socket:
            answer = await connect_raw(socket, "/feed", token)
            assert json.loads(answer[2:])["data"] == {"code": code}
        assert token not in server.log_text()


async def test_the_admin_namespace_is_for_admins(server: Server) -> None:
    async with logged_once(server, "forbidden"), raw(server) as socket:
        answer = await connect_raw(socket, "/admin", server.token("u1"))
        assert json.loads(answer[2:])["data"] == {"code": "forbidden"}
    async with raw(server) as socket:
        assert (await connect_raw(socket, "/admin", server.token("boss", "admin"))).startswith('40{"sid":')


@pytest.mark.parametrize("namespace", ["/nowhere", "/feed/x"])
async def test_an_unknown_namespace(server: Server, namespace: str) -> None:
    async with logged_once(server, "invalid_namespace"), raw(server) as socket:
        assert await connect_raw(socket, namespace, server.token("u1")) == '44{"message":"Invalid namespace"}'


# Packets


@pytest.mark.parametrize(
    "packet",
    [
        "9",
        "",
        "0",
        "4",
        "49",
        "42/feed",
        '42/feed,["notification:read",{"id":NaN}]',
        '42/feed,{"not":"a list"}',
        "42/feed," + "[" * 100 + "]" * 100,
        "451-",
    ],
)
async def test_a_malformed_packet_ends_its_connection_and_no_other(server: Server, user: str, packet: str) -> None:
    async with tab(server, "the-other-client") as other:
        async with logged_once(server, "protocol_error"), raw(server) as socket:
            assert (await connect_raw(socket, "/feed", server.token(user))).startswith("40")
            await socket.send_str(packet)
            async with logged_end(socket):
                pass
        assert (await other.call("notification:read-all", {}))["ok"] is True
        assert not other.ended.is_set()


@asynccontextmanager
async def logged_end(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[None]:
    """The server ends this WebSocket, whatever it still had to say."""
    yield
    while (await socket.receive(timeout=WAIT_SECONDS)).type is aiohttp.WSMsgType.TEXT:
        pass
    assert socket.closed


async def test_an_oversize_message_ends_its_connection_and_no_other(server: Server, user: str) -> None:
    async with tab(server, user) as other:
        async with logged_once(server, "too_large"), raw(server) as socket, logged_end(socket):
            await socket.send_str("4" + "x" * 1_000_001)
        assert (await other.call("notification:read-all", {}))["ok"] is True


@pytest.mark.parametrize("declared", [True, False])
async def test_an_oversize_polling_payload_ends_its_session_and_no_other(
    server: Server, user: str, declared: bool
) -> None:
    body = b"4" + b"x" * 1_000_001

    async def chunked() -> AsyncIterator[bytes]:
        yield body

    async with tab(server, user, transports=("polling",)) as other, server.rest() as client:
        path = await open_polling(client)
        async with logged_once(server, "too_large"):
            answer = await client.post(path, content=body if declared else chunked())
            assert answer.status_code == 413
        assert (await client.get(path)).status_code == 400
        assert (await other.call("notification:read-all", {}))["ok"] is True


@pytest.mark.parametrize("query", ["", "?EIO=3&transport=polling", "?EIO=4&transport=smoke", "?" + "a&" * 100])
async def test_a_handshake_that_is_none(server: Server, query: str) -> None:
    async with server.rest() as client:
        answer = await client.get(f"/socket.io/{query}")
    assert answer.status_code == 400
    assert set(answer.json()) == {"code", "message"}


# Origins


@pytest.mark.parametrize("origin", [FOREIGN, "null", LISTED + "/", "https://localhost:5173"])
async def test_a_foreign_origin_may_not_connect(server: Server, origin: str) -> None:
    async with server.rest() as client, logged_once(server, "forbidden"):
        answer = await client.get(POLLING, headers={"origin": origin})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    async with logged_once(server, "forbidden"):
        assert (await refused_upgrade(server, Origin=origin)).status == 403


async def test_a_listed_origin_our_own_and_none_may_connect(server: Server) -> None:
    async with server.rest() as client:
        for origin in (LISTED, server.url):
            answer = await client.get(POLLING, headers={"origin": origin})
            assert answer.status_code == 200
            async with raw(server, Origin=origin) as socket:
                assert (await connect_raw(socket, "/feed", server.token("u1"))).startswith("40")
        assert (await client.get(POLLING)).status_code == 200
    async with raw(server):
        pass


async def test_polling_tells_a_listed_origin_that_it_may_read(server: Server) -> None:
    async with server.rest() as client:
        answer = await client.get(POLLING, headers={"origin": LISTED})
        assert answer.headers["access-control-allow-origin"] == LISTED
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "origin" in answer.headers["vary"].lower()


async def test_rest_answers_preflights(server: Server) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    async with server.rest("u1") as client:
        answer = await client.options("/api/v1/notifications", headers={**asked, "origin": LISTED})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == LISTED
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert {"authorization", "content-type"} <= set(answer.headers["access-control-allow-headers"].split(", "))
        answer = await client.get("/api/v1/notifications", headers={"origin": LISTED})
        assert answer.headers["access-control-allow-origin"] == LISTED
        for refused in (
            await client.options("/api/v1/notifications", headers={**asked, "origin": FOREIGN}),
            await client.get("/api/v1/notifications", headers={"origin": FOREIGN}),
        ):
            assert "access-control-allow-origin" not in refused.headers


# The handshake


async def test_many_cookies_do_not_hinder_an_upgrade(server: Server) -> None:
    cookies = "; ".join(f"c{number}={'x' * 1000}" for number in range(12))
    async with raw(server, Cookie=cookies) as socket:
        assert (await connect_raw(socket, "/feed", server.token("u1"))).startswith("40")


async def test_when_all_places_are_taken_the_next_is_told_to_come_again(launch: Launch, dsn: str) -> None:
    server = launch(DATABASE_URL=dsn, MAX_SOCKET_CONNECTIONS="1")
    async with tab(server, "u1") as here, server.rest() as client:
        async with logged_once(server, "unavailable"):
            answer = await client.get(POLLING)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
        async with logged_once(server, "unavailable"):
            refused = await refused_upgrade(server)
            assert refused.status == 503
            assert refused.headers is not None
            assert int(refused.headers["Retry-After"]) >= 1
        await server.notify("u1", title="undisturbed")
        await here.until_title("undisturbed")
    async with tab(server, "u2"):
        pass


async def test_while_the_issuer_is_away_the_transport_ends_and_requests_are_told_to_come_again(
    launch: Launch, dsn: str
) -> None:
    server = launch(DATABASE_URL=dsn, JWT_JWKS_URL="https://127.0.0.1:1/jwks")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    end = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    token = jwt.encode({"sub": "u1", "exp": end}, key, algorithm="RS256")
    async with server.rest() as client:
        answer = await client.get("/api/v1/notifications", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert (await client.get("/readyz")).is_success
    async with logged_once(server, "unavailable"), raw(server) as socket:
        await socket.send_str(f"40/feed,{json.dumps({'token': token})}")
        ended = await socket.receive(timeout=WAIT_SECONDS)
        assert ended.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)
    assert token not in server.log_text()
