"""The load: Socket.IO clients by the thousand and HTTP requests in flight, in one process on one core.

Owns both client protocols, cut down to what the servers under measurement send, so that the driver costs less
than any of them. Never measures a server: it only says when something left and when something came.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import resource
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import jwt
import msgspec

NAMESPACE = b"/feed"
CONNECTED = b"40" + NAMESPACE
REFUSED = b"44" + NAMESPACE
HEAD_END = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
# Frames from a client must be masked; a key of zeros leaves the payload as it is.
_ZERO_KEY = b"\0\0\0\0"

# Called with the client and the text of an event packet (`42/feed,[name,…]`), on arrival.
Receive = Callable[["SocketClient", bytes], None]


def raise_open_files(wanted: int) -> int:
    """Raise the limit of open files as far as the machine lets us, also for the processes started later."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def token(secret: str, user: str, *roles: str) -> str:
    claims = {"sub": user, "name": user, "roles": list(roles), "exp": datetime.now(UTC) + timedelta(hours=1)}
    return jwt.encode(claims, secret, algorithm="HS256")


class SocketClient(asyncio.Protocol):
    """One user's WebSocket, joined to the namespace; answers pings, hands every event packet to `receive`.

    Reads unfragmented, uncompressed text frames: all that a Socket.IO server sends when nothing is binary.
    """

    __slots__ = ("_joined", "_rest", "_token", "_transport", "_upgraded", "receive", "user")

    def __init__(self, user: str, token: str, receive: Receive) -> None:
        self.user = user
        self.receive = receive
        self._token = token
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._upgraded = False
        self._joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, port: int) -> None:
        """Open, upgrade, join the namespace with the token; returns when the server has accepted it."""
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
        await self._joined

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from asyncio's
        self._transport.write(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            + base64.b64encode(os.urandom(16))
            + HEAD_END
        )

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if not self._joined.done():
            self._joined.set_exception(ConnectionError(f"{self.user}: closed before it was joined: {error}"))

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        position, end = 0, len(data)
        if not self._upgraded:
            position = self._read_upgrade(data)
        while end - position >= 2:
            length, start = data[position + 1], position + 2
            if length > 125:
                start += 2 if length == 126 else 8
                if start > end:
                    break
                length = int.from_bytes(data[position + 2 : start])
            stop = start + length
            if stop > end:
                break
            if data[position] == 0x81:
                self._packet(data[start:stop])
            else:
                self._other_frame(data[position], data[start:stop])
            position = stop
        if position < end:
            self._rest = data[position:]

    def _read_upgrade(self, data: bytes) -> int:
        head = data.find(HEAD_END)
        if head < 0:
            return 0
        if not data.startswith(b"HTTP/1.1 101"):
            self._fail(f"the upgrade was answered {data[:head].splitlines()[0]!r}")
            return len(data)
        self._upgraded = True
        return head + len(HEAD_END)

    def _packet(self, packet: bytes) -> None:
        if packet[:2] == b"42":
            self.receive(self, packet)
        elif packet == b"2":
            self._send(b"3")
        elif packet[:1] == b"0":
            self._send(CONNECTED + b"," + msgspec.json.encode({"token": self._token}))
        elif packet.startswith(CONNECTED):
            if not self._joined.done():  # cancelled when the run ends early
                self._joined.set_result(None)
        elif packet.startswith(REFUSED):
            self._fail(f"refused: {packet!r}")

    def _other_frame(self, head: int, payload: bytes) -> None:
        if head == 0x89:
            self._frame(0x8A, payload)
        elif head != 0x8A:
            self._fail(f"an unexpected frame {head:#x}: {payload[:80]!r}")

    def _send(self, packet: bytes) -> None:
        self._frame(0x81, packet)

    def _frame(self, head: int, payload: bytes) -> None:
        assert self._transport is not None
        if len(payload) < 126:
            start = struct.pack("!BB", head, 0x80 | len(payload))
        else:
            start = struct.pack("!BBH", head, 0x80 | 126, len(payload))
        self._transport.write(start + _ZERO_KEY + payload)

    def _fail(self, why: str) -> None:
        if not self._joined.done():
            self._joined.set_exception(ConnectionError(f"{self.user}: {why}"))
        self.close()

    @property
    def connected(self) -> bool:
        return self._transport is not None


