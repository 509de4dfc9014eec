"""The Engine.IO server of one path: sessions by id, and their heartbeats.

Owns: which sessions exist, and admission by number. Never: Socket.IO, HTTP, a task or a timer for one connection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callboard import ids, telemetry
from callboard.clock import Clock
from callboard.errors import Unavailable
from callboard.realtime.connection import Connection, Reason, Receiver, Sink
from callboard.realtime.traffic import Traffic
from callboard.realtime.turn import Turn
from callboard.realtime.wheel import Wheel
from callboard.realtime.writer import Writer
from callboard.wire.engineio import MAX_PACKETS_PER_PAYLOAD, Handshake, Opening
from callboard.wire.fragments import MAX_FRAGMENTS
from callboard.wire.session import Session, State

_BEGINNINGS = {"polling": State.POLLING, "websocket": State.WEBSOCKET}
# The ends that this side decided on and that nothing else logs: a refusal and a defect have lines of their own.
_LOGGED = frozenset(
    {
        Reason.PING_TIMEOUT,
        Reason.SLOW,
        Reason.NO_CONNECT,
        Reason.FLOOD,
        Reason.EXPIRED,
        Reason.REVOKED,
        Reason.ADMIN,
    }
)


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Bounds of an engine. Times in seconds, sizes in bytes.

    `max_payload`: one message, or the body of one long-polling POST. `max_fragments`: frames of one message.
    `max_packets`: in one POST. `max_unsent`: what may wait for a peer that does not read, before it is closed as slow.
    `max_unsent_volatile`: up to how much of that a volatile message without a key still joins. `max_held`: keys of
    which the newest volatile message is kept meanwhile. `max_unaccepted`: connections of one address that have not
    been accepted (`accept`). `io_uring`: whether to write to many with that, where the kernel lets us.
    """

    ping_interval: float = 25.0
    ping_timeout: float = 20.0
    max_payload: int = 1_000_000
    max_fragments: int = MAX_FRAGMENTS
    max_packets: int = MAX_PACKETS_PER_PAYLOAD
    max_connections: int = 500
    max_unaccepted: int = 100
    max_unsent: int = 1 << 20
    max_unsent_volatile: int = 1 << 16
    max_held: int = 256
    upgrade_timeout: float = 10.0
    io_uring: bool = True


class Engine:
    """See the module. `receive` makes the receiver of each new connection. `by_transport`: how many are on each."""

    def __init__(self, options: EngineOptions, clock: Clock, receive: Callable[[Connection], Receiver]) -> None:
        self.options = options
        self.clock = clock
        self.connections: dict[str, Connection] = {}
        self.stopping = False
        self.traffic = Traffic()
        self._writer = Writer(ring=options.io_uring)
        self.turn = Turn(self.traffic, self._writer)
        self.by_transport = {"polling": 0, "websocket": 0}
        self._receive = receive
        self._wheel = Wheel(clock, min(1.0, options.ping_timeout / 10))
        self._unaccepted: dict[str, int] = {}
        self._openings: dict[tuple[str, ...], Opening] = {}

    def admit(self, address: str) -> None:
        """Refuse a new session while there is no place for it. Raises Unavailable, which the client retries."""
        if self.stopping:
            raise Unavailable("the server is stopping")
        if len(self.connections) >= self.options.max_connections:
            raise Unavailable("all connections are in use", retry_after=5)
        if self._unaccepted.get(address, 0) >= self.options.max_unaccepted:
            raise Unavailable("too many connections of this address have not signed in", retry_after=1)

    def open(self, sink: Sink, address: str, *, upgrades: tuple[str, ...] = ()) -> Connection:
        """Make a session on `sink` and give that its OPEN packet. Call `admit` first."""
        now = self.clock.monotonic()
        session = Session(
            ids.session_id(),
            _BEGINNINGS[sink.name],
            now=now,
            ping_interval=self.options.ping_interval,
            ping_timeout=self.options.ping_timeout,
        )
        connection = Connection(self, session, sink, address)
        connection.receiver = self._receive(connection)
        self.connections[session.sid] = connection
        self.by_transport[sink.name] += 1
        self._unaccepted[address] = self._unaccepted.get(address, 0) + 1
        due = connection.receiver.on_due(now)
        self._wheel.schedule(connection, session.deadline if due is None or due > session.deadline else due)
        sink.write([self._opening(upgrades).packet(session.sid)])
        return connection

    def accept(self, connection: Connection) -> None:
        """The connection is somebody's: it does not count against its address any more. Twice is as once."""
        if connection.accepted:
            return
        connection.accepted = True
        left = self._unaccepted[connection.address] - 1
        if left:
            self._unaccepted[connection.address] = left
        else:
            del self._unaccepted[connection.address]

    def hasten(self, connection: Connection, at: float) -> None:
        """A deadline of the connection's, which may be earlier than those that the wheel knows."""
        self._wheel.hasten(connection, at)

    def reschedule(self, connection: Connection) -> None:
        """Any of the connection's deadlines may now be earlier than the wheel knows, or have passed."""
        at = connection.on_due(self.clock.monotonic())
        if at is not None:
            self._wheel.hasten(connection, at)

    def forget(self, connection: Connection, reason: Reason) -> None:
        """The connection has ended."""
        if self.connections.pop(connection.session.sid, None) is not None:
            self.accept(connection)
            self._wheel.remove(connection)
            self.by_transport[connection.sink.name] -= 1
            telemetry.labelled(telemetry.CLOSED, reason).inc()
            if reason in _LOGGED:
                transport, address = connection.sink.name, connection.address
                telemetry.log.info("socket.closed", reason=reason.value, transport=transport, address=address)

    def count_transport(self, before: str, after: str) -> None:
        """A connection has changed its transport."""
        self.by_transport[before] -= 1
        self.by_transport[after] += 1

    def close(self, reason: Reason) -> None:
        """Take no new sessions and end all."""
        self.stopping = True
        for connection in list(self.connections.values()):
            connection.close(reason)
        self._writer.close()

    def _opening(self, upgrades: tuple[str, ...]) -> Opening:
        opening = self._openings.get(upgrades)
        if opening is None:
            options = self.options
            handshake = Handshake(
                sid="",
                upgrades=upgrades,
                ping_interval=int(options.ping_interval * 1000),
                ping_timeout=int(options.ping_timeout * 1000),
                max_payload=options.max_payload,
            )
            opening = self._openings[upgrades] = Opening(handshake)
        return opening
