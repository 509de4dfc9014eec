"""What is stored before anything is measured: inboxes with a past, the same in every server's tables.

Owns: the SQL that writes notifications and copies set-wise, and the order of doing that fast. Never: a server's own
way of creating, which would take hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

TABLES = ("notifications", "notification_recipients")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """`users` people (u0, u1, …) with `each` copies; `share` people got each notification.

    What a person has came at times spread over all of the past, so a page of 20 is 20 places in the table of contents.
    Every fourth is unread.
    """

    users: int
    each: int
    share: int = 1

    @property
    def copies(self) -> int:
        return self.users * self.each

    @property
    def contents(self) -> int:
        return self.copies // self.share

    async def write(self, url: str, schema: str) -> None:
        """Fill the empty tables of a schema; vacuumed and analyzed, as they would be that have grown over time."""
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("set maintenance_work_mem = '256MB'; set synchronous_commit = off")
            await connection.execute("set session_replication_role = replica")  # no trigger, no foreign key's query
            await connection.execute(f"set search_path = {schema}")
            indexes = await connection.fetch(INDEXES, schema, TABLES)
            for index in indexes:
                await connection.execute(f"drop index {index['indexname']}")
            past = PAST.format(contents=self.contents)
            await connection.execute(CONTENTS.format(past=past))
            arrived = "arrived_at, " if schema == "callboard" else ""
            await connection.execute(
                COPIES.format(
                    arrived=arrived,
                    arrives="moment.at, " if arrived else "",
                    users=self.users,
                    share=self.share,
                    past=past,
                )
            )
            for index in indexes:
                await connection.execute(index["indexdef"])
            for table in TABLES:
                await connection.execute(f"vacuum (freeze, analyze) {table}")
        finally:
            await connection.close()


INDEXES = """
select indexname, indexdef from pg_indexes
where schemaname = $1 and tablename = any ($2::text[]) and indexdef not like 'CREATE UNIQUE%'
"""

# The n-th content came after n / contents of 30 days; its UUIDv7 is of that millisecond.
PAST = """
  select n, at,
         (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || '7'
          || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid as id
  from generate_series(0, {contents} - 1) as n
  cross join lateral (
    select date_trunc('day', now()) - interval '31 days' + n * interval '30 days' / {contents} as at) moment
"""

CONTENTS = """
with moment as ({past})
insert into notifications (id, type, title, message, data, priority, actor, created_at)
select id, 'episode:updated', 'Rough cut ready',
       'Mira Okafor put the rough cut of episode ' || n % 40 || ' on the review board.', jsonb_build_object('n', n),
       'normal', 'admin', at
from moment
"""

COPIES = """
with moment as ({past})
insert into notification_recipients ({arrived}notification_id, user_id, read_at, seen_at)
select {arrives}moment.id, 'u' || (moment.n * {share} + place) % {users},
       case when (moment.n * {share} + place) / {users} % 4 > 0 then moment.at + interval '1 hour' end,
       case when (moment.n * {share} + place) / {users} % 4 > 0 then moment.at + interval '1 hour' end
from moment cross join generate_series(0, {share} - 1) as place
"""
