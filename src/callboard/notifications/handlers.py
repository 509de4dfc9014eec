"""Messages about notifications that clients send in /feed.

Owns: the meaning of `notification:read` and `notification:read-all`. Never: state; what changed comes to
all of the user's connections as messages, to the asking one too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol
from uuid import UUID

import msgspec

from callboard.auth.principal import Principal
from callboard.errors import Invalid
from callboard.notifications.service import NotificationService
from callboard.realtime.namespace import check_fields


class Asker(Protocol):
    """The part of a namespace's member that handlers look at."""

    @property
    def principal(self) -> Principal:
        """Who is asking."""


Handler = Callable[[Asker, dict[str, object]], Awaitable[dict[str, object]]]


class Registry(Protocol):
    """The part of a namespace that takes handlers."""

    def on(self, name: str, handler: Handler) -> None:
        """Let clients send the message `name`."""


def register(feed: Registry, service: NotificationService) -> None:
    """Let clients of `feed` send the slice's messages."""

    async def read(member: Asker, data: dict[str, object]) -> dict[str, object]:
        payload = await service.mark(member.principal.id, _id(data), read=True)
        return {"notification": msgspec.json.decode(payload)}

    async def read_all(member: Asker, data: dict[str, object]) -> dict[str, object]:
        check_fields(data)
        return {"updated": await service.mark_all_read(member.principal.id)}

    feed.on("notification:read", read)
    feed.on("notification:read-all", read_all)


def _id(data: dict[str, object]) -> UUID:
    check_fields(data, "id")
    value = data.get("id")
    if not isinstance(value, str):
        raise Invalid("id must be the id of a notification", field="id")
    try:
        return UUID(value)
    except ValueError:
        raise Invalid("id must be a UUID", field="id") from None
