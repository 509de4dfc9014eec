"""A WebSocket client that sends what it is told, on a real loopback socket."""

from __future__ import annotations

import asyncio
import socket
import ssl
from types import TracebackType
from typing import Self

HANDSHAKE = {
    "host": "127.0.0.1",
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "sec-websocket-version": "13",
}
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PATIENCE = 20.0


def frame(opcode: int, data: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame of a client, masked with zeros."""
    length = len(data)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 65536:
        size = bytes([0x80 | 126]) + length.to_bytes(2, "big")
    else:
        size = bytes([0x80 | 127]) + length.to_bytes(8, "big")
    return bytes([(0x80 if fin else 0) | rsv | opcode]) + size + bytes(4) + data


def upgrade_request(query: str, **headers: str) -> bytes:
    """The request for an upgrade. A header of "" is left out."""
    named = HANDSHAKE | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in named.items() if value]
    path = query if query.startswith("/") else f"/socket.io/?{query}"
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


class NativeClient:
    """An open TCP connection. Use `async with`."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._tls = tls

    async def __aenter__(self) -> Self:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        self.reader, self.writer = await asyncio.open_connection(
            sock=sock, limit=4096, ssl=self._tls, server_hostname=None if self._tls is None else "localhost"
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.transport.abort()

    async def request(self, query: str = "EIO=4&transport=websocket", **headers: str) -> tuple[int, dict[str, str]]:
        """Ask for the upgrade; the status and the headers of the answer. A header of "" is left out."""
        self.writer.write(upgrade_request(query, **headers))
        return await self._head()

    async def answer_head(self) -> int:
        """The status of an answer whose request was sent piece by piece."""
        return (await self._head())[0]

    async def poll(self) -> None:
        """A request that is no upgrade, and its whole answer."""
        _, headers = await self.request("EIO=4&transport=polling", upgrade="", connection="")
        await self.body(headers)

    async def _head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        answered = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), answered

    async def body(self, headers: dict[str, str]) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(int(headers["content-length"]))

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    def say(self, *texts: str) -> None:
        self.send(*(frame(TEXT, text.encode()) for text in texts))

    async def hear(self) -> tuple[int, bytes]:
        """The next frame's opcode and data."""
        async with asyncio.timeout(PATIENCE):
            first, length = await self.reader.readexactly(2)
            if length >= 126:
                length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
            return first & 0xF, await self.reader.readexactly(length)

    async def end(self) -> bytes:
        """What still comes until the server has closed the TCP connection."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()
