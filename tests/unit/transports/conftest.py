"""An engine behind polling and an ASGI WebSocket; its time is turned by tests."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.clock import TurnedClock
from tests.loop import Timers, settle
from tests.sinks import FakeReceiver
from tests.unit.transports.drivers import Exchange, WebSocket

from callboard.realtime.connection import Connection
from callboard.realtime.engine import Engine, EngineOptions
from callboard.transports.asgi import AsgiWebSocket
from callboard.transports.handshake import Policy
from callboard.transports.polling import Polling

OPTIONS = EngineOptions(max_payload=1000, max_unsent=1000, max_connections=2)


class Server:
    """The engine and its two ASGI applications."""

    def __init__(self, timers: Timers) -> None:
        self.timers = timers
        self.receivers: list[FakeReceiver] = []
        self.engine = Engine(OPTIONS, timers.clock, self._receive)
        policy = Policy(frozenset({"https://app.example"}))
        self.polling = Polling(self.engine, policy)
        self.websocket = AsgiWebSocket(self.engine, policy)

    def _receive(self, connection: Connection) -> FakeReceiver:
        self.receivers.append(FakeReceiver())
        return self.receivers[-1]

    async def open(self) -> Client:
        """A session on long-polling."""
        status, body = await Exchange(self.polling).answer()
        assert status == 200
        return Client(self, json.loads(body[1:])["sid"])


class Client:
    """A client of a session."""

    def __init__(self, server: Server, sid: str) -> None:
        self.server = server
        self.sid = sid
        self.connection = server.engine.connections[sid]
        self.receiver = server.receivers[-1]

    @property
    def query(self) -> str:
        return f"EIO=4&transport=polling&sid={self.sid}"

    def get(self) -> Exchange:
        return Exchange(self.server.polling, "GET", self.query)

    def post(self, *body: bytes) -> Exchange:
        return Exchange(self.server.polling, "POST", self.query, body=body)

    async def held(self) -> Exchange:
        """A poll that waits."""
        poll = self.get()
        await settle()
        assert not poll.task.done()
        return poll

    async def upgrade(self) -> WebSocket:
        """A WebSocket that stands by."""
        websocket = WebSocket(self.server.websocket, f"EIO=4&transport=websocket&sid={self.sid}")
        await settle()
        return websocket


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    timers = Timers(TurnedClock())
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", timers.call_later)
    return timers


@pytest.fixture
async def server(timers: Timers) -> Server:
    return Server(timers)
