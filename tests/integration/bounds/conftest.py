"""The whole of Callboard in the test's own loop, with whatever settings a test gives it, behind a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tests.integration.transports.native_client import CLOSE, TEXT, NativeClient

from callboard.app import Callboard
from callboard.auth.tokens import TokenSigner
from callboard.clock import SystemClock
from callboard.realtime.broker import Envelope
from callboard.realtime.connection import Connection
from callboard.realtime.namespace import Handler
from callboard.server import ServeOptions, _bind, _config
from callboard.settings import load
from callboard.transports.asgi_types import ASGIApp

PATIENCE = 10.0
# Far below what the defaults would allow, and long enough for a machine that is busy.
SOON = 6.0
POLLING = "/socket.io/?EIO=4&transport=polling"


class Client(NativeClient):
    """A WebSocket that speaks Socket.IO as a test says."""

    handshake: dict[str, Any]
    pid: str

    async def join(self, token: str, namespace: str = "/feed", **auth: object) -> dict[str, Any]:
        """Join a namespace; what CONNECT answered."""
        self.say(f"40{namespace},{json.dumps({'token': token, **auth})}")
        answer = await self.text()
        assert answer.startswith(f"40{namespace},"), answer
        joined: dict[str, Any] = json.loads(answer.partition(",")[2])
        return joined

    async def text(self) -> str:
        """The next Engine.IO packet that is no ping."""
        while True:
            kind, data = await self.hear()
            assert kind == TEXT, (kind, data)
            if data != b"2":
                return data.decode()

    async def ack(self, packet_id: int, namespace: str = "/feed") -> dict[str, Any]:
        """The acknowledgement of this number; messages before it are passed over."""
        head = f"43{namespace},{packet_id}["
        while not (answer := await self.text()).startswith(head):
            assert answer.startswith("42"), answer
        acknowledged: dict[str, Any] = json.loads(answer[len(head) - 1 :])[0]
        return acknowledged

    async def closed(self) -> tuple[int, str]:
        """The code and the reason of the close frame; packets before it are passed over."""
        kind, data = await self.hear()
        while kind != CLOSE:
            kind, data = await self.hear()
        await self.end()
        return int.from_bytes(data[:2], "big"), data[2:].decode()


class Running:
    """A node that serves."""

    def __init__(self, callboard: Callboard, port: int) -> None:
        self.callboard = callboard
        self.node = callboard.node
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._signer = TokenSigner(callboard.settings, clock=SystemClock())

    def token(self, user: str = "u1", *roles: str) -> str:
        return self._signer.sign(user, roles=roles, ttl=timedelta(hours=1))

    def on(self, name: str, handler: Handler, namespace: str = "/feed") -> None:
        self.node.namespace(namespace).on(name, handler)

    @asynccontextmanager
    async def client(self, query: str = "EIO=4&transport=websocket", **headers: str) -> AsyncIterator[Client]:
        """A WebSocket whose OPEN packet has come, if it opens a session."""
        async with Client(self.port) as client:
            status, _ = await client.request(query, **headers)
            assert status == 101
            if "sid=" not in query:
                client.handshake = json.loads((await client.text())[1:])
            yield client

    @asynccontextmanager
    async def joined(self, user: str = "u1", namespace: str = "/feed", **auth: object) -> AsyncIterator[Client]:
        """A WebSocket that has joined a namespace."""
        async with self.client() as client:
            client.pid = (await client.join(self.token(user), namespace, **auth))["pid"]
            yield client

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE, trust_env=False) as client:
            yield client

    async def handshake(self, **headers: str) -> httpx.Response:
        """The answer to a long-polling handshake."""
        async with self.http() as client:
            return await client.get(POLLING, headers={name.replace("_", "-"): text for name, text in headers.items()})

    def connection(self, client: Client) -> Connection:
        return self.node.engine.connections[client.handshake["sid"]]

    def send(self, name: str, size: int, *, key: str | None = None, user: str = "u1") -> None:
        """Deliver a volatile message of so many bytes to a user."""
        payload = json.dumps({"fill": "x" * size}).encode()
        self.node.deliver(Envelope(namespace="/feed", rooms=(f"user:{user}",), name=name, payload=payload, key=key))

    async def publish(self, name: str, size: int = 0, *, user: str = "u1") -> None:
        """Commit a durable message to a user; it is in the log and delivered when this returns."""
        await self.callboard.database.execute(
            "select callboard.publish(array['user:' || $1::text], $2, jsonb_build_object('fill', repeat('x', $3)))",
            user,
            name,
            size,
        )
        await self.callboard.relay.flush()


Serve = Callable[..., Any]


@pytest.fixture
async def serve(dsn: str, tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts a node: `await serve(SETTING="value", …)`; `host` is a host application."""
    async with AsyncExitStack() as stack:

        async def start(host: ASGIApp | None = None, **settings: str) -> Running:
            return await stack.enter_async_context(_serving(dsn, tmp_path, host, settings))

        yield start


@asynccontextmanager
async def _serving(dsn: str, data_dir: Path, host: ASGIApp | None, settings: dict[str, str]) -> AsyncIterator[Running]:
    callboard = Callboard(load(settings, data_dir=data_dir), host=host)
    try:
        await callboard.start(dsn)
        await callboard.relay.until_ready()
        config = _config(callboard, ServeOptions())
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        with _bind("127.0.0.1", 0) as listener:
            await server.startup(sockets=[listener])
            await server.on_tick(0)
            try:
                yield Running(callboard, listener.getsockname()[1])
            finally:
                await callboard.node.stop()
                for connection in list(server.server_state.connections):
                    connection.transport.abort()
                await server.shutdown()
    finally:
        await callboard.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)
