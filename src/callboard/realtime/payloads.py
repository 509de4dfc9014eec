"""The messages that are the kernel's own: every namespace takes them, whatever its slice.

Owns: their shapes, and their entries in the catalogue. Never: a message of a slice.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from callboard.realtime.catalogue import EVERY, Message

RENEW = "token"


class RenewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends to stay beyond the end of its token."""

    token: Annotated[str, Meta(description="A new token of the same user")]


class TokenRenewed(msgspec.Struct, frozen=True, kw_only=True):
    """What acknowledges it."""

    ok: Literal[True] = True
    expires_at: Annotated[
        str | None, Meta(description="When the new token ends: UTC, ISO 8601 with milliseconds; null if it does not")
    ]


CATALOGUE: tuple[Message, ...] = (
    Message(
        name=RENEW,
        namespace=EVERY,
        kind="client",
        rooms="any connected client",
        summary=(
            "Renews the token in place: the connection goes on beyond the end of its present token. The new one counts "
            "in every namespace that the connection has joined as this user: the rooms that it gives replace those of "
            "the old one, rooms subscribed to stay, and a namespace that it does not open any more is left with "
            "DISCONNECT. Another user's token answers `forbidden`, a bad one `token_missing`, `token_invalid` or "
            "`token_expired`; the old token then goes on to its end."
        ),
        fields=RenewToken,
        acknowledgement=TokenRenewed,
    ),
)
