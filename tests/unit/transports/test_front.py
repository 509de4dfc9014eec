"""Which first bytes go to the native WebSocket, and which to HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from tests.clock import TurnedClock
from tests.loop import Timers
from uvicorn.config import Config
from uvicorn.server import ServerState

from callboard.transports.front import MAX_HEAD, Front, Upgrade, before, plain_upgrade
from callboard.transports.http import HttpLimits, HttpProtocol, limited

REQUEST = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
    b"Host: app.example\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Cookie: a=\xc3\xa4; b=c\r\n"
    b"Upgrade: WebSocket\r\n"
    b"Origin:https://app.example \r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n"
    b"\r\n"
)


def without(line: bytes) -> bytes:
    assert line in REQUEST
    return REQUEST.replace(line, b"")


def test_a_plain_request_keeps_what_is_looked_at() -> None:
    assert plain_upgrade(REQUEST + b"\x81\x80") == Upgrade(
        b"/socket.io/?EIO=4&transport=websocket",
        {
            "host": "app.example",
            "origin": "https://app.example",
            "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "sec-websocket-version": "13",
            "x-forwarded-for": "192.0.2.1, 192.0.2.2",
        },
        b"\x81\x80",
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        REQUEST[:-1],
        REQUEST[:-2] + b"a: " + b"x" * MAX_HEAD + b"\r\n\r\n",
        REQUEST.replace(b"GET", b"POST"),
        REQUEST.replace(b"GET", b"get"),
        REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        REQUEST.replace(b"HTTP/1.1", b"HTTP/1.1 "),
        REQUEST.replace(b"/socket.io/?", b"http://app.example/socket.io/?"),
        REQUEST.replace(b"/socket.io/", b"/socket io/"),
        REQUEST.replace(b"/socket.io/", b"/socket\x00io/"),
        REQUEST.replace(b"/socket.io/", b"/\xc3\xa4/"),
        b"\r\n" + REQUEST,
        without(b"Host: app.example\r\n"),
        without(b"Connection: keep-alive, Upgrade\r\n"),
        without(b"Upgrade: WebSocket\r\n"),
        REQUEST.replace(b"keep-alive, Upgrade", b"keep-alive"),
        REQUEST.replace(b"Upgrade: WebSocket", b"Upgrade: h2c"),
        REQUEST.replace(b"Upgrade: WebSocket", b"Upgrade: websocket, h2c"),
        REQUEST.replace(b"Cookie: ", b"Cookie : "),
        REQUEST.replace(b"Cookie: ", b"Cookie "),
        REQUEST.replace(b"Cookie: ", b" Cookie: "),
        REQUEST.replace(b"Cookie: ", b": "),
        REQUEST.replace(b"Cookie: ", b"Cookie: \n"),
        REQUEST.replace(b"Cookie: ", b"Cookie: \x00"),
        REQUEST.replace(b"Cookie: ", b"Host: other.example\r\nCookie: "),
        REQUEST.replace(b"Cookie: ", b"Content-Length: 5\r\nCookie: "),
        REQUEST.replace(b"Cookie: ", b"Transfer-Encoding: chunked\r\nCookie: "),
        REQUEST.replace(b"Cookie: ", b"Expect: 100-continue\r\nCookie: "),
    ],
)
def test_whatever_is_not_plain_is_left_to_http(data: bytes) -> None:
    assert plain_upgrade(data) is None


class Transport:
    """Remembers who has it and whether it was closed."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.closed = False
        self.paused = False
        self.written = b""

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def get_extra_info(self, name: str) -> Any:
        return None

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.paused = True

    def close(self) -> None:
        self.closed = True


class Loop:
    """The part of the loop that both protocols use."""

    def __init__(self, timers: Timers) -> None:
        self.call_later = timers.call_later
        self.time = timers.clock.monotonic


class Rig:
    """A connection on which nothing has come."""

    def __init__(self, timers: Timers, http: type[HttpProtocol]) -> None:
        self.timers = timers
        self.state = ServerState()
        self.config = Config(lambda *_: None, ws="none", log_config=None)
        self.config.load()
        self.fronts = before(http)
        self.front = self.connect()
        self.transport = self.front.transport

    def connect(self) -> Front:
        front = self.fronts(config=self.config, server_state=self.state, app_state={}, _loop=Loop(self.timers))
        transport = Transport()
        transport.protocol = front
        front.connection_made(cast(asyncio.Transport, transport))
        return front

    def fail(self, **parts: object) -> None:
        raise AssertionError("a WebSocket was made")


@pytest.fixture
def rig() -> Rig:
    return Rig(Timers(TurnedClock()), limited(HttpLimits(head_timeout=10.0)))


def test_a_client_that_says_nothing_is_answered_as_by_http(rig: Rig) -> None:
    assert list[object](rig.state.connections) == [rig.front]
    rig.timers.turn(9.9)
    assert not rig.transport.closed
    rig.timers.turn(0.2)
    assert rig.transport.written.startswith(b"HTTP/1.1 408")
    assert rig.transport.closed


def test_the_time_before_the_first_byte_counts(rig: Rig) -> None:
    rig.timers.turn(6.0)
    rig.front.data_received(b"GET / HT")
    assert isinstance(rig.transport.protocol, HttpProtocol)
    assert list[object](rig.state.connections) == [rig.transport.protocol]
    rig.timers.turn(3.9)
    assert not rig.transport.closed
    rig.timers.turn(0.2)
    assert rig.transport.written.startswith(b"HTTP/1.1 408")


def test_each_has_its_own_time_and_all_have_one_timer(rig: Rig) -> None:
    rig.timers.turn(4.0)
    second, gone = rig.connect(), rig.connect()
    assert rig.timers.made == 1
    gone.connection_lost(None)
    rig.timers.turn(6.1)
    assert (rig.transport.closed, second.transport.closed) == (True, False)
    rig.timers.turn(3.8)
    assert not second.transport.closed
    rig.timers.turn(0.2)
    assert second.transport.written.startswith(b"HTTP/1.1 408")
    assert not gone.transport.written


def test_an_end_leaves_nothing(rig: Rig) -> None:
    rig.front.connection_lost(None)
    assert not rig.state.connections
    rig.timers.turn(60.0)
    assert isinstance(rig.transport.protocol, Front)
    assert not rig.transport.closed


def test_a_server_that_ends_closes_it(rig: Rig) -> None:
    rig.front.shutdown()
    assert rig.transport.closed


async def test_a_client_that_has_gone_while_it_waited_is_no_work(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[Callable[[], None]] = []
    monkeypatch.setattr(rig.front.turnstile, "enter", waiting.append)
    monkeypatch.setattr(rig.config, "ws_protocol_class", rig.fail)
    rig.front.data_received(REQUEST)
    assert rig.transport.paused
    rig.transport.close()
    [work] = waiting
    work()
    assert not rig.state.connections
    assert rig.transport.written == b""
