"""One client: an Engine.IO session, what is still to be written to it, and the transport it is written to.

Owns: the outbound queue and its bound, the change of transport, and the end. Never: Socket.IO (see `client.py`),
or bytes of a transport (see `callboard.transports`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from callboard import telemetry
from callboard.errors import ProtocolError, TooLarge
from callboard.realtime.traffic import Traffic
from callboard.wire import engineio
from callboard.wire.engineio import Outgoing, Packet, PacketType
from callboard.wire.session import Due, Session, State

if TYPE_CHECKING:
    from callboard.realtime.engine import Engine


class Reason(StrEnum):
    """Why a connection ended; a label of metrics and a field of logs."""

    CLIENT = "client closed"
    TRANSPORT = "transport lost"
    PING_TIMEOUT = "ping timeout"
    PROTOCOL = "protocol error"
    TOO_LARGE = "too large"
    SLOW = "slow"
    NO_CONNECT = "no namespace in time"
    FLOOD = "too many messages"
    TOO_MANY = "too many connections"
    EXPIRED = "token expired"
    REVOKED = "revoked"
    STOPPING = "server stopping"
    ADMIN = "disconnected by an admin"
    UNAVAILABLE = "unavailable"
    FAILED = "server failure"

    @classmethod
    def of(cls, error: ProtocolError) -> Reason:
        """Why a session ends whose client did that: it broke a bound, or a rule."""
        return cls.TOO_LARGE if error.code == TooLarge.code else cls.PROTOCOL


# What a text message begins with, as a plain text: an enum's members are looked up by Python code.
_MESSAGE = PacketType.MESSAGE.value


class Sink(Protocol):
    """The writing half of a transport.

    `descriptor`: the socket's file descriptor, while it takes whole frames directly, past the sink: the short way of
    a message to many. Who writes to it counts the bytes, and gives what it does not take to `write`, as `Frames`.
    """

    name: str
    descriptor: int | None

    def write(self, batch: list[Outgoing]) -> None:
        """Send these messages, in order, in one write where the transport can. The list is the sink's now."""

    def unsent(self) -> int:
        """Bytes taken by `write` that the peer's kernel has not."""

    def drain(self) -> list[Outgoing]:
        """Give back, in order, what was not sent: the session moves to another transport."""

    def close(self, reason: Reason) -> None:
        """End the transport. Calling it twice does nothing."""


class StandingBy(Sink, Protocol):
    """A WebSocket's sink, which knows the connection that it writes for once it has one."""

    connection: Connection | None


class Receiver(Protocol):
    """What a connection's messages go to."""

    def on_message(self, data: str | bytes) -> None:
        """One Engine.IO message, in order. May raise ProtocolError, which ends the connection."""

    def on_close(self, reason: Reason) -> None:
        """The connection has ended; called once."""

    def on_due(self, now: float) -> float | None:
        """A deadline of the receiver's own may have passed; returns the next one."""


