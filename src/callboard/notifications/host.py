"""Notifications for host applications in Python.

Owns: `Notifications`, the slice's public API, and the check of what a host gives. Never: SQL, a rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from callboard.errors import Invalid
from callboard.notifications.model import MAX_DATA_BYTES, FollowedResource, NewNotification, Priority
from callboard.notifications.service import NotificationService
from callboard.rest.body import invalid, object_bytes
from callboard.store.database import on_connection

T = TypeVar("T")


class Notified(NamedTuple):
    """What became of a notification: how many recipients it reached at once, and so on. `id` names its content."""

    id: UUID
    created: int
    held: int
    folded: int
    muted: int
    rate_limited: int


class Notifications:
    """Given to a host application as `scope["callboard"].notifications`."""

    def __init__(self, service: NotificationService) -> None:
        self._service = service

    async def notify(
        self,
        to: str | Sequence[str] | None = None,
        *,
        type: str,  # noqa: A002  the field's name
        title: str,
        message: str = "",
        data: Mapping[str, Any] | None = None,
        priority: Priority = "normal",
        actor: str | None = None,
        resource: tuple[str, str] | None = None,
        expires_in: int | None = None,
        group_key: str | None = None,
        subscribers_of: tuple[str, str] | None = None,
        connection: Any = None,
    ) -> Notified:
        """Notify one person, several, or everybody who follows the resource `subscribers_of` (type and id).

        Content, copies and message commit together. With `connection`, an asyncpg connection of the same database,
        they belong to the transaction that is open on it, and are sent when, and only when, that commits.

        Raises Invalid naming the wrong argument; RateLimited if `to` is one person who is over the hourly limit;
        Unavailable while the database is away.
        """
        new = _checked(
            {
                "type": type,
                "title": title,
                "message": message,
                "priority": priority,
                "actor": actor,
                "resource": None if resource is None else {"type": resource[0], "id": resource[1]},
                "expires_in": expires_in,
                "group_key": group_key,
            },
            NewNotification,
        )
        created = await self._service.create(
            _whom(to, subscribers_of),
            new,
            data=_json(data or {}),
            actor=None,
            within=None if connection is None else on_connection(connection),
        )
        assert created.id is not None
        return Notified(created.id, created.created, created.held, created.folded, created.muted, created.rate_limited)


def _whom(
    to: str | Sequence[str] | None, subscribers_of: tuple[str, str] | None
) -> str | Sequence[str] | FollowedResource:
    if to is not None and subscribers_of is None:
        return to if isinstance(to, str) else list(to)
    if to is None and subscribers_of is not None:
        type_, id_ = subscribers_of
        return _checked({"resource_type": type_, "resource_id": id_}, FollowedResource, "subscribers_of")
    raise Invalid("give either to or subscribers_of", field="to")


def _checked(fields: dict[str, object], kind: type[T], within: str | None = None) -> T:
    """`within`: the argument that they are parts of."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as problem:
        wrong = invalid(problem)
        raise wrong if within is None else Invalid(f"{within}: {wrong.message}", field=within) from None


def _json(data: Mapping[str, Any]) -> bytes:
    try:
        text = msgspec.json.encode(dict(data))
    except (TypeError, ValueError, OverflowError) as problem:
        raise Invalid(f"data cannot be JSON: {problem}", field="data") from None
    return object_bytes(msgspec.Raw(text), "data", MAX_DATA_BYTES)
