"""The first bytes of a connection: a plain upgrade request goes to the native WebSocket, all else to uvicorn.

Owns: `Front`, the protocol that uvicorn makes for each connection, and what a plain upgrade request is. Never: an
answer, or a judgement: whatever is in any way unusual (in pieces, malformed, doubled, without a host, with a body) goes
to HTTP with all its bytes, and may still become a WebSocket there.

The way through HTTP costs a WebSocket as much as all the rest of its connecting: a parser of its own, the request
taken apart and put together again.
"""

from __future__ import annotations

import asyncio
import functools
import re
from typing import Any

import msgspec

from callboard.transports.http import HttpProtocol
from callboard.transports.turnstile import Turnstile

MAX_HEAD = 8_192
# Each takes 0.2 ms, with the session that follows.
UPGRADES_A_TURN = 64
# Headers of which WebSockets look at the value, and those of a body; twice the same, and a body, are for HTTP.
_READ = {
    name.encode(): name
    for name in (
        "host",
        "origin",
        "connection",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-version",
        "x-forwarded-for",
        "x-forwarded-proto",
    )
}
_BODY = dict.fromkeys((b"content-length", b"transfer-encoding", b"expect"))
_LOOKED_AT: dict[bytes, str | None] = {**_READ, **_BODY}
_REQUEST_LINE = re.compile(rb"GET (/[!-~]{0,4096}) HTTP/1\.1\r\n")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}):([\t -~\x80-\xff]*)\r\n")


class Upgrade(msgspec.Struct, frozen=True):
    """A plain upgrade request: its target, those of its headers that somebody looks at, and what came behind it."""

    target: bytes
    headers: dict[str, str]
    behind: bytes


def plain_upgrade(data: bytes) -> Upgrade | None:
    """The upgrade request that `data` begins with; None if it is another request, or anything but plain."""
    line = _REQUEST_LINE.match(data)
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if line is None or end < 0:
        return None
    read: dict[str, str] = {}
    place = line.end()
    for name, value in _HEADER.findall(data, place, end + 2):
        place += len(name) + len(value) + 3
        name = name.lower()
        if name in _LOOKED_AT:
            text = _LOOKED_AT[name]
            if text is None or text in read:
                return None
            read[text] = value.strip(b" \t").decode("latin-1")
    if place != end + 2 or "host" not in read:  # something between them is no header
        return None
    connection = read.pop("connection", "").lower()
    if connection != "upgrade" and "upgrade" not in [token.strip() for token in connection.split(",")]:
        return None
    if read.pop("upgrade", "").lower() != "websocket":
        return None
    return Upgrade(line[1], read, data[end + 4 :])


class _Silent:
    """The connections of one server on which nothing has come, in the order of their coming, with one timer for all."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._fronts: dict[Front, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, front: Front) -> None:
        self._fronts[front] = None
        if self._timer is None:
            self._timer = front.loop.call_later(self._timeout, self._turn)

    def discard(self, front: Front) -> None:
        self._fronts.pop(front, None)

    def _turn(self) -> None:
        """Those who have waited as long as HTTP would are HTTP's; it says so to them."""
        self._timer = None
        for front in list(self._fronts):
            left = front.since + self._timeout - front.loop.time()
            if left > 0:
                self._timer = front.loop.call_later(left, self._turn)
                return
            front.become_http()


class Front(asyncio.Protocol):
    """What uvicorn makes for each connection; see `before`. It is gone once the first bytes have come."""

    __slots__ = ("_app_state", "_config", "_paused", "_state", "loop", "since", "transport")

    http: type[HttpProtocol]
    turnstile: Turnstile
    silent: _Silent

    def __init__(self, *, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._paused = False
        self.loop: asyncio.AbstractEventLoop = _loop or asyncio.get_running_loop()
        self.since = self.loop.time()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes, as long as HTTP would."""
        self.transport = transport
        self._state.connections.add(self)
        self.silent.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left without a word."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Hand the connection over."""
        websocket = self._config.ws_protocol_class
        upgrade = plain_upgrade(data) if websocket is not None else None
        if upgrade is None:
            self.become_http().data_received(data)
            return
        self.silent.discard(self)
        self._paused = not self.turnstile.enter(functools.partial(self._become_websocket, websocket, upgrade))
        if self._paused:
            self.transport.pause_reading()

    def shutdown(self) -> None:
        """uvicorn ends: nothing is under way here."""
        self.transport.close()

    def _become_websocket(self, websocket: Any, upgrade: Upgrade) -> None:
        self._leave()
        if self.transport.is_closing():
            return
        if self._paused:
            self.transport.resume_reading()
        protocol = websocket(config=self._config, server_state=self._state, app_state=self._app_state)
        protocol.connection_made(self.transport)
        protocol.upgrade(b"GET", upgrade.target, upgrade.headers)
        self.transport.set_protocol(protocol)
        if upgrade.behind:
            protocol.data_received(upgrade.behind)

    def become_http(self) -> HttpProtocol:
        """Have HTTP go on with the connection, and with the time that it has waited."""
        self._leave()
        protocol = self.http(config=self._config, server_state=self._state, app_state=self._app_state, _loop=self.loop)
        protocol.owes_since(self.since)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        return protocol

    def _leave(self) -> None:
        self._state.connections.discard(self)
        self.silent.discard(self)


def before(http: type[HttpProtocol]) -> type[Front]:
    """The class to give to one uvicorn server as its `http`, with the class for HTTP behind it.

    When many clients come at once, UPGRADES_A_TURN of them become WebSockets in one turn of the event loop.
    """
    parts = {
        "__slots__": (),
        "http": http,
        "turnstile": Turnstile(UPGRADES_A_TURN),
        "silent": _Silent(http.limits.head_timeout),
    }
    return type("Front", (Front,), parts)
