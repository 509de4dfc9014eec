"""What clients have subscribed to, for their recovery on any node: the table `sessions`.

Owns: one row for each recovery id whose client has subscribed to something, for an hour longer than the recovery window
after its last sign of life. Never: who may subscribe, or a row for a client that has not.

A missing row must not be taken for "nothing was subscribed to" if it may have been forgotten. It cannot have been while
something shows that the client was here within the window: its pid was issued, or its last message logged, in it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from callboard.store.batching import Batcher
from callboard.store.database import Queries

# A few in the time of a round trip share it: a page that opens, or a storm of clients that come back.
_TOGETHER = 200
# Rows that one statement forgets.
FORGOTTEN = 2_000

# Rows are locked in the order of their pids, here and in TOUCH, so that no two statements wait for each other.
CHANGE = """
with change as materialized (
  select pid, user_id, namespace, added, removed
  from jsonb_to_recordset($1::jsonb)
    as change(pid text, user_id text, namespace text, added text[], removed text[])
)
insert into callboard.sessions as session (pid, user_id, namespace, rooms)
select pid, user_id, namespace, added from change order by pid
on conflict (pid) do update set rooms = array(
  select room from unnest(session.rooms) room
  where room <> all ((select change.removed from change where change.pid = session.pid)::text[])
  union
  select room from unnest(excluded.rooms) room
)
"""

# The rows of who comes back have a sign of life; one that another statement holds has one already.
FIND = """
with asked as materialized (
  select n, pid, user_id, namespace, after, issued
  from jsonb_to_recordset($1::jsonb)
    as asked(n integer, pid text, user_id text, namespace text, after bigint, issued bigint)
), touched as (
  update callboard.sessions set updated_at = updated_at
  where pid in (
    select session.pid from callboard.sessions session join asked using (pid, user_id, namespace)
    where session.updated_at < now() - interval '15 minutes'
    for update of session skip locked
  )
)
select session.rooms, case
    when session.pid is not null or to_timestamp(asked.issued) > now() - make_interval(hours => $2) then true
    else exists (
      select from callboard.message_log message
      where message.seq = asked.after and message.logged_at > now() - make_interval(hours => $2)
    )
  end as known
from asked left join callboard.sessions session using (pid, user_id, namespace)
order by asked.n
"""

TOUCH = """
with found as materialized (
  select pid from callboard.sessions where pid = any ($1::text[]) order by pid for update
)
update callboard.sessions session set updated_at = session.updated_at
from found where session.pid = found.pid
returning session.pid
"""

FORGET = """
delete from callboard.sessions
where pid in (
  select pid from callboard.sessions
  where updated_at < now() - make_interval(hours => $1 + 1)
  order by updated_at limit $2
  for update skip locked
)
"""


class _Change(NamedTuple):
    pid: str
    user_id: str
    namespace: str
    added: Collection[str]
    removed: Collection[str]


class _Question(NamedTuple):
    pid: str
    user_id: str
    namespace: str
    after: int
    issued: int


class SessionStore:
    """See realtime.subscriptions.Sessions. Calls that come at the same time share a statement."""

    def __init__(self, queries: Queries, *, recovery_window_hours: int) -> None:
        self._queries = queries
        self._window = recovery_window_hours
        self._changes: Batcher[_Change, None] = Batcher(self._change, most=_TOGETHER)
        self._questions: Batcher[_Question, list[str] | None] = Batcher(self._find, most=_TOGETHER)

    async def change(
        self, pid: str, *, user_id: str, namespace: str, added: Collection[str], removed: Collection[str]
    ) -> None:
        """Add rooms and remove rooms. Raises Unavailable; it may have been done then."""
        await self._changes.call(_Change(pid, user_id, namespace, added, removed))

    async def find(self, pid: str, *, user_id: str, namespace: str, after: int, issued: int) -> list[str] | None:
        """The rooms; None if they may be forgotten. Raises Unavailable."""
        return await self._questions.call(_Question(pid, user_id, namespace, after, issued))

    async def touch(self, pids: Collection[str]) -> list[str]:
        """A sign of life of each; those that have a row. Raises Unavailable."""
        return [row["pid"] for row in await self._queries.fetch(TOUCH, list(pids))]

    async def _change(self, changes: Sequence[_Change]) -> list[None]:
        await self._queries.execute(CHANGE, _json([change._asdict() for change in changes]))
        return [None] * len(changes)

    async def _find(self, questions: Sequence[_Question]) -> list[list[str] | None]:
        asked = [{"n": n, **question._asdict()} for n, question in enumerate(questions)]
        rows = await self._queries.fetch(FIND, _json(asked), self._window)
        return [(row["rooms"] or []) if row["known"] else None for row in rows]


def _json(rows: list[dict[str, object]]) -> str:
    return msgspec.json.encode(rows).decode()
