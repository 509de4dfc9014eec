"""Notifications: what one may say, and to whom.

Owns: the shape of a new notification, as REST and Python callers give it, and the rules that a type alone
cannot state. SQL callers meet the same rules in `callboard.check_notification`. Never: I/O, a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from callboard.errors import Invalid

MAX_RECIPIENTS = 10_000
MAX_DATA_BYTES = 16 * 1024
MAX_EXPIRES_IN = 10 * 365 * 24 * 3600

TYPE_PATTERN = r"^[a-z0-9][a-z0-9_.:-]{0,63}$(?!\n)"

UserId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)",
        description="1 to 255 characters, none of them a control character",
    ),
]
UserIds = Annotated[list[UserId], Meta(min_length=1, max_length=MAX_RECIPIENTS)]
NotificationType = Annotated[str, Meta(pattern=TYPE_PATTERN, max_length=64, examples=["episode:updated"])]
Priority = Literal["low", "normal", "high", "urgent"]


class Resource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a notification is about."""

    type: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$(?!\n)", max_length=64)]
    id: Annotated[str, Meta(min_length=1, max_length=200)]


class NewNotification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a notification before it exists. `data` is the JSON of an object as it came."""

    type: NotificationType
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    message: Annotated[str, Meta(max_length=2000)]
    data: Annotated[
        msgspec.Raw,
        Meta(extra_json_schema={"type": "object", "description": "At most 16 KB of JSON"}),
    ] = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
    priority: Priority = "normal"
    actor: Annotated[UserId, Meta(description="Who did it; by default the caller")] | None = None
    resource: Resource | None = None
    expires_in: Annotated[int, Meta(ge=1, le=MAX_EXPIRES_IN, description="Seconds")] | None = None


class CreateNotification(NewNotification, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new notification for one person (`user_id`) or several (`user_ids`): exactly one of the two is
    given."""

    user_id: UserId | None = None
    user_ids: UserIds | None = None


class CreateBatch(NewNotification, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new notification for up to 10,000 people; who is named twice gets it once."""

    user_ids: UserIds


def recipients_of(request: CreateNotification) -> Sequence[str]:
    """The user ids that a request names. Raises Invalid unless it names them one way."""
    if (request.user_id is None) == (request.user_ids is None):
        raise Invalid("give either user_id or user_ids", field="user_id")
    return [request.user_id] if request.user_id is not None else request.user_ids or []


def check_type(type_: str, allowed: frozenset[str] | None) -> None:
    """Raises Invalid for a type that NOTIFICATION_TYPES, if set, does not list."""
    if allowed is not None and type_ not in allowed:
        raise Invalid(f"type must be one of {', '.join(sorted(allowed))}", field="type")
