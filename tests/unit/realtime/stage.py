"""A node with two namespaces, and clients that speak Socket.IO to it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.clock import TurnedClock
from tests.loop import settle
from tests.sinks import FakeSink

from callboard.auth.principal import Principal
from callboard.errors import CallboardError, Unauthenticated
from callboard.realtime.connection import Connection
from callboard.realtime.engine import EngineOptions
from callboard.realtime.limits import ClientLimits
from callboard.realtime.namespace import Member, Namespace
from callboard.realtime.node import Node

OPTIONS = EngineOptions(max_payload=1000)
MIRA = Principal(id="u1", roles=frozenset({"admin"}), teams=frozenset({"art"}))
JONAS = Principal(id="u2")


class Door:
    """Knows two tokens, and what a test adds. `error` is raised for any other token."""

    def __init__(self) -> None:
        self.tokens: dict[str, Principal] = {"mira": MIRA, "jonas": JONAS}
        self.error: Exception = Unauthenticated("the token is not valid")

    async def authenticate(self, auth: dict[str, Any]) -> Principal:
        principal = self.tokens.get(str(auth.get("token")))
        if principal is None:
            raise self.error
        return principal


class Peer:
    """A client on a fake transport."""

    def __init__(self, node: Node) -> None:
        self.sink = FakeSink()
        self.connection: Connection = node.engine.open(self.sink, "192.0.2.1")

    async def say(self, *texts: str | bytes) -> list[str]:
        """Send Socket.IO packets; what came back, without OPEN."""
        seen = len(self.sink.texts)
        for text in texts:
            self.connection.receive(text if isinstance(text, bytes) else "4" + text)
        await settle()
        return [text[1:] for text in self.sink.texts[seen:]]

    async def join(self, namespace: str = "/feed", token: str = "jonas") -> None:
        [answer] = await self.say(f'0{namespace},{{"token":"{token}"}}')
        assert answer.startswith(f"0{namespace},")


class Stage:
    """`/feed` for anybody, `/admin` for admins."""

    def __init__(self, clock: TurnedClock, *, engine: EngineOptions = OPTIONS, **limits: Any) -> None:
        self.door = Door()
        self.node = Node(self.door, clock, engine, ClientLimits(**limits))
        self.feed = self.node.add(Namespace("/feed"))
        self.admin = self.node.add(Namespace("/admin", role="admin"))
        self.joined: list[Member] = []
        self.left: list[Member] = []
        self.feed.on_connect(self.joined.append)
        self.node.on_left(self.left.append)

    def peer(self) -> Peer:
        return Peer(self.node)


class Gate:
    """A handler that waits until it is opened, and says which messages it has seen."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.seen: list[object] = []

    async def __call__(self, member: Member, data: dict[str, object]) -> dict[str, object]:
        await self.open.wait()
        self.seen.append(data.get("n"))
        return {}


def error_of(acknowledgement: str) -> Any:
    """The `error` of an acknowledgement's text."""
    return json.loads(acknowledgement[acknowledgement.index("[") :])[0]["error"]


def fail_with(error: CallboardError | Exception) -> Any:
    """A handler that raises."""

    async def handler(member: Member, data: dict[str, object]) -> dict[str, object]:
        raise error

    return handler