async def connect_all(clients: Sequence[SocketClient], port: int, *, in_flight: int = 64) -> float:
    """Connect them all, `in_flight` at a time; returns the seconds it took. Raises when one is refused."""
    waiting = iter(clients)

    async def worker() -> None:
        for client in waiting:
            await client.connect(port)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    return time.perf_counter() - began


async def close_all(clients: Sequence[SocketClient]) -> None:
    for client in clients:
        client.close()
    await asyncio.sleep(0.2)  # lets the loop close them; no figure is taken here


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes


class HttpConnection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection, one request at a time; bodies by Content-Length only."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiting: asyncio.Future[Response] | None = None

    @classmethod
    async def open(cls, port: int) -> HttpConnection:
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    async def send(self, request: bytes) -> Response:
        if self._transport is None:
            raise ConnectionError("the server closed the connection between requests")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._fail(f"closed before the response: {error}")

    def _fail(self, why: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError(why))
        self.close()

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        head = data.find(HEAD_END)
        length = _CONTENT_LENGTH.search(data, 0, head + 2) if head >= 0 else None
        if head >= 0 and length is None and not data.startswith(b"HTTP/1.1 204"):
            self._fail(f"a response without Content-Length: {data[:head]!r}")
            return
        stop = head + len(HEAD_END) + (int(length[1]) if length else 0)
        if head < 0 or len(data) < stop:
            self._buffer = data
            return
        self._buffer = b""
        assert self._waiting is not None
        self._waiting.set_result(Response(int(data[9:12]), data[head + len(HEAD_END) : stop]))


def http_request(method: str, path: str, bearer: str, body: object = None) -> bytes:
    """The whole request, made before a measured stretch, so that sending costs nothing but the write."""
    content = b"" if body is None else msgspec.json.encode(body)
    head = f"{method} /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {bearer}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


class Requests:
    """A fixed number of connections to one server; `run` keeps that many requests in flight."""

    def __init__(self, connections: list[HttpConnection]) -> None:
        self._connections = connections

    @classmethod
    async def open(cls, port: int, *, in_flight: int) -> Requests:
        return cls([await HttpConnection.open(port) for _ in range(in_flight)])

    async def run(self, requests: Iterable[bytes], *, in_flight: int | None = None) -> Timings:
        """Send them in order, each as soon as a connection is free. Raises on any answer but 2xx."""
        numbered = iter(enumerate(requests))
        timings = Timings(sent=[], answered=[], bodies=[])
        began = time.perf_counter()

        async def worker(connection: HttpConnection, numbered: Iterator[tuple[int, bytes]]) -> None:
            for number, request in numbered:
                timings.sent.append(time.perf_counter())
                timings.answered.append(0.0)
                timings.bodies.append(b"")
                response = await connection.send(request)
                timings.answered[number] = time.perf_counter()
                timings.bodies[number] = response.body
                if not 200 <= response.status < 300:
                    raise RuntimeError(f"answered {response.status}: {response.body[:500]!r}")

        async with asyncio.TaskGroup() as group:
            for connection in self._connections[:in_flight]:
                group.create_task(worker(connection, numbered))
        timings.seconds = time.perf_counter() - began
        return timings

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


@dataclass(slots=True)
class Timings:
    """By number of the request: when it was sent and answered (`time.perf_counter`), and with what body."""

    sent: list[float]
    answered: list[float]
    bodies: list[bytes]
    seconds: float = 0.0

    @property
    def latencies(self) -> list[float]:
        return [after - before for before, after in zip(self.sent, self.answered, strict=True)]
