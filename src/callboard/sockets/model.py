"""Messages that an operator sends to clients by hand.

Owns: what such a message may be called and may hold. Never: I/O.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from callboard.errors import Invalid

MAX_DATA_BYTES = 64 * 1024

# The stock clients keep these for themselves and refuse or mistake them.
RESERVED_NAMES = frozenset({"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"})


class Broadcast(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A volatile message to everyone in a namespace. `data` reaches clients as the very bytes that came."""

    event: Annotated[str, Meta(min_length=1, max_length=128)]
    data: Annotated[
        msgspec.Raw,
        Meta(extra_json_schema={"type": "object", "description": "At most 64 KiB of JSON"}),
    ]
    namespace: Annotated[str, Meta(pattern="^/", max_length=100)] = "/feed"


def check_event(name: str) -> None:
    """Raises Invalid for a name that Socket.IO reserves."""
    if name in RESERVED_NAMES:
        raise Invalid(f"event must not be {name}: Socket.IO reserves it", field="event")
