"""SEAM: how a volatile message reaches every node.

Owns: `Envelope`, what travels between nodes, and the `Broker` protocol. Implementations are in
`callboard.brokers`. Never: durable messages (they go through the log), or a promise of delivery.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way to connections.

    `rooms`: the message goes once to every member of any of them; empty means everyone in the namespace.
    `payload`: a JSON object in UTF-8, sent as it is. `position`: its place in the log if it is durable. `key`:
    for a volatile one, what it is the state of: to a connection that cannot be written to just now, only the
    newest of each key is sent later.
    """

    namespace: str
    rooms: tuple[str, ...]
    name: str
    payload: bytes
    key: str | None = None
    position: str | None = None


class Broker(Protocol):
    """Carries volatile envelopes to all nodes, this one included."""

    def publish(self, envelope: Envelope) -> None:
        """Send and forget: never waits, never raises for a lost peer. Order is kept per sender."""
