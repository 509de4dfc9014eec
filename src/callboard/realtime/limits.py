"""What one client may ask of a node.

Owns: the bounds of a client (`ClientLimits`) and the token bucket that its messages are counted by. Never: bytes and
connections (`EngineOptions`), a timer.
"""

from __future__ import annotations

from dataclasses import dataclass

from callboard.errors import RateLimited
from callboard.wire.socketio import DEFAULT_LIMITS, PacketLimits

# What a message over the rate answers.
SLOW_DOWN: dict[str, object] = {
    "error": {"code": RateLimited.code, "message": "too many messages: wait a second, then go on more slowly"}
}


@dataclass(frozen=True, kw_only=True)
class ClientLimits:
    """Bounds of one client.

    `connect_timeout`: seconds for a connection to join a namespace, at first and after it has left the last one.
    `max_inbox`, `max_inbox_bytes`: what may wait of one client's packets while an earlier one is handled; the bytes
    count the one being handled. `max_rooms`: rooms that a connection has subscribed to, in all its namespaces; those
    that its token gives are not counted. `messages_per_second`, `burst`: of Socket.IO packets. `packets`: what one of
    them may hold.
    """

    connect_timeout: float = 10.0
    max_inbox: int = 1_000
    max_inbox_bytes: int = 4_000_000
    max_rooms: int = 128
    max_connections_per_user: int = 20
    messages_per_second: float = 100.0
    burst: int = 200
    packets: PacketLimits = DEFAULT_LIMITS


class TokenBucket:
    """Counts by arithmetic when asked: a bucket of `burst` tokens, into which `rate` fall each second.

    What is refused is counted too, so that a client that goes on over its rate owes more and more: `overdrawn` once
    that is more than a whole bucket.
    """

    __slots__ = ("_at", "_tokens")

    def __init__(self, burst: int, now: float) -> None:
        self._tokens = float(burst)
        self._at = now

    def take(self, rate: float, burst: int, now: float) -> bool:
        """Take a token; whether there was one."""
        tokens = self._tokens + (now - self._at) * rate
        self._tokens = (tokens if tokens < burst else burst) - 1.0
        self._at = now
        return self._tokens >= 0.0

    def overdrawn(self, burst: int) -> bool:
        """Whether as many were refused as the bucket holds, without a pause."""
        return self._tokens < -burst
