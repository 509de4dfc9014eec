"""Whatever happens at the same time to the same people, nothing waits in a circle.

PostgreSQL ends a circle after a second with an error, which fails these tests.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from tests.integration.notifications.inbox import Inbox
from tests.rest_client import Outbox

from callboard.notifications.model import NewNotification
from callboard.notifications.service import NotificationService
from callboard.store.database import Database, Queries

USERS = [f"u{number:02}" for number in range(40)]
GROUPS = ["d", "b", "c", "a"]


@pytest.fixture
async def inbox(database: Database) -> Inbox:
    made = Inbox(database)
    await made.settings(rate_limit=1_000_000, batch_size=1_000_000)
    return made


def new(group_key: str | None = None) -> NewNotification:
    return NewNotification(type="a", title="t", message="", group_key=group_key)


async def test_single_creates_that_are_batched_in_opposite_orders(inbox: Inbox) -> None:
    nodes = [NotificationService(inbox.database, Outbox()) for _ in range(3)]
    calls = []
    for number, node in enumerate(nodes * 2):
        order = USERS if number % 2 else USERS[::-1]
        calls += [node.create(user, new("g" if number % 3 else None), actor=None) for user in order]
    await asyncio.gather(*calls)
    sent = await inbox.database.fetchval("select count(*) from callboard.notification_recipients")
    assert sent == len(calls)


async def test_batches_and_singles_and_keys(inbox: Inbox) -> None:
    other = NotificationService(inbox.database, Outbox())
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


async def grow(database: Queries, keys: list[str]) -> None:
    """Single creates of one user that share a transaction, in this order."""
    await database.execute(
        "select callboard.create_notification(array['u1'], 'a', 't', '', '{}', 'normal', null, null, null, key, null)"
        " from unnest($1::text[]) as key",
        keys,
    )


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
    for number in range(8):
        keys = GROUPS if number % 2 else GROUPS[::-1]
        await grow(inbox.database, sorted(GROUPS))
        ids = [UUID(item["id"]) for item in await inbox.items("u1")]
        growing = [grow(inbox.database, keys * 5) for _ in range(2)]
        await asyncio.gather(*growing, *(change(inbox, what, ids) for _ in range(2)))


async def test_changing_several_waits_for_who_adds_to_their_groups(inbox: Inbox) -> None:
    """So that neither can hold one that the other wants next."""
    await grow(inbox.database, ["a", "b"])
    async with inbox.database.transaction() as creator:
        await grow(creator, ["b"])
        reading = asyncio.create_task(inbox.service.mark_all_read("u1"))
        while not await inbox.database.fetchval("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0)
        await grow(creator, ["a"])
    assert (await reading).updated == 2
