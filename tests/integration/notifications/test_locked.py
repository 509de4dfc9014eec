"""A host's transaction that has notified somebody stays open: who waits for it leaves connections to the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import asyncpg
import pytest
from asyncpg.transaction import Transaction
from tests.integration.notifications.inbox import Inbox
from tests.waiting import until

from callboard.notifications import service
from callboard.notifications.creation_store import Content, Created, CreationStore, Key, Recipients, ToOne
from callboard.notifications.model import NewNotification
from callboard.store.database import Database, Locked
from callboard.store.locks import Retries
from callboard.store.outbox import Sending

NOTIFY = "select callboard.notify(array['locked'], 'note', 'held', '')"


class CountingLocks(CreationStore):
    """Counts the statements that somebody's lock has stopped: `together` those for several calls."""

    together = 0

    def __init__(self) -> None:
        self.met: dict[int, Content] = {}

    async def create_each(self, outbox: Sending, calls: Sequence[ToOne]) -> list[Created]:
        try:
            return await super().create_each(outbox, calls)
        except Locked:
            self.together += 1
            raise

    async def create(self, outbox: Sending, recipients: Recipients, content: Content, **options: Any) -> Created:
        with self._noting(content):
            return await super().create(outbox, recipients, content, **options)

    async def create_once(
        self, outbox: Sending, key: Key, recipients: Recipients, content: Content, **options: Any
    ) -> Created:
        with self._noting(content):
            return await super().create_once(outbox, key, recipients, content, **options)

    @contextmanager
    def _noting(self, content: Content) -> Iterator[None]:
        try:
            yield
        except Locked:
            self.met[id(content)] = content
            raise

    async def have_met_one(self, number: int) -> bool:
        """Whether so many different creates have."""
        return len(self.met) >= number


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


async def once(inbox: Inbox, key: str, to: str = "locked") -> Created:
    """Create with an Idempotency-Key."""
    new = NewNotification(type="a", title="t", message="")
    return await inbox.service.create(to, new, actor=None, key=Key("boss", key, b"f" * 32, "POST /notifications"))


async def test_while_many_creates_wait_others_are_read_and_notified(pool: Database, host: Transaction) -> None:
    inbox = Inbox(pool)
    await inbox.notify("other")
    store = CountingLocks()
    waiters = Inbox(pool, store)
    waiting = [asyncio.create_task(waiters.notify(["a", "locked", f"u{number}"])) for number in range(30)]
    waiting += [asyncio.create_task(waiters.notify("locked", group_key=key)) for key in (None, "g")]
    waiting += [asyncio.create_task(once(waiters, f"key {number}")) for number in range(10)]
    await until(lambda: store.have_met_one(42))

    assert await inbox.titles("other") == ["t"]
    # By each way, and for people that a batch names which waits.
    await inbox.notify("other")
    await inbox.notify(["a", "other"])
    await inbox.notify("a", group_key="g")
    await once(waiters, "another key", to="other")
    assert (await inbox.count("other"), await inbox.count("a")) == (4, 2)
    assert not [task for task in waiting if task.done()]

    await host.commit()
    await asyncio.gather(*waiting)
    assert await inbox.count("locked") == 43


async def test_many_who_must_wait_keep_nobody_else_waiting(dsn: str, pool: Database) -> None:
    people = [f"held{number}" for number in range(130)]
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("select callboard.notify($1, 'note', 'held', '')", people)
        inbox = Inbox(pool)
        waiting = [asyncio.create_task(inbox.notify(person)) for person in people]
        for number in range(50):
            await inbox.notify(f"u{number % 5}")
        assert not [task for task in waiting if task.done()]
    await connection.close()
    await asyncio.gather(*waiting)
    assert {await inbox.count(person) for person in people} == {2}


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
    assert [task.done() for task in together] == [True, False, True, True, False, True]
    await host.commit()
    await asyncio.gather(*together)
    assert await inbox.count("locked") == (3 if group is None else 2)


async def test_a_lock_that_is_known_stops_nobody_again(pool: Database, host: Transaction) -> None:
    store = CountingLocks()
    inbox = Inbox(pool, store)
    first = asyncio.create_task(inbox.notify("locked"))
    await until(lambda: store.have_met_one(1))
    second = [asyncio.create_task(inbox.notify(user)) for user in ("u1", "locked", "u2")]
    await asyncio.gather(second[0], second[2])
    await host.commit()
    await asyncio.gather(first, *second)
    assert store.together == 1
    # It is forgotten with the last who waited.
    await asyncio.gather(*(inbox.notify(user) for user in ("u1", "locked", "u2")))
    assert (store.together, await inbox.count("locked")) == (1, 4)


async def test_whose_lock_is_free_does_not_wait_for_others_whose_is_not(
    dsn: str, pool: Database, host: Transaction
) -> None:
    store = CountingLocks()
    inbox = Inbox(pool, store)
    waiting = [asyncio.create_task(inbox.notify("locked")) for _ in range(4)]
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("select callboard.notify(array['brief'], 'note', 'held', '')")
        brief = asyncio.create_task(inbox.notify("brief"))
        await until(lambda: store.have_met_one(5))
    await connection.close()
    await brief
    await inbox.notify("brief")
    assert not [task for task in waiting if task.done()]
    await host.commit()
    await asyncio.gather(*waiting)


async def test_who_waits_too_long_is_told_why(
    pool: Database, host: Transaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "Retries", partial(Retries, patience=0.0))
    inbox = Inbox(pool)
    for to in ("locked", ["locked", "u1"]):
        with pytest.raises(Locked, match="a transaction that is still open"):
            await inbox.notify(to)
    await host.rollback()
    assert (await inbox.notify("locked")).created == 1


async def test_a_limit_holds_for_who_has_waited(pool: Database, host: Transaction) -> None:
    store = CountingLocks()
    inbox = Inbox(pool, store)
    await inbox.settings(rate_limit=2)
    waiting = [asyncio.create_task(inbox.notify("locked")) for _ in range(3)]
    await until(lambda: store.have_met_one(3))
    await host.commit()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Created", "RateLimited", "RateLimited"]
    assert await inbox.count("locked") == 2
