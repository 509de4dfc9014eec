"""ASGI servers for one request or one WebSocket, without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from tests.loop import settle

from callboard.transports.asgi_types import ASGIApp, Message


class Exchange:
    """One HTTP request. `answer` waits for the whole response."""

    def __init__(
        self,
        app: ASGIApp,
        method: str = "GET",
        query: str = "EIO=4&transport=polling",
        *,
        body: Sequence[bytes] = (b"",),
        headers: Mapping[str, str] | None = None,
        peer: str = "192.0.2.1",
    ) -> None:
        self._received: asyncio.Queue[Message] = asyncio.Queue()
        self.feed(*body)
        self.sent: list[Message] = []
        scope = {
            "type": "http",
            "method": method,
            "path": "/socket.io/",
            "query_string": query.encode(),
            "scheme": "http",
            "client": (peer, 5000),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
        }
        self.task = asyncio.ensure_future(app(scope, self._received.get, self._send))

    def feed(self, *parts: bytes, more: bool = False) -> None:
        """The client sends parts of its body; the last one ends it unless there is `more`."""
        for n, part in enumerate(parts):
            last = n == len(parts) - 1 and not more
            self._received.put_nowait({"type": "http.request", "body": part, "more_body": not last})

    def leave(self) -> None:
        """The client goes away."""
        self._received.put_nowait({"type": "http.disconnect"})

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    async def answer(self) -> tuple[int, bytes]:
        async with asyncio.timeout(20.0):
            await self.task
        return self.status, self.body


class WebSocket:
    """One WebSocket. `blocked`: the server's buffer is full, so that `send` waits."""

    def __init__(
        self,
        app: ASGIApp,
        query: str = "EIO=4&transport=websocket",
        *,
        headers: Mapping[str, str] | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> None:
        self._received: asyncio.Queue[Message] = asyncio.Queue()
        self._received.put_nowait({"type": "websocket.connect"})
        self.sent: list[Message] = []
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.gone = False
        scope = {
            "type": "websocket",
            "path": "/socket.io/",
            "query_string": query.encode(),
            "scheme": "ws",
            "client": ("192.0.2.1", 5000),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
            "extensions": dict(extensions or {}),
        }
        self.task = asyncio.ensure_future(app(scope, self._received.get, self._send))

    async def _send(self, message: Message) -> None:
        await self.flowing.wait()
        if self.gone:
            raise OSError("the client is gone")
        self.sent.append(message)

    async def say(self, *data: str | bytes) -> None:
        """The client sends messages."""
        for each in data:
            key = "text" if isinstance(each, str) else "bytes"
            self._received.put_nowait({"type": "websocket.receive", key: each})
        await settle()

    async def leave(self) -> None:
        self._received.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await settle()

    @property
    def heard(self) -> list[str | bytes]:
        """What was sent to the client."""
        sends = [message for message in self.sent if message["type"] == "websocket.send"]
        return [message["text"] if "text" in message else message["bytes"] for message in sends]

    @property
    def close_code(self) -> int | None:
        closes = [message for message in self.sent if message["type"] == "websocket.close"]
        assert len(closes) <= 1
        return closes[0].get("code", 0) if closes else None
