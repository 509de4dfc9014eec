"""A namespace: its members, and the messages its clients may send.

Owns: admission by role, the handlers by name, and a client's membership (`Member`). Never: what a message does;
handlers belong to the slices.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from callboard import telemetry
from callboard.auth.principal import Principal
from callboard.errors import CallboardError, Conflict, Forbidden, Invalid, NotFound
from callboard.realtime.hub import Hub
from callboard.realtime.limits import ClientLimits
from callboard.wire import socketio
from callboard.wire.engineio import Outgoing

if TYPE_CHECKING:
    from callboard.realtime.connection import Connection

_NUMBERS = itertools.count(1)

INTERNAL: dict[str, object] = {"error": {"code": "internal", "message": "the server failed to handle this message"}}


class Outlet(Protocol):
    """Takes the messages for one client."""

    def send(self, outgoing: Outgoing) -> None:
        """Queue a message."""

    def send_volatile(self, outgoing: Outgoing, key: str | None) -> None:
        """Queue a message that may be lost; see Connection."""


class Holder(Protocol):
    """The client that a member belongs to, as the member sees it. `subscribed`: rooms, in all its namespaces."""

    subscribed: int

    def renew(self, principal: Principal) -> None:
        """Replace the principal of every member of this user's."""


class Member:
    """One connection in one namespace.

    `outlet` is what its messages are sent to: the connection, or what stands in for it while the client recovers.
    `pid` is its recovery id, if it has one; `subscriptions` are the rooms that it asked for.
    `number` grows with each that joins, in the whole process. `joined`: when, in seconds since 1970.
    """

    __slots__ = (
        "connection",
        "holder",
        "joined",
        "namespace",
        "number",
        "outlet",
        "pid",
        "principal",
        "rooms",
        "sid",
        "subscriptions",
    )

    def __init__(
        self, connection: Connection, namespace: Namespace, sid: str, principal: Principal, holder: Holder
    ) -> None:
        self.connection = connection
        self.outlet: Outlet = connection
        self.namespace = namespace
        self.sid = sid
        self.principal = principal
        self.holder = holder
        self.rooms: set[str] = set()
        self.number = next(_NUMBERS)
        self.joined = connection.timestamp()
        self.subscriptions: frozenset[str] = frozenset()
        self.pid: str | None = None

    @property
    def connected_at(self) -> datetime:
        """`joined` as an aware time in UTC."""
        return datetime.fromtimestamp(self.joined, UTC)

    def emit(self, name: str, payload: bytes) -> None:
        """Send a message to this client alone. `payload` is a JSON object in UTF-8."""
        self.outlet.send(socketio.encode_event(self.namespace.name, name, payload))
        self.connection.traffic.messages_out += 1

    def join(self, *rooms: str) -> None:
        """Put this client into rooms that the server gives, unless it has left meanwhile."""
        if self not in self.namespace.hub:
            return
        for room in rooms:
            self.rooms.add(room)
            self.namespace.hub.join(self, room)

    def leave(self, *rooms: str) -> None:
        """Take this client out of rooms."""
        for room in rooms:
            self.rooms.discard(room)
            self.namespace.hub.leave(self, room)

    def unjoined(self, rooms: Collection[str]) -> frozenset[str]:
        """Those of the rooms that this client is not in. Raises Conflict (`too_many_rooms`) as `subscribe` does."""
        new = frozenset(rooms) - self.rooms
        most = self.namespace.max_rooms
        if self.holder.subscribed + len(new) > most:
            raise Conflict(f"a connection may subscribe to {most} rooms: leave some first", code="too_many_rooms")
        return new

    def subscribe(self, *rooms: str) -> None:
        """Put this client into rooms that it asked for; all or none. In a room already: nothing.

        Raises Conflict (`too_many_rooms`) if its connection would then have more than `max_rooms` of them.
        """
        if self not in self.namespace.hub:
            return
        new = self.unjoined(rooms)
        self.holder.subscribed += len(new)
        self.subscriptions |= new
        self.join(*new)

    def unsubscribe(self, *rooms: str) -> None:
        """Take this client out of rooms that it had asked for. Not in one: nothing."""
        old = self.subscriptions.intersection(rooms)
        self.holder.subscribed -= len(old)
        self.subscriptions -= old
        self.leave(*old)

    def become(self, principal: Principal) -> None:
        """The same user with another token: the rooms that it gives replace those of the last one.

        Rooms that it had asked for and that the new token does not let it into are left.
        """
        before, after = (set(self.namespace.rooms_of(each)) for each in (self.principal, principal))
        self.principal = principal
        self.leave(*before - after - self.subscriptions)
        self.join(*after - before)
        self.unsubscribe(*(room for room in self.subscriptions if not self.namespace.may_join(principal, room)))


