"""A host's transaction that has notified somebody stays open: who waits for it leaves connections to the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest
from asyncpg.transaction import Transaction
from tests.integration.notifications.inbox import Inbox
from tests.waiting import until

from callboard.notifications.creation_store import Created, CreationStore, ToOne
from callboard.notifications.service import ALONE, TO_MANY
from callboard.store.database import Database, Locked
from callboard.store.outbox import Sending

NOTIFY = "select callboard.notify(array['locked'], 'note', 'held', '')"
WAITING = "select count(*) = $1 from pg_locks where not granted"


@pytest.fixture
async def pool(dsn: str, database: Database) -> AsyncIterator[Database]:
    """Of the size that a server has."""
    opened = await Database.open(dsn)
    yield opened
    await opened.close()


@pytest.fixture
async def host(dsn: str) -> AsyncIterator[Transaction]:
    """The transaction of a host that has notified "locked"."""
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(NOTIFY)
    yield transaction
    await connection.close()


async def test_while_many_creates_wait_others_are_read_and_notified(pool: Database, host: Transaction) -> None:
    inbox = Inbox(pool)
    await inbox.notify("other")
    waiting = [asyncio.create_task(inbox.notify(["locked", f"u{number}"])) for number in range(30)]
    waiting += [asyncio.create_task(inbox.notify("locked", group_key=key)) for key in (None, "g")]
    await until(lambda: pool.fetchval(WAITING, TO_MANY + ALONE))

    assert await inbox.titles("other") == ["t"]
    assert await inbox.count("other") == 1
    await inbox.notify("other")
    assert await inbox.count("other") == 2

    await host.commit()
    await asyncio.gather(*waiting)
    assert await inbox.count("locked") == 33


@pytest.mark.parametrize("group", [None, "g"])
async def test_of_creates_that_come_together_only_those_wait_that_must(
    pool: Database, host: Transaction, group: str | None
) -> None:
    inbox = Inbox(pool)
    # They share a statement.
    together = [
        asyncio.create_task(inbox.notify(user, group_key=group))
        for user in ("u1", "locked", "u2", "u3", "locked", "u4")
    ]
    for place in (0, 2, 3, 5):
        assert (await together[place]).created == 1
    await until(lambda: pool.fetchval(WAITING, ALONE))
    await host.commit()
    await asyncio.gather(*together)
    assert await inbox.count("locked") == (3 if group is None else 2)


class CountingLocks(CreationStore):
    """Counts the statements of several that somebody's lock has stopped."""

    locked = 0

    async def create_each(self, outbox: Sending, calls: Sequence[ToOne]) -> list[Created]:
        try:
            return await super().create_each(outbox, calls)
        except Locked:
            self.locked += 1
            raise

    async def has_met_one(self) -> bool:
        return self.locked == 1


async def test_a_lock_that_is_known_stops_nobody_again(pool: Database, host: Transaction) -> None:
    store = CountingLocks()
    inbox = Inbox(pool, store)
    first = asyncio.create_task(inbox.notify("locked"))
    await until(store.has_met_one)
    second = [asyncio.create_task(inbox.notify(user)) for user in ("u1", "locked", "u2")]
    await asyncio.gather(second[0], second[2])
    await host.commit()
    await asyncio.gather(first, *second)
    assert store.locked == 1
    # It is forgotten with the last who waited.
    await asyncio.gather(*(inbox.notify(user) for user in ("u1", "locked", "u2")))
    assert (store.locked, await inbox.count("locked")) == (1, 4)


async def test_a_limit_holds_for_who_has_waited(pool: Database, host: Transaction) -> None:
    inbox = Inbox(pool)
    await inbox.settings(rate_limit=2)
    waiting = [asyncio.create_task(inbox.notify("locked")) for _ in range(3)]
    await until(lambda: pool.fetchval(WAITING, ALONE))
    await host.commit()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Created", "RateLimited", "RateLimited"]
    assert await inbox.count("locked") == 2
