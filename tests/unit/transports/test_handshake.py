"""What every transport asks of a request first."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs
from tests.loop import Timers
from tests.sinks import FakeReceiver, FakeSink
from tests.unit.transports.conftest import Server

from callboard.realtime.connection import Reason
from callboard.realtime.engine import Engine, EngineOptions
from callboard.transports.handshake import Policy, Refusal, RefusalCode, Request, admit
from callboard.wire.session import State

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"


def request(
    query: str = POLLING,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    peer: str = "192.0.2.1",
    scheme: str = "http",
) -> Request:
    return Request(method=method, query=query, headers=headers or {}, peer=peer, scheme=scheme)


@pytest.fixture
async def engine(timers: Timers) -> Engine:
    return Engine(EngineOptions(max_connections=1), timers.clock, lambda connection: FakeReceiver())


def refused(engine: Engine, asked: Request, *, upgrade: bool = False) -> Refusal:
    with capture_logs() as logs, pytest.raises(Refusal) as refusal:
        admit(engine, Policy(), asked, upgrade=upgrade)
    refusals = [entry["reason"] for entry in logs if entry["event"] == "socket.refused"]
    assert refusals == [refusal.value.message]
    return refusal.value


async def test_a_new_session_is_admitted(engine: Engine) -> None:
    assert admit(engine, Policy(), request(), upgrade=False) is None
    assert admit(engine, Policy(), request(WEBSOCKET + "&b64=1&t=abc"), upgrade=True) is None


@pytest.mark.parametrize(
    ("query", "upgrade", "code"),
    [
        ("", False, RefusalCode.UNKNOWN_TRANSPORT),
        ("EIO=4", False, RefusalCode.UNKNOWN_TRANSPORT),
        ("EIO=4&transport=abc", False, RefusalCode.UNKNOWN_TRANSPORT),
        ("EIO=4&transport=webtransport", True, RefusalCode.UNKNOWN_TRANSPORT),
        ("EIO=4&transport=%ff", False, RefusalCode.UNKNOWN_TRANSPORT),
        ("transport=polling", False, RefusalCode.UNSUPPORTED_VERSION),
        ("EIO=3&transport=polling", False, RefusalCode.UNSUPPORTED_VERSION),
        ("EIO=abc&transport=polling", False, RefusalCode.UNSUPPORTED_VERSION),
        ("EIO=4&EIO=3&transport=polling", False, RefusalCode.UNSUPPORTED_VERSION),
        (POLLING, True, RefusalCode.BAD_REQUEST),
        (WEBSOCKET, False, RefusalCode.BAD_REQUEST),
        (POLLING + "&sid=none", False, RefusalCode.UNKNOWN_SID),
        (POLLING + "&sid=", False, RefusalCode.UNKNOWN_SID),
        (WEBSOCKET + "&sid=none", True, RefusalCode.UNKNOWN_SID),
        (POLLING + "&a=1" * 40, False, RefusalCode.BAD_REQUEST),
    ],
)
async def test_every_refusal_of_a_query(engine: Engine, query: str, upgrade: bool, code: RefusalCode) -> None:
    refusal = refused(engine, request(query), upgrade=upgrade)
    assert (refusal.code, refusal.status) == (code, 400)
    assert json.loads(refusal.body) == {"code": int(code), "message": refusal.message}
    assert engine.connections == {}


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "DELETE", "OPTIONS"])
async def test_only_get_opens_a_session(engine: Engine, method: str) -> None:
    assert refused(engine, request(method=method)).code is RefusalCode.BAD_METHOD


async def test_a_full_or_stopping_engine_is_worth_a_retry(engine: Engine) -> None:
    connection = engine.open(FakeSink(), "")
    refusal = refused(engine, request())
    assert (refusal.status, refusal.retry_after) == (503, 5)
    assert admit(engine, Policy(), request(WEBSOCKET + f"&sid={connection.session.sid}"), upgrade=True) is connection
    engine.close(Reason.STOPPING)
    refusal = refused(engine, request())
    assert (refusal.status, refusal.retry_after) == (503, 1)


async def test_a_session_is_found_by_its_id_on_its_transport(engine: Engine) -> None:
    connection = engine.open(FakeSink("polling"), "")
    sid = connection.session.sid
    for method in ("GET", "POST"):
        assert admit(engine, Policy(), request(f"{POLLING}&sid={sid}", method=method), upgrade=False) is connection
    assert admit(engine, Policy(), request(f"{WEBSOCKET}&sid={sid}"), upgrade=True) is connection
    connection.session.state = State.WEBSOCKET
    assert refused(engine, request(f"{POLLING}&sid={sid}")).code is RefusalCode.BAD_REQUEST
    connection.close(Reason.CLIENT)
    assert refused(engine, request(f"{POLLING}&sid={sid}")).code is RefusalCode.UNKNOWN_SID


async def test_a_session_that_is_overdue_is_not_found(engine: Engine, timers: Timers) -> None:
    connection = engine.open(FakeSink("polling"), "")
    timers.turn(27.0)
    timers.clock.turn(20.0)
    assert refused(engine, request(f"{POLLING}&sid={connection.session.sid}")).code is RefusalCode.UNKNOWN_SID
    assert engine.connections == {}


async def test_a_request_that_finds_the_ping_due_gets_it(server: Server) -> None:
    client = await server.open()
    server.timers.clock.turn(25.1)
    assert await client.get().answer() == (200, b"2")


# Origins

LISTED = Policy(frozenset({"https://app.example", "http://localhost:5173"}))


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("https://app.example", True),
        ("http://localhost:5173", True),
        ("http://host.example:3002", True),
        ("https://host.example:3002", False),
        ("http://host.example", False),
        ("http://app.example", False),
        ("https://app.example:8443", False),
        ("https://app.example.evil.example", False),
        ("https://evil.example/https://app.example", False),
        ("HTTPS://APP.EXAMPLE", False),
        ("null", False),
        ("", False),
        ("*", False),
    ],
)
async def test_origins_are_compared_exactly(engine: Engine, origin: str | None, allowed: bool) -> None:
    headers = {"host": "host.example:3002"} | ({} if origin is None else {"origin": origin})
    asked = request(headers=headers)
    assert LISTED.allows(asked) is allowed
    if not allowed:
        with pytest.raises(Refusal) as refusal:
            admit(engine, LISTED, asked, upgrade=False)
        assert (refusal.value.code, refusal.value.status) == (RefusalCode.FORBIDDEN, 403)


@pytest.mark.parametrize(
    ("peer", "forwarded", "scheme", "origin", "allowed"),
    [
        ("10.0.0.1", "https", "http", "https://host.example", True),
        ("10.0.0.1", "https", "http", "http://host.example", False),
        ("10.0.0.1", None, "http", "http://host.example", True),
        ("10.0.0.1", "wss", "http", "https://host.example", False),
        ("192.0.2.1", "https", "http", "https://host.example", False),
        ("192.0.2.1", "http", "https", "https://host.example", True),
    ],
)
def test_the_own_origins_scheme_is_taken_from_trusted_proxies_only(
    peer: str, forwarded: str | None, scheme: str, origin: str, allowed: bool
) -> None:
    policy = Policy(trusted_proxies=("10.0.0.0/8",))
    headers = {"host": "host.example", "origin": origin} | ({"x-forwarded-proto": forwarded} if forwarded else {})
    assert policy.allows(request(headers=headers, peer=peer, scheme=scheme)) is allowed


# Addresses


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # whoever says so is no proxy of ours
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),  # the client wrote the first one itself
        ("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2,10.9.9.9", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown, 10.0.0.2", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]:443", "2001:db8::7"),
        ("10.0.0.1", "198.51.100.7\udcff", "10.0.0.1"),
        ("10.0.0.1", ",", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("fd00::1", "198.51.100.7", "198.51.100.7"),
        ("fd00::2", "198.51.100.7", "fd00::2"),
        ("", "198.51.100.7", ""),
        ("socket", "198.51.100.7", "socket"),
    ],
)
def test_the_clients_address(peer: str, forwarded: str, address: str) -> None:
    policy = Policy(trusted_proxies=("10.0.0.0/8", "fd00::1"))
    assert policy.address(request(headers={"x-forwarded-for": forwarded}, peer=peer)) == address


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert Policy().address(request(headers={"x-forwarded-for": "198.51.100.7"}, peer="127.0.0.1")) == "127.0.0.1"


def test_a_wrong_proxy_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="proxy"):
        Policy(trusted_proxies=("proxy",))
