"""What people chose, in PostgreSQL: preferences and subscriptions; one method, one statement.

Owns: their SQL. A change of preferences has what is held for the user decided again, in the same statement.
Never: a rule, a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from callboard.notifications.store import ListedPage
from callboard.store.database import Queries


class Chosen(NamedTuple):
    """A change of preferences: JSON texts, None for what stays. `set_quiet_hours`: whether they are given at all."""

    muted_types: Sequence[str] | None
    muted_resources: str | None
    set_quiet_hours: bool
    quiet_hours: str | None
    types: str | None


class NotificationSettings(NamedTuple):
    """The settings that SQL callers meet too."""

    rate_limit: int
    rate_overflow: str
    batch_size: int
    batch_timeout_ms: int
    types: Sequence[str] | None


class PreferencesStore:
    """Statements; each takes what it runs on, the pool or a transaction."""

    async def preferences(self, queries: Queries, user_id: str) -> bytes:
        """A user's preferences as JSON; the defaults are stored when there are none."""
        found: bytes = await queries.fetchval(PREFERENCES, user_id)
        return found

    async def update(self, queries: Queries, user_id: str, chosen: Chosen) -> bytes:
        """Store a change; the preferences as JSON."""
        updated: bytes = await queries.fetchval(UPDATE, user_id, *chosen)
        return updated

    async def follow(self, queries: Queries, user_id: str, resource_type: str, resource_id: str) -> bytes:
        """Follow a resource, once; the subscription as JSON."""
        followed: bytes = await queries.fetchval(FOLLOW, user_id, resource_type, resource_id)
        return followed

    async def unfollow(self, queries: Queries, user_id: str, resource_type: str, resource_id: str) -> bool:
        """Stop following; False if the user did not."""
        return await queries.fetchval(UNFOLLOW, user_id, resource_type, resource_id) is not None

    async def subscriptions(
        self, queries: Queries, user_id: str, at: datetime | None, id_: UUID | None, limit: int
    ) -> ListedPage:
        """A user's subscriptions, the newest first."""
        row = await queries.fetchrow(SUBSCRIPTIONS, user_id, at, id_, limit)
        assert row is not None
        return ListedPage(*row)

    async def configure(self, queries: Queries, settings: NotificationSettings) -> None:
        """Write the settings that SQL callers meet too. The node that starts last decides."""
        await queries.execute(CONFIGURE, *settings)


_PREFERENCES_JSON = """convert_to(json_build_object(
  'muted_types', p.muted_types, 'muted_resources', p.muted_resources, 'quiet_hours', p.quiet_hours,
  'types', p.types, 'updated_at', callboard.utc_text(p.updated_at))::text, 'UTF8')"""

PREFERENCES = """
with found as (
  select {preferences} as item from callboard.notification_preferences p where p.user_id = $1
), made as (
  insert into callboard.notification_preferences as p (user_id)
  select $1 where not exists (select from found)
  -- Another made them meanwhile, which this snapshot does not show.
  on conflict (user_id) do update set user_id = excluded.user_id
  returning {preferences} as item
)
select item from found
union all
select item from made
""".replace("{preferences}", _PREFERENCES_JSON)

UPDATE = """
with updated as (
  insert into callboard.notification_preferences as p (user_id, muted_types, muted_resources, quiet_hours, types)
  values ($1, coalesce($2::text[], '{}'), coalesce($3::jsonb, '[]'), case when $4::boolean then $5::jsonb end,
          coalesce($6::jsonb, '{}'))
  on conflict (user_id) do update
    set muted_types = coalesce($2::text[], p.muted_types),
        muted_resources = coalesce($3::jsonb, p.muted_resources),
        quiet_hours = case when $4::boolean then $5::jsonb else p.quiet_hours end,
        types = coalesce($6::jsonb, p.types)
  returning {preferences} as item
)
select updated.item
from callboard.check_timezone($5::jsonb ->> 'timezone') cross join updated cross join callboard.reconsider_held($1)
""".replace("{preferences}", _PREFERENCES_JSON)

FOLLOW = """
with made as (
  insert into callboard.subscriptions (user_id, resource_type, resource_id) values ($1, $2, $3)
  on conflict (resource_type, resource_id, user_id) do update set resource_id = excluded.resource_id
  returning resource_type, resource_id, created_at
)
select convert_to(json_build_object('resource_type', resource_type, 'resource_id', resource_id,
  'created_at', callboard.utc_text(created_at))::text, 'UTF8')
from made
"""

UNFOLLOW = """
delete from callboard.subscriptions where user_id = $1 and resource_type = $2 and resource_id = $3 returning id
"""

SUBSCRIPTIONS = """
select
  convert_to(
    '[' || coalesce(string_agg(page.item, ',' order by page.place) filter (where page.place <= $4), '') || ']',
    'UTF8'),
  case when count(*) > $4 then max(page.created_at) filter (where page.place = $4) end,
  case when count(*) > $4 then (max(page.id::text) filter (where page.place = $4))::uuid end,
  callboard.position()
from (
  select s.created_at, s.id,
         row_number() over (order by s.created_at desc, s.id desc) as place,
         json_build_object('resource_type', s.resource_type, 'resource_id', s.resource_id,
           'created_at', callboard.utc_text(s.created_at))::text as item
  from callboard.subscriptions s
  where s.user_id = $1
    and (s.created_at, s.id) < (coalesce($2::timestamptz, 'infinity'),
      coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  order by s.created_at desc, s.id desc
  limit $4::integer + 1
) page
"""

CONFIGURE = """
update callboard.notification_settings
set rate_limit = $1, rate_overflow = $2, batch_size = $3, batch_timeout = make_interval(secs => $4::integer / 1000.0),
    types = $5::text[]
"""
