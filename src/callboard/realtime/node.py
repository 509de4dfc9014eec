"""One process's Socket.IO server.

Owns: the namespaces, delivery of an envelope to local members (encoded once), and the tasks of clients at work.
Never: other nodes (that is the broker and the log), or SQL.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Protocol

from callboard import telemetry
from callboard.auth.principal import Principal
from callboard.clock import Clock
from callboard.errors import Forbidden, Invalid
from callboard.realtime.broker import Envelope
from callboard.realtime.client import Client
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.engine import Engine, EngineOptions
from callboard.realtime.limits import ClientLimits
from callboard.realtime.namespace import Member, Namespace
from callboard.wire import socketio

RENEW = "token"
# Seconds between two turns in which a stopping node ends connections.
DRAIN_STEP = 0.02


class Authenticator(Protocol):
    """Turns the `auth` payload of a CONNECT into a principal."""

    async def authenticate(self, auth: dict[str, Any]) -> Principal:
        """Raises Unauthenticated, which answers the client with CONNECT_ERROR."""


class Node:
    """See the module. Every namespace takes the message `token`, by which a client renews its token in place."""

    def __init__(
        self,
        authenticator: Authenticator,
        clock: Clock,
        options: EngineOptions | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        self.options = options or EngineOptions()
        self.limits = limits or ClientLimits()
        self.engine = Engine(self.options, clock, self._receive)
        self._authenticator = authenticator
        self._namespaces: dict[str, Namespace] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_left: list[Callable[[Member], None]] = []

    def add(self, namespace: Namespace) -> Namespace:
        """Serve a namespace."""
        self._namespaces[namespace.name] = namespace
        namespace.max_rooms = self.limits.max_rooms
        namespace.on(RENEW, self._renew)
        return namespace

    def find(self, name: str) -> Namespace | None:
        """The namespace of this name, or None."""
        return self._namespaces.get(name)

    def namespace(self, name: str) -> Namespace:
        """The namespace of this name. Raises KeyError."""
        return self._namespaces[name]

    def has_room(self, namespace: str, room: str) -> bool:
        """Whether anybody here is in the room."""
        found = self._namespaces.get(namespace)
        return found is not None and found.hub.has(room)

    def deliver(self, envelope: Envelope) -> int:
        """Queue a message to the local members it is for; return how many they are. Encodes once."""
        namespace = self._namespaces.get(envelope.namespace)
        members = namespace.hub.select(envelope.rooms) if namespace is not None else ()
        if not members:
            return 0
        outgoing = socketio.encode_event(envelope.namespace, envelope.name, envelope.payload, envelope.position)
        if envelope.position is None:
            for member in members:
                member.connection.send_volatile(outgoing, envelope.key)
        else:
            for member in members:
                member.connection.send(outgoing)
        telemetry.MESSAGES_OUT.inc(len(members))
        return len(members)

    def connections_of(self, user_id: str) -> set[Connection]:
        """The connections that are in any namespace as this user."""
        room = (f"user:{user_id}",)
        return {member.connection for namespace in self._namespaces.values() for member in namespace.hub.select(room)}

    def disconnect_user(self, user_id: str, reason: Reason) -> int:
        """Close the user's connections here, those that are just connecting too; how many they were.

        Their clients come back if they may. Looks at every connection.
        """
        connections = [
            connection
            for connection in self.engine.connections.values()
            if isinstance(connection.receiver, Client) and connection.receiver.is_for(user_id)
        ]
        for connection in connections:
            connection.close(reason)
        return len(connections)

    async def authenticate(self, auth: dict[str, Any]) -> Principal:
        """See Authenticator."""
        return await self._authenticator.authenticate(auth)

    def on_left(self, callback: Callable[[Member], None]) -> None:
        """Call `callback` after a member has left its namespace, for whatever reason."""
        self._on_left.append(callback)

    def left(self, member: Member) -> None:
        """A member has left."""
        for callback in self._on_left:
            try:
                callback(member)
            except Exception as error:  # the rest of the connection must still be taken down
                telemetry.log.exception(
                    "socket.handler_failed", namespace=member.namespace.name, name="disconnect", reason=repr(error)
                )

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a client's work; the node owns the task."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def drain(self, window: float) -> None:
        """Take no new sessions, and end all within `window` seconds, at even distances and in no order.

        So their clients, which all come back after the same delay, do not come back at once.
        """
        self.engine.stopping = True
        connections = list(self.engine.connections.values())
        random.shuffle(connections)
        begun = self.engine.clock.monotonic()
        for number, connection in enumerate(connections, 1):
            early = begun + window * number / len(connections) - self.engine.clock.monotonic()
            if early > 0:
                # Several in one turn, when they stand closer than this.
                await asyncio.sleep(max(early, DRAIN_STEP))
            connection.close(Reason.STOPPING)

    async def stop(self) -> None:
        """End every connection and the work under way."""
        self.engine.close(Reason.STOPPING)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _receive(self, connection: Connection) -> Client:
        return Client(self, connection)

    async def _renew(self, member: Member, data: dict[str, object]) -> dict[str, object]:
        """The message `token {token}`: keeps a connection beyond the end of its present token."""
        for name in data:
            if name != "token":
                raise Invalid(f"{name} is not a known field", field=name)
        principal = await self.authenticate(data)
        if principal.id != member.principal.id:
            raise Forbidden("the token is another user's")
        member.holder.renew(principal)
        ends = principal.expires_at
        return {"expires_at": None if ends is None else _instant(ends)}

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            telemetry.log.error("task.failed", task="client", reason=repr(error), exc_info=error)


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
