"""`callboard serve`: one process from its port to its exit status.

Owns: the order of start and end, the port, the signals, and `server.json` in the data directory. Never: a route.

The port is bound first, so that an occupied one costs nothing; the database follows, then the node. At the end
connections close first and our PostgreSQL last. uvicorn's own signal handling is not used: it re-raises SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from callboard import __version__
from callboard.app import Callboard
from callboard.clock import SystemClock
from callboard.errors import SettingsError, StartError
from callboard.settings import Settings
from callboard.store.embedded import EmbeddedPostgres
from callboard.store.migrate import migrate
from callboard.telemetry import log

KEEP_ALIVE = 75
BACKLOG = 2048
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What the command line says."""

    host: str = "127.0.0.1"
    port: int | None = None
    demo: bool = False
    app: str | None = None


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers: the process's are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings, options: ServeOptions) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError or StartError if it cannot start."""
    if options.demo and options.host not in LOOPBACK:
        raise SettingsError("--demo hands tokens to anybody: it runs on a loopback --host only")
    clock = SystemClock()
    stop = _stop_event()
    with _bind(options.host, settings.socket_port if options.port is None else options.port) as listener:
        host = _load(options.app) if options.app else None
        async with database(settings) as dsn:
            await migrate(dsn)
            callboard = Callboard(settings, dsn, clock=clock, demo=options.demo, host=host)
            await callboard.start()
            try:
                await _run(callboard, listener, options, stop)
            finally:
                await callboard.stop()
    log.info("server.stopped")


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[str]:
    """The DSN to use: DATABASE_URL, or the embedded PostgreSQL while it is needed."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    embedded = EmbeddedPostgres(settings.data_dir)
    dsn = await embedded.start()
    try:
        yield dsn
    finally:
        await embedded.stop()


def server_file(data_dir: Path) -> Path:
    """Where a running server tells its URL and process id."""
    return data_dir / "server.json"


async def _run(callboard: Callboard, listener: socket.socket, options: ServeOptions, stop: asyncio.Event) -> None:
    config = uvicorn.Config(
        callboard.asgi,
        http="httptools",
        ws=callboard.ws_protocol,
        lifespan="on" if options.app else "off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=5,
        backlog=BACKLOG,
    )
    server = _Uvicorn(config)
    running = asyncio.ensure_future(server.serve(sockets=[listener]))
    stopping = asyncio.ensure_future(stop.wait())
    url = _url(options.host, listener)
    with _announced(callboard.settings.data_dir, url):
        await callboard.relay.until_ready()
        where = "embedded" if callboard.settings.database_url is None else "DATABASE_URL"
        log.info(
            "server.started", url=url, version=__version__, database=where, data_dir=str(callboard.settings.data_dir)
        )
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        log.info("server.stopping", connections=len(callboard.node.engine.connections))
        stopping.cancel()
        # Held polls and WebSockets end first: uvicorn waits for the one and does not know the other.
        await callboard.node.stop()
        server.should_exit = True
        await running


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


@contextlib.contextmanager
def _announced(data_dir: Path, url: str) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    path = server_file(data_dir)
    mine = json.dumps({"url": url, "pid": os.getpid()})
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(mine)
    draft.replace(path)
    try:
        yield
    finally:
        if path.exists() and path.read_text() == mine:
            path.unlink()


def _url(host: str, listener: socket.socket) -> str:
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  compared, not bound
    port = listener.getsockname()[1]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _load(target: str) -> Any:
    """The host application `module:attribute`. Callboard itself never imports one."""
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"--app {target!r} cannot be loaded: {error}; give module:attribute") from None
