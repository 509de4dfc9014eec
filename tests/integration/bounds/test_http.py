"""The settings that bound HTTP requests: heads, bodies, answers that are not taken, connections that idle."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from structlog.testing import capture_logs
from tests.integration.bounds.conftest import SOON, Running, Serve, until

LARGE = 8_000_000
GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


class Host:
    """A host application: `/host/large` answers with many bytes, `/host/wait` when told to, all read the body."""

    def __init__(self) -> None:
        self.let = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/host/wait":
            await self.let.wait()
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        body = b"x" * (LARGE if scope["path"] == "/host/large" else 1)
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class Peer:
    """A TCP connection to the node."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[int, bytes]:
        async with asyncio.timeout(SOON):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            return int(head.split(" ")[1]), await self.reader.readexactly(length)

    async def refused(self, status: int, code: str) -> None:
        got, body = await self.answer()
        assert (got, json.loads(body)["code"]) == (status, code)
        await self.ended()

    async def ended(self) -> None:
        async with asyncio.timeout(SOON):
            assert await self.reader.read(1) == b""


@asynccontextmanager
async def peer(node: Running) -> AsyncIterator[Peer]:
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", node.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=1 << 12)
    try:
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()


async def test_http_head_timeout(serve: Serve) -> None:
    node = await serve(HTTP_HEAD_TIMEOUT="300")
    async with peer(node) as silent, peer(node) as slow:
        slow.writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        for each in (silent, slow):
            await each.refused(408, "request_timeout")


async def test_http_body_timeout(serve: Serve) -> None:
    node = await serve(Host(), HTTP_BODY_TIMEOUT="300")
    async with peer(node) as slow:
        slow.writer.write(POST % (b"host/any", 10) + b"12345")
        await slow.refused(408, "request_timeout")


async def test_http_min_rate(serve: Serve) -> None:
    node = await serve(Host(), HTTP_BODY_TIMEOUT="300", HTTP_MIN_RATE="10000000")
    async with peer(node) as slow:
        # At a thousand bytes a second these would give it more than a minute and a half.
        slow.writer.write(POST % (b"host/any", 200_000) + b"x" * 100_000)
        await slow.refused(408, "request_timeout")


async def test_http_send_timeout(serve: Serve) -> None:
    node = await serve(Host(), HTTP_SEND_TIMEOUT="300")
    async with peer(node) as slow:
        with capture_logs() as logs:
            slow.writer.write(GET % b"host/large")
            async with asyncio.timeout(SOON):
                await until(lambda: bool(logs))
        assert [(entry["event"], entry["code"]) for entry in logs] == [("http.refused", "slow")]


async def test_http_keep_alive(serve: Serve) -> None:
    node = await serve(HTTP_KEEP_ALIVE="1000")
    async with peer(node) as idle:
        idle.writer.write(GET % b"healthz")
        assert (await idle.answer())[0] == 200
        await idle.ended()


async def test_http_max_head_bytes(serve: Serve) -> None:
    node = await serve(HTTP_MAX_HEAD_BYTES="13000")
    async with peer(node) as fair, peer(node) as large:
        fair.writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"x" * 12_900))
        assert (await fair.answer())[0] == 200
        large.writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"x" * 13_000))
        await large.refused(431, "head_too_large")


async def test_http_max_body_bytes(serve: Serve) -> None:
    node = await serve(HTTP_MAX_BODY_BYTES="200000")
    headers = {"authorization": f"Bearer {node.token('boss', 'admin')}"}
    async with node.http() as http:
        for size, status, code in ((200_000, 422, "invalid"), (200_001, 413, "too_large")):
            body = b'{"no":"field"' + b" " * (size - 14) + b"}"
            answer = await http.post("/api/v1/notifications", content=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_http_max_pipelined(serve: Serve) -> None:
    host = Host()
    node = await serve(host, HTTP_MAX_PIPELINED="2")
    async with peer(node) as fair, peer(node) as hasty:
        with capture_logs() as logs:
            hasty.writer.write(GET % b"host/wait" * 4)
            await hasty.ended()
        assert [entry["code"] for entry in logs] == ["too_many_requests"]
        fair.writer.write(GET % b"host/wait" * 3)
        host.let.set()
        assert [(await fair.answer())[0] for _ in range(3)] == [200] * 3
