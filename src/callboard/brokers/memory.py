"""The broker of a single node: a function call.

Owns: nothing but the way to the local node. Never: another process.
"""

from __future__ import annotations

from collections.abc import Callable

from callboard.realtime.broker import Envelope


class MemoryBroker:
    """Delivers each envelope at once to `deliver`, the local node."""

    def __init__(self, deliver: Callable[[Envelope], int]) -> None:
        self._deliver = deliver

    def publish(self, envelope: Envelope) -> None:
        self._deliver(envelope)
