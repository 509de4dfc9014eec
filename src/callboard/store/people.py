"""Who is known: people, as their verified tokens name them.

Owns: writing a token's name and teams to the table `people`, seldom and together. Never: a write for what is stored
already, a request that waits for it. A token without a name or without teams takes nothing from what a host wrote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from callboard.errors import CallboardError
from callboard.store.database import Queries
from callboard.telemetry import log

MAX_KNOWN = 100_000
MAX_IN_STATEMENT = 1_000
RETRY = 5.0

_Person = tuple[str | None, tuple[str, ...]]


class People:
    """Remembers whom it has written, up to 100,000: then it begins anew. What waits is a person once."""

    def __init__(
        self, queries: Queries, *, interval: float = 0.2, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._queries = queries
        self._interval = interval
        self._pause = pause
        self._known: dict[str, _Person] = {}
        self._waiting: dict[str, _Person] = {}
        self._wake = asyncio.Event()

    def note(self, user_id: str, name: str | None, teams: Collection[str]) -> None:
        """A token of this person was verified. Returns at once."""
        person = name, tuple(sorted(teams)) if teams else ()
        if self._known.get(user_id) == person or person == (None, ()):
            return
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[user_id] = self._waiting[user_id] = person
        self._wake.set()

    async def run(self) -> None:
        """Write what is noted, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._write()
                await self._pause(self._interval)
            except CallboardError as error:
                log.warning("task.failed", task="people", reason=error.message)
                await self._pause(RETRY)
                self._wake.set()

    async def _write(self) -> None:
        """Write who waits by now. Who is noted meanwhile waits for the next time: when many come, writes are few."""
        waiting = sorted(self._waiting)
        for start in range(0, len(waiting), MAX_IN_STATEMENT):
            ids = waiting[start : start + MAX_IN_STATEMENT]
            people = [self._waiting.pop(id_) for id_ in ids]
            try:
                await write(self._queries, ids, people)
            except CallboardError:
                for id_, person in zip(ids, people, strict=True):
                    self._waiting.setdefault(id_, person)
                raise


async def write(queries: Queries, ids: Sequence[str], people: Sequence[_Person]) -> None:
    """Store names and teams, in the order of `ids`, which is sorted so that two nodes do not deadlock."""
    await queries.execute(WRITE, ids, [name for name, _ in people], ["\x1f".join(teams) or None for _, teams in people])


# Arrays of arrays must be rectangular, so teams come joined by a character that no team has.
WRITE = r"""
insert into callboard.people as person (id, name, teams)
select token.id, token.name, coalesce(string_to_array(token.teams, E'\x1f'), '{}')
from unnest($1::text[], $2::text[], $3::text[]) as token (id, name, teams)
order by token.id collate "C"
on conflict (id) do update
  set name = coalesce(excluded.name, person.name),
      teams = case when excluded.teams = '{}' then person.teams else excluded.teams end
  where person.name is distinct from coalesce(excluded.name, person.name)
    or (excluded.teams <> '{}' and excluded.teams <> person.teams)
"""
