"""Which users' tokens were revoked, and when.

Owns: the table `revocations`. Never: what follows from a row; every node hears of a new one by the message log.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from callboard.store.database import Queries, Row

CONTROL = "/control"
REVOKED = "user:revoked"

LOAD = "select user_id, extract(epoch from not_before)::float8 as not_before from callboard.revocations"


class Revoked(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of the message `user:revoked`. `not_before`: seconds since 1970."""

    user_id: str
    not_before: float


def known(rows: list[Row]) -> list[tuple[str, float]]:
    """What LOAD returned, as pairs of user and moment."""
    return [(row["user_id"], row["not_before"]) for row in rows]


async def load(queries: Queries) -> list[tuple[str, float]]:
    """Each revoked user and the moment, in seconds since 1970."""
    return known(await queries.fetch(LOAD))


async def revoke(queries: Queries, user_id: str) -> datetime:
    """Revoke the user's tokens of before now; that moment. Raises Invalid for an impossible id."""
    moment: datetime = await queries.fetchval("select callboard.revoke($1)", user_id)
    return moment
