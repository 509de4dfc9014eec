"""Messages that an operator sends to clients by hand, and what operators are alerted to.

Owns: what such a message may be called, hold and be addressed to, and how much of a thing is worth an alert. Never:
I/O.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from callboard.errors import Invalid
from callboard.wire.socketio import RESERVED_EVENTS

MAX_DATA_BYTES = 64 * 1024
MAX_USER_ID = 255
MAX_ROOM = 300

# So many within WINDOW seconds are an alert; after one, QUIET seconds pass before the next of its kind.
SLOW_BURST = 10
REFUSAL_BURST = 100
WINDOW = 60.0
QUIET = 600.0

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

NamespaceName = Annotated[str, Meta(pattern="^/", max_length=100)]


class Direct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A volatile message by hand. `data` reaches clients as the very bytes that came."""

    event: Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)")]
    data: Annotated[
        msgspec.Raw,
        Meta(extra_json_schema={"type": "object", "description": "At most 64 KiB of JSON"}),
    ]
    namespace: NamespaceName = "/feed"


def check_event(name: str) -> None:
    """Raises Invalid for a name that Socket.IO reserves."""
    if name in RESERVED_EVENTS:
        raise Invalid(f"event must not be {name}: Socket.IO reserves it", field="event")


def check_user_id(user_id: str) -> None:
    """Raises Invalid for what no token's `sub` can be."""
    _check_name(user_id, "user_id", MAX_USER_ID)


def check_room(room: str) -> None:
    """Raises Invalid for what no room is called."""
    _check_name(room, "room", MAX_ROOM)


def _check_name(text: str, field: str, limit: int) -> None:
    if not 1 <= len(text) <= limit:
        raise Invalid(f"{field} must have 1 to {limit} characters", field=field)
    if _CONTROL.search(text):
        raise Invalid(f"{field} must not have control characters", field=field)
