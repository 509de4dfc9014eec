"""The inbox in PostgreSQL: one method, one statement.

Owns: the SQL of lists, counts and changes (that of creating is in `creation_store.py`, what a person chose in
`preferences_store.py`). Each statement that changes a copy also writes its message, so the two commit together. Never:
a rule, a transaction, a JSON shape of its own.

Changes give up a lock soon, such as that of a host's transaction which has grown a group, and raise Locked: then
nothing is done.

What has expired is absent: it is neither listed, counted, changed nor deleted, from its moment on and before upkeep
removes it. So is what has not arrived: a copy without `arrived_at` is held, folded or suppressed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from callboard.store.database import Queries

# Half of what recovery replays: reading all must not push a reconnecting client into a fresh start.
READ_ALL_MESSAGES = 500
# How many others one of these messages names. With the largest notification it is still within what a message may have.
READ_ALL_NAMED = 200


class PageCall(NamedTuple):
    """Whose list, from where: the newest `limit` that arrived before `at` and `id`, of `type` if one is given."""

    user_id: str
    at: datetime | None
    id: UUID | None
    limit: int
    type: str | None


class ListedPage(NamedTuple):
    """`items`: a JSON array; `last_at` and `last_id` name the last item, if more follow."""

    items: bytes
    last_at: datetime | None
    last_id: UUID | None
    position: str


class Marked(NamedTuple):
    """A copy after a change that may have changed nothing."""

    payload: bytes
    changed: bool


class AllRead(NamedTuple):
    """How many became read: all that had arrived at `position`."""

    updated: int
    position: str


class UserCount(msgspec.Struct, frozen=True):
    """`payload`: the message `notification:unread-count` for one user."""

    user_id: str
    payload: bytes


Change = Literal["read", "unread", "seen", "archive", "unarchive"]


class NotificationStore:
    """Statements; each takes what it runs on, the pool or a transaction."""

    async def pages(
        self, queries: Queries, calls: Sequence[PageCall], *, read: bool | None, archived: bool
    ) -> list[ListedPage]:
        """A page for each call, with the position, as of one snapshot."""
        columns = zip(*calls, strict=True)
        return [ListedPage(*row) for row in await queries.fetch(pages_statement(read, archived), *columns)]

    async def change(self, queries: Queries, user_id: str, ids: Sequence[UUID], change: Change) -> list[Marked]:
        """Change copies, in the order of their ids; unknown ones are passed over.

        Nothing changes and nothing is sent for one that is so already.
        """
        return [Marked(*row) for row in await queries.fetch(_change(change), user_id, ids)]

    async def mark_all_read(self, queries: Queries, user_id: str) -> AllRead:
        """Make read what this statement's snapshot shows as unread: what commits later stays unread.

        The newest READ_ALL_MESSAGES get a message each, and those name the others; of very many, more get one.
        """
        row = await queries.fetchrow(MARK_ALL_READ, user_id, READ_ALL_MESSAGES, READ_ALL_NAMED)
        assert row is not None
        return AllRead(row["updated"], row["position"])

    async def delete(self, queries: Queries, user_id: str, ids: Sequence[UUID]) -> int:
        """Remove copies; how many there were. Contents, and what has expired, stay for upkeep."""
        deleted: int = await queries.fetchval(DELETE, user_id, ids)
        return deleted

    async def unread_counts(self, queries: Queries, user_ids: Sequence[str]) -> list[UserCount]:
        """`{"count", "position"}` as JSON for each user, in this order, of one snapshot."""
        return [UserCount(*row) for row in await queries.fetch(UNREAD_COUNTS, user_ids)]


# One row more than the page tells whether another follows; its payload is not made. NULL stands for "any type": a
# statement without the parameter would be one more to prepare and keep.
PAGES = """
select listed.items, listed.last_at, listed.last_id, head.position
from unnest($1::text[], $2::timestamptz[], $3::uuid[], $4::integer[], $5::text[])
  with ordinality as call (user_id, at, id, most, type, place)
