"""`callboard serve`: one process from its port to its exit status.

Owns: the order of start and end, the port, and the signals. Never: a route.

The port is bound first, so that an occupied one costs nothing; then keys and settings are tried, the database
follows, then the node. At the end connections close first and our PostgreSQL last. uvicorn's own signal handling is
not used: it re-raises SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import math
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from callboard import __version__
from callboard.announcement import announced
from callboard.app import Callboard
from callboard.clock import SystemClock
from callboard.errors import SettingsError, StartError
from callboard.settings import Settings
from callboard.store.database import Database
from callboard.store.embedded import EmbeddedPostgres
from callboard.store.migrate import migrate
from callboard.telemetry import log, report
from callboard.transports.asgi_types import ASGIApp

BACKLOG = 2048
# Seconds for requests under way, and for all of uvicorn with a host application's lifespan; for our PostgreSQL to stop
# in order. With the node's own (app.py), everything ends within 30 s.
GRACE = 4
END_TIMEOUT = 7.0
POSTGRES_TIME = 8.0
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What the command line says."""

    host: str = "127.0.0.1"
    port: int | None = None
    demo: bool = False
    app: str | None = None


async def serve(settings: Settings, options: ServeOptions) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError or StartError if it cannot start."""
    if options.demo and options.host not in LOOPBACK:
        raise SettingsError("--demo hands tokens to anybody: it runs on a loopback --host only")
    stop = _Stop()
    with _bind(options.host, settings.socket_port if options.port is None else options.port) as listener:
        host = _load(options.app) if options.app else None
        callboard = Callboard(settings, clock=SystemClock(), demo=options.demo, host=host)
        try:
            async with database(settings) as dsn:
                await migrate(dsn)
                try:
                    await callboard.start(dsn, lambda: _files_gone(settings))
                    stop.starting = None
                    await _run(callboard, listener, options, stop)
                finally:
                    await callboard.stop()
        except asyncio.CancelledError:
            if not stop.event.is_set():
                raise
    log.info("server.stopped")


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[str]:
    """The DSN to use: DATABASE_URL, if it answers, or the embedded PostgreSQL, which runs while it is needed."""
    if settings.database_url is not None:
        await _reach(settings.database_url)
        yield settings.database_url
        return
    embedded = EmbeddedPostgres(settings.data_dir, stop_timeout=POSTGRES_TIME)
    dsn = await embedded.start()
    watching = asyncio.create_task(embedded.keep_running(), name="embedded PostgreSQL")
    watching.add_done_callback(report)
    try:
        yield dsn
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        await embedded.stop()


def has_database(settings: Settings) -> bool:
    """Whether there is a database, so that `database` makes none."""
    return settings.database_url is not None or EmbeddedPostgres(settings.data_dir).made


def _files_gone(settings: Settings) -> str | None:
    if settings.database_url is None and EmbeddedPostgres(settings.data_dir).gone:
        return f"the embedded database's files in {settings.data_dir} are gone"
    return None


async def _reach(url: str) -> None:
    try:
        pool = await Database.open(url, min_size=1, max_size=1)
    except StartError as error:
        raise StartError(f"DATABASE_URL ({_without_secrets(url)}): {error.message}") from None
    await pool.close()


def _without_secrets(url: str) -> str:
    """A database's URL without the password and the options, of which one may be it."""
    scheme, _, rest = url.partition("://")
    place, slash, path = re.split("[?#]", rest)[0].partition("/")
    user, at, hosts = place.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{hosts}{slash}{path}"


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers and its exit: the process's are ours. `up` is set once it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Have `serve` come to its end."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        # uvicorn's looks ten times a second whether it is to end. What is left is the answers' date, which changes with
        # the clock's second; a timer may be a little early.
        clock = SystemClock()
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.01 - clock.timestamp() % 1):
                    await self._ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            raise StartError("the host application (--app) failed to start: its lifespan says why above") from None
        self.up.set()


