"""Cross-origin requests."""

from __future__ import annotations

import pytest
from tests.unit.transports.drivers import Exchange

from callboard.transports.asgi_types import Receive, Scope, Send
from callboard.transports.cors import Cors, headers_of
from callboard.transports.handshake import Policy

LISTED = "https://app.example"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def app(*, credentials: bool = True) -> Cors:
    return Cors(hello, Policy(frozenset({LISTED}), credentials))


def test_header_names_are_lower_case_and_the_last_value_wins() -> None:
    assert headers_of([(b"Host", b"a"), (b"host", b"b"), (b"X", b"\xff")]) == {"host": "b", "x": "\xff"}


async def test_without_an_origin_nothing_is_added() -> None:
    exchange = Exchange(app())
    assert await exchange.answer() == (200, b"hello")
    assert exchange.headers == {"content-length": "5"}


async def test_a_listed_origin_may_read_the_answer() -> None:
    exchange = Exchange(app(), headers={"origin": LISTED})
    assert await exchange.answer() == (200, b"hello")
    assert exchange.headers == {
        "content-length": "5",
        "vary": "Origin",
        "access-control-allow-origin": LISTED,
        "access-control-allow-credentials": "true",
    }


async def test_credentials_may_be_kept_out() -> None:
    exchange = Exchange(app(credentials=False), headers={"origin": LISTED})
    await exchange.answer()
    assert "access-control-allow-credentials" not in exchange.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "*", LISTED + ".evil.example", "\xff"])
async def test_any_other_origin_gets_no_header(origin: str) -> None:
    exchange = Exchange(app(), headers={"origin": origin})
    assert await exchange.answer() == (200, b"hello")
    assert exchange.headers == {"content-length": "5", "vary": "Origin"}


async def test_a_preflight_of_a_listed_origin_is_answered_here() -> None:
    exchange = Exchange(app(), "OPTIONS", headers={"origin": LISTED})
    assert await exchange.answer() == (204, b"")
    assert exchange.headers["access-control-allow-origin"] == LISTED
    assert "POST" in exchange.headers["access-control-allow-methods"]
    assert "authorization" in exchange.headers["access-control-allow-headers"]


async def test_a_preflight_of_another_origin_learns_nothing() -> None:
    exchange = Exchange(app(), "OPTIONS", headers={"origin": "https://evil.example"})
    assert await exchange.answer() == (204, b"")
    assert exchange.headers == {"vary": "Origin", "content-length": "0"}


async def test_what_is_not_http_passes() -> None:
    seen: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> dict[str, object]:
        raise AssertionError

    async def send(message: object) -> None:
        raise AssertionError

    await Cors(inner, Policy())({"type": "lifespan"}, receive, send)
    assert seen == ["lifespan"]
