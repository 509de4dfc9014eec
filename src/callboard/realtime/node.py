"""One process's Socket.IO server.

Owns: the namespaces, delivery of an envelope to local members (encoded once), and the tasks of clients at work.
Never: other nodes (that is the broker and the log), or SQL.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any, NamedTuple, Protocol

import msgspec

from callboard import ids, telemetry
from callboard.auth.principal import Principal
from callboard.clock import Clock, utc_text
from callboard.errors import Forbidden
from callboard.realtime.broker import Envelope
from callboard.realtime.client import Client
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.engine import Engine, EngineOptions
from callboard.realtime.limits import ClientLimits
from callboard.realtime.namespace import Member, Namespace, check_fields
from callboard.realtime.payloads import RENEW, RenewToken, TokenRenewed
from callboard.realtime.recovery import Claim, Recovery
from callboard.realtime.subscriptions import Subscriptions
from callboard.wire import socketio
from callboard.wire.engineio import Outgoing

# Seconds between two turns in which a stopping node ends connections.
DRAIN_STEP = 0.02


class Authenticator(Protocol):
    """Turns the `auth` payload of a CONNECT into a principal."""

    async def authenticate(self, auth: dict[str, Any]) -> Principal:
        """Raises Unauthenticated, which answers the client with CONNECT_ERROR.

        It is begun outside of a task; where it must wait for something, it is closed, and begun anew in one.
        """


class Depths(NamedTuple):
    """Bytes that clients have not taken, and packets of clients that are not handled: all, and the most of one."""

    unsent: int
    most_unsent: int
    waiting: int
    most_waiting: int


class Node:
    """See the module. `id` is new with each process.

    `recovery`: set it before the first connection to have clients get a pid and recover; without it they do not.
    `subscriptions`: likewise, to have them recover the rooms that they had subscribed to.
    Every namespace takes the message `token`, by which a client renews its token in place.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        clock: Clock,
        options: EngineOptions | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        self.id = ids.session_id()
        self.options = options or EngineOptions()
        self.limits = limits or ClientLimits()
        self.engine = Engine(self.options, clock, self._receive)
        self.recovery: Recovery | None = None
        self.subscriptions: Subscriptions | None = None
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

    @property
    def namespaces(self) -> Collection[Namespace]:
        """All that are served."""
        return self._namespaces.values()

    def member(self, sid: str) -> Member | None:
        """Who has this Socket.IO sid. Looks at every member: for operators, not for the path of a message."""
        for namespace in self._namespaces.values():
            for member in namespace.hub.select(()):
                if member.sid == sid:
                    return member
        return None

    def dismiss(self, member: Member) -> None:
        """End a member's whole connection, so that the stock client stays away."""
        client = member.connection.receiver
        if isinstance(client, Client):
            client.dismiss(Reason.ADMIN)

    def depths(self) -> Depths:
        """What waits at this moment. Looks at every connection."""
        unsent = waiting = most_unsent = most_waiting = 0
        for connection in self.engine.connections.values():
            size = connection.sink.unsent()
            unsent += size
            most_unsent = max(most_unsent, size)
            client = connection.receiver
            if isinstance(client, Client):
                waiting += client.waiting
                most_waiting = max(most_waiting, client.waiting)
        return Depths(unsent, most_unsent, waiting, most_waiting)

    def deliver(self, envelope: Envelope) -> int:
        """Queue a message to the local members it is for; return how many they are. Encodes once."""
        namespace = self._namespaces.get(envelope.namespace)
        members = namespace.hub.select(envelope.rooms) if namespace is not None else ()
        if not members:
            if envelope.position is not None and self.recovery is not None:
                self.recovery.delivered(envelope, None)
            return 0
        outgoing = socketio.encode_event(envelope.namespace, envelope.name, envelope.payload, envelope.position)
        key, durable = envelope.key, envelope.position is not None
        if len(members) == 1:
            _give(members, outgoing, key, durable)
        else:
            connections = [member.connection for member in members if member.outlet is member.connection]
            if len(connections) < len(members):
                _give([each for each in members if each.outlet is not each.connection], outgoing, key, durable)
            self.engine.turn.broadcast(connections, outgoing, key, volatile=not durable)
        if durable and self.recovery is not None:
            self.recovery.delivered(envelope, outgoing)
        self.engine.traffic.messages_out += len(members)
        return len(members)

    def memberships_of(self, user_id: str) -> int:
        """In how many namespaces all connections of this user's are: no fewer than the connections."""
        room, found = f"user:{user_id}", 0
        for namespace in self._namespaces.values():
            found += namespace.hub.count(room)
        return found

    def connections_of(self, user_id: str) -> set[Connection]:
        """The connections that are in any namespace as this user."""
        room = f"user:{user_id}"
        hubs = [namespace.hub for namespace in self._namespaces.values() if namespace.hub.has(room)]
        return {member.connection for hub in hubs for member in hub.select((room,))}

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

    def authenticate(self, auth: dict[str, Any]) -> Coroutine[Any, Any, Principal]:
        """See Authenticator."""
        return self._authenticator.authenticate(auth)

    async def remembered(self, member: Member, claim: Claim) -> Collection[str] | None:
        """See Subscriptions."""
        return () if self.subscriptions is None else await self.subscriptions.remembered(member, claim)

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
        task = asyncio.get_running_loop().create_task(work, name="client")
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

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        telemetry.report(task)

    def _receive(self, connection: Connection) -> Client:
        return Client(self, connection)

    async def _renew(self, member: Member, data: dict[str, object]) -> dict[str, object]:
        """Handle RENEW."""
        check_fields(data, *RenewToken.__struct_fields__)
        principal = await self.authenticate(data)
        if principal.id != member.principal.id:
            raise Forbidden("the token is another user's")
        member.holder.renew(principal)
        ends = principal.expires_at
        return msgspec.structs.asdict(TokenRenewed(expires_at=None if ends is None else utc_text(ends)))


def _give(members: Iterable[Member], outgoing: Outgoing, key: str | None, durable: bool) -> None:
    """A message to few: each has it in its own queue, or with what it is still given of what it missed."""
    for member in members:
        if durable:
            member.outlet.send(outgoing)
        else:
            member.outlet.send_volatile(outgoing, key)
