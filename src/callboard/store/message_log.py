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
# The plan must do for any values, and no one index does: by number, a client whose rooms are quiet reads all that
# others got; by room, one whose rooms are busy reads all that they ever got. So the first messages after $3 are read
# by number, where busy rooms soon reach the limit, and only if they do not, the others by room. `is true` and `+ 0`
# hide from the planner the index that is not meant.
NEAR = 50_000

MISSED = """
with bounds as (
  select epoch, $3::bigint + 1 >= coalesce((select min(seq) from callboard.message_log), seq + 1) as reaches
  from callboard.log_head
), near as materialized (
  select seq, namespace, rooms, name, payload, created_at
  from callboard.message_log
  where (select reaches from bounds) and seq > $3 and seq <= least($4::bigint, $3 + $7::bigint)
    and (rooms && $2::text[]) is true and namespace = $1
  order by seq
  limit $5
), far as materialized (
  select seq, namespace, rooms, name, payload, created_at
  from callboard.message_log
  where (select reaches from bounds) and $4 > $3 + $7 and (select count(*) from near) < $5
    and rooms && $2::text[] and seq + 0 > $3 + $7 and seq + 0 <= $4 and namespace = $1
  order by seq + 0
  limit $5
), found as (
  select first.*, sum(octet_length(payload)) over (order by seq) - octet_length(payload) as before
  from (select * from near union all select * from far order by seq limit $5) first
)
select bounds.reaches, bounds.epoch, found.*
from bounds
left join found on found.before <= $6
order by found.seq
"""

LATEST = """
select * from (
  select last.*, sum(octet_length(last.payload)) over (order by last.seq desc) as total
  from (
    select m.seq, head.epoch, m.namespace, m.rooms, m.name, m.payload, m.created_at
    from callboard.message_log m
    cross join (select epoch from callboard.log_head) head
    where m.seq <= $1
    order by m.seq desc
    limit $2
  ) last
) newest
where total <= $3
order by seq
"""


class MessageLog:
    """Reads the log. Raises Unavailable while the database is away."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def missed(
        self, namespace: str, rooms: Collection[str], *, after: int, until: int, limit: int, most_bytes: int
    ) -> list[LoggedMessage] | None:
        """The first `limit` messages to any of the rooms with after < seq <= until, in order of seq, each once.

        The last one given is the one that takes the payloads over `most_bytes`, if one does. None if messages after
        `after` are no longer in the log.
        """
        rows = await self._queries.fetch(MISSED, namespace, list(rooms), after, until, limit, most_bytes, NEAR)
        if not rows[0]["reaches"]:
            return None
        return [logged(row) for row in rows if row["seq"] is not None]

    async def latest(self, *, until: int, limit: int, most_bytes: int) -> list[LoggedMessage]:
        """The last messages with seq <= until, in order of seq: `limit`, or fewer with `most_bytes` of payload."""
        return [logged(row) for row in await self._queries.fetch(LATEST, until, limit, most_bytes)]

    async def recovery_key(self) -> bytes:
        """The secret that signs recovery ids, the same on every node."""
        key: bytes = await self._queries.fetchval("select recovery_key from callboard.log_head")
        return key
