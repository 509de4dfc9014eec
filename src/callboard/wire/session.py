"""The Engine.IO 4 session: a state machine without I/O or a clock.

Owns: which packet is allowed when, the heartbeat's deadlines, and the upgrade from long-polling to WebSocket.
Never: writing (the caller does what an answer says), or what a message means.

    polling ──2probe──▶ probing ──5──▶ websocket        any ──1, a broken rule, a missed pong──▶ closed
"""

from __future__ import annotations

from enum import Enum

from callboard.errors import ProtocolError
from callboard.wire.engineio import Packet, PacketType, decode_packet


class State(Enum):
    """Where a session is in its life."""

    POLLING = "polling"
    PROBING = "probing"
    WEBSOCKET = "websocket"
    CLOSED = "closed"


class Due(Enum):
    """What the heartbeat asks for at a moment."""

    NOTHING = "nothing"
    PING = "ping"
    TIMEOUT = "timeout"


class Session:
    """One Engine.IO session. Times are seconds of one monotonic clock, handed in by the caller."""

    __slots__ = ("_awaiting_pong", "_interval", "_timeout", "deadline", "sid", "state")

    def __init__(self, sid: str, state: State, *, now: float, ping_interval: float, ping_timeout: float) -> None:
        self.sid = sid
        self.state = state
        self._interval = ping_interval
        self._timeout = ping_timeout
        self._awaiting_pong = False
        self.deadline = now + ping_interval

    def receive(self, packet: Packet, now: float) -> str | bytes | None:
        """Take a packet from the session's own transport; return its data if it is a message.

        Heartbeats and NOOP return None. CLOSE ends the session and returns None: look at `state`. Raises
        ProtocolError for a packet a client may not send here.
        """
        kind = packet.type
        if kind is PacketType.MESSAGE:
            return packet.data
        if kind is PacketType.PONG:
            self._pong(now)
        elif kind is PacketType.CLOSE:
            self.state = State.CLOSED
        elif kind is not PacketType.NOOP:
            raise ProtocolError(f"Engine.IO packet {kind.value} is not allowed here")
        return None

    def probe(self, text: str) -> bool:
        """Take a text packet from a WebSocket that wants to take the session over.

        Returns True when the upgrade is complete; False after a probe, which the caller answers with
        "3probe". Raises ProtocolError otherwise, which ends that WebSocket and not the session.
        """
        packet = decode_packet(text)
        if self.state is State.POLLING and packet == (PacketType.PING, "probe"):
            self.state = State.PROBING
            return False
        if self.state is State.PROBING and packet.type is PacketType.UPGRADE:
            self.state = State.WEBSOCKET
            return True
        raise ProtocolError("not the next step of an upgrade")

    def abandon_probe(self) -> None:
        """The probing WebSocket went away: the session stays on long-polling."""
        if self.state is State.PROBING:
            self.state = State.POLLING

    def due(self, now: float) -> Due:
        """What to do at `now`. To be asked again no later than `deadline`, which a PING moves to the pong's.

        A caller that asks late (a suspended machine) still gives the client half a timeout to answer.
        """
        if now < self.deadline:
            return Due.NOTHING
        if self._awaiting_pong:
            return Due.TIMEOUT
        self._awaiting_pong = True
        self.deadline = max(self.deadline + self._timeout, now + self._timeout / 2)
        return Due.PING

    def _pong(self, now: float) -> None:
        """A pong that nobody asked for changes nothing, so that it cannot put the heartbeat off."""
        if self._awaiting_pong:
            self._awaiting_pong = False
            self.deadline = now + self._interval
