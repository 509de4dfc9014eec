"""Notifications in PostgreSQL: one method, one statement.

Owns: the SQL of the slice (what SQL callers share with it is in migration 0002). Each statement that
changes a copy also writes its message, so the two commit together. Never: a rule, a transaction, a JSON
shape of its own.

What has expired is absent: it is neither listed, counted nor read, from its moment on and before upkeep
removes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple
from uuid import UUID

from callboard.store.database import Queries

# Half of what recovery replays: reading all must not push a reconnecting client into a fresh start.
READ_ALL_MESSAGES = 500


class Created(NamedTuple):
    """`payload`: the notification as JSON, the same for every recipient; `created`: how many copies."""

    id: UUID
    created: int
    payload: bytes


class ListedPage(NamedTuple):
    """`items`: a JSON array; `last_arrived_at` and `last_id` name the last item, if more follow."""

    items: bytes
    last_arrived_at: datetime | None
    last_id: UUID | None
    position: str


class Marked(NamedTuple):
    """A copy after a change that may have changed nothing."""

    payload: bytes
    changed: bool


class UserCount(NamedTuple):
    """`payload`: the message `notification:unread-count` for one user."""

    user_id: str
    payload: bytes


class NotificationStore:
    """Statements; each takes what it runs on, the pool or a transaction."""

    async def create(
        self,
        queries: Queries,
        user_ids: Sequence[str],
        *,
        type_: str,
        title: str,
        message: str,
        data: str,
        priority: str,
        actor: str | None,
        resource_type: str | None,
        resource_id: str | None,
        group_key: str | None,
        expires_in: int | None,
    ) -> Created:
        """Content, copies and message. Raises Invalid naming the first wrong argument."""
        row = await queries.fetchrow(
            CREATE,
            user_ids,
            type_,
            title,
            message,
            data,
            priority,
            actor,
            resource_type,
            resource_id,
            group_key,
            expires_in,
        )
        assert row is not None
        return Created(*row)

    async def page(
        self,
        queries: Queries,
        user_id: str,
        *,
        limit: int,
        before: tuple[datetime, UUID] | None,
        type_: str | None,
        read: bool | None,
    ) -> ListedPage:
        """The newest `limit` copies that arrived before a place, and the position, as of one snapshot."""
        at, id_ = before or (None, None)
        # NULL stands for "any type": a statement without the parameter would be one more to prepare and keep.
        row = await queries.fetchrow(_page(read), user_id, at, id_, limit, type_)
        assert row is not None
        return ListedPage(*row)

    async def mark(self, queries: Queries, user_id: str, id_: UUID, *, read: bool) -> Marked | None:
        """Make a copy read or unread; None if there is none. Nothing changes and nothing is sent if it is
        so."""
        row = await queries.fetchrow(MARK, user_id, id_, read)
        return None if row is None else Marked(*row)

    async def mark_all_read(self, queries: Queries, user_id: str) -> int:
        """Make read what this statement's snapshot shows as unread: what commits later stays unread."""
        updated: int = await queries.fetchval(MARK_ALL_READ, user_id, READ_ALL_MESSAGES)
        return updated

    async def delete(self, queries: Queries, user_id: str, id_: UUID) -> bool:
        """Remove a copy; False if there is none. The content stays for its other recipients, and for
        upkeep."""
        deleted: bool = await queries.fetchval(DELETE, user_id, id_)
        return deleted

    async def unread_count(self, queries: Queries, user_id: str) -> bytes:
        """`{"count", "position"}` as JSON, of one snapshot."""
        payload: bytes = await queries.fetchval(UNREAD_COUNT, user_id)
        return payload

    async def unread_counts(self, queries: Queries, user_ids: Sequence[str]) -> list[UserCount]:
        """The same for several users at once."""
        return [UserCount(*row) for row in await queries.fetch(UNREAD_COUNTS, user_ids)]


CREATE = """
select id, created, convert_to(payload, 'UTF8')
from callboard.create_notification($1::text[], $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10, $11)
"""

