"""A host's transaction has grown a group and stays open: who changes that copy waits for it, and nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.integration.notifications.inbox import Inbox
from tests.waiting import until

from callboard.notifications import service
from callboard.notifications.store import Change
from callboard.store.database import Database, Locked
from callboard.store.locks import Retries
from callboard.store.pool import POOL_SETTINGS

# More than the pool has connections.
PEOPLE = [f"held{number}" for number in range(15)]
GROW = "select callboard.notify($1, 'a', 'grown', '', group_key => 'g')"

Do = Callable[[Inbox, str, UUID], Coroutine[Any, Any, object]]


def _change(change: Change) -> Do:
    return lambda inbox, user, id_: inbox.service.change(user, id_, change)


CHANGES: dict[str, Do] = {
    "read": _change("read"),
    "archive": _change("archive"),
    "seen": lambda inbox, user, id_: inbox.service.change_many(user, [id_], "seen"),
    "delete": lambda inbox, user, id_: inbox.service.delete(user, id_),
    "delete many": lambda inbox, user, id_: inbox.service.delete_many(user, [id_]),
    "read all": lambda inbox, user, id_: inbox.service.mark_all_read(user),
}


@pytest.fixture
async def pool(dsn: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """Of the size that a server has; nothing but the statements themselves limits a wait for a lock."""
    monkeypatch.setitem(POOL_SETTINGS, "lock_timeout", "0")
    opened = await Database.open(dsn)
    yield opened
    await opened.close()


@asynccontextmanager
async def growing(dsn: str, people: list[str]) -> AsyncIterator[None]:
    """Within the block a host's transaction is open that has added to a group of these people; then it commits."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute(GROW, people)
            yield
    finally:
        await connection.close()


@pytest.mark.parametrize("change", CHANGES)
async def test_while_many_wait_to_change_what_a_host_holds_others_go_on(dsn: str, pool: Database, change: str) -> None:
    do, inbox = CHANGES[change], Inbox(pool)
    id_ = await inbox.id_of(PEOPLE, group_key="g")
    other = await inbox.id_of("other")
    async with growing(dsn, PEOPLE):
        waiting = [asyncio.create_task(do(inbox, person, id_)) for person in PEOPLE]
        for _ in range(20):
            await inbox.titles("other")
        await do(inbox, "other", other)
        assert not [task for task in waiting if task.done()]
    await asyncio.gather(*waiting)
    sent = [message.name for message in await inbox.sent() if message.rooms == ["user:held14"]]
    assert len(sent) == 1, "the change is told once, however often it was tried"


async def test_what_is_read_after_the_wait_is_what_the_host_has_committed(dsn: str, pool: Database) -> None:
    inbox = Inbox(pool)
    id_ = await inbox.id_of("u1", group_key="g")
    async with growing(dsn, ["u1"]):
        reading = asyncio.create_task(inbox.service.change("u1", id_, "read"))
        await inbox.titles("u2")
    await reading
    (item,) = await inbox.items("u1")
    assert item["group"]["count"] == 2
    assert item["read_at"] is not None


async def test_who_waits_too_long_is_told_why(dsn: str, pool: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "Retries", partial(Retries, patience=0.0))
    inbox = Inbox(pool)
    id_ = await inbox.id_of("u1", group_key="g")
    async with growing(dsn, ["u1"]):
        for do in CHANGES.values():
            with pytest.raises(Locked, match="a transaction that is still open"):
                await do(inbox, "u1", id_)
    await inbox.service.change("u1", id_, "read")


async def test_what_does_not_come_again_gives_up_in_seconds(dsn: str, database: Database) -> None:
    inbox = Inbox(database)
    await inbox.prefer("u1", muted_types=["b"])
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("select from callboard.notification_preferences for update")
        with pytest.raises(Locked):
            await inbox.prefer("u1", muted_types=["c"])
    await connection.close()
    assert (await inbox.prefer("u1"))["muted_types"] == ["b"]


async def test_many_changes_of_one_who_is_held_keep_nobody_else_waiting(dsn: str, pool: Database) -> None:
    inbox = Inbox(pool)
    id_ = await inbox.id_of("u1", group_key="g")
    other = await inbox.id_of("u2")
    changes: list[Change] = ["read", "unread", "archive"]
    async with growing(dsn, ["u1"]):
        waiting = [asyncio.create_task(inbox.service.change("u1", id_, "read"))]
        await until(lambda: _is_held_up(inbox, "u1"))
        waiting += [asyncio.create_task(inbox.service.change("u1", id_, "read")) for _ in range(300)]
        for change in changes:
            await inbox.service.change("u2", other, change)
        assert not [task for task in waiting if task.done()]
    await asyncio.gather(*waiting)


async def test_when_the_server_ends_whoever_waits_is_told_so(dsn: str, pool: Database) -> None:
    inbox = Inbox(pool)
    id_ = await inbox.id_of("u1", group_key="g")
    async with growing(dsn, ["u1"]):
        waiting: list[asyncio.Task[Any]] = [
            asyncio.create_task(inbox.service.change("u1", id_, "read")),
            asyncio.create_task(inbox.notify("u1")),
            asyncio.create_task(inbox.notify(["u1", "u2"])),
        ]
        await until(lambda: _is_held_up(inbox, "u1"))
        inbox.service.stop_waiting()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Locked] * 3


async def _is_held_up(inbox: Inbox, user: str) -> bool:
    return inbox.service._changing.is_held_up(user)
