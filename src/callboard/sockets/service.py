"""Use cases of operators: messages by hand.

Owns: sending a volatile message to a whole namespace, and the line in the log that says who did. Never: a
durable message, a connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from callboard.auth.principal import Principal
from callboard.errors import Invalid
from callboard.realtime.broker import Envelope
from callboard.sockets.model import check_event
from callboard.telemetry import log


class Publisher(Protocol):
    """The part of the broker that sends."""

    def publish(self, envelope: Envelope) -> None:
        """Send and forget."""


class SocketService:
    """`known` says whether a namespace exists."""

    def __init__(self, publisher: Publisher, known: Callable[[str], bool]) -> None:
        self._publisher = publisher
        self._known = known

    def broadcast(self, actor: Principal, *, namespace: str, event: str, data: bytes) -> None:
        """Send `data`, the bytes of a JSON object, to everyone in `namespace`, once and unrecovered.

        Raises Invalid for a reserved name or an unknown namespace.
        """
        check_event(event)
        if not self._known(namespace):
            raise Invalid(f"There is no namespace {namespace}", field="namespace")
        self._publisher.publish(Envelope(namespace=namespace, rooms=(), name=event, payload=data))
        log.info("admin.action", actor=actor.id, action="socket.broadcast", target=f"{namespace} {event}")
