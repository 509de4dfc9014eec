"""What operators and pages ask without a token: health, readiness, metrics, and the page's configuration.

Owns: /healthz, /readyz, /metrics and /config.json. Never: anything about a user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from callboard import __version__
from callboard.errors import CallboardError, Unavailable
from callboard.rest.endpoint import Call, Endpoint
from callboard.settings import Settings
from callboard.store.database import Database

SOCKET_PATH = "/socket.io/"


class Health(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str


class SocketConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a page connects. Delays in milliseconds."""

    path: str
    reconnection_delay: int
    reconnection_max_delay: int


class PageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the page needs before anybody has signed in."""

    version: str
    demo: bool
    socket: SocketConfig


class Status:
    """`trouble` says why this node should get no new clients, if so. `collectors`: of metrics that are the node's."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        trouble: Callable[[], str | None],
        *,
        demo: bool,
        collectors: Sequence[Collector] = (),
    ) -> None:
        # Not the process's registry: that would keep the node alive, and there may be several in a process.
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in collectors:
            self._registry.register(collector)
        self._database = database
        self._trouble = trouble
        self._config = msgspec.json.encode(
            PageConfig(
                version=__version__,
                demo=demo,
                socket=SocketConfig(
                    path=SOCKET_PATH,
                    reconnection_delay=settings.reconnection_delay_ms,
                    reconnection_max_delay=settings.reconnection_max_delay_ms,
                ),
            )
        )

    def endpoints(self) -> list[Endpoint]:
        """The public endpoints."""
        health, config = (Health,), (PageConfig,)
        return [
            _get("/healthz", self._healthz, "Whether the process answers", health),
            _get("/readyz", self._readyz, "Whether the database and the relay work", health),
            _get("/config.json", self._page_config, "What the page needs before anybody has signed in", config),
            _get("/metrics", self._metrics, "Prometheus metrics", (), "text/plain; version=0.0.4; charset=utf-8"),
        ]

    async def _healthz(self, call: Call) -> bytes:
        return msgspec.json.encode(Health("ok"))

    async def _readyz(self, call: Call) -> bytes:
        try:
            await self._database.fetchval("select 1")
        except CallboardError as error:
            raise Unavailable(f"the database does not answer: {error.message}") from None
        if (trouble := self._trouble()) is not None:
            raise Unavailable(trouble)
        return msgspec.json.encode(Health("ok"))

    async def _page_config(self, call: Call) -> bytes:
        return self._config

    async def _metrics(self, call: Call) -> bytes:
        return generate_latest() + generate_latest(self._registry)


def _get(
    path: str,
    handler: Callable[[Call], Awaitable[bytes]],
    summary: str,
    answers: tuple[type[msgspec.Struct], ...],
    media_type: str = "application/json",
) -> Endpoint:
    return Endpoint(
        method="GET", path=path, handler=handler, summary=summary, tag="service", answers=answers, media_type=media_type
    )
