"""Whatever happens at the same time to the same people, nothing waits in a circle.

PostgreSQL ends a circle after a second with an error, which fails these tests.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest
from tests.integration.notifications.inbox import Inbox
from tests.rest_client import Outbox

from callboard.notifications.model import NewNotification
from callboard.notifications.service import NotificationService
from callboard.store.database import Database

USERS = [f"u{number:02}" for number in range(40)]


class Patient:
    """A database whose statements do not give up a lock: a circle must end as one, not as a wait that was too long."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> Any:
        run = getattr(self._database, name)

        def patiently(query: str, *args: object) -> Any:
            return run(query.replace("'20ms'", "'0'"), *args)

        return patiently


WAIT = """
do $$
declare
  f regprocedure;
begin
  for f in
    select oid from pg_proc
    where pronamespace = 'callboard'::regnamespace and array_to_string(proconfig, ' ') like '%lock_timeout%'
  loop
    execute format('alter function %s set lock_timeout = 0', f);
  end loop;
end
$$
"""


@pytest.fixture
async def inbox(database: Database) -> Inbox:
    await database.execute(WAIT)
    patient: Any = Patient(database)
    made = Inbox(patient)
    await made.settings(rate_limit=1_000_000, batch_size=1_000_000)
    return made


def new(group_key: str | None = None) -> NewNotification:
    return NewNotification(type="a", title="t", message="", group_key=group_key)


async def test_single_creates_that_are_batched_in_opposite_orders(inbox: Inbox) -> None:
    nodes = [NotificationService(inbox.database, Outbox(inbox.database)) for _ in range(3)]
    calls = []
    for number, node in enumerate(nodes * 2):
        order = USERS if number % 2 else USERS[::-1]
        calls += [node.create(user, new("g" if number % 3 else None), actor=None) for user in order]
    await asyncio.gather(*calls)
    sent = await inbox.database.fetchval("select count(*) from callboard.notification_recipients")
    assert sent == len(calls)


async def test_batches_and_singles_and_keys(inbox: Inbox) -> None:
    other = NotificationService(inbox.database, Outbox(inbox.database))
    await asyncio.gather(
        *(inbox.service.create(USERS if n % 2 else USERS[::-1], new("g"), actor=None) for n in range(6)),
        *(other.create(user, new("g"), actor=None) for user in USERS[::-1]),
    )
    counts = {item["group"]["count"] for user in USERS for item in await inbox.items(user)}
    assert counts == {7}


async def test_changes_of_the_same_ones_in_any_order(inbox: Inbox) -> None:
    """List order, the order of ids and that of the rows on disk all differ."""
    ids = [await inbox.id_of("u1", f"t{number}") for number in range(60)]
    await inbox.database.execute(
        "update callboard.notification_recipients "
        "set arrived_at = '2026-01-01'::timestamptz + random() * interval '1 h'"
    )
    for _ in range(15):
        await asyncio.gather(
            inbox.service.mark_all_read("u1"),
            inbox.service.change_many("u1", ids, "seen"),
            inbox.service.change_many("u1", ids[::-1], "unread"),
            inbox.service.mark_all_read("u1"),
        )
    reading = asyncio.create_task(inbox.service.mark_all_read("u1"))
    deleted = await asyncio.gather(*(inbox.service.delete_many("u1", ids) for _ in range(2)))
    assert sorted(deleted) == [0, 60]
    await reading


async def change(inbox: Inbox, what: str, ids: list[UUID]) -> None:
    match what:
        case "read-all":
            await inbox.service.mark_all_read("u1")
        case "seen":
            await inbox.service.change_many("u1", ids, "seen")
        case "delete":
            await inbox.service.delete_many("u1", ids)


@pytest.mark.parametrize("what", ["read-all", "seen", "delete"])
async def test_groups_that_grow_while_they_are_changed(inbox: Inbox, what: str) -> None:
    """Neither the order of keys nor that of the groups' beginnings is that of the calls."""
    chance = random.Random(4)
    keys = [f"g{number:02}" for number in range(30)]
    for _ in range(10):
        for key in chance.sample(keys, len(keys)):
            await inbox.notify(group_key=key)
        ids = [UUID(item["id"]) for item in await inbox.items()]
        growing = [inbox.service.create("u1", new(key), actor=None) for key in chance.sample(keys, len(keys))]
        await asyncio.gather(*growing, *(change(inbox, what, ids) for _ in range(2)))