cross join lateral (
  select
    convert_to(
      '[' || coalesce(string_agg(page.item, ',' order by page.place) filter (where page.place <= call.most), '') || ']',
      'UTF8') as items,
    case when count(*) > call.most then max(page.arrived_at) filter (where page.place = call.most) end as last_at,
    case when count(*) > call.most then (max(page.notification_id::text) filter (where page.place = call.most))::uuid
      end as last_id
  from (
    select r.arrived_at, r.notification_id,
           row_number() over (order by r.arrived_at desc, r.notification_id desc) as place,
           callboard.notification_payload(n, coalesce(l, n), r) as item
    from callboard.notification_recipients r
    join callboard.notifications n on n.id = r.notification_id
    left join callboard.notifications l on l.id = r.group_latest
    where r.user_id = call.user_id
      and (r.arrived_at, r.notification_id)
        < (coalesce(call.at, 'infinity'), coalesce(call.id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
      and r.arrived_at is not null
      and (r.expires_at is null or r.expires_at > now())
      and (call.type is null or n.type = call.type)
      {filters}
    order by r.arrived_at desc, r.notification_id desc
    limit call.most + 1
  ) page
) listed
cross join (select callboard.position() as position) head
order by call.place
"""


@cache
def pages_statement(read: bool | None, archived: bool) -> str:
    """PAGES with literal filters, which the partial index of unread copies needs to be seen."""
    reads = {None: "", True: "and r.read_at is not null", False: "and r.read_at is null"}
    archives = {True: "and r.archived_at is not null", False: "and r.archived_at is null"}
    return PAGES.replace("{filters}", f"{reads[read]} {archives[archived]}")


# What a change sets, and which copies it changes.
_CHANGES: dict[Change, tuple[str, str]] = {
    "read": ("read_at = at, seen_at = coalesce(r.seen_at, at), group_open = false", "read_at is null"),
    "unread": ("read_at = null, seen_at = coalesce(r.seen_at, at)", "read_at is not null"),
    "seen": ("seen_at = at", "seen_at is null"),
    "archive": ("archived_at = at, seen_at = coalesce(r.seen_at, at), group_open = false", "archived_at is null"),
    "unarchive": ("archived_at = null", "archived_at is not null"),
}

# True, and from there on the transaction gives up a lock after 20 ms, as in `create_soon`. PostgreSQL evaluates it
# once, before any row is locked.
_SOON = "(select set_config('lock_timeout', '20ms', true)) is not null"

# Whoever changes several copies of a user locks them in the order of group_key and then of ids, as calls that share a
# transaction add to groups in that of group_key (`create_each`): so nobody waits in a circle.

# The rows are locked first, in one order, so two at once change them once, and both see what they became. Messages are
# counted, not asked for with EXISTS, which stops at the first and leaves the others unsent.
_CHANGE = """
with target as materialized (
  select r as copy, r.notification_id, r.group_latest, {needed} as needed
  from callboard.notification_recipients r
  where r.user_id = $1 and r.notification_id = any ($2::uuid[]) and r.arrived_at is not null
    and (r.expires_at is null or r.expires_at > now()) and {soon}
  order by r.group_key collate "C" nulls first, r.notification_id
  for update
), changed as (
  update callboard.notification_recipients r
  set {set}, revision = r.revision + 1
  from target, (select date_trunc('milliseconds', clock_timestamp()) as at) moment
  where r.user_id = $1 and r.notification_id = target.notification_id and target.needed
  returning r as copy, r.notification_id
), answer as materialized (
  select t.notification_id, t.needed as changed,
         callboard.notification_payload(n, callboard.shown_content(n, t.group_latest), coalesce(c.copy, t.copy))
           as payload
  from target t
  left join changed c on c.notification_id = t.notification_id
  join callboard.notifications n on n.id = t.notification_id
  order by t.notification_id
), sent as materialized (
  select callboard.enqueue_text(array['user:' || $1], 'notification:updated', payload, '/feed')
  from answer
  where changed
)
select convert_to(payload, 'UTF8'), changed and (select count(*) from sent) > 0
from answer
order by notification_id
"""


@cache
def _change(change: Change) -> str:
    set_, needed = _CHANGES[change]
    return _CHANGE.replace("{set}", set_).replace("{needed}", f"r.{needed}").replace("{soon}", _SOON)


MARK_ALL_READ = """
with unread as materialized (
  select notification_id
  from callboard.notification_recipients
  where user_id = $1 and arrived_at is not null and read_at is null and archived_at is null
    and (expires_at is null or expires_at > now()) and {soon}
  order by group_key collate "C" nulls first, notification_id
  for update
), moment as materialized (  -- one for all: `also_read` has none of its own
  select date_trunc('milliseconds', clock_timestamp()) as at
), changed as (
  update callboard.notification_recipients r
  set read_at = moment.at, seen_at = coalesce(r.seen_at, moment.at), group_open = false, revision = r.revision + 1
  from unread, moment
  where r.notification_id = unread.notification_id and r.user_id = $1 and r.read_at is null
  returning r as copy, r.notification_id, r.arrived_at, r.group_latest
), placed as materialized (
  select changed.*, row_number() over (order by arrived_at desc, notification_id desc) as place,
         greatest($2::integer, ceil(count(*) over () / ($3::integer + 1.0)))::integer as most
  from changed
), named as materialized (
  select (place - most - 1) / $3 + 1 as place,
         json_agg(json_build_object('id', notification_id, 'revision', (copy).revision))::text as also_read
  from placed
  where place > most
  group by 1
), told as materialized (
  select case when named.also_read is null then made.payload
              else left(made.payload, -1) || ',"also_read":' || named.also_read || '}' end as payload
  from placed p
  join callboard.notifications n on n.id = p.notification_id
  cross join lateral (
    select callboard.notification_payload(n, callboard.shown_content(n, p.group_latest), p.copy) as payload
    offset 0) made
  left join named on named.place = p.place
  where p.place <= p.most
  order by p.place desc
), sent as materialized (
  select callboard.enqueue_text(array['user:' || $1], 'notification:updated', payload, '/feed') from told
)
select (select count(*) from changed) as updated, callboard.position() as position,
       (select count(*) from sent) as messages
""".replace("{soon}", _SOON)

DELETE = """
with target as materialized (
  select notification_id
  from callboard.notification_recipients
  where user_id = $1 and notification_id = any ($2::uuid[]) and arrived_at is not null
    and (expires_at is null or expires_at > now()) and {soon}
  order by group_key collate "C" nulls first, notification_id
  for update
), gone as (
  delete from callboard.notification_recipients r
  using target
  where r.user_id = $1 and r.notification_id = target.notification_id
  returning r.notification_id, r.revision + 1 as revision
), sent as materialized (
  select callboard.enqueue_text(array['user:' || $1], 'notification:deleted',
    json_build_object('id', notification_id, 'revision', revision)::text, '/feed')
  from gone
)
select count(*) from sent
""".replace("{soon}", _SOON)

UNREAD_COUNTS = """
select person.id, convert_to(json_build_object(
  'count', (
    select count(*) from callboard.notification_recipients
    where user_id = person.id and arrived_at is not null and read_at is null and archived_at is null
      and (expires_at is null or expires_at > now())),
  'position', head.position)::text, 'UTF8')
from unnest($1::text[]) with ordinality as person (id, place)
cross join (select callboard.position() as position) head
order by person.place
"""
