"""The Socket.IO side of one connection.

Owns: which namespaces a client is in, the connect step, and the order of its messages: they are handled one
after another. Never: the transport, or rooms that a slice decides on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callboard import ids, telemetry
from callboard.errors import CallboardError, ProtocolError, Unavailable
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.namespace import INTERNAL, Member, Namespace
from callboard.realtime.recovery import MAX_BYTES, Backlog, Recovery
from callboard.wire import socketio
from callboard.wire.engineio import Outgoing
from callboard.wire.socketio import Decoder, Packet, PacketType

if TYPE_CHECKING:
    from callboard.realtime.node import Node


class Client:
    """The receiver of a connection's messages."""

    __slots__ = (
        "_backlog",
        "_connect_by",
        "_connection",
        "_decoder",
        "_greeted",
        "_inbox",
        "_members",
        "_node",
        "_received",
        "_replayed",
        "_working",
    )

    def __init__(self, node: Node, connection: Connection, connect_by: float) -> None:
        self._node = node
        self._connection = connection
        self._decoder = Decoder(node.options.max_payload)
        self._members: dict[str, Member] = {}
        self._connect_by: float | None = connect_by
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
        if packet.type is PacketType.CONNECT:
            self._greeted = True
        elif not self._greeted:
            raise ProtocolError("the first packet must be CONNECT")
        size, self._received = self._received, 0
        self._queue(packet, size)

    def on_due(self, now: float) -> float | None:
        """Close a connection that has joined no namespace in time."""
        if self._connect_by is not None and now >= self._connect_by:
            self._connection.close(Reason.NO_CONNECT)
        return self._connect_by

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

    def _queue(self, packet: Packet, size: int) -> None:
        if self._inbox is None:
            self._inbox = []
        self._inbox.append((packet, size))
        self._backlog += size
        if len(self._inbox) > self._node.max_inbox or self._backlog > self._node.max_inbox_bytes:
            self._connection.close(Reason.FLOOD)
        elif not self._working:
            self._working = True
            self._node.spawn(self._work())

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
            self._refuse(name, "Invalid namespace")
        elif name in self._members:
            self._connection.refuse(ProtocolError("CONNECT to a namespace that is joined"))
        else:
            await self._join(namespace, auth)

    async def _join(self, namespace: Namespace, auth: dict[str, Any]) -> None:
        try:
            principal = await self._node.authenticate(auth)
            namespace.admit(principal)
        except Unavailable as error:
            # It will pass: the stock client comes back when its transport ends, and not after CONNECT_ERROR.
            self._log_refusal(error.code, error.message)
            self._connection.close(Reason.UNAVAILABLE)
            return
        except CallboardError as error:
            self._log_refusal(error.code, error.message)
            self._refuse(namespace.name, error.message, {"code": error.code})
            return
        if self._connection.closed:
            return
        member = Member(self._connection, namespace, ids.session_id(), principal)
        if self._node.recovery is None:
            self._enter(member)
            self._connection.send(socketio.encode_connect(namespace.name, member.sid))
        elif not await self._enter_recovering(member, self._node.recovery, auth):
            return
        namespace.connected(member, auth)

    def _enter(self, member: Member) -> None:
        self._members[member.namespace.name] = member
        self._connect_by = None
        member.namespace.hub.add(member)
        member.join(*member.namespace.rooms_of(member.principal))

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
            if claim is not None:
                await recovery.reach(claim)
            if connection.closed:
                return False
            until = recovery.now()
            backlog = member.outlet = Backlog(connection, most_bytes=half, most_held=options.max_held)
            self._enter(member)
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
        pid = claim.pid if claim is not None and recovered else recovery.pid(until, name, user)
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
        telemetry.log.info("socket.refused", code=code, address=self._connection.address, reason=reason)
        telemetry.REFUSED.labels(code).inc()

    def _refuse(self, name: str, message: str, data: dict[str, Any] | None = None) -> None:
        self._connection.send(socketio.encode_connect_error(name, message, data))

    def _leave(self, name: str) -> None:
        member = self._members.pop(name, None)
        if member is not None:
            member.namespace.hub.discard(member, member.rooms)
            self._node.left(member)
