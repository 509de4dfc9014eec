"""`callboard serve` as a real process, and Socket.IO clients that remember what they got.

Owns: starting and ending the process, its log, tokens, and bounded waits for conditions. Never: an assertion about
the product, a wait for time to pass.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import httpx
import socketio
from tests.tracing import untraced

from callboard.auth.tokens import TokenSigner
from callboard.clock import SystemClock
from callboard.settings import load
from callboard.store.embedded import EmbeddedPostgres

START_SECONDS = 60.0
# As the server's settings unless a test gives others. Loads send more than a person is meant to get in an hour.
USUAL = {"LOG_FORMAT": "json", "NOTIFICATION_RATE_LIMIT": "1000000"}
WAIT_SECONDS = 20.0
POLL = 0.02
SETTINGS = (
    *("CALLBOARD_", "SOCKET_", "MAX_SOCKET_", "JWT_", "DATABASE_URL", "NOTIFICATION_", "LOG_", "TRUSTED_"),
    *("HTTP_HEAD_", "HTTP_BODY_", "HTTP_SEND_", "HTTP_KEEP_", "HTTP_MIN_", "HTTP_MAX_"),
)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The process environment without Callboard's settings, and then `settings`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    paths = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), **settings}


def callboard(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "callboard.cli", *arguments],
        env=environment(settings),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


class Server:
    """One `callboard serve`. `start` after an end takes the same port again. `traced`: by coverage, if that runs."""

    def __init__(
        self, data_dir: Path, *options: str, log: Path | None = None, traced: bool = True, **settings: str
    ) -> None:
        self.data_dir = data_dir
        self.url = ""
        self.seconds_to_ready = 0.0
        self._options = options
        self._settings = {**USUAL, **settings}
        self._traced = traced
        self._log = log or data_dir.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._signer: TokenSigner | None = None

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def start(self) -> None:
        """Return when /readyz answers 200."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Run the process and return at once."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        begun = time.monotonic()
        self._begun = begun
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "callboard.cli", "serve", "--port", str(self.port)),
                    *("--data-dir", str(self.data_dir), *self._options),
                ],
                env=self._environment(),
                cwd=self.data_dir.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """The deadline covers a first start, which makes the database."""
        process = self._running()
        while not self._is_ready(process):
            if process.poll() is not None or time.monotonic() - self._begun > START_SECONDS:
                raise AssertionError(f"the server did not start:\n{self.log_text()}")
            time.sleep(POLL)
        self.seconds_to_ready = time.monotonic() - self._begun

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the process, or, as a terminal does, to its group."""
        process = self._running()
        if group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)

    def wait(self) -> int:
        """The exit status of the process, which must end by itself. The process may not outlive the call."""
        process = self._running()
        try:
            return process.wait(timeout=WAIT_SECONDS + 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the server did not end:\n{self.log_text()}") from None
        finally:
            self._process = None

    def kill(self) -> None:
        """End it as a crash would."""
        self.send(signal.SIGKILL)
        self.wait()

    def kill_process(self, pid: int) -> None:
        """End one of the server's children, the database, as a crash would, and wait until it has gone."""
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + WAIT_SECONDS
        while lives(pid):
            assert time.monotonic() < deadline, "it does not end"
            time.sleep(POLL)

    def stop(self) -> int:
        """End it if it runs; its exit status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self.send(signal.SIGTERM)
        return self.wait()

    @property
    def pid(self) -> int:
        return self._running().pid

    def token(self, user: str, *roles: str, teams: tuple[str, ...] = (), seconds: float = 3600.0) -> str:
        """A token that this server accepts for so many seconds from now; fewer than none is the past."""
        if self._signer is None:
            self._signer = TokenSigner(load(self._settings, data_dir=self.data_dir), clock=SystemClock())
        return self._signer.sign(user, roles=roles, teams=teams, ttl=timedelta(seconds=seconds))

    def bearer(self, user: str, *roles: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user, *roles)}"}

    def rest(self, user: str | None = None, *roles: str) -> httpx.AsyncClient:
        """A client of the server's API, signed in as `user`."""
        headers = {} if user is None else self.bearer(user, *roles)
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=WAIT_SECONDS, trust_env=False)

    async def notify(self, *users: str, title: str, **fields: object) -> dict[str, Any]:
        """Send a notification as an admin."""
        body = {"user_ids": users, "type": "note", "message": "", "title": title, **fields}
        async with self.rest("boss", "admin") as client:
            answer = await client.post("/api/v1/notifications", json=body)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def log_text(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def log_lines(self, event: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """The log's lines of this event with these fields."""
        lines = [json.loads(line) for line in self.log_text().splitlines() if line.startswith("{")]
        return [
            line
            for line in lines
            if event in (None, line["event"]) and all(line.get(name) == value for name, value in fields.items())
        ]

    def dsn(self) -> str:
        """Of the embedded database, while it runs."""
        return EmbeddedPostgres(self.data_dir).dsn()

    def postgres_pid(self) -> int | None:
        """The embedded PostgreSQL's process, if it lives."""
        try:
            pid = int((self.data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if lives(pid) else None

    def _environment(self) -> dict[str, str]:
        whole = environment(self._settings)
        return whole if self._traced else untraced(whole)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server was not started"
        return self._process

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        try:
            written = json.loads((self.data_dir / "server.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not self.url and written["pid"] == process.pid:
            self.url = written["url"]
        if not self.url:
            return False
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False, timeout=5).is_success and process.poll() is None
        except httpx.TransportError:
            return False


class Tab:
    """One Socket.IO connection and all that it got, in order."""

    def __init__(self, client: socketio.AsyncClient) -> None:
        self.client = client
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.positions: list[str] = []
        self.refusals: list[Any] = []
        self.ended = asyncio.Event()
        self._changed = asyncio.Event()

    def got(self, name: str) -> list[dict[str, Any]]:
        """The payloads of the messages of this name."""
        return [payload for got, payload in self.messages if got == name]

    def titles(self) -> list[str]:
        return [payload["title"] for payload in self.got("notification:new")]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that came makes `condition` true."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_count(self, count: int) -> None:
        """Wait until the unread count that came last is `count`."""
        await self.until(lambda: [got["count"] for got in self.got("notification:unread-count")][-1:] == [count])

    async def until_got(self, name: str) -> None:
        await self.until(lambda: bool(self.got(name)))

    async def until_title(self, title: str) -> None:
        await self.until(lambda: title in self.titles())

    async def call(self, name: str, data: dict[str, Any], namespace: str = "/feed") -> dict[str, Any]:
        """Send a message and return its acknowledgement."""
        answer: dict[str, Any] = await self.client.call(name, data, namespace=namespace, timeout=WAIT_SECONDS)
        return answer

    async def take(self, name: str, payload: dict[str, Any], position: str | None = None) -> None:
        self.messages.append((name, payload))
        if position is not None:
            self.positions.append(position)
        self._changed.set()


@asynccontextmanager
async def tab(
    server: Server,
    user: str,
    *roles: str,
    namespaces: tuple[str, ...] = ("/feed",),
    transports: tuple[str, ...] = ("polling", "websocket"),
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Tab]:
    """A client connected to every namespace; the count that greets it in /feed has come."""
    async with aiohttp.ClientSession() as session:
        client = socketio.AsyncClient(reconnection=False, http_session=session)
        opened = Tab(client)

        async def refused(data: Any) -> None:
            opened.refusals.append(data)

        async def ended(*_: Any) -> None:
            opened.ended.set()

        for namespace in namespaces:
            client.on("*", opened.take, namespace=namespace)
            client.on("connect_error", refused, namespace=namespace)
            client.on("disconnect", ended, namespace=namespace)
        await client.connect(
            server.url,
            auth={"token": server.token(user, *roles) if token is None else token},
            headers=dict(headers or {}),
            namespaces=list(namespaces),
            transports=list(transports),
            wait_timeout=WAIT_SECONDS,
        )
        try:
            if "/feed" in namespaces:
                await opened.until_got("notification:unread-count")
            yield opened
        finally:
            await client.disconnect()


@asynccontextmanager
async def raw(
    server: Server, path: str = "/socket.io/?EIO=4&transport=websocket", **headers: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket without a client library's care; the server's OPEN packet has come."""
    async with aiohttp.ClientSession() as session, session.ws_connect(server.url + path, headers=headers) as socket:
        assert (await socket.receive_str(timeout=WAIT_SECONDS)).startswith("0{")
        yield socket


async def connect_raw(socket: aiohttp.ClientWebSocketResponse, namespace: str, token: str | None) -> str:
    """Send CONNECT; the packet that answers it, without its type and namespace."""
    await socket.send_str(f"40{namespace},{json.dumps({} if token is None else {'token': token})}")
    answer = await socket.receive_str(timeout=WAIT_SECONDS)
    head, _, payload = answer.partition(",")
    assert head[2:] == namespace
    return head[:2] + payload


@asynccontextmanager
async def database(server: Server, dsn: str | None = None) -> AsyncIterator[Any]:
    """A connection to the server's database, by default the embedded one, as a host application's."""
    connection = await asyncpg.connect(dsn or server.dsn(), timeout=WAIT_SECONDS)
    try:
        yield connection
    finally:
        await connection.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(POLL)


def lives(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
