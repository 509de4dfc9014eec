"""What tests of the inbox share: the slice on real PostgreSQL, a status for people, and what was sent.

Owns: short names for use cases, and `callboard.attention` as a test sets it. Never: an assertion about the product but
that a call was taken.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from tests.rest_client import Outbox

from callboard.auth.access import DefaultAccess
from callboard.notifications.choices import ChoiceService
from callboard.notifications.creation_store import Created, CreationStore
from callboard.notifications.model import NewNotification
from callboard.notifications.preferences import PreferencesUpdate
from callboard.notifications.service import NotificationService
from callboard.notifications.upkeep_store import Released, UpkeepStore
from callboard.store.database import Database

HOUR = timedelta(hours=1)


class Sent(NamedTuple):
    name: str
    rooms: list[str]
    payload: dict[str, Any]


def now() -> datetime:
    return datetime.now(UTC)


def quiet_now(moment: datetime) -> dict[str, Any]:
    """Quiet hours that the moment is in the middle of."""
    return {"start": f"{moment - HOUR:%H:%M}", "end": f"{moment + HOUR:%H:%M}", "timezone": "UTC"}


class Inbox:
    """The slice on a database of its own."""

    def __init__(self, database: Database, creation: CreationStore | None = None) -> None:
        self.database = database
        self.outbox = Outbox(database)
        self.service = NotificationService(database, self.outbox, creation=creation)
        self.choices = ChoiceService(database, DefaultAccess())
        self.upkeep = UpkeepStore()

    async def settings(self, **values: object) -> None:
        for name, value in values.items():
            await self.database.execute(f"update callboard.notification_settings set {name} = $1", value)

    async def notify(self, to: Any = "u1", title: str = "t", *, actor: str | None = None, **fields: Any) -> Created:
        new = msgspec.convert({"type": "a", "message": "", "title": title, **fields}, NewNotification)
        return await self.service.create(to, new, actor=actor)

    async def id_of(self, to: Any = "u1", title: str = "t", **fields: Any) -> UUID:
        made = (await self.notify(to, title, **fields)).id
        assert made is not None
        return made

    async def items(self, user: str = "u1") -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads((await self.service.page(user, limit=100)).items)
        return listed

    async def titles(self, user: str = "u1") -> list[str]:
        """The list, newest arrival first."""
        return [item["title"] for item in await self.items(user)]

    async def count(self, user: str = "u1") -> int:
        count: int = json.loads(await self.service.unread_count(user))["count"]
        return count

    async def explain(self, id_: UUID, user: str = "u1") -> dict[str, Any]:
        explained: dict[str, Any] = json.loads(await self.service.explain(user, id_))
        return explained

    async def prefer(self, user: str = "u1", **changes: Any) -> dict[str, Any]:
        preferences: dict[str, Any] = json.loads(
            await self.choices.update(user, msgspec.convert(changes, PreferencesUpdate))
        )
        return preferences

    async def sent(self) -> list[Sent]:
        """What was sent since the last call, in order."""
        rows = await self.database.fetch(
            "with taken as (delete from callboard.outbox returning *) select * from taken order by id"
        )
        return [Sent(row["name"], row["rooms"], json.loads(row["payload"])) for row in rows]

    async def release(self, at: datetime, most: int = 500) -> Released:
        return await self.upkeep.release_held(self.database, at, most)

    async def people_have_a_status(self) -> None:
        """Puts a table of the test behind `callboard.attention`."""
        await self.database.execute("create table statuses (user_id text primary key, status text, until timestamptz)")
        await self.database.execute(
            "create or replace view callboard.attention as select user_id, status, until from public.statuses"
        )

    async def status(self, status: str | None, until: datetime | None = None, user: str = "u1") -> None:
        """A person's status, without the reaction that has what is held decided again."""
        await self.database.execute(
            "insert into statuses values ($1, $2, $3) on conflict (user_id) do update set status = $2, until = $3",
            user,
            status,
            until,
        )
