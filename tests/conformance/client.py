"""The raw clients of the conformance tests: Engine.IO by HTTP long-polling and by WebSocket.

Owns: requests and packets as the protocol documents draw them, heartbeats answered where a test does not look
at them, and one deadline for every wait. Never: knowledge of Callboard's code; the clients see only the wire.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

DEADLINE = 5.0
PING_INTERVAL_MS = 300
PING_TIMEOUT_MS = 200
# How early what a heartbeat does may come, as a part of its time, and how late in seconds: the machine may be busy.
EARLY = 0.75
LATE = 3.0
MAX_PAYLOAD = 1_000_000
SEPARATOR = "\x1e"
ENGINE_PATH = "/engine.io/"
SOCKET_PATH = "/socket.io/"
BOTH_PATHS = (ENGINE_PATH, SOCKET_PATH)


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, kw_only=True)
class Handshake:
    """The payload of an open packet."""

    sid: str
    fields: Mapping[str, Any]


def read_open_packet(packet: str) -> Handshake:
    assert packet.startswith("0"), packet
    fields = json.loads(packet[1:])
    return Handshake(sid=fields["sid"], fields=fields)


class Engine:
    """One Engine.IO endpoint of the server: `path` is `/engine.io/`, an echo, or `/socket.io/`."""

    def __init__(self, http: httpx.AsyncClient, origin: str, path: str) -> None:
        self.http = http
        self.origin = origin
        self.path = path

    def url(self, **query: str) -> str:
        return f"{self.origin}{self.path}?{urlencode(query)}"

    async def request(
        self,
        method: str,
        *,
        content: str | bytes | None = None,
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> httpx.Response:
        """One request with exactly this query; a `content` goes out without any Content-Type of its own."""
        return await self.http.request(method, self.url(**query), content=content, headers=headers)

    async def open_polling(self) -> Polling:
        response = await self.request("GET", EIO="4", transport="polling")
        assert response.status_code == 200, response.text
        return Polling(self, read_open_packet(response.text))

    @asynccontextmanager
    async def websocket(self, **query: str) -> AsyncIterator[Socket]:
        """A WebSocket with the query `EIO=4&transport=websocket` plus or replaced by `query`."""
        address = self.url(**{"EIO": "4", "transport": "websocket", **query}).replace("http", "ws", 1)
        async with connect(
            address, proxy=None, compression=None, ping_interval=None, max_size=None, close_timeout=1
        ) as connection:
            yield Socket(connection)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Socket]:
        """A WebSocket-only session, its open packet read into `handshake`."""
        async with self.websocket() as socket:
            packet = await socket.receive()
            assert isinstance(packet, str)
            socket.handshake = read_open_packet(packet)
            yield socket

    async def websocket_refused(self, **query: str) -> int | None:
        """The server must not keep this WebSocket: the status it refused with, or None if it closed it."""
        address = self.url(**query).replace("http", "ws", 1)
        try:
            async with connect(address, proxy=None, ping_interval=None, close_timeout=1) as connection:
                await Socket(connection).closed()
        except InvalidStatus as refusal:
            return refusal.response.status_code
        return None

    async def barrier(self) -> None:
        """Returns when the server has read every request that was fully sent to it before this call.

        A refused request on a connection of its own: the server takes its connections in the order they came.
        """
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as http:
            response = await http.get(self.url(EIO="4", transport="none"))
        assert response.status_code == 400


class Polling:
    """One long-polling session."""

    def __init__(self, engine: Engine, handshake: Handshake) -> None:
        self.engine = engine
        self.handshake = handshake
        self.sid = handshake.sid

    async def request(self, method: str, content: str | bytes | None = None, **headers: str) -> httpx.Response:
        return await self.engine.request(
            method, content=content, headers=headers, EIO="4", transport="polling", sid=self.sid
        )

    async def poll(self) -> httpx.Response:
        return await self.request("GET")

    async def post(self, content: str | bytes) -> httpx.Response:
        return await self.request("POST", content)

    async def send(self, *packets: str) -> None:
        response = await self.post(SEPARATOR.join(packets))
        assert (response.status_code, response.text) == (200, "ok")

    async def packets(self) -> list[str]:
        """The packets of one poll, pings included and unanswered."""
        response = await self.poll()
        assert response.status_code == 200, response.text
        return response.text.split(SEPARATOR)

    async def receive(self, count: int) -> list[str]:
        """Polls until `count` packets other than pings have come; answers the pings."""
        received: list[str] = []
        async with asyncio.timeout(DEADLINE):
            while len(received) < count:
                packets = await self.packets()
                received += [packet for packet in packets if packet != "2"]
                if "2" in packets:
                    await self.send("3")
        assert len(received) == count, received
        return received

    @asynccontextmanager
    async def held_poll(self) -> AsyncIterator[asyncio.Task[httpx.Response]]:
        """A GET that the server has read and holds."""
        sent = asyncio.Event()

        async def trace(name: str, _: object) -> None:
            if name == "http11.send_request_body.complete":
                sent.set()

        address = self.engine.url(EIO="4", transport="polling", sid=self.sid)
        task = asyncio.create_task(self.engine.http.get(address, extensions={"trace": trace}))
        try:
            async with asyncio.timeout(DEADLINE):
                await sent.wait()
            await self.engine.barrier()
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def is_unknown(self) -> bool:
        """Asks once, by a poll, whether the server still knows the session."""
        response = await self.poll()
        return response.status_code == 400 and response.json()["code"] == 1

    async def expect_closed(self) -> None:
        """The session ends: within the deadline a poll is answered as for an unknown session."""
        async with asyncio.timeout(DEADLINE):
            while not await self.is_unknown():
                pass


class Socket:
    """One WebSocket that speaks Engine.IO packets."""

    handshake: Handshake

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, *packets: str | bytes) -> None:
        for packet in packets:
            await self.connection.send(packet)

    async def receive_any(self) -> str | bytes:
        """The next packet, pings included and unanswered."""
        async with asyncio.timeout(DEADLINE):
            return await self.connection.recv()

    async def receive(self) -> str | bytes:
        """The next packet other than a ping; answers the pings."""
        async with asyncio.timeout(DEADLINE):
            while (packet := await self.receive_any()) == "2":
                await self.connection.send("3")
        return packet

    async def receive_many(self, count: int) -> list[str | bytes]:
        return [await self.receive() for _ in range(count)]

    async def closed(self) -> list[str | bytes]:
        """Waits, with pings answered, until the server has closed; returns what else it sent before."""
        received: list[str | bytes] = []
        async with asyncio.timeout(DEADLINE):
            try:
                while True:
                    received.append(await self.receive())
            except ConnectionClosed:
                return received

    async def expect_alive(self, question: str, answer: str) -> None:
        await self.send(question)
        assert await self.receive() == answer
