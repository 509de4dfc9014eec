"""Engine.IO 4, "Handshake", "Query parameters" and "Headers": how a session opens, and what is refused."""

from __future__ import annotations

import re

import httpx
import pytest
from tests.conformance.client import (
    BOTH_PATHS,
    MAX_PAYLOAD,
    PING_INTERVAL_MS,
    PING_TIMEOUT_MS,
    Engine,
    Handshake,
)
from tests.conformance.server import SUITES, Server

HEARTBEAT = SUITES

pytestmark = pytest.mark.parametrize("path", BOTH_PATHS)

BROWSER_ORIGIN = "http://localhost:3000"


@pytest.fixture
async def engine(http: httpx.AsyncClient, server: Server, path: str) -> Engine:
    return Engine(http, server.origin, path)


def check(handshake: Handshake, *, upgrades: list[str]) -> None:
    assert handshake.fields == {
        "sid": handshake.sid,
        "upgrades": upgrades,
        "pingInterval": PING_INTERVAL_MS,
        "pingTimeout": PING_TIMEOUT_MS,
        "maxPayload": MAX_PAYLOAD,
    }
    # It goes into a query string as it is, and must not be guessed.
    assert re.fullmatch(r"[A-Za-z0-9_-]{20,}", handshake.sid)


async def test_polling_opens_a_session_that_may_upgrade(engine: Engine) -> None:
    session = await engine.open_polling()
    check(session.handshake, upgrades=["websocket"])


async def test_websocket_opens_a_session_without_upgrades(engine: Engine) -> None:
    async with engine.session() as socket:
        check(socket.handshake, upgrades=[])


async def test_every_session_has_its_own_id(engine: Engine) -> None:
    sids = {(await engine.open_polling()).sid for _ in range(10)}
    async with engine.session() as socket:
        sids.add(socket.handshake.sid)
    assert len(sids) == 11


async def test_open_packet_is_plain_text_that_nobody_may_store(engine: Engine) -> None:
    response = await engine.request("GET", EIO="4", transport="polling")
    assert response.headers["content-type"].lower() == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert int(response.headers["content-length"]) == len(response.content)


async def test_unknown_query_parameters_are_ignored(engine: Engine) -> None:
    response = await engine.request("GET", EIO="4", transport="polling", t="N8hyd6w", b64="1", other="ü&=")
    assert response.status_code == 200


def check_refusal(response: httpx.Response, code: int) -> None:
    assert response.status_code == 400
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert body["code"] == code
    assert isinstance(body["message"], str)
    assert body["message"]


@pytest.mark.parametrize("version", [None, "", "abc", "3", "5", "4.0", "04", "-4", "٤"])
async def test_polling_refuses_any_other_version(engine: Engine, version: str | None) -> None:
    response = await engine.http.get(engine.url(transport="polling", **({} if version is None else {"EIO": version})))
    check_refusal(response, code=5)


@pytest.mark.parametrize("name", [None, "", "abc", "webtransport", "Polling", "__proto__"])
async def test_polling_refuses_an_unknown_transport(engine: Engine, name: str | None) -> None:
    response = await engine.http.get(engine.url(EIO="4", **({} if name is None else {"transport": name})))
    check_refusal(response, code=0)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_only_get_opens_a_session(engine: Engine, method: str) -> None:
    check_refusal(await engine.request(method, content="40", EIO="4", transport="polling"), code=2)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "sid", ["unknown", "x" * 4000, "../..", "\x00", "é"], ids=["unknown", "long", "path", "nul", "accent"]
)
async def test_an_unknown_session_is_refused(engine: Engine, method: str, sid: str) -> None:
    check_refusal(await engine.request(method, EIO="4", transport="polling", sid=sid), code=1)


async def test_a_plain_get_cannot_open_a_websocket(engine: Engine) -> None:
    response = await engine.request("GET", EIO="4", transport="websocket")
    assert response.status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        {"transport": "websocket"},
        {"EIO": "abc", "transport": "websocket"},
        {"EIO": "3", "transport": "websocket"},
        {"EIO": "4"},
        {"EIO": "4", "transport": "abc"},
        {"EIO": "4", "transport": "websocket", "sid": "unknown"},
        {},
    ],
    ids=lambda query: "&".join(f"{name}={value}" for name, value in query.items()) or "none",
)
async def test_websocket_with_a_wrong_query_is_not_kept(engine: Engine, query: dict[str, str]) -> None:
    assert await engine.websocket_refused(**query) in (None, 400)


async def test_a_websocket_session_cannot_be_polled(engine: Engine) -> None:
    async with engine.session() as socket:
        sid = socket.handshake.sid
        for method in ("GET", "POST"):
            response = await engine.request(method, EIO="4", transport="polling", sid=sid)
            assert response.status_code == 400
        await socket.connection.ping()
        assert socket.connection.close_code is None


async def test_preflight_of_a_browser_is_answered(engine: Engine) -> None:
    session = await engine.open_polling()
    response = await session.request(
        "OPTIONS",
        **{
            "Origin": BROWSER_ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    assert response.status_code in (200, 204)
    assert response.headers["access-control-allow-origin"] in (BROWSER_ORIGIN, "*")
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "content-type" in response.headers["access-control-allow-headers"].lower()


async def test_answers_may_be_read_by_a_browser(engine: Engine) -> None:
    origin = {"Origin": BROWSER_ORIGIN}
    opened = await engine.request("GET", headers=origin, EIO="4", transport="polling")
    refused = await engine.request("GET", headers=origin, EIO="4", transport="polling", sid="unknown")
    assert (opened.status_code, refused.status_code) == (200, 400)
    for response in (opened, refused):
        allowed = response.headers["access-control-allow-origin"]
        assert allowed in (BROWSER_ORIGIN, "*")
        if allowed == BROWSER_ORIGIN:
            assert "origin" in response.headers["vary"].lower()
