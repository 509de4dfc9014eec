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


class Content(NamedTuple):
    """A new notification, without its recipients. `data` is JSON text."""

    type: str
    title: str
    message: str
    data: str
    priority: str
    actor: str | None
    resource_type: str | None
    resource_id: str | None
    group_key: str | None
    expires_in: int | None


class ToOne(NamedTuple):
    """A new notification for one person."""

    user_id: str
    content: Content


class PageCall(NamedTuple):
    """Whose list, from where: the newest `limit` that arrived before `at` and `id`, of `type` if one is given."""

    user_id: str
    at: datetime | None
    id: UUID | None
    limit: int
    type: str | None


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

    async def create(self, queries: Queries, user_ids: Sequence[str], content: Content) -> Created:
        """Content, copies and message. Raises Invalid naming the first wrong argument."""
        row = await queries.fetchrow(CREATE, user_ids, *content)
        assert row is not None
        return Created(*row)

    async def create_each(self, queries: Queries, calls: Sequence[ToOne]) -> list[Created]:
        """Several notifications of one recipient each, in this order; all of them or none. Raises Invalid."""
        return [Created(*row) for row in await queries.fetch(CREATE_EACH, *_columns(calls))]

    async def pages(self, queries: Queries, calls: Sequence[PageCall], *, read: bool | None) -> list[ListedPage]:
        """A page for each call, with the position, as of one snapshot."""
        columns = zip(*calls, strict=True)
        return [ListedPage(*row) for row in await queries.fetch(_pages(read), *columns)]

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

    async def unread_counts(self, queries: Queries, user_ids: Sequence[str]) -> list[UserCount]:
        """`{"count", "position"}` as JSON for each user, in this order, of one snapshot."""
        return [UserCount(*row) for row in await queries.fetch(UNREAD_COUNTS, user_ids)]


CREATE = """
select id, created, convert_to(payload, 'UTF8')
from callboard.create_notification($1::text[], $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10, $11)
"""

# The same for calls that came at the same time: one round trip, one commit.
CREATE_EACH = """
select n.id, n.created, convert_to(n.payload, 'UTF8')
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]::jsonb[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::integer[])
  with ordinality as call (user_id, type, title, message, data, priority, actor, resource_type, resource_id, group_key,
                           expires_in, place)
cross join lateral callboard.create_notification(
  array[call.user_id], call.type, call.title, call.message, call.data, call.priority, call.actor, call.resource_type,
  call.resource_id, call.group_key, call.expires_in) as n
order by call.place
"""

# One row more than the page tells whether another follows; its payload is not made. NULL stands for "any type": a
# statement without the parameter would be one more to prepare and keep.
PAGES = """
select listed.items, listed.last_arrived_at, listed.last_id, head.position
from unnest($1::text[], $2::timestamptz[], $3::uuid[], $4::integer[], $5::text[])
  with ordinality as call (user_id, at, id, most, type, place)
cross join lateral (
  select
    convert_to(
      '[' || coalesce(string_agg(page.item, ',' order by page.place) filter (where page.place <= call.most), '') || ']',
      'UTF8') as items,
    case when count(*) > call.most then max(page.arrived_at) filter (where page.place = call.most) end
      as last_arrived_at,
    case when count(*) > call.most then (max(page.notification_id::text) filter (where page.place = call.most))::uuid
      end as last_id
  from (
    select r.arrived_at, r.notification_id,
           row_number() over (order by r.arrived_at desc, r.notification_id desc) as place,
           callboard.notification_payload(n, r.read_at, r.seen_at, r.archived_at, r.revision) as item
    from callboard.notification_recipients r
    join callboard.notifications n on n.id = r.notification_id
    where r.user_id = call.user_id
      and (r.arrived_at, r.notification_id)
        < (coalesce(call.at, 'infinity'), coalesce(call.id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
      and (r.expires_at is null or r.expires_at > now())
      and (call.type is null or n.type = call.type)
      {read}
    order by r.arrived_at desc, r.notification_id desc
    limit call.most + 1
  ) page
) listed
cross join (select callboard.position() as position) head
order by call.place
"""


@cache
def _pages(read: bool | None) -> str:
    """PAGES with a literal filter, which the partial index of unread copies needs to be seen."""
    filters = {None: "", True: "and r.read_at is not null", False: "and r.read_at is null"}
    return PAGES.replace("{read}", filters[read])


def _columns(calls: Sequence[ToOne]) -> list[tuple[object, ...]]:
    return list(zip(*((call.user_id, *call.content) for call in calls), strict=True))


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

UNREAD_COUNTS = """
select person.id, convert_to(json_build_object(
  'count', (
    select count(*) from callboard.notification_recipients
    where user_id = person.id and read_at is null and (expires_at is null or expires_at > now())),
  'position', head.position)::text, 'UTF8')
from unnest($1::text[]) with ordinality as person (id, place)
cross join (select callboard.position() as position) head
order by person.place
"""
