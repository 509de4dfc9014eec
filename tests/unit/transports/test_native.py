"""What a native WebSocket writes past its transport, and when it must not."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.clock import TurnedClock
from tests.sinks import FakeReceiver, FakeSink

from callboard.realtime.engine import Engine, EngineOptions
from callboard.transports.handshake import Policy
from callboard.transports.native import WebSocket, protocol_class
from callboard.wire.engineio import Outgoing

TARGET = b"/socket.io/?EIO=4&transport=websocket"
HEADERS = {"sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}


class Transport:
    """The loop's transport of a real socket. `waiting`: bytes of earlier answers that the socket has not taken."""

    def __init__(self, near: socket.socket) -> None:
        self._near = near
        self.waiting = 0
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.waiting += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == 0

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self._near, "peername": ("192.0.2.1", 4711)}.get(name)


class Line:
    """A WebSocket that has not been asked for yet, and the other end of its socket."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self._far = far
        self.transport = Transport(near)
        self.engine = Engine(EngineOptions(), TurnedClock(), lambda connection: FakeReceiver())
        self.websocket: WebSocket = protocol_class({"/socket.io/": self.engine}, Policy())(
            config=None, server_state=None, app_state=None
        )
        self.websocket.connection_made(self.transport)

    def came(self) -> bytes:
        """What the peer has got."""
        try:
            return self._far.recv(65_536)
        except BlockingIOError:
            return b""


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    near, far = socket.socketpair()
    with near, far:
        far.setblocking(False)
        yield Line(near, far)


async def test_with_nothing_before_it_all_goes_to_the_socket(line: Line) -> None:
    line.websocket.upgrade(b"GET", TARGET, HEADERS)
    assert line.came().startswith(b"HTTP/1.1 101 ")
    assert line.transport.written == []
    connection = line.websocket.connection
    assert connection is not None
    assert (connection.paused, connection.descriptor) == (False, line.websocket.descriptor)
    assert connection.descriptor is not None


async def test_behind_an_answer_that_has_not_left_it_waits_in_the_transport(line: Line) -> None:
    line.transport.waiting = 1_000
    line.websocket.upgrade(b"GET", TARGET, HEADERS)
    assert line.came() == b""
    [opening] = line.transport.written
    assert opening.startswith(b"HTTP/1.1 101 ")
    connection = line.websocket.connection
    assert connection is not None
    assert (connection.paused, connection.descriptor, line.websocket.descriptor) == (True, None, None)

    line.websocket.write([Outgoing(b"4a")])
    assert (line.came(), line.transport.written[1:]) == (b"", [b"\x81\x024a"])

    line.transport.waiting = 0
    line.websocket.resume_writing()
    assert not connection.paused
    line.websocket.write([Outgoing(b"4b")])
    assert (line.came(), line.transport.written[2:]) == (b"\x81\x024b", [])


async def test_one_that_stands_by_waits_too(line: Line) -> None:
    polling = line.engine.open(FakeSink("polling"), "192.0.2.1")
    line.transport.waiting = 1_000
    line.websocket.upgrade(b"GET", TARGET + b"&sid=" + polling.session.sid.encode(), HEADERS)
    assert (line.came(), line.websocket.descriptor) == (b"", None)
    [answer] = line.transport.written
    assert answer.startswith(b"HTTP/1.1 101 ")
