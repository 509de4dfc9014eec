"""The first bytes of a connection: a plain upgrade request goes to the native WebSocket, all else to uvicorn.

Owns: `Front`, the protocol that uvicorn makes for each connection, and what a plain upgrade request is. Never: an
answer, or a judgement: whatever is in any way unusual (in pieces, malformed, doubled, with a body) goes to HTTP with
all its bytes, and may still become a WebSocket there.

The way through HTTP costs a WebSocket as much as all the rest of its connecting: a parser of its own, the request
taken apart and put together again.
"""

from __future__ import annotations

import asyncio
import functools
import re
from typing import Any, NamedTuple

from callboard.transports.http import HttpProtocol, feed
from callboard.transports.turnstile import Turnstile

MAX_HEAD = 8_192
# Each takes 0.2 ms, with the session that follows.
UPGRADES_A_TURN = 64
# Headers of which WebSockets look at the value; twice the same is for HTTP to sort out.
_READ = frozenset(
    {
        b"host",
        b"origin",
        b"connection",
        b"upgrade",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"x-forwarded-for",
        b"x-forwarded-proto",
    }
)
_BODY = frozenset({b"content-length", b"transfer-encoding", b"expect"})
_REQUEST_LINE = re.compile(rb"GET /[!-~]{0,4096} HTTP/1\.1\r\n")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}):[ \t]*([\t -~\x80-\xff]*)\Z")


class Upgrade(NamedTuple):
    """A plain upgrade request: its head, without the headers that nobody looks at, and what came behind it."""

    head: bytes
    behind: bytes


def plain_upgrade(data: bytes) -> Upgrade | None:
    """The upgrade request that `data` begins with; None if it is another request, or anything but plain."""
    line = _REQUEST_LINE.match(data)
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if line is None or end < 0:
        return None
    read: dict[bytes, bytes] = {}
    for header in data[line.end() : end].split(b"\r\n"):
        match = _HEADER.match(header)
        if match is None:
            return None
        name = match[1].lower()
        if name in read or name in _BODY:
            return None
        if name in _READ:
            read[name] = match[2].rstrip(b" \t")
    tokens = [token.strip().lower() for token in read.pop(b"connection", b"").split(b",")]
    if read.get(b"upgrade", b"").lower() != b"websocket" or b"upgrade" not in tokens:
        return None
    read[b"upgrade"], read[b"connection"] = b"websocket", b"upgrade"
    headers = b"".join([b"%s: %s\r\n" % header for header in read.items()])
    return Upgrade(line[0] + headers + b"\r\n", data[end + 4 :])


class Front(asyncio.Protocol):
    """What uvicorn makes for each connection; see `before`. It is gone once the first bytes have come."""

    __slots__ = ("_loop", "_parts", "_paused", "_since", "_timer", "transport")

    http: type[HttpProtocol]
    turnstile: Turnstile

    def __init__(self, **parts: Any) -> None:
        self._parts = parts
        self._loop: asyncio.AbstractEventLoop = parts["_loop"] or asyncio.get_running_loop()
        self._since = self._loop.time()
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes, as long as HTTP would."""
        self.transport = transport
        self._parts["server_state"].connections.add(self)
        self._timer = self._loop.call_later(self.http.limits.head_timeout, self._become_http)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left without a word."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Hand the connection over."""
        websocket = self._parts["config"].ws_protocol_class
        upgrade = plain_upgrade(data) if websocket is not None else None
        if upgrade is None:
            self._become_http().data_received(data)
            return
        self._stop_timer()
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
        parts = {name: part for name, part in self._parts.items() if name != "_loop"}
        protocol = websocket(**parts)
        protocol.connection_made(self.transport)
        feed(protocol, upgrade.head)
        self.transport.set_protocol(protocol)
        if upgrade.behind:
            feed(protocol, upgrade.behind)

    def _become_http(self) -> HttpProtocol:
        self._leave()
        protocol = self.http(**self._parts)
        protocol.owes_since(self._since)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        return protocol

    def _leave(self) -> None:
        self._parts["server_state"].connections.discard(self)
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def before(http: type[HttpProtocol]) -> type[Front]:
    """The class to give to one uvicorn server as its `http`, with the class for HTTP behind it.

    When many clients come at once, UPGRADES_A_TURN of them become WebSockets in one turn of the event loop.
    """
    return type("Front", (Front,), {"http": http, "turnstile": Turnstile(UPGRADES_A_TURN)})
