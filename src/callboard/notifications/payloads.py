"""Every JSON shape of notifications that leaves the process, and the catalogue of their messages.

Owns: the shapes and the catalogue. PostgreSQL writes most of them (`callboard.notification_payload`), and a
contract test decodes what it wrote into these Structs, strictly. Never: a query, a rule.

Ordering and overlap: messages carry whole state and the copy's `revision`, so a client keeps the one of the
highest revision for each id and drops an id for good when `notification:deleted` comes; counts are
absolute.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from callboard.notifications.model import Priority, Resource
from callboard.realtime.catalogue import Message, Time

FEED = "/feed"

Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="UUIDv7")]
Position = Annotated[str, Meta(pattern=r"^[^.]+\.\d+$", description="{epoch}.{seq} of the message log")]


class Notification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person's copy of a notification: its whole state, in lists and in messages alike."""

    id: Uuid
    type: str
    title: str
    message: str
    data: dict[str, Any]
    priority: Priority
    actor: str | None
    resource: Resource | None
    group_key: str | None
    created_at: Time
    expires_at: Time | None
    read_at: Time | None
    seen_at: Time | None
    archived_at: Time | None
    revision: Annotated[int, Meta(ge=1, description="Grows with each change of this copy")]


class NotificationDeleted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The copy is gone. `revision` is higher than any it had."""

    id: Uuid
    revision: Annotated[int, Meta(ge=2)]


class UnreadCount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many notifications are unread, as of a position. Absolute: a newer one replaces it."""

    count: Annotated[int, Meta(ge=0)]
    position: Position


class NotificationPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page, newest arrival first. What is newer than `position` comes as messages; overlap is harmless."""

    items: list[Notification]
    next_cursor: str | None
    position: Position


class Suppressed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many did not get it, and why."""

    muted: int = 0
    rate_limited: int = 0


class CreatedNotification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a notification to several people."""

    notification_id: Uuid
    created: Annotated[int, Meta(ge=0, description="Copies made")]
    held: int = 0
    suppressed: Suppressed = Suppressed()


class ReadAll(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many became read."""

    updated: Annotated[int, Meta(ge=0)]


class ReadRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which notification was read."""

    id: str


class ReadAllRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing to say."""


class ReadAcknowledgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The notification as it is now."""

    ok: Literal[True]
    notification: Notification


class ReadAllAcknowledgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many became read."""

    ok: Literal[True]
    updated: int


CATALOGUE: tuple[Message, ...] = (
    Message(
        name="notification:new",
        namespace=FEED,
        kind="durable",
        rooms="user:{id} of every recipient: one message, the same bytes for all",
        summary="A notification arrived.",
        fields=Notification,
    ),
    Message(
        name="notification:updated",
        namespace=FEED,
        kind="durable",
        rooms="user:{id} of the copy's owner",
        summary=(
            "The copy changed: read or unread again. Reading all sends one for each of the 500 newest that "
            "changed, oldest first; older ones change without one, and a `notification:unread-count` of 0 "
            "says that everything up to its position is read."
        ),
        fields=Notification,
    ),
    Message(
        name="notification:deleted",
        namespace=FEED,
        kind="durable",
        rooms="user:{id} of the copy's owner",
        summary="The copy is gone.",
        fields=NotificationDeleted,
    ),
    Message(
        name="notification:unread-count",
        namespace=FEED,
        kind="volatile",
        rooms="user:{id}",
        summary="The unread count: on connecting and after changes, several of which may share one message.",
        fields=UnreadCount,
        key="unread-count",
    ),
    Message(
        name="notification:read",
        namespace=FEED,
        kind="client",
        rooms="any user, for an own notification",
        summary="Mark one as read. Twice is the same as once.",
        fields=ReadRequest,
        acknowledgement=ReadAcknowledgement,
    ),
    Message(
        name="notification:read-all",
        namespace=FEED,
        kind="client",
        rooms="any user",
        summary="Mark all as read that had arrived by now; one that arrives meanwhile stays unread.",
        fields=ReadAllRequest,
        acknowledgement=ReadAllAcknowledgement,
    ),
)
