"""The composition root: the only file that names every implementation.

Owns: making one node's parts, wiring them, and ending them in the reverse order. Never: a rule, a query, a shape
that leaves the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from callboard import __version__, reactions, telemetry, web_files
from callboard.auth.access import Access, DefaultAccess
from callboard.auth.principal import Principal
from callboard.auth.revocations import Revocations
from callboard.auth.tokens import TokenSigner, TokenVerifier, verifier
from callboard.brokers.memory import MemoryBroker
from callboard.clock import Clock, SystemClock
from callboard.demo import Demo, for_this_machine
from callboard.host import Host
from callboard.notifications.choices import ChoiceService
from callboard.notifications.choices_routes import routes as choice_routes
from callboard.notifications.handlers import register as register_notifications
from callboard.notifications.host import Notifications
from callboard.notifications.routes import routes as notification_routes
from callboard.notifications.service import NotificationService
from callboard.notifications.unread_counts import UnreadCounts
from callboard.notifications.upkeep import NotificationUpkeep
from callboard.options import client_limits, engine_options, http_limits, notification_settings
from callboard.realtime.lag import LoopLag
from callboard.realtime.namespace import Namespace
from callboard.realtime.node import Node
from callboard.realtime.recovery import Recovery
from callboard.realtime.subscriptions import Subscriptions
from callboard.relay import Relay
from callboard.rest.api import create_api
from callboard.rest.cors import Cors as RestCors
from callboard.rest.endpoint import Verifier
from callboard.settings import Settings
from callboard.sockets.alerts import Alerts
from callboard.sockets.handlers import register as register_sockets
from callboard.sockets.routes import routes as socket_routes
from callboard.sockets.service import SocketService
from callboard.sockets.statistics import StatisticsReader
from callboard.sockets.watch import Watch
from callboard.status import SOCKET_PATH, Status
from callboard.store import revocations
from callboard.store.database import Database
from callboard.store.message_log import MessageLog
from callboard.store.outbox import Outbox
from callboard.store.people import People
from callboard.store.sessions import SessionStore
from callboard.transports.asgi_types import ASGIApp, Receive, Scope, Send
from callboard.transports.cors import Cors
from callboard.transports.front import before
from callboard.transports.handshake import Policy
from callboard.transports.http import limited
from callboard.transports.native import protocol_class
from callboard.transports.polling import Polling

# Ending, in seconds: for what is committed and not delivered yet; for all connections, of which not many come back
# in one second as long as that goes.
FLUSH_TIME = 2.0
MAX_DRAIN_TIME = 5.0
DRAINED_PER_SECOND = 100
CLOSE_TIME = 2.0

# Where clients subscribe to the host's resources.
SUBSCRIBABLE = ("/jobs", "/episodes")
NAMESPACES = {"/feed": None, "/jobs": None, "/episodes": None, "/admin": "admin"}


class PeopleVerifier:
    """Verifies tokens, and has the people noted whom they name. `people` is there once the database is."""

    people: People | None = None

    def __init__(self, tokens: TokenVerifier) -> None:
        self._tokens = tokens

    async def verify(self, token: str | None) -> Principal:
        """Raises Unauthenticated."""
        principal = await self._tokens.verify(token)
        if self.people is not None:
            self.people.note(principal.id, principal.name, principal.teams)
        return principal


class TokenAuthenticator:
    """The connect step: `auth: {token}`."""

    def __init__(self, tokens: Verifier) -> None:
        self._tokens = tokens

    def authenticate(self, auth: dict[str, Any]) -> Coroutine[Any, Any, Principal]:
        """Raises Unauthenticated."""
        return self._tokens.verify(auth.get("token"))


class Callboard:
    """One node: everything between an open database and the network.

    `asgi` serves REST, long-polling and the page; `http_protocol` and `ws_protocol` are uvicorn's protocol classes;
    `host` is what a host application may call. All are there after `start`. The argument `host` is a host application,
    which gets the requests that Callboard has no answer for; `access` are its rules.
    """

    asgi: ASGIApp
    http_protocol: Any
    ws_protocol: Any

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        demo: bool = False,
        host: ASGIApp | None = None,
        access: Access | None = None,
    ) -> None:
        """Read the keys. Raises SettingsError or StartError if they cannot be used."""
        self.settings = settings
        self.access = access or DefaultAccess()
        self.clock = clock or SystemClock()
        self.revocations = Revocations()
        self.tokens = verifier(settings, clock=self.clock, revocations=self.revocations)
        self.verifier = PeopleVerifier(self.tokens)
        self.node = self._make_node()
        self._demo = Demo(TokenSigner(settings, clock=self.clock), self.clock) if demo else None
        self._host = host
        self._tasks: list[asyncio.Task[None]] = []
        self._opened: Database | None = None

    async def start(self, dsn: str, database_trouble: Callable[[], str | None] = lambda: None) -> None:
        """Open the pool, wire everything, start the relay. The database is migrated already. Raises StartError.

        `database_trouble` says what is wrong with a database that still answers, if anything is.
        """
        self._database_trouble = database_trouble
        settings, clock = self.settings, self.clock
        self.database = self._opened = await Database.open(dsn)
        # Here, so that no request comes before it; and again by the relay, so that nothing is missed in between.
        self.revocations.add_all(await revocations.load(self.database))
        broker = MemoryBroker(self.node.deliver)
        feed = self.node.namespace("/feed").hub
        self.unread = UnreadCounts(self.database, broker, lambda user: feed.has(f"user:{user}"))
        deliver = reactions.deliver_logged(self.node, self.unread, clock)
        deliver = reactions.revoke_logged(self.node, self.revocations, deliver)
        self.relay = Relay(
            dsn,
            deliver,
            clock=clock,
            recovery_window_hours=settings.recovery_window_hours,
            on_back=lambda seconds: self.alerts.database_back(seconds),
            begin=self._load_revocations,
        )
        log = MessageLog(self.database)
        recovery = self.node.recovery = Recovery(await log.recovery_key(), reactions.RecoveryLog(log), self.relay)
        subscriptions = self._subscriptions()
        outbox = Outbox(self.database, self.relay)
        self.alerts = Alerts(self.database, outbox, clock, self.node.id)
        notifications = self.notifications = NotificationService(
            self.database, outbox, types=settings.notification_types, clock=clock
        )
        register_notifications(self.node.namespace("/feed"), notifications)
        self.host = Host(notifications=Notifications(notifications))
        choices = ChoiceService(self.database, self.access, types=settings.notification_types)
        await choices.configure(notification_settings(settings))
        upkeep = NotificationUpkeep(
            self.database, outbox, self.relay, clock, retention_days=settings.notification_retention_days
        )
        reactions.connect(self.node, self.unread)
        statistics = self._watch()
        sockets = SocketService(self.node, broker)
        self._make_asgi(
            [*notification_routes(notifications), *choice_routes(choices), *socket_routes(sockets, statistics)],
            statistics,
        )
        self._own("relay", self.relay.run())
        self._own("alerts", self.alerts.run())
        self._own("unread", self.unread.run())
        self._own("recovery", recovery.start())
        self._own("subscriptions", subscriptions.run())
        people = self.verifier.people = People(self.database)
        self._own("people", people.run())
        self._own("notifications-due", upkeep.run_due())
        self._own("notifications-removal", upkeep.run_removal())

    def _subscriptions(self) -> Subscriptions:
        """Rooms that clients ask for, and that are remembered for their recovery."""
        sessions = SessionStore(self.database, recovery_window_hours=self.settings.recovery_window_hours)
        subscriptions = self.node.subscriptions = Subscriptions(self.access, sessions, self.relay)
        for name in SUBSCRIBABLE:
            subscriptions.serve(self.node.namespace(name))
        return subscriptions

    def _watch(self) -> StatisticsReader:
        """What operators see of this node."""
        lag = LoopLag(self.clock)
        statistics = StatisticsReader(self.node, self.relay, lag, self.clock)
        register_sockets(self.node.namespace("/admin"), statistics)
        watch = Watch(self.node, statistics, self.clock)
        watch.attach()
        self._own("loop-lag", lag.run())
        self._own("watch", watch.run())
        return statistics

    async def drain(self) -> None:
        """Admit nobody any more, deliver what is committed, then end connections one after another.

        Who waits for a host's open transaction is refused. Bounded, and may be cancelled: `stop` ends what is left.
        """
        self.node.engine.stopping = True
        self.notifications.stop_waiting()
        try:
            async with asyncio.timeout(FLUSH_TIME):
                await self.relay.flush()
        except TimeoutError:
            telemetry.log.warning("server.unflushed", seconds=FLUSH_TIME)
        longest = min(MAX_DRAIN_TIME, self.settings.reconnection_max_delay_ms / 1000)
        await self.node.drain(min(longest, len(self.node.engine.connections) / DRAINED_PER_SECOND))

    async def stop(self) -> None:
        """End connections, then tasks, then the pool: whatever `start` came to."""
        await self.node.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._opened is not None:
            await self._opened.close(timeout=CLOSE_TIME)
        await self.tokens.aclose()

    async def _load_revocations(self, connection: Any) -> None:
        self.revocations.add_all(revocations.known(await connection.fetch(revocations.LOAD)))

    def _trouble(self) -> str | None:
        if self.node.engine.stopping:
            return "the server is stopping"
        if (trouble := self._database_trouble()) is not None:
            return trouble
        return None if self.relay.ready else "the relay is not in contact with the message log"

    def _make_node(self) -> Node:
        options, limits = engine_options(self.settings), client_limits(self.settings.bounds)
        node = Node(TokenAuthenticator(self.verifier), self.clock, options, limits)
        for name, role in NAMESPACES.items():
            node.add(Namespace(name, role=role))
        return node

    def _make_asgi(self, endpoints: list[Any], statistics: StatisticsReader) -> None:
        settings = self.settings
        policy = Policy(settings.cors_origins, settings.cors_credentials, settings.trusted_proxies)
        status = Status(
            settings,
            self.database,
            self._trouble,
            demo=self._demo is not None,
            collectors=[telemetry.NodeCollector(statistics.samples)],
        )
        public = [*status.endpoints(), *(self._demo.endpoints() if self._demo is not None else [])]
        api = create_api(
            endpoints,
            self.verifier,
            public=public,
            cors=RestCors(settings.cors_origins, credentials=settings.cors_credentials),
            version=__version__,
            max_body=settings.bounds.max_body_bytes,
            litestar_handlers=[web_files.router()] if web_files.built() else [],
        )
        polling = Cors(Polling(self.node.engine, policy), policy)
        self.http_protocol = before(limited(http_limits(settings.bounds)))
        self.ws_protocol = protocol_class({SOCKET_PATH: self.node.engine}, policy)
        asgi = _dispatch(api, polling, self._hosted(), _roots(endpoints, public))
        self.asgi = asgi if self._demo is None else for_this_machine(asgi)

    def _hosted(self) -> ASGIApp | None:
        """The host application, which finds Callboard in its scopes."""
        host, api = self._host, self.host
        if host is None:
            return None

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await host({**scope, "callboard": api}, receive, send)

        return app

    def _own(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(telemetry.report)
        self._tasks.append(task)


def _roots(endpoints: list[Any], public: list[Any]) -> tuple[str, ...]:
    """The beginnings of the paths that are Callboard's own: /api/v1/notifications, /healthz, …"""
    slices = {"/api/v1/" + endpoint.path.split("/")[1] for endpoint in endpoints}
    return (*sorted(slices), *(endpoint.path for endpoint in public), "/openapi.json", "/docs")


def _dispatch(api: Any, polling: ASGIApp, host: ASGIApp | None, roots: tuple[str, ...]) -> ASGIApp:
    """Sockets, then Callboard's own paths and page, then the host application."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and path.rstrip("/") == SOCKET_PATH.rstrip("/"):
            await polling(scope, receive, send)
        elif host is None or (scope["type"] == "http" and (_under(path, roots) or web_files.has(path))):
            await api(scope, receive, send)
        else:
            await host(scope, receive, send)

    return app


def _under(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root + "/") for root in roots)
