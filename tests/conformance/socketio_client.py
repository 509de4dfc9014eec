"""Socket.IO packets over an Engine.IO session, for the conformance tests.

Owns: joining a namespace of the fixture, and the encoding of packets as the protocol document draws them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.conformance.client import Engine, Socket

# So many messages a client may send at once, without waiting for what they cause.
BURST = 90


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def prefix(namespace: str) -> str:
    return "" if namespace == "/" else f"{namespace},"


def event(*args: object, namespace: str = "/", ack: str = "") -> str:
    return f"42{prefix(namespace)}{ack}{compact(args)}"


def placeholder(number: object) -> dict[str, object]:
    return {"_placeholder": True, "num": number}


async def join(socket: Socket, namespace: str = "/", auth: dict[str, Any] | None = None) -> str:
    """Connects to a namespace and reads both answers of the fixture; returns the Socket.IO session id."""
    await socket.send(f"40{prefix(namespace)}{'' if auth is None else compact(auth)}")
    answer, greeting = await socket.receive_many(2)
    sid = read_connect(answer, namespace)
    assert greeting == event("auth", auth or {}, namespace=namespace)
    return sid


def read_connect(packet: str | bytes, namespace: str = "/") -> str:
    start = f"40{prefix(namespace)}"
    assert isinstance(packet, str)
    assert packet.startswith(start), packet
    payload = json.loads(packet.removeprefix(start))
    assert list(payload) == ["sid"], "the fixture offers no connection state recovery"
    sid = payload["sid"]
    assert isinstance(sid, str)
    assert sid
    return sid


@asynccontextmanager
async def joined(engine: Engine, *namespaces: str) -> AsyncIterator[Socket]:
    """A WebSocket-only session that has joined these namespaces (by default the main one)."""
    async with engine.session() as socket:
        for namespace in namespaces or ("/",):
            await join(socket, namespace)
        yield socket


async def expect_alive(socket: Socket, namespace: str = "/") -> None:
    await socket.send(event("message", "still here", namespace=namespace))
    assert await socket.receive() == event("message-back", "still here", namespace=namespace)