# One row more than the page tells whether another follows; its payload is not made.
PAGE = """
with page as (
  select r.arrived_at, r.notification_id,
         row_number() over (order by r.arrived_at desc, r.notification_id desc) as place,
         callboard.notification_payload(n, r.read_at, r.seen_at, r.archived_at, r.revision) as item
  from callboard.notification_recipients r
  join callboard.notifications n on n.id = r.notification_id
  where r.user_id = $1
    and (r.arrived_at, r.notification_id)
      < (coalesce($2, 'infinity'::timestamptz), coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
    and (r.expires_at is null or r.expires_at > now())
    and ($5::text is null or n.type = $5)
    {read}
  order by r.arrived_at desc, r.notification_id desc
  limit $4::integer + 1
)
select
  convert_to(
    '[' || coalesce(string_agg(item, ',' order by place) filter (where place <= $4), '') || ']', 'UTF8'),
  case when count(*) > $4 then max(arrived_at) filter (where place = $4) end,
  case when count(*) > $4 then (max(notification_id::text) filter (where place = $4))::uuid end,
  callboard.position()
from page
"""


@cache
def _page(read: bool | None) -> str:
    """PAGE with a literal filter, which the partial index of unread copies needs to be seen."""
    filters = {None: "", True: "and r.read_at is not null", False: "and r.read_at is null"}
    return PAGE.replace("{read}", filters[read])


# The row is locked first, so two at once change it once, and both see what it became.
MARK = """
with target as materialized (
  select *
  from callboard.notification_recipients
  where notification_id = $2 and user_id = $1 and (expires_at is null or expires_at > now())
  for update
), changed as (
  update callboard.notification_recipients r
  set read_at = case when $3::boolean then moment.at end,
      seen_at = coalesce(r.seen_at, moment.at),
      revision = r.revision + 1
  from target, (select date_trunc('milliseconds', clock_timestamp()) as at) moment
  where r.notification_id = target.notification_id and r.user_id = target.user_id
    and (target.read_at is not null) <> $3
  returning r.notification_id, r.read_at, r.seen_at, r.archived_at, r.revision
), state as (
  select notification_id, read_at, seen_at, archived_at, revision, true as changed from changed
  union all
  select notification_id, read_at, seen_at, archived_at, revision, false from target
  where (read_at is not null) = $3
), answer as materialized (
  select callboard.notification_payload(n, s.read_at, s.seen_at, s.archived_at, s.revision) as payload,
         s.changed
  from state s
  join callboard.notifications n on n.id = s.notification_id
), sent as materialized (
  select callboard.enqueue_text(array['user:' || $1], 'notification:updated', payload, '/feed')
  from answer
  where changed
)
select convert_to(payload, 'UTF8'), exists (select from sent)
from answer
"""

# Locked in one order, so that two at once do not deadlock.
MARK_ALL_READ = """
with unread as materialized (
  select notification_id
  from callboard.notification_recipients
  where user_id = $1 and read_at is null and (expires_at is null or expires_at > now())
  order by arrived_at desc, notification_id desc
  for update
), changed as (
  update callboard.notification_recipients r
  set read_at = moment.at, seen_at = coalesce(r.seen_at, moment.at), revision = r.revision + 1
  from unread, (select date_trunc('milliseconds', clock_timestamp()) as at) moment
  where r.notification_id = unread.notification_id and r.user_id = $1 and r.read_at is null
  returning r.notification_id, r.arrived_at, r.read_at, r.seen_at, r.archived_at, r.revision
), newest as materialized (
  select * from changed order by arrived_at desc, notification_id desc limit $2
), told as materialized (
  select callboard.notification_payload(n, c.read_at, c.seen_at, c.archived_at, c.revision) as payload
  from newest c
  join callboard.notifications n on n.id = c.notification_id
  order by c.arrived_at, c.notification_id
), sent as materialized (
  select callboard.enqueue_text(array['user:' || $1], 'notification:updated', payload, '/feed') from told
)
select (select count(*) from changed) as updated, (select count(*) from sent) as messages
"""

DELETE = """
with gone as (
  delete from callboard.notification_recipients
  where notification_id = $2 and user_id = $1
  returning notification_id, revision + 1 as revision
), sent as materialized (
  select callboard.enqueue_text(array['user:' || $1], 'notification:deleted',
    json_build_object('id', notification_id, 'revision', revision)::text, '/feed')
  from gone
)
select exists (select from sent)
"""

UNREAD_COUNT = """
select convert_to(json_build_object('count', count(*), 'position', callboard.position())::text, 'UTF8')
from callboard.notification_recipients
where user_id = $1 and read_at is null and (expires_at is null or expires_at > now())
"""

UNREAD_COUNTS = """
select person.id, convert_to(json_build_object(
  'count', (
    select count(*) from callboard.notification_recipients
    where user_id = person.id and read_at is null and (expires_at is null or expires_at > now())),
  'position', head.position)::text, 'UTF8')
from unnest($1::text[]) as person (id), (select callboard.position() as position) head
"""
