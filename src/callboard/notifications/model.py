"""Notifications: what one may say, and to whom.

Owns: the shape of a new notification, as REST and Python callers give it, and the rules that a type alone
cannot state. SQL callers meet the same rules in `callboard.check_notification`. Never: I/O, a clock, what a
person chose (`preferences.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from callboard.errors import Invalid

MAX_RECIPIENTS = 10_000
MAX_DATA_BYTES = 16 * 1024
MAX_CHANGED = 100
MAX_EXPIRES_IN = 10 * 365 * 24 * 3600

TYPE_PATTERN = r"^[a-z0-9][a-z0-9_.:-]{0,63}$(?!\n)"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
USER_ID_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)"
UserId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=USER_ID_PATTERN,
        description="1 to 255 characters, none of them a control character",
    ),
]
# The same; the pattern is checked for all of a list at once: to match 500 ids one by one takes as long as to write to
# fifty people.
OneOfUserIds = Annotated[str, Meta(min_length=1, max_length=255, extra_json_schema={"pattern": USER_ID_PATTERN})]
UserIds = Annotated[list[OneOfUserIds], Meta(min_length=1, max_length=MAX_RECIPIENTS)]
# Something that can be seen: neither blanks nor control characters nor those that only direct others.
VISIBLE = r"[^\x00-\x20\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
_VISIBLE = re.compile(VISIBLE)
# The pattern is checked by hand, for an error that says more.
Title = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        extra_json_schema={"pattern": VISIBLE, "description": "Not of blanks alone"},
    ),
]
NotificationType = Annotated[str, Meta(pattern=TYPE_PATTERN, max_length=64, examples=["episode:updated"])]
Priority = Literal["low", "normal", "high", "urgent"]


ResourceType = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$(?!\n)", max_length=64)]
ResourceId = Annotated[str, Meta(min_length=1, max_length=200)]
NotificationIds = Annotated[list[UUID], Meta(min_length=1, max_length=MAX_CHANGED)]


class Resource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a notification is about."""

    type: ResourceType
    id: ResourceId


class FollowedResource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A resource that people follow."""

    resource_type: ResourceType
    resource_id: ResourceId


class NewNotification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a notification before it exists. `data` is the JSON of an object as it came."""

    type: NotificationType
    title: Title
    message: Annotated[str, Meta(max_length=2000)]
    data: Annotated[
        msgspec.Raw,
        Meta(extra_json_schema={"type": "object", "description": "At most 16 KB of JSON"}),
    ] = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
    priority: Priority = "normal"
    actor: Annotated[UserId, Meta(description="Who did it; by default the caller")] | None = None
    resource: Resource | None = None
    expires_in: Annotated[int, Meta(ge=1, le=MAX_EXPIRES_IN, description="Seconds")] | None = None
    group_key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                pattern=r"^[^~]",
                description="Folds into the unread one that the recipient has with the same key",
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        if not _VISIBLE.search(self.title):
            raise Invalid("title must have a character that can be seen", field="title")


class CreateNotification(NewNotification, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new notification for one person (`user_id`), several (`user_ids`), or everybody who follows a
    resource (`subscribers_of`; the actor is left out): exactly one of the three is given."""

    user_id: UserId | None = None
    user_ids: UserIds | None = None
    subscribers_of: FollowedResource | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.user_ids is not None:
            _check_characters(self.user_ids)


class CreateBatch(NewNotification, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new notification for up to 10,000 people; who is named twice gets it once."""

    user_ids: UserIds

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_characters(self.user_ids)


class NamedNotifications(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some of the caller's notifications; others' and unknown ones are passed over."""

    ids: NotificationIds


def _check_characters(user_ids: Sequence[str]) -> None:
    """Raises Invalid for the first id with a control character."""
    if _CONTROL.search("".join(user_ids)):
        place = next(place for place, id_ in enumerate(user_ids) if _CONTROL.search(id_))
        raise Invalid(f"user_ids[{place}]: a user id must not have control characters", field=f"user_ids[{place}]")


def recipients_of(request: CreateNotification) -> str | Sequence[str] | FollowedResource:
    """Whom a request names: one person, several, or a resource's followers. Raises Invalid unless it names them one
    way."""
    given = [each for each in (request.user_id, request.user_ids, request.subscribers_of) if each is not None]
    if len(given) != 1:
        raise Invalid("give one of user_id, user_ids and subscribers_of", field="user_id")
    return given[0]


def check_type(type_: str, allowed: frozenset[str] | None, field: str = "type") -> None:
    """Raises Invalid for a type that NOTIFICATION_TYPES, if set, does not list."""
    if allowed is not None and type_ not in allowed:
        raise Invalid(f"{field} must be one of {', '.join(sorted(allowed))}", field=field)
