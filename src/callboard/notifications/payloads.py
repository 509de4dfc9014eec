"""Every JSON shape of notifications that leaves the process, and the catalogue of their messages.

Owns: the shapes and the catalogue. PostgreSQL writes most of them (`callboard.notification_payload`), and a
contract test decodes what it wrote into these Structs, strictly. Never: a query, a rule.

Ordering and overlap: messages carry whole state and the copy's `revision`, so a client keeps the one of the
highest revision for each id and drops an id for good when `notification:deleted` comes; counts are
absolute.
"""

from __future__ import annotations

from datetime import MAXYEAR, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from callboard.clock import utc_text
from callboard.notifications.model import FollowedResource, Priority, Resource
from callboard.notifications.preferences import MutedResources, MutedTypes, QuietHours, Types
from callboard.realtime.catalogue import Message, Time

FEED = "/feed"

ExactTime = Annotated[
    str,
    Meta(
        pattern=r"^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
        description="UTC, ISO 8601 with microseconds",
        examples=["2026-01-31T09:30:00.000000Z"],
    ),
]
ActorName = Annotated[str | None, Meta(description="The actor's name as it was known at that time")]
Outcome = Literal["now", "held", "folded", "suppressed"]
Rule = Annotated[
    str,
    Meta(
        description="muted_type, muted_resource, group, rate_limited, attention, quiet_hours or urgent; "
        "null: no rule was met"
    ),
]
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="UUIDv7")]
Position = Annotated[str, Meta(pattern=r"^[^.]+\.\d+$", description="{epoch}.{seq} of the message log")]


class GroupMember(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of those that were folded."""

    id: Uuid
    title: str
    actor: str | None
    actor_name: ActorName
    created_at: Time


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several notifications in one: "NAME and 12 others updated Episode 4"."""

    count: Annotated[int, Meta(ge=1, description="How many were folded, the first included")]
    actors: Annotated[int, Meta(ge=0, le=100, description="How many people are behind them; counted up to 100")]
    first: GroupMember
    latest: GroupMember


class Notification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person's copy of a notification: its whole state, in lists and in messages alike.

    A group has the id, type and `created_at` of its first notification, and for the rest shows its latest.
    """

    id: Uuid
    type: str
    title: str
    message: str
    data: dict[str, Any]
    priority: Priority
    actor: str | None
    actor_name: ActorName
    resource: Resource | None
    group_key: str | None
    group: Group | None
    created_at: Time
    arrived_at: Annotated[ExactTime, Meta(description="The order of the list; null while it is not in it")] | None
    expires_at: Time | None
    read_at: Time | None
    seen_at: Time | None
    archived_at: Time | None
    revision: Annotated[int, Meta(ge=1, description="Grows with each change of this copy")]


class AlsoRead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another copy of the same user. `revision`: the one that it has since it was read."""

    id: Uuid
    revision: Annotated[int, Meta(ge=2)]


class NotificationUpdated(Notification, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A copy that changed."""

    also_read: (
        Annotated[
            list[AlsoRead],
            Meta(
                min_length=1,
                description="Absent but for reading very many at once: others that were read with this one, at its "
                "`read_at`, and get no message of their own",
            ),
        ]
        | UnsetType
    ) = UNSET


class NotificationDeleted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The copy is gone. `revision` is higher than any it had."""

    id: Uuid
    revision: Annotated[int, Meta(ge=2)]


class UnreadCount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many notifications are unread, as of a position. Absolute: a newer one replaces it.

    What is stored and has no position yet is in it, and its `notification:new` is still to come.
    """

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


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of it for one recipient, and by which rule."""

    outcome: Outcome
    rule: Rule | None
    held_until: Time | None


class NotificationForOne(Notification, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new notification to one person, and what became of it. Unless that was `now`, it is not in the inbox."""

    decision: Decision


class CreatedNotification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a notification to several people."""

    notification_id: Uuid
    created: Annotated[int, Meta(ge=0, description="Arrived at once")]
    held: Annotated[int, Meta(ge=0, description="Will arrive later")] = 0
    folded: Annotated[int, Meta(ge=0, description="Joined a group that is in the inbox, or held")] = 0
    suppressed: Suppressed = Suppressed()


class ForRecipient(Decision, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What would become of it for one recipient. `used`: the values that the rule looked at."""

    user_id: str
    used: dict[str, Any] | None


class DryRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What would become of a notification now; nothing was stored, sent or counted."""

    created: int
    held: int
    folded: int
    suppressed: Suppressed
    recipients: Annotated[list[ForRecipient], Meta(max_length=100, description="The first 100, by user id")]


class Explanation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it was sent now, held, folded or suppressed. `used`: the values that the rule looked at."""

    notification_id: Uuid
    user_id: str
    outcome: Outcome
    rule: Rule | None
    used: dict[str, Any]
    summary: Annotated[str, Meta(description="The same as a sentence")]
    decided_at: Time
    held_until: Time | None
    arrived_at: ExactTime | None
    folded_into: Uuid | None


class ReadAll(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many became read: all that had arrived at `position`."""

    updated: Annotated[int, Meta(ge=0)]
    position: Position


class Changed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many were changed; those that were so already are not counted."""

    updated: Annotated[int, Meta(ge=0)]


class Deleted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many were removed."""

    deleted: Annotated[int, Meta(ge=0)]


class Preferences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the caller chose."""

    muted_types: MutedTypes
    muted_resources: MutedResources
    quiet_hours: QuietHours | None
    types: Types
    updated_at: Time


class Subscription(FollowedResource, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A resource that the caller follows."""

    created_at: Time


class SubscriptionPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page, the newest first."""

    items: list[Subscription]
    next_cursor: str | None
    position: Position


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
    position: Position


def time_text(at: datetime | None) -> str | None:
    """A moment in the form of `Time`; None for one that never comes."""
    if at is None or at.year == MAXYEAR:
        return None
    return utc_text(at)


CATALOGUE: tuple[Message, ...] = (
    Message(
        name="notification:new",
        namespace=FEED,
        kind="durable",
        rooms="user:{id} of every recipient: one message, the same bytes for all",
        summary="A notification arrived: just created, or held until now.",
        fields=Notification,
    ),
    Message(
        name="notification:updated",
        namespace=FEED,
        kind="durable",
        rooms="user:{id} of the copy's owner",
        summary=(
            "The copy changed: read, unread again, seen, archived or brought back, or a group that has grown, "
            "which comes to the top of the list. Reading all sends one for each of the 500 newest that "
            "changed, oldest first, and these name the older ones in `also_read`."
        ),
        fields=NotificationUpdated,
    ),
    Message(
        name="notification:deleted",
        namespace=FEED,
        kind="durable",
        rooms="user:{id} of the copies' owners: several when they expire together",
        summary="The copy is gone: deleted, expired, or past its retention.",
        fields=NotificationDeleted,
    ),
    Message(
        name="notification:unread-count",
        namespace=FEED,
        kind="volatile",
        rooms="user:{id}",
        summary=(
            "The unread count as of a position: on connecting and after changes, several of which may share one "
            "message. Each `notification:new` of a later position is one more."
        ),
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
