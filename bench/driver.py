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
_PID = re.compile(rb'"pid":"([^"]+)"')
SOURCES = 200
PATIENCE = 60.0  # seconds for all receipts of one stretch

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

    __slots__ = ("_joined", "_rest", "_token", "_transport", "_upgraded", "pid", "receive", "recovered", "user")

    def __init__(self, user: str, token: str, receive: Receive) -> None:
        self.user = user
        self.pid: bytes | None = None
        self.recovered = False
        self.receive = receive
        self._token = token
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._upgraded = False
        self._joined: asyncio.Future[None] | None = None

    async def connect(self, port: int, *, source: str | None = None) -> None:
        """Open, upgrade, join the namespace with the token; returns when the server has accepted it.

        A client that has been connected before comes back as the stock client does, with the `pid` it was given;
        `recovered` says whether the server took it. `source`: the loopback address to come from.
        """
        loop = asyncio.get_running_loop()
        self._joined, self._rest, self._upgraded = loop.create_future(), b"", False
        local = None if source is None else (source, 0)
        await loop.create_connection(lambda: self, "127.0.0.1", port, local_addr=local)
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
        self._refused(f"closed before it was joined: {error}")

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
            auth = {"token": self._token} if self.pid is None else {"token": self._token, "pid": self.pid.decode()}
            self._send(CONNECTED + b"," + msgspec.json.encode(auth))
        elif packet.startswith(CONNECTED):
            self._connected(packet)
        elif packet.startswith(REFUSED):
            self._fail(f"refused: {packet!r}")

    def _connected(self, packet: bytes) -> None:
        found = _PID.search(packet)
        pid = found[1] if found else None
        self.recovered = pid is not None and pid == self.pid
        self.pid = pid
        if self._joined is not None and not self._joined.done():  # it is cancelled when the run ends early
            self._joined.set_result(None)

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
        self._refused(why)
        self.close()

    def _refused(self, why: str) -> None:
        if self._joined is not None and not self._joined.done():
            self._joined.set_exception(ConnectionError(f"{self.user}: {why}"))

    @property
    def connected(self) -> bool:
        return self._transport is not None


async def connect_all(clients: Sequence[SocketClient], port: int, *, in_flight: int = 64) -> float:
    """Connect them all, `in_flight` at a time; returns the seconds it took. Raises when one is refused.

    They come from several loopback addresses, so that ports suffice and none of them has many connections at once.
    """
    waiting = iter(enumerate(clients))

    async def worker() -> None:
        for number, client in waiting:
            await client.connect(port, source=f"127.0.1.{1 + number % SOURCES}")

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


class Countdown:
    """So many receipts are awaited, once each; `wait` raises when they do not come in time."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self._left = expected
        self._complete = asyncio.get_running_loop().create_future() if expected else None

    def note(self) -> None:
        self._left -= 1
        if self._left == 0 and self._complete is not None and not self._complete.done():
            self._complete.set_result(None)

    async def wait(self) -> None:
        assert self._complete is not None
        try:
            await asyncio.wait_for(self._complete, PATIENCE)
        except TimeoutError:
            raise RuntimeError(f"{self.expected - self._left} of {self.expected} receipts arrived") from None
        if self._left < 0:
            raise RuntimeError(f"{-self._left} receipts too many arrived")


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
            self._transport = None

    @property
    def open_still(self) -> bool:
        return self._transport is not None

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
        if self._waiting is None or self._waiting.done():
            self.close()  # it waited too long for a request: 408
            return
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

    def __init__(self, port: int, connections: list[HttpConnection]) -> None:
        self._port = port
        self._connections = connections

    @classmethod
    async def open(cls, port: int, *, in_flight: int) -> Requests:
        return cls(port, [await HttpConnection.open(port) for _ in range(in_flight)])

    async def refresh(self) -> None:
        """Open anew what the server has closed because it was idle. Call it before a measured stretch."""
        for number, connection in enumerate(self._connections):
            if not connection.open_still:
                self._connections[number] = await HttpConnection.open(self._port)

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
