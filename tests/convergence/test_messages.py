"""Old snapshot + messages == new snapshot, for every message of the catalogue and each way in which it comes about."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from tests.convergence.course import Diverged, agree
from tests.convergence.stage import Stage, running
from tests.convergence.tab import Tab, tab
from tests.waiting import until

from callboard.notifications import store
from callboard.notifications.payloads import CATALOGUE
from callboard.realtime.catalogue import Message

ALWAYS = {"start": "00:00", "end": "23:59", "timezone": "UTC"}
FOLLOWED = {"resource_type": "episode", "resource_id": "4"}

LIMIT = "update callboard.notification_settings set rate_limit = $1, rate_overflow = $2"
MANY = """
select callboard.create_notification(array[$1], 'note', n::text, '', '{}', 'normal', null, null, null, null, null)
from generate_series(1, $2::integer) n
"""

GROUPED = "select callboard.create_notification(array[$1], 'note', $2, '', '{}', 'normal', null, null, null, 'g', null)"
WAITS = "select count(*) >= $1 from pg_locks where not granted"

# Takes messages of a name out of every transaction, as an operation that forgets its message would.
LOSE = """
create function callboard.lose() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger lose before insert on callboard.outbox
  for each row when (new.name = '{name}') execute function callboard.lose()
"""


class Actor:
    """A user with an inbox of everything, a friend who shares some of it, and what can happen to it.

    In the inbox, the newest first: "group", "expiring", "read", "archived", "c", "b", "a"; "held" has not arrived.
    """

    def __init__(self, stage: Stage, tab: Tab, friend: str) -> None:
        self.stage = stage
        self.tab = tab
        self.both = (tab.user, friend)
        self.ids: dict[str, str] = {}
        self._admin = stage.token("boss", "admin")

    async def prepare(self) -> None:
        for name in ("a", "b", "c", "archived", "read"):
            await self.create(name)
        await self.create("expiring", expires_in=3600)
        await self.create("group", group_key="g")
        await self.change("archived", "archive")
        await self.change("read", "read")
        await self.ask("POST", "/subscriptions", FOLLOWED)
        for user in self.both:
            await self.set_quiet(user, ALWAYS)
        await self.create("held", *self.both)

    async def create(self, name: str, *users: str, **fields: Any) -> None:
        """For the user alone, or for several."""
        to = {"user_ids": users} if users else {"user_id": self.tab.user}
        answer = await self._post(self._admin, "/notifications", {**_content(name), **to, **fields})
        self.ids[name] = answer.get("id") or answer["notification_id"]

    async def create_for_followers(self) -> None:
        await self._post(self._admin, "/notifications", {**_content("followed"), "subscribers_of": FOLLOWED})

    async def create_by_sql(self) -> None:
        await self.stage.database.execute("select callboard.notify($1, 'note', 'by SQL', '')", self.both)

    async def change(self, name: str, change: str) -> None:
        await self.ask("POST", f"/notifications/{self.ids[name]}/{change}")

    async def ask(self, method: str, path: str, body: object = None) -> None:
        status, answer = await self.stage.ask(method, path, self.tab.token, body)
        assert status < 300, answer

    async def set_quiet(self, user: str, quiet: object) -> None:
        await self._post(self.stage.token(user), "/notifications/preferences", {"quiet_hours": quiet})

    async def end_quiet(self) -> None:
        """The one notification that waits for both arrives at both in one message."""
        await self.stage.database.execute("update callboard.notification_preferences set quiet_hours = null")
        await self.stage.database.execute(
            "update callboard.notification_recipients set held_until = now() where held_until is not null"
        )
        await self.stage.do_due()

    async def fold(self, **fields: Any) -> None:
        await self.create("folded", group_key="g", **fields)
        await self.stage.settle()

    async def exceed(self) -> None:
        """The user is over the hourly limit, the friend is not."""
        for user in self.both:
            await self.set_quiet(user, None)
        await self.stage.database.execute(LIMIT, 8, "fold")
        await self.create("over", *self.both)
        await self.stage.database.execute(LIMIT, 1_000_000, "suppress")

    async def expire(self) -> None:
        await self.stage.database.execute(
            "update callboard.notification_recipients set expires_at = now() where expires_at is not null"
        )
        await self.stage.upkeep.remove()

    async def grow_old(self) -> None:
        """All but the newest is past its retention."""
        await self.stage.database.execute(
            "select callboard.remove_old_copies(created_at, 100) from callboard.notifications where id = $1",
            UUID(self.ids["group"]),
        )

    async def _post(self, token: str, path: str, body: object) -> dict[str, Any]:
        status, answer = await self.stage.ask("POST", path, token, body)
        assert status < 300, answer
        return answer


Scenario = Callable[[Actor], Awaitable[Any]]

SCENARIOS: dict[str, dict[str, Scenario]] = {
    "notification:new": {
        "for one, urgent": lambda do: do.create("new", priority="urgent"),
        "for several, urgent": lambda do: do.create("new", *do.both, priority="urgent"),
        "for followers and by SQL, when the hold ends": lambda do: _each(
            do.create_for_followers(), do.create_by_sql(), do.end_quiet()
        ),
        "over the limit": lambda do: do.exceed(),
    },
    "notification:updated": {
        "read": lambda do: do.change("a", "read"),
        "unread again": lambda do: do.change("read", "unread"),
        "archived": lambda do: do.change("b", "archive"),
        "brought back": lambda do: do.change("archived", "unarchive"),
        "several seen": lambda do: do.ask(
            "POST", "/notifications/seen", {"ids": [do.ids[name] for name in ("a", "b", "archived")]}
        ),
        "all read": lambda do: do.ask("POST", "/notifications/read-all"),
        "a group grows": lambda do: do.fold(),
        "something urgent joins a group": lambda do: do.fold(priority="urgent"),
        "a group grows and is read at once": lambda do: _each(
            do.create("folded", group_key="g"), do.change("group", "read")
        ),
    },
    "notification:deleted": {
        "one": lambda do: do.ask("DELETE", f"/notifications/{do.ids['a']}"),
        "several, one of them archived": lambda do: do.ask(
            "POST", "/notifications/delete", {"ids": [do.ids[name] for name in ("b", "read", "archived")]}
        ),
        "expired": lambda do: do.expire(),
        "past its retention": lambda do: do.grow_old(),
    },
    "notification:unread-count": {
        "of one": lambda do: do.change("a", "read"),
        "of what was loaded no more": lambda do: do.grow_old(),
    },
    "notification:read": {
        "one": lambda do: do.tab.call("notification:read", {"id": do.ids["c"]}),
    },
    "notification:read-all": {
        "all": lambda do: do.tab.call("notification:read-all", {}),
    },
}


async def _each(*doings: Awaitable[Any]) -> None:
    for doing in doings:
        await doing


def _content(title: str) -> dict[str, Any]:
    return {"type": "note", "title": title, "message": "", "actor": "mira"}


@pytest.fixture
async def stage(dsn: str) -> AsyncIterator[Stage]:
    async with running(dsn) as stage:
        yield stage


@asynccontextmanager
async def tabs_of(stage: Stage, user: str, friend: str) -> AsyncIterator[list[Tab]]:
    """The acting tab, another of the same user, one that will be away, and one of the friend."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(tab(stage, each)) for each in (user, user, user, friend)]


