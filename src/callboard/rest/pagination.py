"""Pages: `limit` and `cursor` in, `items`, `next_cursor` and `position` out.

Owns: the cursor, which names the last item of a page by its time and id, so that a page stays right while
new items arrive. It is plain, not signed: each query is bound to its caller anyway, and a made-up cursor
only names another place in the caller's own list. Never: a query, an offset.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple
from uuid import UUID

import msgspec

from callboard.errors import Malformed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CURSOR_BYTES = 24


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters of every list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100, description="Items on a page")] = 20
    cursor: (
        Annotated[
            str,
            # In the document only: a wrong cursor is malformed (400), not a wrong value.
            msgspec.Meta(
                description="`next_cursor` of the page before",
                extra_json_schema={"pattern": "^[A-Za-z0-9_-]{32}$"},
            ),
        ]
        | None
    ) = None


class Place(NamedTuple):
    """Where an item stands in a list that is ordered by time and then id, newest first."""

    at: datetime
    id: UUID


class Page(NamedTuple):
    """`items`: the bytes of a JSON array; `last`: the last item's place if more follow; `position`: of the
    log."""

    items: bytes
    last: Place | None
    position: str


def encode_cursor(place: Place) -> str:
    """An opaque, URL-safe text of 32 characters."""
    microseconds = (place.at - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(microseconds.to_bytes(8, "big", signed=True) + place.id.bytes).decode()


def decode_cursor(text: str | None) -> Place | None:
    """The place that a cursor names; None without one. Raises Malformed for what is no cursor of ours.

    An empty one is none: if it began anew, a client that passes on a `next_cursor` of null would go round for ever.
    """
    if text is None:
        return None
    if not text:
        raise Malformed("cursor is empty: leave it out for the first page")
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
        if len(raw) != _CURSOR_BYTES:
            raise Malformed("cursor is not one that this server gave")
        at = _EPOCH + timedelta(microseconds=int.from_bytes(raw[:8], "big", signed=True))
    except (binascii.Error, ValueError, OverflowError):
        raise Malformed("cursor is not one that this server gave") from None
    return Place(at, UUID(bytes=raw[8:]))


def page_bytes(page: Page) -> bytes:
    """The answer of a list. `items` goes out as PostgreSQL assembled it."""
    following = b"null" if page.last is None else b'"%b"' % encode_cursor(page.last).encode()
    return b'{"items":%b,"next_cursor":%b,"position":"%b"}' % (page.items, following, page.position.encode())
