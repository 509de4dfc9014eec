"""What REST tests share: an in-process client, real tokens, and stand-ins for outbox and broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from callboard.auth.access import DefaultAccess
from callboard.auth.principal import Principal
from callboard.auth.tokens import TokenSigner, verifier
from callboard.clock import Clock, SystemClock
from callboard.errors import Unauthenticated
from callboard.notifications.choices import ChoiceService
from callboard.notifications.choices_routes import routes as choice_routes
from callboard.notifications.routes import routes as notification_routes
from callboard.notifications.service import NotificationService
from callboard.realtime.broker import Envelope
from callboard.realtime.lag import LoopLag
from callboard.realtime.namespace import Namespace
from callboard.realtime.node import Node
from callboard.rest.api import create_api
from callboard.rest.cors import Cors
from callboard.rest.endpoint import Endpoint
from callboard.settings import Settings
from callboard.sockets.routes import routes as socket_routes
from callboard.sockets.service import AdminLog, SocketService
from callboard.sockets.statistics import Log, StatisticsReader
from callboard.store.database import Queries

ORIGIN = "https://app.example.com"
SETTINGS = Settings(data_dir=Path("/nonexistent"), jwt_secret="a secret for tests, 32 bytes long")
SIGNER = TokenSigner(SETTINGS, clock=SystemClock())


class Outbox:
    """Counts commits. What is sent is run on `pool`, and stays in the outbox."""

    def __init__(self, pool: Queries | None = None) -> None:
        self._pool = pool or NoDatabase()
        self.commits = 0

    def committed(self) -> None:
        self.commits += 1

    async def send(self, statement: str, *args: object) -> list[tuple[Any, ...]]:
        rows = await self._pool.fetch(statement, *args)
        self.commits += 1
        return [tuple(row) for row in rows]


class Publisher:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    def publish(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)


def bearer(user: str, *roles: str) -> dict[str, str]:
    """The header of a signed-in user."""
    return {"authorization": f"Bearer {SIGNER.sign(user, roles=roles, ttl=timedelta(hours=1))}"}


def client_for(endpoints: Sequence[Endpoint], public: Sequence[Endpoint] = ()) -> httpx.AsyncClient:
    """A client of an API with these endpoints. A defect shows as its answer, as it does to a real client."""
    api: Any = create_api(
        endpoints,
        verifier(SETTINGS, clock=SystemClock()),
        public=public,
        cors=Cors([ORIGIN], credentials=True),
        version="1.2.3",
    )
    transport = httpx.ASGITransport(app=api, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://callboard.test")


def slice_endpoints(
    queries: Queries,
    *,
    outbox: Outbox | None = None,
    publisher: Publisher | None = None,
    types: frozenset[str] | None = None,
    node: Node | None = None,
    admin_log: AdminLog | None = None,
) -> list[Endpoint]:
    """Every endpoint of the slices. `node` stands for one without connections."""
    service = NotificationService(queries, outbox or Outbox(queries), types=types)
    node = node or empty_node()
    sockets = SocketService(node, publisher or Publisher(), admin_log=admin_log)
    choices = ChoiceService(queries, DefaultAccess(), types=types)
    return [*notification_routes(service), *choice_routes(choices), *socket_routes(sockets, statistics_of(node))]


def empty_node() -> Node:
    """A node of four namespaces that nobody is in."""
    node = Node(Nobody(), SystemClock())
    for name in ("/feed", "/jobs", "/episodes", "/admin"):
        node.add(Namespace(name))
    return node


def statistics_of(node: Node, log: Log | None = None, clock: Clock | None = None) -> StatisticsReader:
    """A reader of a node whose log is quiet."""
    clock = clock or SystemClock()
    return StatisticsReader(node, log or QuietLog(), LoopLag(clock), clock)


class Nobody:
    """Lets nobody connect."""

    async def authenticate(self, auth: dict[str, Any]) -> Principal:
        raise Unauthenticated("nobody may")


class QuietLog:
    """A relay in contact, with nothing to do."""

    ready = True
    leading = True
    position: str | None = "epoch.7"
    lag: float | None = 0.25


class NoDatabase:
    """Queries for tests whose requests must be refused before any statement."""

    async def fetch(self, query: str, *args: object) -> list[Any]:
        raise AssertionError("a statement ran")

    async def fetchrow(self, query: str, *args: object) -> Any:
        raise AssertionError("a statement ran")

    async def fetchval(self, query: str, *args: object) -> Any:
        raise AssertionError("a statement ran")

    async def execute(self, query: str, *args: object) -> str:
        raise AssertionError("a statement ran")


def feeder(*parts: bytes, then: dict[str, Any] | None = None) -> Callable[[], Awaitable[dict[str, Any]]]:
    """An ASGI `receive` that gives a body in parts; `then` comes after them instead of a last part."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if then is not None:
        messages.append(then)
    else:
        messages[-1]["more_body"] = False
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(waiting)

    return receive
