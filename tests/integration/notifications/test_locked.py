"""A host's transaction that has notified somebody stays open: who waits for it leaves connections to the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.integration.notifications.inbox import Inbox
from tests.waiting import until

from callboard.store.database import Database

NOTIFY = "select callboard.notify(array['locked'], 'note', 'held', '')"
WAITING = "select count(*) = $1 from pg_locks where not granted"


@pytest.fixture
async def pool(dsn: str, database: Database) -> AsyncIterator[Database]:
    """Of the size that a server has."""
    opened = await Database.open(dsn)
    yield opened
    await opened.close()


async def test_while_many_creates_wait_others_are_read_and_notified(dsn: str, pool: Database) -> None:
    inbox = Inbox(pool)
    await inbox.notify("other")
    host = await asyncpg.connect(dsn)
    held = host.transaction()
    await held.start()
    await host.execute(NOTIFY)
    waiting = [asyncio.create_task(inbox.notify(["locked", f"u{number}"])) for number in range(30)]
    waiting += [asyncio.create_task(inbox.notify("locked", group_key=key)) for key in (None, "g")]
    await until(lambda: pool.fetchval(WAITING, 6))

    assert await inbox.titles("other") == ["t"]
    assert await inbox.count("other") == 1
    await inbox.notify("other")
    assert await inbox.count("other") == 2

    await held.commit()
    await host.close()
    await asyncio.gather(*waiting)
    assert await inbox.count("locked") == 33