Handler = Callable[[Member, dict[str, object]], Awaitable[dict[str, object]]]


def check_fields(data: dict[str, object], *known: str) -> None:
    """Raises Invalid for a field of a client's message that is none of the `known`."""
    for name in data:
        if name not in known:
            raise Invalid(f"{name} is not a known field", field=name)


class Namespace:
    """See the module. `role` is required of a principal to connect, if given. The node sets `max_rooms`.

    `rules`: by the kind of a room, which is what stands before its first colon, who may subscribe to it.
    """

    def __init__(self, name: str, *, role: str | None = None) -> None:
        self.name = name
        self.max_rooms = ClientLimits.max_rooms
        self.hub: Hub[Member] = Hub()
        self.rules: dict[str, Callable[[Principal, str], bool]] = {}
        self._role = role
        self._handlers: dict[str, Handler] = {}
        self._on_connect: list[Callable[[Member], None]] = []

    def on(self, name: str, handler: Handler) -> None:
        """Let clients send the message `name`. What the handler returns is acknowledged with `ok: true`."""
        if name in self._handlers:
            raise ValueError(f"{self.name} already handles {name}")
        self._handlers[name] = handler

    def on_connect(self, callback: Callable[[Member], None]) -> None:
        """Call `callback` after a client has joined and its CONNECT is queued. It must return at once."""
        self._on_connect.append(callback)

    def admit(self, principal: Principal) -> None:
        """Raise Forbidden unless the principal may connect here."""
        if self._role is not None and self._role not in principal.roles:
            raise Forbidden(f"{self.name} is for the role {self._role}")

    def rooms_of(self, principal: Principal) -> list[str]:
        """The rooms that a principal is in from the start."""
        rooms = [f"user:{principal.id}"]
        if principal.roles:
            rooms += [f"role:{role}" for role in principal.roles]
        if principal.teams:
            rooms += [f"team:{team}" for team in principal.teams]
        return rooms

    def may_join(self, principal: Principal, room: str) -> bool:
        """Whether a principal may subscribe to a room: not without a rule for its kind."""
        kind, _, name = room.partition(":")
        rule = self.rules.get(kind)
        return rule is not None and rule(principal, name)

    def connected(self, member: Member, auth: dict[str, Any]) -> None:
        """A client has joined; `auth` is the payload of its CONNECT."""
        for callback in self._on_connect:
            try:
                callback(member)
            except Exception as error:  # a defect in one slice must cost neither the others nor the client
                telemetry.log.exception(
                    "socket.handler_failed", namespace=self.name, name="connect", reason=repr(error)
                )

    async def receive(self, member: Member, name: str, args: list[Any]) -> list[Any]:
        """Handle a message from a client; return the arguments of its acknowledgement."""
        try:
            return [{"ok": True, **await self._handle(member, name, args)}]
        except Exception as error:  # a defect in a handler must not take the connection or the node with it
            return [self._refusal(member, name, error)]

    def _refusal(self, member: Member, name: str, error: Exception) -> dict[str, object]:
        """What `error` answers; logs it. A defect, and what PostgreSQL refused is one, says nothing of itself."""
        if not isinstance(error, CallboardError) or error.status == 500:
            telemetry.log.error(
                "socket.handler_failed", namespace=self.name, name=name, reason=repr(error), exc_info=error
            )
            return INTERNAL
        user, code = member.principal.id, error.code
        telemetry.log.info(
            "message.refused", namespace=self.name, name=name, user=user, code=code, reason=error.message
        )
        telemetry.REFUSED.labels(code).inc()
        return {"error": {"code": code, "message": error.message}}

    async def _handle(self, member: Member, name: str, args: list[Any]) -> dict[str, object]:
        handler = self._handlers.get(name)
        if handler is None:
            raise NotFound(f"{self.name} has no message {name!r}", code="unknown_event")
        data = args[0] if args else {}
        if len(args) > 1 or not isinstance(data, dict):
            raise Invalid(f"{name} takes one object")
        return await handler(member, data)