async def _run(callboard: Callboard, listener: socket.socket, options: ServeOptions, stop: _Stop) -> None:
    server = _Uvicorn(_config(callboard, options))
    running = asyncio.ensure_future(server.serve(sockets=[listener]))
    stopping = asyncio.ensure_future(stop.event.wait())
    ready = asyncio.ensure_future(_until_ready(callboard, server))
    with contextlib.ExitStack() as stack:
        try:
            await asyncio.wait({running, stopping, ready}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done() and not stopping.done():
                stack.enter_context(announced(callboard.settings.data_dir, _url(options.host, listener)))
                _say_started(callboard, _url(options.host, listener))
                await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            ready.cancel()
            await _end(callboard, server, running, stop)


async def _until_ready(callboard: Callboard, server: _Uvicorn) -> None:
    await server.up.wait()
    await callboard.relay.until_ready()
    _keep_what_started()


def _keep_what_started() -> None:
    """Tell the garbage collector that what exists now stays, and to look at the rest less often.

    Walking the modules, routes and schemas of the start takes 50 ms, in which nobody is served. Connections and
    requests are freed without the collector: they are no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def _say_started(callboard: Callboard, url: str) -> None:
    settings = callboard.settings
    where = "embedded" if settings.database_url is None else "DATABASE_URL"
    log.info("server.started", url=url, version=__version__, database=where, data_dir=str(settings.data_dir))


async def _end(callboard: Callboard, server: _Uvicorn, running: asyncio.Future[None], stop: _Stop) -> None:
    """Close every connection, then the port; at once after a second signal. Raises what uvicorn ended with."""
    log.info("server.stopping", connections=len(callboard.node.engine.connections))
    hurried = asyncio.ensure_future(stop.again.wait())
    try:
        # Held polls and WebSockets end first: uvicorn waits for the one and does not know the other.
        drain = asyncio.create_task(callboard.drain(), name="drain")
        drain.add_done_callback(report)
        await _until_done(drain, hurried, None)
        await callboard.node.stop()
        server.end()
        if not server.up.is_set():
            running.cancel()
        await _until_done(running, hurried, END_TIMEOUT)
    finally:
        hurried.cancel()
        # uvicorn answers a request that is cancelled with an error, and waits for its client to take it.
        for connection in list(server.server_state.connections):
            connection.transport.abort()
    if running.done() and not running.cancelled():
        running.result()


async def _until_done(work: asyncio.Future[None], hurried: asyncio.Future[Any], timeout: float | None) -> None:
    """Wait for `work`; cancel it when time is up or a second signal has come."""
    await asyncio.wait({work, hurried}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        work.cancel()
        await asyncio.wait({work}, timeout=1.0)


def _config(callboard: Callboard, options: ServeOptions) -> uvicorn.Config:
    return uvicorn.Config(
        callboard.asgi,
        http=callboard.http_protocol,
        ws=callboard.ws_protocol,
        # A host application need not know of lifespans.
        lifespan="auto" if options.app else "off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=math.ceil(callboard.settings.bounds.keep_alive_ms / 1000),
        timeout_graceful_shutdown=GRACE,
        backlog=BACKLOG,
    )


@contextlib.contextmanager
def _bind(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartError(
                f"cannot listen on {host}:{port}: {reason}; end what uses the port, or choose another with --port"
            ) from None
        listener.setblocking(False)
        yield listener
    finally:
        listener.close()


def _url(host: str, listener: socket.socket) -> str:
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  compared, not bound
    port = listener.getsockname()[1]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


class _Stop:
    """SIGTERM and SIGINT set `event`, and cancel the task that is `starting`: a start may wait long for a lock.

    A second one sets `again`: nothing is waited for any more.
    """

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.again = asyncio.Event()
        self.starting = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask)

    def _ask(self) -> None:
        if self.event.is_set() and not self.again.is_set():
            self.again.set()
            log.info("server.hurried")
        self.event.set()
        starting, self.starting = self.starting, None
        if starting is not None:
            starting.cancel()


def _load(target: str) -> ASGIApp:
    """The host application `module:attribute`, looked for in the working directory too. Callboard never imports one."""
    module, _, attribute = target.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        host: ASGIApp = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"--app {target!r} cannot be loaded: {error}; give module:attribute") from None
    if not callable(host):
        raise SettingsError(f"--app {target!r} is no ASGI application: it cannot be called")
    return host