class Connection:
    """See the module. Everything here is called on the event loop's thread and returns at once.

    `closed`: whether the connection has ended. A plain attribute: everybody asks, several times a message.
    `descriptor`: the sink's, while it takes everything; None while it is paused and after the end.
    """

    __slots__ = (
        "_engine",
        "_held",
        "_pending",
        "_queued",
        "_standing_by",
        "accepted",
        "address",
        "closed",
        "descriptor",
        "paused",
        "receiver",
        "session",
        "sink",
        "slot",
    )

    def __init__(self, engine: Engine, session: Session, sink: Sink, address: str) -> None:
        self._engine = engine
        self.session = session
        self.sink = sink
        self.address = address
        self.accepted = False
        self.closed = False
        self.slot = -1
        self.paused = False
        self.descriptor = sink.descriptor
        self.receiver: Receiver | None = None
        self._pending: list[Outgoing] = []
        self._queued = False
        self._held: dict[str, Outgoing] | None = None
        self._standing_by: tuple[Sink, float] | None = None

    @property
    def transport(self) -> str:
        """What it is on just now: polling or websocket."""
        return self.sink.name

    @property
    def traffic(self) -> Traffic:
        """The engine's totals."""
        return self._engine.traffic

    def timestamp(self) -> float:
        """The time of the wall clock, in seconds since 1970."""
        return self._engine.clock.timestamp()

    # Outbound

    def send(self, outgoing: Outgoing) -> None:
        """Queue a message. All that is queued in one turn of the event loop leaves in one write."""
        if not self._queued:
            self._queued = True
            self._engine.turn.queue(self)
        self._pending.append(outgoing)

    def send_volatile(self, outgoing: Outgoing, key: str | None) -> None:
        """Queue a message that may be lost.

        While the transport cannot send, only the newest of each key is kept, and one without a key joins what
        waits as long as that is little.
        """
        if not self.paused or (key is None and self.sink.unsent() < self._engine.options.max_unsent_volatile):
            self.send(outgoing)
        elif key is not None:
            if self._held is None:
                self._held = {}
            elif key in self._held:
                self.traffic.dropped += 1
            elif len(self._held) >= self._engine.options.max_held:
                self.traffic.dropped += 1
                return
            self._held[key] = outgoing
        else:
            self.traffic.dropped += 1

    def flush(self) -> None:
        """Write what is queued. Called once a turn."""
        self._queued = False
        batch, self._pending = self._pending, []
        if not batch or self.closed:
            return
        self.sink.write(batch)
        if self.paused:
            self.bound()

    def bound(self) -> None:
        """End the connection if too much waits for a peer that does not read."""
        if self.sink.unsent() > self._engine.options.max_unsent:
            self.close(Reason.SLOW)

    def pause(self) -> None:
        """The transport cannot send just now."""
        self.paused, self.descriptor = True, None
        self._engine.turn.pauses += 1
        self._engine.turn.settle()  # while it is paused: a broadcast that may be lost is held

    def resume(self) -> None:
        """The transport can send again."""
        self._engine.turn.settle()  # while it is paused: an older one that was held must not come behind a newer one
        self.paused, self.descriptor = False, self.sink.descriptor
        if self._held:
            held, self._held = self._held, None
            for outgoing in held.values():
                self.send(outgoing)

    # Inbound

    def receive(self, message: str | bytes) -> None:
        """Take one WebSocket message of this session. A broken rule ends it; after its end nothing is taken."""
        if self.closed:
            return
        try:
            if isinstance(message, bytes):
                self._hand_on(message)
            elif message.startswith(_MESSAGE):
                self._hand_on(message[1:])
            else:
                self._take(engineio.decode_packet(message))
        except ProtocolError as error:
            self.refuse(error)

    def receive_payload(self, body: bytes) -> None:
        """Take the body of a long-polling POST. Raises ProtocolError after ending the connection."""
        try:
            for packet in engineio.decode_payload(body, self._engine.options.max_packets):
                if not self.closed:
                    self._take(packet)
        except ProtocolError as error:
            self.refuse(error)
            raise

    def refuse(self, error: ProtocolError) -> None:
        """End the session because the client broke a rule or a bound; the one place that logs it."""
        telemetry.socket_refused(error.code, self.address, error.message)
        self.close(Reason.of(error))

    def _take(self, packet: Packet) -> None:
        data = self.session.receive(packet, self._engine.clock.monotonic())
        if data is not None:
            self._hand_on(data)
        elif self.session.state is State.CLOSED:
            self._end(Reason.CLIENT)

    def _hand_on(self, data: str | bytes) -> None:
        """A message, which every state of the session lets through."""
        if self.receiver is not None:
            self.receiver.on_message(data)

    # Change of transport

    def stand_by(self, sink: Sink) -> bool:
        """Let a WebSocket stand by to take the session over; whether it may.

        One at a time, for `upgrade_timeout` seconds and not beyond the session's own end.
        """
        if self.session.state is not State.POLLING or self._standing_by is not None:
            return False
        self._standing_by = sink, self._engine.clock.monotonic() + self._engine.options.upgrade_timeout
        self._engine.reschedule(self)
        return True

    def abandon(self, sink: Sink) -> None:
        """A WebSocket that may have stood by has gone: the session stays where it is."""
        if self._standing_by is not None and self._standing_by[0] is sink:
            self._standing_by = None
            self.session.abandon_probe()

    def probe(self, sink: StandingBy, message: str | bytes) -> None:
        """Take a message of the WebSocket that stands by. Raises ProtocolError, which ends that WebSocket alone."""
        if isinstance(message, bytes):
            raise ProtocolError("not a probe")
        if self.session.probe(message):
            sink.connection = self  # before anything is written to it: a write may pause the connection
            self._move_to(sink)
        else:
            sink.write([engineio.PROBE_ANSWER])
            self.sink.write([])  # a held poll ends now, so that the client can switch

    def _move_to(self, sink: Sink) -> None:
        """The session is on `sink` from here; nothing is lost or reordered."""
        self._engine.turn.settle()
        previous, self.sink, self._standing_by = self.sink, sink, None
        batch = previous.drain() + self._pending
        self._pending = []
        self.resume()
        previous.close(Reason.CLIENT)
        if batch:
            sink.write(batch)
        self._engine.count_transport(previous.name, sink.name)

    # Life

    def on_due(self, now: float) -> float | None:
        """Heartbeat, the upgrade's and the receiver's deadlines, by the engine's wheel."""
        due = self.session.due(now)
        if due is Due.TIMEOUT:
            self.close(Reason.PING_TIMEOUT)
            return None
        if due is Due.PING:
            self.send(engineio.PING)
        after = None if self.receiver is None else self.receiver.on_due(now)
        if self.closed:
            return None
        deadlines = (self.session.deadline, after, self._upgrade_due(now))
        return min(deadline for deadline in deadlines if deadline is not None)

    def _upgrade_due(self, now: float) -> float | None:
        if self._standing_by is None:
            return None
        sink, by = self._standing_by
        if now < by:
            return by
        self.abandon(sink)
        sink.close(Reason.PROTOCOL)
        return None

    def check(self) -> None:
        """Apply a deadline that has passed without waiting for the wheel."""
        if not self.closed:
            self.on_due(self._engine.clock.monotonic())

    def close(self, reason: Reason) -> None:
        """End the session from this side, or because its transport is gone. Twice does nothing."""
        if not self.closed:
            self.session.state = State.CLOSED
            self._end(reason)

    def _end(self, reason: Reason) -> None:
        self.closed = True
        self._engine.turn.settle()
        self.paused, self.descriptor = True, None
        batch, self._pending = self._pending, []
        if batch and reason not in (Reason.SLOW, Reason.TRANSPORT):
            self.sink.write(batch)
        self._held = None
        self.sink.close(reason)
        if self._standing_by is not None:
            (sink, _), self._standing_by = self._standing_by, None
            sink.close(reason)
        self._engine.forget(self, reason)
        if self.receiver is not None:
            receiver, self.receiver = self.receiver, None
            receiver.on_close(reason)