async def perform(stage: Stage, tabs: list[Tab], scenario: Scenario) -> None:
    """Old snapshots, then what happens. The third tab is away meanwhile, and recovers."""
    do = Actor(stage, tabs[0], tabs[3].user)
    await do.prepare()
    await open_whole(tabs)
    await tabs[2].leave()
    await scenario(do)
    await tabs[2].come_back()


async def open_whole(tabs: list[Tab]) -> None:
    for each in tabs:
        await each.open()
        while await each.load_more("current"):
            pass
        each.heard.clear()


def test_every_message_has_its_scenarios() -> None:
    assert set(SCENARIOS) == {message.name for message in CATALOGUE}


@pytest.mark.parametrize("message", CATALOGUE, ids=lambda message: message.name)
async def test_an_old_snapshot_and_the_messages_are_the_new_snapshot(stage: Stage, message: Message) -> None:
    for number, (how, scenario) in enumerate(SCENARIOS[message.name].items()):
        print(how)
        async with tabs_of(stage, f"u{number}", f"friend-{number}") as tabs:
            await perform(stage, tabs, scenario)
            await agree(stage, tabs, 1)
            assert message.kind == "client" or all(message.name in each.heard for each in tabs[:2])
            assert tabs[2].recovered == [True]


@pytest.mark.parametrize("name", [message.name for message in CATALOGUE if message.kind == "durable"])
async def test_without_the_message_they_are_not(stage: Stage, name: str) -> None:
    """The harness sees it when an operation forgets its message."""
    await stage.database.execute(LOSE.replace("{name}", name))
    async with tabs_of(stage, "u", "friend") as tabs:
        await perform(stage, tabs, next(iter(SCENARIOS[name].values())))
        with pytest.raises(Diverged):
            await agree(stage, tabs, 1)


