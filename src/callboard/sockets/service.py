"""Use cases of operators: messages by hand, who is connected, and ending a connection.

Owns: the checks of what operators ask for, the record of who did what, and the list of this node's connections.
Never: a durable message, the meaning of a message, a number (see `statistics.py`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from callboard.auth.principal import Principal
from callboard.errors import Invalid, NotFound
from callboard.realtime.broker import Broker, Envelope
from callboard.realtime.namespace import Member
from callboard.realtime.node import Node
from callboard.sockets.model import check_event, check_room, check_user_id
from callboard.telemetry import log


class AdminLog(Protocol):
    """Where an admin's actions are kept, beside the log's line. The activity slice is to be it."""

    async def record(self, actor: Principal, action: str, target: str) -> None:
        """Keep that `actor` is about to do `action` ("socket.broadcast") to `target`. What it raises refuses the
        action: what cannot be recorded is not done."""


class Members(NamedTuple):
    """A page of members, the newest first. `more`: whether older ones follow."""

    items: list[Member]
    more: bool


class SocketService:
    """`admin_log` is None while there is no activity log; the line in the log is written anyway."""

    def __init__(self, node: Node, broker: Broker, *, admin_log: AdminLog | None = None) -> None:
        self._node = node
        self._broker = broker
        self._admin_log = admin_log

    @property
    def node_id(self) -> str:
        """Whose connections `connections` and `disconnect` know."""
        return self._node.id

    async def broadcast(self, actor: Principal, *, namespace: str, event: str, data: bytes) -> None:
        """Send `data`, the bytes of a JSON object, to everyone in `namespace` on every node, once and unrecovered.

        Raises Invalid for a reserved name or an unknown namespace.
        """
        envelope = self._envelope(namespace, (), event, data)
        await self._record(actor, "socket.broadcast", f"{namespace} {event}")
        self._broker.publish(envelope)

    async def notify_user(self, actor: Principal, user_id: str, *, namespace: str, event: str, data: bytes) -> None:
        """The same to all connections of one user. Nobody there is no error. Raises Invalid."""
        check_user_id(user_id)
        envelope = self._envelope(namespace, (f"user:{user_id}",), event, data)
        await self._record(actor, "socket.notify-user", f"{namespace} {event} user:{user_id}")
        self._broker.publish(envelope)

    async def notify_room(self, actor: Principal, room: str, *, namespace: str, event: str, data: bytes) -> None:
        """The same to everyone in a room. An empty room is no error. Raises Invalid."""
        check_room(room)
        envelope = self._envelope(namespace, (room,), event, data)
        await self._record(actor, "socket.notify-room", f"{namespace} {event} {room}")
        self._broker.publish(envelope)

    async def disconnect(self, actor: Principal, sid: str) -> Member:
        """End the connection to which a Socket.IO sid belongs: DISCONNECT in each namespace, then the transport.

        The stock client does not come back by itself. Raises NotFound for a sid that no connection of this node has.
        """
        member = self._member(sid)
        await self._record(actor, "socket.disconnect", f"{member.namespace.name} {sid} user:{member.principal.id}")
        self._node.dismiss(member)
        return member

    def connections(self, *, namespace: str | None, user_id: str | None, before: int | None, limit: int) -> Members:
        """This node's members, the newest first, optionally of one namespace or user, older than number `before`.

        Raises Invalid for an unknown namespace and for what is no user id.
        """
        if user_id is not None:
            check_user_id(user_id)
        rooms = () if user_id is None else (f"user:{user_id}",)
        if namespace is None:
            namespaces = self._node.namespaces
        else:
            self._check_namespace(namespace)
            namespaces = [self._node.namespace(namespace)]
        found: Iterable[Member] = (
            member
            for each in namespaces
            for member in each.hub.select(rooms)
            if before is None or member.number < before
        )
        newest = heapq.nlargest(limit + 1, found, key=lambda member: member.number)
        return Members(newest[:limit], len(newest) > limit)

    def _envelope(self, namespace: str, rooms: tuple[str, ...], event: str, data: bytes) -> Envelope:
        check_event(event)
        self._check_namespace(namespace)
        return Envelope(namespace=namespace, rooms=rooms, name=event, payload=data)

    def _check_namespace(self, name: str) -> None:
        if self._node.find(name) is None:
            raise Invalid(f"There is no namespace {name}", field="namespace")

    def _member(self, sid: str) -> Member:
        member = self._node.member(sid)
        if member is None:
            raise NotFound("No connection here has this sid")
        return member

    async def _record(self, actor: Principal, action: str, target: str) -> None:
        if self._admin_log is not None:
            await self._admin_log.record(actor, action, target)
        log.info("admin.action", actor=actor.id, action=action, target=target)
