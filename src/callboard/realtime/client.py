"""The Socket.IO side of one connection.

Owns: which namespaces a client is in and for how long, the connect step, the renewal of its token, and the order and
the rate of its messages: they are handled one after another. Never: the transport, or rooms that a slice decides on.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from callboard import ids, telemetry
from callboard.auth.principal import Principal
from callboard.errors import CallboardError, Forbidden, ProtocolError, RateLimited, Unavailable
from callboard.realtime.at_once import without_waiting
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.limits import SLOW_DOWN, TokenBucket
from callboard.realtime.namespace import INTERNAL, Member, Namespace
from callboard.realtime.recovery import MAX_BYTES, REQUESTS, Backlog, Recovery
from callboard.wire import socketio
from callboard.wire.engineio import Outgoing
from callboard.wire.socketio import Decoder, Packet, PacketType

if TYPE_CHECKING:
    from callboard.realtime.node import Node

_CONNECT = PacketType.CONNECT  # an enum's members are looked up by Python code


class Client:
    """The receiver of a connection's messages."""

    __slots__ = (
        "_backlog",
        "_bucket",
        "_connect_by",
        "_connection",
        "_decoder",
        "_expires",
        "_greeted",
        "_inbox",
        "_joining",
        "_members",
        "_node",
        "_received",
        "_renewed",
        "_replayed",
        "_working",
        "subscribed",
    )

    def __init__(self, node: Node, connection: Connection) -> None:
        now = node.engine.clock.monotonic()
        self._node = node
        self._connection = connection
        self._decoder = Decoder(node.options.max_payload, node.limits.packets)
        self._bucket = TokenBucket(node.limits.burst, now)
        self._members: dict[str, Member] = {}
        self._connect_by: float | None = now + node.limits.connect_timeout
        self._expires: float | None = None
        self._joining: str | None = None
        self._renewed = False
        self.subscribed = 0
        self._greeted = False
        self._inbox: list[tuple[Packet, int]] | None = None
        self._received = 0
        self._replayed = 0
        self._backlog = 0
        self._working = False

    def on_message(self, data: str | bytes) -> None:
        """Decode, and queue for the worker what makes a packet."""
        packet = self._decoder.feed(data)
        self._received += len(data)
        if packet is None:
            return
        if packet.type is _CONNECT:
            self._greeted = True
        elif not self._greeted:
            raise ProtocolError("the first packet must be CONNECT")
        size, self._received = self._received, 0
        limits = self._node.limits
        if self._bucket.take(limits.messages_per_second, limits.burst, self._node.engine.clock.monotonic()):
            self._queue(packet, size)
        else:
            self._slow_down(packet)

    def is_for(self, user_id: str) -> bool:
        """Whether the client is in a namespace, or about to enter one, as this user."""
        return self._joining == user_id or any(each.principal.id == user_id for each in self._members.values())

    def on_due(self, now: float) -> float | None:
        """Close a connection that is in no namespace in time, or whose token has expired."""
        if self._connect_by is not None and now >= self._connect_by:
            self._connection.close(Reason.NO_CONNECT)
            return None
        if self._expires is None:
            return self._connect_by
        # A token ends by the wall clock, which may be set meanwhile: it is asked each time.
        left = self._expires - self._node.engine.clock.timestamp()
        if left <= 0:
            self._connection.close(Reason.EXPIRED)
            return None
        return now + left

    def on_close(self, reason: Reason) -> None:
        """Leave everything."""
        self._inbox = None
        for name in list(self._members):
            self._leave(name)

    @property
    def waiting(self) -> int:
        """How many packets wait to be handled."""
        return len(self._inbox) if self._inbox is not None else 0

    def dismiss(self, reason: Reason) -> None:
        """End the connection for good: DISCONNECT from each namespace, after which the stock client stays away."""
        for name in self._members:
            self._connection.send(socketio.encode_disconnect(name))
        self._connection.close(reason)

    def renew(self, principal: Principal) -> None:
        """A new token of the same user: its end and its rooms replace the old one's in every namespace.

        What the new roles do not open any more is left once the renewal is acknowledged.
        """
        for member in self._members.values():
            if member.principal.id == principal.id:
                member.become(principal)
        self._renewed = True
        self._note_expiry()

    def _note_expiry(self) -> None:
        ends = [end for member in self._members.values() if (end := member.principal.expires) is not None]
        self._expires = min(ends, default=None)
        self._hasten()

    def _hasten(self) -> None:
        """A deadline may be earlier than the wheel knows, or have passed; of later ones `on_due` tells it."""
        at = self.on_due(self._node.engine.clock.monotonic())
        if at is not None:
            self._node.engine.hasten(self._connection, at)

    def _slow_down(self, packet: Packet) -> None:
        """Answer a message over the rate without handling it. A client that goes on, or connects, is closed."""
        if packet.type is PacketType.CONNECT or self._bucket.overdrawn(self._node.limits.burst):
            self._connection.close(Reason.FLOOD)
            return
        if packet.type is PacketType.DISCONNECT:
            self._queue(packet, 0)
            return
        telemetry.REFUSED.labels(RateLimited.code).inc()
        if packet.type is PacketType.EVENT and packet.id is not None and packet.namespace in self._members:
            self._connection.send(socketio.encode_args(PacketType.ACK, packet.namespace, [SLOW_DOWN], packet.id))

    def _queue(self, packet: Packet, size: int) -> None:
        limits = self._node.limits
        if not self._working and size <= limits.max_inbox_bytes and self._handled_at_once(packet):
            return
        if self._inbox is None:
            self._inbox = []
        self._inbox.append((packet, size))
        self._backlog += size
        if len(self._inbox) > limits.max_inbox or self._backlog > limits.max_inbox_bytes:
            self._connection.close(Reason.FLOOD)
        elif not self._working:
            self._working = True
            self._node.spawn(self._work())

    def _handled_at_once(self, packet: Packet) -> bool:
        """Whether a packet was handled without a task, which costs as much as a token's check. None may be waiting."""
        try:
            return packet.type is _CONNECT and self._connect_at_once(packet)
        except Exception as error:  # as in _work
            self._connection.close(Reason.FAILED)
            telemetry.log.error("task.failed", task="client", reason=repr(error), exc_info=error)
            return True

    async def _work(self) -> None:
        """Handle what is queued, in order, then end: there is no task while there is nothing to do."""
        try:
            while self._inbox:
                packet, size = self._inbox.pop(0)
                await self._handle(packet)
                self._backlog -= size
        except Exception:
            # What is queued behind it is lost: the end of the connection says so. The node logs the error.
            self._connection.close(Reason.FAILED)
            raise
        finally:
            self._inbox = None
            self._backlog = 0
            self._working = False

    async def _handle(self, packet: Packet) -> None:
        if packet.type is PacketType.CONNECT:
            await self._connect(packet)
            return
        if packet.type is PacketType.DISCONNECT:
            self._leave(packet.namespace)
            return
        member = self._members.get(packet.namespace)
        # A message may cross the server's own DISCONNECT on the way: it is dropped, as by any Socket.IO server.
        if member is not None and packet.type is PacketType.EVENT:
            await self._event(member, packet)

    async def _event(self, member: Member, packet: Packet) -> None:
        self._connection.traffic.messages_in += 1
        name, *args = packet.data
        answer = await member.namespace.receive(member, name, args)
        if packet.id is not None and not self._connection.closed:
            self._connection.send(self._ack(member, name, packet.id, answer))
        if self._renewed:
            self._renewed = False
            self._leave_forbidden()

    def _ack(self, member: Member, name: str, packet_id: int, answer: list[Any]) -> Outgoing:
        try:
            return socketio.encode_args(PacketType.ACK, member.namespace.name, answer, packet_id)
        except (TypeError, ValueError, RecursionError) as error:  # what the handler returned is not JSON
            telemetry.log.exception(
                "socket.handler_failed", namespace=member.namespace.name, name=name, reason=repr(error)
            )
            return socketio.encode_args(PacketType.ACK, member.namespace.name, [INTERNAL], packet_id)

    async def _connect(self, packet: Packet) -> None:
        name, auth = packet.namespace, packet.data or {}
        namespace = self._node.find(name)
        if namespace is None:
            self._log_refusal("invalid_namespace", f"there is no namespace {name!r}")
            self._connection.send(socketio.encode_connect_error(name, "Invalid namespace"))
        elif name in self._members:
            self._connection.refuse(ProtocolError("CONNECT to a namespace that is joined"))
        else:
            await self._join(namespace, auth)

    def _connect_at_once(self, packet: Packet) -> bool:
        """Let a new client in without a task; False if there is something to wait for, such as what it missed."""
        name, auth = packet.namespace, packet.data or {}
        namespace, recovery = self._node.find(name), self._node.recovery
        if namespace is None or name in self._members:
            return False
        position = None if recovery is None else recovery.reached()
        if recovery is not None and (position is None or not REQUESTS.isdisjoint(auth)):
            return False
        try:
            principal = without_waiting(self._node.authenticate(auth))
            if principal is None:
                return False
            member = self._admit(namespace, principal)
        except CallboardError as error:
            self._turn_away(namespace, error)
            return True
        if member is not None:
            self._enter(member)
            if recovery is not None and position is not None:
                member.pid = recovery.pid(position, name, principal.id, at=member.joined)
            self._connection.send(socketio.encode_connect(name, member.sid, member.pid))
            self._joined(member, auth)
        return True

    async def _join(self, namespace: Namespace, auth: dict[str, Any]) -> None:
        try:
            member = self._admit(namespace, await self._node.authenticate(auth))
        except CallboardError as error:
            self._turn_away(namespace, error)
            return
        if member is None:
            return
        if self._node.recovery is None:
            self._enter(member)
            self._connection.send(socketio.encode_connect(namespace.name, member.sid))
        elif not await self._enter_recovering(member, self._node.recovery, auth):
            return
        self._joined(member, auth)

    def _admit(self, namespace: Namespace, principal: Principal) -> Member | None:
        """A member to be; None if the connection has ended, or ends as one too many. Raises Forbidden."""
        namespace.admit(principal)
        self._joining = principal.id
        if self._connection.closed or self._too_many(principal.id):
            return None
        return Member(self._connection, namespace, ids.session_id(), principal, self)

    def _turn_away(self, namespace: Namespace, error: CallboardError) -> None:
        self._log_refusal(error.code, error.message)
        if isinstance(error, Unavailable):
            # It will pass: the stock client comes back when its transport ends, and not after CONNECT_ERROR.
            self._connection.close(Reason.UNAVAILABLE)
        else:
            self._connection.send(socketio.encode_connect_error(namespace.name, error.message, {"code": error.code}))

    def _joined(self, member: Member, auth: dict[str, Any]) -> None:
        self._joining = None
        member.namespace.connected(member, auth)
        end = member.principal.expires
        if end is not None and (self._expires is None or end < self._expires):
            self._expires = end
            self._hasten()

    def _too_many(self, user_id: str) -> bool:
        """Whether this connection is one too many of its user's; then it is closed, which the client retries."""
        if self._node.memberships_of(user_id) < self._node.limits.max_connections_per_user:
            return False
        others = self._node.connections_of(user_id) - {self._connection}
        if len(others) < self._node.limits.max_connections_per_user:
            return False
        self._log_refusal("too_many_connections", f"the user {user_id!r} has {len(others)} connections")
        self._connection.close(Reason.TOO_MANY)
        return True

    def _enter(self, member: Member) -> None:
        self._members[member.namespace.name] = member
        self._connect_by = None
        self._node.engine.accept(self._connection)
        rooms = member.namespace.rooms_of(member.principal)
        member.rooms.update(rooms)
        member.namespace.hub.add(member, rooms)

    async def _enter_recovering(self, member: Member, recovery: Recovery, auth: dict[str, Any]) -> bool:
        """Let a client in, with what it missed; False if its connection has ended meanwhile.

        From the moment it is in its rooms, what is sent to it waits in a backlog; what it missed up to that moment
        comes from the log. So the two meet without a gap and without an overlap.
        """
        connection, name, user = self._connection, member.namespace.name, member.principal.id
        # What is replayed in all its namespaces and what waits meanwhile are together within the send bound.
        options, half = self._node.options, self._node.options.max_unsent // 2
        try:
            claim = recovery.claim(auth, await recovery.position(), name, user)
            rooms: Collection[str] | None = ()
            if claim is not None:
                await recovery.reach(claim)
                rooms = await self._node.remembered(member, claim)
            if connection.closed:
                return False
            if rooms is None:
                claim, rooms = None, ()
            until = recovery.now()
            backlog = member.outlet = Backlog(connection, most_bytes=half, most_held=options.max_held)
            self._enter(member)
            if rooms:
                member.subscribe(*rooms)
            after = recovery.start_of(claim, auth, until)
            most = min(MAX_BYTES, half) - self._replayed
            missed = await recovery.missed(name, member.rooms, after=after, until=until, most_bytes=most)
        except Unavailable as error:
            self._log_refusal(error.code, error.message)
            connection.close(Reason.UNAVAILABLE)
            return False
        if self._connection.closed:
            return False
        recovered = claim is not None and missed is not None
        if claim is not None and recovered:
            pid = claim.pid
        else:
            if rooms:
                member.unsubscribe(*rooms)
            # Not further than the client is: what it missed since its snapshot follows, and may be lost with the line.
            start = until if missed is None or after is None else until._replace(seq=after)
            pid = recovery.pid(start, name, user, at=self._node.engine.clock.timestamp())
        member.pid = pid
        if auth.get("pid") is not None:
            recovery.count(recovered)
        connection.send(socketio.encode_connect(name, member.sid, pid))
        for outgoing in missed or ():
            self._replayed += outgoing.size
            connection.send(outgoing)
        connection.traffic.messages_out += len(missed or ())
        member.outlet = connection
        backlog.release()
        return True

    def _log_refusal(self, code: str, reason: str) -> None:
        telemetry.socket_refused(code, self._connection.address, reason)

    def _leave(self, name: str) -> None:
        member = self._members.pop(name, None)
        if member is None:
            return
        self.subscribed -= len(member.subscriptions)
        member.namespace.hub.discard(member, member.rooms)
        self._node.left(member)
        if self._connection.closed:
            return
        if not self._members:
            # Nobody's connection any more: it has as long as a new one to become somebody's.
            self._connect_by = self._node.engine.clock.monotonic() + self._node.limits.connect_timeout
        self._note_expiry()

    def _leave_forbidden(self) -> None:
        for member in list(self._members.values()):
            try:
                member.namespace.admit(member.principal)
            except Forbidden as error:
                self._log_refusal(error.code, error.message)
                self._connection.send(socketio.encode_disconnect(member.namespace.name))
                self._leave(member.namespace.name)
