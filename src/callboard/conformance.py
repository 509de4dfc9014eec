"""`python -m callboard.conformance`: the fixture that the protocols' test suites run against.

Owns: the echo behaviour that the suites expect, on either WebSocket transport. Never: authentication, and so
never a part of the product's server.

Besides, there is a plain WebSocket at `/echo/?EIO=4&transport=websocket`, without Engine.IO but by the same transport,
that sends every message back: what suites for RFC 6455, such as Autobahn's, run against.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any

import click
import uvicorn

from callboard import ids
from callboard.auth.principal import Principal
from callboard.clock import SystemClock
from callboard.realtime.connection import Connection, Reason, Sink
from callboard.realtime.engine import Engine, EngineOptions
from callboard.realtime.limits import ClientLimits
from callboard.realtime.namespace import Member, Namespace
from callboard.realtime.node import Node
from callboard.transports.asgi import AsgiWebSocket
from callboard.transports.asgi_types import Receive, Scope, Send
from callboard.transports.cors import Cors
from callboard.transports.front import before
from callboard.transports.handshake import Policy
from callboard.transports.http import HttpProtocol
from callboard.transports.native import protocol_class
from callboard.transports.polling import Polling
from callboard.wire import socketio
from callboard.wire.engineio import BinaryMessage, Outgoing
from callboard.wire.session import Session, State
from callboard.wire.socketio import PacketType

OPTIONS = EngineOptions(
    ping_interval=0.3, ping_timeout=0.2, max_payload=1_000_000, max_connections=10_000, max_unaccepted=10_000
)
LIMITS = ClientLimits(connect_timeout=1.0, max_connections_per_user=10_000, messages_per_second=10_000, burst=10_000)


class Echo:
    """Sends every Engine.IO message back."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def on_message(self, data: str | bytes) -> None:
        """Echo."""
        echo = BinaryMessage(data) if isinstance(data, bytes) else Outgoing(b"4" + data.encode())
        self._connection.send(echo)

    def on_close(self, reason: Reason) -> None:
        """Nothing was kept."""

    def on_due(self, now: float) -> float | None:
        """No deadline."""
        return None


class PlainConnection(Connection):
    """A WebSocket without Engine.IO: every message comes back as it is."""

    __slots__ = ()

    def receive(self, message: str | bytes) -> None:
        """Echo."""
        if not self.closed:
            self.send(BinaryMessage(message) if isinstance(message, bytes) else Outgoing(message.encode()))


class PlainEngine(Engine):
    """Opens plain connections, which have no session: no OPEN packet and no heartbeat."""

    def open(self, sink: Sink, address: str, *, upgrades: tuple[str, ...] = ()) -> Connection:
        """A connection that nobody but its sink knows."""
        session = Session(ids.session_id(), State.WEBSOCKET, now=0.0, ping_interval=0.0, ping_timeout=0.0)
        return PlainConnection(self, session, sink, address)


class EchoNamespace(Namespace):
    """Emits `auth`, answers `message` with `message-back` and acknowledges `message-with-ack`."""

    def connected(self, member: Member, auth: dict[str, Any]) -> None:
        """Tell the client what it sent with CONNECT."""
        member.connection.send(socketio.encode_args(PacketType.EVENT, self.name, ["auth", auth]))

    async def receive(self, member: Member, name: str, args: list[Any]) -> list[Any]:
        """Echo the arguments."""
        if name == "message":
            back = ["message-back", *args]
            member.connection.send(socketio.encode_args(PacketType.EVENT, self.name, back))
        return args


class Anyone:
    """Lets every client in."""

    async def authenticate(self, auth: dict[str, Any]) -> Principal:
        """Ask nothing."""
        return Principal(id="anyone")


class Server(uvicorn.Server):
    """uvicorn, telling its port."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the line that a test waits for."""
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            print(f"listening on http://127.0.0.1:{port}", flush=True)  # noqa: T201


def create_app(engines: dict[str, Engine]) -> Any:
    """The ASGI application: long-polling and ASGI WebSockets by path."""
    policy = Policy(origins=frozenset({"http://localhost:3000"}))
    polling = {path: Cors(Polling(engine, policy), policy) for path, engine in engines.items()}
    sockets = {path: AsgiWebSocket(engine, policy) for path, engine in engines.items()}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found: Any = (sockets if scope["type"] == "websocket" else polling).get(scope["path"])
        if found is not None:
            await found(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    return app


async def serve(port: int, transport: str, options: EngineOptions) -> None:
    """Serve until interrupted; print one line when ready."""
    clock = SystemClock()
    node = Node(Anyone(), clock, options, LIMITS)
    node.add(EchoNamespace("/"))
    node.add(EchoNamespace("/custom"))
    engines = {
        "/engine.io/": Engine(options, clock, Echo),
        "/socket.io/": node.engine,
        "/echo/": PlainEngine(options, clock, Echo),
    }
    config = uvicorn.Config(
        create_app(engines),
        host="127.0.0.1",
        port=port,
        http=before(HttpProtocol) if transport == "native" else "httptools",
        ws=protocol_class(engines, Policy(origins=frozenset({"http://localhost:3000"})))
        if transport == "native"
        else "websockets-sansio",
        ws_max_size=options.max_payload,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    await Server(config).serve()


@click.command()
@click.option("--port", default=3000, show_default=True)
@click.option("--transport", type=click.Choice(["native", "asgi"]), default="native", show_default=True)
@click.option("--ping-interval", default=OPTIONS.ping_interval, show_default=True, help="Seconds.")
@click.option("--ping-timeout", default=OPTIONS.ping_timeout, show_default=True, help="Seconds.")
def main(port: int, transport: str, ping_interval: float, ping_timeout: float) -> None:
    """Serve the protocol suites' fixture on the loopback address. The suites expect the default heartbeat."""
    options = replace(OPTIONS, ping_interval=ping_interval, ping_timeout=ping_timeout)
    asyncio.run(serve(port, transport, options))


if __name__ == "__main__":
    main()