async def test_a_batch_that_has_no_number_yet_is_counted_once(stage: Stage) -> None:
    """It is stored, so the list shows it; its message comes after the position of list and count."""
    async with tabs_of(stage, "u", "friend") as tabs:
        do = Actor(stage, tabs[0], tabs[3].user)
        async with stage.database.transaction() as held:
            await held.execute("select from callboard.log_head for update")
            await do.create("unnumbered", *do.both)
            for each in tabs:
                await each.open()
                await each.until_heard("notification:unread-count")
                assert [copy.payload["title"] for copy in each.inbox.listed("current")] == ["unnumbered"]
                assert "notification:new" not in each.heard
            assert [each.inbox.unread for each in tabs] == [1, 1, 1, 1]
        await agree(stage, tabs, 1)
        assert [each.inbox.unread for each in tabs] == [1, 1, 1, 1]


async def test_a_change_that_waited_for_a_fold_shows_it(stage: Stage) -> None:
    """Its statement began when what was folded was not there yet."""
    token = stage.token("u")
    await stage.database.execute(GROUPED, "u", "first")
    id_ = await stage.database.fetchval("select id::text from callboard.notifications")
    async with stage.database.transaction() as folding:
        await folding.execute(GROUPED, "u", "second")
        reading = asyncio.create_task(stage.ask("POST", f"/notifications/{id_}/read", token))
        await until(lambda: stage.database.fetchval(WAITS, 1))
    status, answer = await reading
    assert (status, answer["title"], answer["group"]["latest"]["title"]) == (200, "second", "second")
    assert answer["read_at"] is not None


@pytest.mark.parametrize("what", ["seen", "delete"])
async def test_changes_of_several_at_once_do_not_deadlock(stage: Stage, what: str) -> None:
    """One waits for the first of two copies, and then the other comes, which wants both as well."""
    token = stage.token("u")
    await stage.database.execute(MANY, "u", 2)
    ids = await stage.database.fetchval("select array_agg(id::text order by id) from callboard.notifications")
    async with stage.database.transaction() as first:
        await first.execute(
            "select from callboard.notification_recipients where notification_id = $1 for update", UUID(ids[0])
        )
        several = asyncio.create_task(stage.ask("POST", f"/notifications/{what}", token, {"ids": ids}))
        await until(lambda: stage.database.fetchval(WAITS, 1))
        all_ = asyncio.create_task(stage.ask("POST", "/notifications/read-all", token))
        await until(lambda: stage.database.fetchval(WAITS, 2))
    assert [status for status, _ in await asyncio.gather(several, all_)] == [200, 200]


async def test_reading_very_many_reads_them_in_every_tab_while_a_new_one_arrives(stage: Stage) -> None:
    """The 500 newest come as messages that name the others. No count is 0 that could say the same."""
    await stage.database.execute(MANY, "u", 1_200)
    await stage.settle()
    async with tab(stage, "u") as acting, tab(stage, "u") as other, tab(stage, "u") as away:
        for each in (acting, other, away):
            each.page_size = 100
        await open_whole([acting, other, away])
        await away.leave()
        async with stage.database.transaction() as held:
            await held.execute("select from callboard.log_head for update")
            await stage.ask("POST", "/notifications/read-all", acting.token)
            await stage.database.execute(MANY, "u", 1)
        await away.come_back()
        await agree(stage, [acting, other, away], 1)
        assert other.heard.count("notification:updated") == 500
        assert (other.inbox.unread, away.recovered) == (1, [True])


async def test_a_page_from_before_reading_all_does_not_show_them_as_unread(stage: Stage) -> None:
    """It was asked for before, and comes after the messages: what these name was not loaded yet."""
    await stage.database.execute(MANY, "u", 510)
    await stage.settle()
    async with tab(stage, "u") as each:
        each.page_size = 100
        await each.open()
        late = []
        cursor = each.inbox.loaded["current"].cursor
        while cursor is not None:
            page = await stage.page(each.token, "current", limit=100, cursor=cursor)
            late.append((cursor, page))
            cursor = page["next_cursor"]
        await stage.ask("POST", "/notifications/read-all", each.token)
        await stage.settle()
        await each.until(lambda: each.heard.count("notification:updated") == 500)
        for cursor, page in late:
            each.inbox.older("current", page, cursor)
        await agree(stage, [each], 1)


async def test_however_many_are_read_each_is_told_of(stage: Stage) -> None:
    """Of more than the messages could name, more get one."""
    await stage.database.execute(MANY, "u", 50)
    with patch.multiple(store, READ_ALL_MESSAGES=2, READ_ALL_NAMED=4):
        assert (await stage.ask("POST", "/notifications/read-all", stage.token("u")))[1]["updated"] == 50
    await stage.settle()
    told = [
        len(json.loads(row["payload"]).get("also_read", ()))
        for row in await stage.database.fetch(
            "select payload from callboard.message_log where name = 'notification:updated' order by seq"
        )
    ]
    assert told == [4] * 10
