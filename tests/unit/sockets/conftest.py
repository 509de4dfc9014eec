"""A node with clients on fake transports, and the API beside it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest
from tests.clock import TurnedClock
from tests.loop import settle
from tests.rest_client import NoDatabase, Publisher, bearer, client_for, slice_endpoints
from tests.unit.realtime.stage import Peer, Stage

from callboard.auth.principal import Principal

ADMIN = bearer("boss", "admin")


class AdminLog:
    """Keeps what was recorded; refuses it with `error`."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, str, str]] = []
        self.error: Exception | None = None

    async def record(self, actor: Principal, action: str, target: str) -> None:
        if self.error is not None:
            raise self.error
        self.recorded.append((actor.id, action, target))


class Desk:
    """An operator's: `stage` has the clients, `publisher` what was sent by hand."""

    def __init__(self) -> None:
        self.clock = TurnedClock()
        self.stage = Stage(self.clock)
        self.publisher = Publisher()
        self.admin_log = AdminLog()
        self._endpoints = slice_endpoints(
            NoDatabase(), publisher=self.publisher, node=self.stage.node, admin_log=self.admin_log
        )

    async def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] = ADMIN) -> httpx.Response:
        """A request of an admin, below /api/v1/socket."""
        content = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        async with client_for(self._endpoints) as client:
            return await client.request(method, f"/api/v1/socket/{path}", headers=headers, content=content)

    async def joined(self, namespace: str = "/feed", token: str = "jonas") -> Peer:
        """A new client in a namespace."""
        peer = self.stage.peer()
        answer, *_ = await peer.say(f'0{namespace},{{"token":"{token}"}}')
        assert answer.startswith(f"0{namespace},")
        return peer

    def sid(self, peer: Peer, namespace: str = "/feed") -> str:
        """A client's Socket.IO sid."""
        (sid,) = [
            member.sid
            for member in self.stage.node.namespace(namespace).hub.select(())
            if member.connection is peer.connection
        ]
        return sid


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def heard(peer: Peer, name: str) -> list[Any]:
    """The objects of a client's messages of this name."""
    await settle()
    await asyncio.sleep(0)
    events = [text.partition(",")[2] for text in peer.sink.texts if text.startswith("42")]
    return [event[1] for event in map(msgspec.json.decode, events) if event[0] == name]
