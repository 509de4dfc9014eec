"""The message log, read back: for clients that return and for a node that starts.

Owns: the statements that read the log by room or by number. Never: a write (the relay's), a decision about who
may recover.
"""

from __future__ import annotations

from collections.abc import Collection

from callboard.store.database import Queries
from callboard.store.outbox import LoggedMessage, logged

# One statement, so one snapshot: whether the log reaches back and what is in it are said of the same moment.
# `reaches` is false when a partition with messages after $3 was dropped.
MISSED = """
select bounds.reaches, message.*
from (
  select $3::bigint + 1 >= coalesce(
    (select min(seq) from callboard.message_log), (select seq + 1 from callboard.log_head)) as reaches
) bounds
left join lateral (
  select m.seq, head.epoch, m.namespace, m.rooms, m.name, m.payload, m.created_at
  from callboard.message_log m
  cross join (select epoch from callboard.log_head) head
  where bounds.reaches and m.namespace = $1 and m.rooms && $2::text[] and m.seq > $3 and m.seq <= $4
  order by m.seq
  limit $5
) message on true
order by message.seq
"""

LATEST = """
select * from (
  select m.seq, head.epoch, m.namespace, m.rooms, m.name, m.payload, m.created_at
  from callboard.message_log m
  cross join (select epoch from callboard.log_head) head
  where m.seq <= $1
  order by m.seq desc
  limit $2
) newest
order by seq
"""


class MessageLog:
    """Reads the log. Raises Unavailable while the database is away."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def missed(
        self, namespace: str, rooms: Collection[str], *, after: int, until: int, limit: int
    ) -> list[LoggedMessage] | None:
        """The first `limit` messages to any of the rooms with after < seq <= until, in order of seq, each once.

        None if messages after `after` are no longer in the log.
        """
        rows = await self._queries.fetch(MISSED, namespace, list(rooms), after, until, limit)
        if not rows[0]["reaches"]:
            return None
        return [logged(row) for row in rows if row["seq"] is not None]

    async def latest(self, *, until: int, limit: int) -> list[LoggedMessage]:
        """The last `limit` messages with seq <= until, in order of seq."""
        return [logged(row) for row in await self._queries.fetch(LATEST, until, limit)]

    async def recovery_key(self) -> bytes:
        """The secret that signs recovery ids, the same on every node."""
        key: bytes = await self._queries.fetchval("select recovery_key from callboard.log_head")
        return key
