"""A client for WebSocket frames on a plain TCP socket, for what no WebSocket library would send.

Owns: the opening request, frames as RFC 6455 section 5.2 draws them, and a strict reading of what the server
sends (unmasked, no reserved bits, shortest length). Never: a rule about what the server should answer.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.conformance.client import DEADLINE
from tests.conformance.server import ROOMY

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
TARGET = "/engine.io/?EIO=4&transport=websocket"
_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, kw_only=True)
class Frame:
    opcode: int
    payload: bytes


def encode_length(length: int, *, size: int | None = None) -> tuple[int, bytes]:
    """The 7-bit length and the extended length after it; `size` (0, 2 or 8 bytes) overrides the shortest."""
    if size is None:
        size = 0 if length <= 125 else 2 if length <= 0xFFFF else 8
    if size == 0:
        return length, b""
    return (126, struct.pack("!H", length)) if size == 2 else (127, struct.pack("!Q", length))


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x9a\x0c\x7f\x31",
    length_size: int | None = None,
    length: int | None = None,
) -> bytes:
    """One frame, right by default. `length` announces another length than that of `payload`."""
    short, extended = encode_length(len(payload) if length is None else length, size=length_size)
    head = bytes([(fin << 7) | (rsv << 4) | opcode, ((mask is not None) << 7) | short]) + extended
    if mask is None:
        return head + payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + mask + masked.to_bytes(len(payload), "big")


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return struct.pack("!H", code) + reason


def upgrade_request(port: int, **headers: str | None) -> tuple[bytes, bytes]:
    """An opening request and the accept value that answers it; a header is replaced, added or (None) left out.

    Underscores in a header's name stand for hyphens.
    """
    key = base64.b64encode(os.urandom(16))
    fields: dict[str, str | None] = {
        "Host": f"127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key.decode(),
        "Sec-WebSocket-Version": "13",
    }
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = [
        f"GET {TARGET} HTTP/1.1",
        *(f"{name}: {value}" for name, value in fields.items() if value is not None),
    ]
    accept = base64.b64encode(hashlib.sha1(key + _ACCEPT).digest())
    return ("\r\n".join(lines) + "\r\n\r\n").encode(), accept


class Wire:
    """One TCP connection, before and after it became a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *parts: bytes) -> None:
        self._writer.write(b"".join(parts))
        await self._writer.drain()

    async def response(self) -> tuple[int, dict[str, str]]:
        """Status and headers (names in lower case) of the answer to the opening request."""
        async with asyncio.timeout(DEADLINE):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.strip().split("\r\n")
        fields = (line.partition(":") for line in lines)
        return int(status.split()[1]), {name.lower(): value.strip() for name, _, value in fields}

    async def frame(self) -> Frame:
        """The next frame, whatever it is; EOF raises IncompleteReadError."""
        async with asyncio.timeout(DEADLINE):
            first, second = await self._reader.readexactly(2)
            assert first & 0xF0 == 0x80, "the server has no reason to fragment or to set reserved bits"
            assert not second & 0x80, "a server must not mask"
            length = second & 0x7F
            if length >= 126:
                size = 2 if length == 126 else 8
                length = int.from_bytes(await self._reader.readexactly(size), "big")
                assert length > (125 if size == 2 else 0xFFFF), "the shortest encoding of a length is required"
            payload = await self._reader.readexactly(length)
        opcode = first & 0x0F
        assert length <= 125 or opcode < 8, "a control frame carries at most 125 bytes"
        return Frame(opcode=opcode, payload=payload)

    async def receive(self) -> Frame:
        """The next frame that is not an Engine.IO ping; answers the pings."""
        async with asyncio.timeout(DEADLINE):
            while (received := await self.frame()) == Frame(opcode=TEXT, payload=b"2"):
                await self.send(frame(TEXT, b"3"))
        return received

    async def failed(self) -> int | None:
        """The server ends the connection now, not for want of a pong: its close code, None without one."""
        code: int | None = None
        try:
            async with asyncio.timeout(0.8 * sum(ROOMY)):
                while True:
                    received = await self.frame()
                    if received.opcode == CLOSE:
                        code = int.from_bytes(received.payload[:2], "big") if received.payload else None
                        await self.send(frame(CLOSE, received.payload))
                    else:
                        assert received == Frame(opcode=TEXT, payload=b"2"), received
        except (asyncio.IncompleteReadError, ConnectionError):
            return code

    async def ended(self) -> None:
        """The server has closed the TCP connection and sent nothing more."""
        async with asyncio.timeout(DEADLINE):
            assert await self._reader.read() == b""


@asynccontextmanager
async def tcp(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def websocket(port: int) -> AsyncIterator[Wire]:
    """An open WebSocket to the echo, its open packet read."""
    async with tcp(port) as wire:
        request, accept = upgrade_request(port)
        await wire.send(request)
        status, headers = await wire.response()
        assert (status, headers["sec-websocket-accept"]) == (101, accept.decode())
        await expect_open_packet(wire)
        yield wire


async def expect_open_packet(wire: Wire) -> None:
    opened = await wire.frame()
    assert opened.opcode == TEXT
    assert opened.payload.startswith(b'0{"sid":')


async def expect_echo(wire: Wire, payload: bytes = b"4still here", opcode: int = TEXT) -> None:
    """The connection lives: a message comes back."""
    await wire.send(frame(opcode, payload))
    assert await wire.receive() == Frame(opcode=opcode, payload=payload)
