"""Notifications in SQL: the caller's transaction, the rules, concurrency and plans."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.rest_client import Outbox

from callboard.errors import Invalid
from callboard.notifications.creation_store import Content, CreationStore, Recipients
from callboard.notifications.model import NewNotification
from callboard.notifications.service import NotificationService
from callboard.notifications.store import (
    READ_ALL_MESSAGES,
    Change,
    Marked,
    NotificationStore,
    PageCall,
)
from callboard.store.database import Database, Queries
from callboard.store.locks import Retries

NOTIFY = "select callboard.notify($1::text[], $2, $3, $4, $5::jsonb)"
GOOD: tuple[Any, ...] = (["u1"], "a", "Title", "", "{}")
STORE = NotificationStore()
RETRIES = Retries(first=10, again=10)


async def mark(queries: Queries, id_: UUID, change: Change) -> Marked:
    """Several at once wait for each other, and come again as those of the service do."""
    (marked,) = await RETRIES.run(partial(STORE.change, queries, "u1", [id_], change))
    return marked


async def many(database: Database, user: str, number: int) -> None:
    await database.execute("update callboard.notification_settings set rate_limit = 1000000")
    await database.execute(
        "select callboard.notify(array[$1], 'a', 'n' || n, '') from generate_series(1, $2) n", user, number
    )


async def test_notify_is_part_of_the_callers_transaction(database: Database, dsn: str) -> None:
    await database.execute("create table host (id integer)")
    host = await asyncpg.connect(dsn)
    try:
        transaction = host.transaction()
        await transaction.start()
        await host.execute("insert into host values (1)")
        await host.fetchval(NOTIFY, *GOOD)
        assert await database.fetchval("select count(*) from callboard.outbox") == 0
        await transaction.rollback()
        assert await database.fetchval("select count(*) from callboard.outbox") == 0
        assert await database.fetchval("select count(*) from callboard.notifications") == 0
        async with host.transaction():
            await host.execute("insert into host values (2)")
            await host.fetchval(NOTIFY, *GOOD)
        assert await database.fetchval("select count(*) from callboard.outbox") == 1
    finally:
        await host.close()


async def test_notify_wakes_the_relay(database: Database, dsn: str) -> None:
    listener = await asyncpg.connect(dsn)
    woken = asyncio.Event()
    try:
        await listener.add_listener("callboard_outbox", lambda *_: woken.set())
        await database.fetchval(NOTIFY, *GOOD)
        await asyncio.wait_for(woken.wait(), 10)
    finally:
        await listener.close()


async def test_recipients_never_seen_before_are_accepted(database: Database) -> None:
    assert isinstance(await database.fetchval(NOTIFY, ["nobody knows me"], *GOOD[1:]), UUID)


async def test_sql_callers_meet_the_rules_too(database: Database) -> None:
    wrong: list[tuple[int, Any, str]] = [
        (0, None, "user_ids"),
        (0, [], "user_ids"),
        (0, [None], "user_ids"),
        (0, [""], "user_ids"),
        (0, ["u" * 256], "user_ids"),
        (0, ["u\n"], "user_ids"),
        (0, ["u\x85"], "user_ids"),
        (0, [["u1"], ["u2"]], "user_ids"),
        (0, [f"u{n}" for n in range(10_001)], "user_ids"),
        (1, None, "type"),
        (1, "", "type"),
        (1, "A", "type"),
        (1, "a\n", "type"),
        (1, "a" * 65, "type"),
        (2, None, "title"),
        (2, "", "title"),
        (2, "é" * 201, "title"),
        (3, None, "message"),
        (3, "é" * 2001, "message"),
        (4, None, "data"),
        (4, "[]", "data"),
        (4, '"text"', "data"),
        (4, '{"a":"' + "x" * 25_000 + '"}', "data"),
    ]
    for place, value, field in wrong:
        with pytest.raises(Invalid) as refused:
            await database.fetchval(NOTIFY, *GOOD[:place], value, *GOOD[place + 1 :])
        assert refused.value.field == field
    assert await database.fetchval("select count(*) from callboard.outbox") == 0


async def listed(database: Database, user: str) -> dict[str, Any]:
    """The one notification in the user's list."""
    (page,) = await STORE.pages(database, [PageCall(user, None, None, 10, None)], read=None, archived=False)
    (item,) = json.loads(page.items)
    found: dict[str, Any] = item
    return found


async def test_sql_callers_say_all_that_others_can(database: Database) -> None:
    await database.execute("insert into callboard.people (id, name) values ('mira', 'Mira Okafor')")
    id_ = await database.fetchval(
        """select callboard.notify(array['u1'], 'a', 'Title', '', priority => 'urgent', actor => 'mira',
             resource_type => 'episode', resource_id => '4', group_key => 'g', expires_in => 60)"""
    )
    item = await listed(database, "u1")
    assert item["id"] == str(id_)
    assert (item["priority"], item["actor"], item["actor_name"]) == ("urgent", "mira", "Mira Okafor")
    assert item["resource"] == {"type": "episode", "id": "4"}
    assert item["expires_at"] is not None
    await database.fetchval("select callboard.notify(array['u1'], 'a', 'Next', '', group_key => 'g')")
    assert (await listed(database, "u1"))["group"]["count"] == 2


async def test_sql_callers_reach_who_follows_a_resource(database: Database) -> None:
    await database.execute(
        "insert into callboard.subscriptions (user_id, resource_type, resource_id) "
        "select 'u' || n, 'episode', '4' from generate_series(1, 3) n"
    )
    followers = "subscribers_of_type => 'episode', subscribers_of_id => '4'"
    await database.fetchval(f"select callboard.notify(null, 'a', 'Title', '', actor => 'u2', {followers})")
    reached = await database.fetch("select user_id from callboard.notification_recipients order by 1")
    assert [row["user_id"] for row in reached] == ["u1", "u3"]
    for wrong, field in (
        (f"array['u1'], 'a', 't', '', {followers}", "user_ids"),
        ("null, 'a', 't', '', subscribers_of_type => 'episode'", "subscribers_of_id"),
        ("null, 'a', 't', '', subscribers_of_id => '4'", "subscribers_of_type"),
        ("null, 'a', 't', '', subscribers_of_type => 'E P', subscribers_of_id => '4'", "subscribers_of_type"),
        ("null, 'a', 't', '', subscribers_of_type => 'e', subscribers_of_id => ''", "subscribers_of_id"),
        ("array['u1'], 'a', 't', '', priority => 'critical'", "priority"),
        ("array['u1'], 'a', 't', '', actor => e'a\\n'", "actor"),
        ("array['u1'], 'a', 't', '', resource_type => 'episode'", "resource_id"),
        ("array['u1'], 'a', 't', '', resource_id => '4'", "resource_type"),
        ("array['u1'], 'a', 't', '', resource_type => 'S h', resource_id => '4'", "resource_type"),
        ("array['u1'], 'a', 't', '', resource_type => 's', resource_id => repeat('x', 201)", "resource_id"),
        ("array['u1'], 'a', 't', '', group_key => '~'", "group_key"),
        ("array['u1'], 'a', 't', '', expires_in => 0", "expires_in"),
    ):
        with pytest.raises(Invalid) as refused:
            await database.fetchval(f"select callboard.notify({wrong})")
        assert refused.value.field == field
    assert await database.fetchval("select count(*) from callboard.notifications") == 1


@pytest.mark.parametrize(
    ("data", "good"),
    [
        ('{"a": 1e308}', True),
        ('{"a": -1e308, "b": 0.' + "3" * 400 + "}", True),
        ('{"a": "' + "9" * 400 + ' [[[["}', True),
        ('{"a": "\\\\", "b": "' + "[" * 100 + '\\""}', True),
        ('{"a": 1e309}', False),
        ('{"a": [-' + "9" * 400 + "]}", False),
        ('{"a":' * 63 + "1" + "}" * 63, True),
        ('{"a":' * 64 + "1" + "}" * 64, False),
        ('{"a":' + "[" * 62 + "]" * 62 + "}", True),
        ('{"a":' + "[" * 63 + "]" * 63 + ', "b": {}}', False),
        ('{"a":' + "[" * 2000 + "]" * 2000 + "}", False),
    ],
)
async def test_data_that_clients_could_not_read_is_refused(database: Database, data: str, good: bool) -> None:
    if good:
        assert await database.fetchval(NOTIFY, *GOOD[:4], data)
        return
    with pytest.raises(Invalid) as refused:
        await database.fetchval(NOTIFY, *GOOD[:4], data)
    assert refused.value.field == "data"


async def test_the_other_rules(database: Database) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"priority": "critical"}, "priority"),
        ({"title": " \n\t\u00a0\u2003\u3000"}, "title"),
        ({"title": "\u200b\u202e\x07"}, "title"),
        ({"actor": ""}, "actor"),
        ({"resource_type": "episode"}, "resource"),
        ({"resource_type": "Episode", "resource_id": "4"}, "resource"),
        ({"resource_type": "episode", "resource_id": ""}, "resource"),
        ({"group_key": ""}, "group_key"),
        ({"group_key": "~mine"}, "group_key"),
        ({"expires_in": 0}, "expires_in"),
    ]
    arguments: dict[str, Any] = {
        "type": "a",
        "title": "t",
        "message": "",
        "data": "{}",
        "priority": "normal",
        "actor": None,
        "resource_type": None,
        "resource_id": None,
        "group_key": None,
        "expires_in": None,
    }
    for changes, field in wrong:
        with pytest.raises(Invalid) as refused:
            await CreationStore().create(Outbox(database), Recipients(["u1"]), Content(**{**arguments, **changes}))
        assert refused.value.field == field


async def test_the_bounds_themselves_pass(database: Database) -> None:
    await database.fetchval(NOTIFY, ["日" * 255], "a" * 64, "é" * 200, "é" * 2000, "{}")


async def test_changes_keep_updated_at(database: Database) -> None:
    await database.fetchval(NOTIFY, *GOOD)
    before = await database.fetchval("select updated_at from callboard.notification_recipients")
    await STORE.mark_all_read(database, "u1")
    assert await database.fetchval("select updated_at from callboard.notification_recipients") > before
    await database.execute("update callboard.notifications set title = 'x', updated_at = '2000-01-01'")
    assert await database.fetchval("select updated_at > '2020-01-01' from callboard.notifications")


async def test_batches_that_overlap_in_any_order_do_not_deadlock(database: Database) -> None:
    service = NotificationService(database, Outbox(database))
    new = NewNotification(type="a", title="t", message="")
    users = [f"u{number}" for number in range(50)]
    orders = [users if number % 2 else users[::-1] for number in range(20)]
    await asyncio.gather(*(service.create(order, new, actor=None) for order in orders))
    assert await database.fetchval("select count(*) from callboard.notification_recipients") == 1000


async def test_two_that_read_at_once_change_it_once_and_see_the_same(database: Database) -> None:
    id_ = await database.fetchval(NOTIFY, *GOOD)
    for _ in range(20):
        await mark(database, id_, "unread")
        await database.execute("delete from callboard.outbox")
        marked = await asyncio.gather(*(mark(database, id_, "read") for _ in range(4)))
        assert len({one.payload for one in marked}) == 1
        assert sorted(one.changed for one in marked) == [False, False, False, True]
        assert await database.fetchval("select count(*) from callboard.outbox") == 1


async def test_a_reader_that_waited_for_another_sees_its_change(database: Database) -> None:
    id_ = await database.fetchval(NOTIFY, *GOOD)
    async with database.transaction() as first:
        mine = await mark(first, id_, "read")
        second = asyncio.create_task(mark(database, id_, "read"))
        while not await database.fetchval("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0)
    theirs = await second
    assert (theirs.payload, theirs.changed) == (mine.payload, False)


async def test_reading_all_leaves_what_commits_meanwhile_unread(database: Database) -> None:
    await many(database, "u1", 2)
    async with database.transaction() as late:
        await late.fetchval(NOTIFY, *GOOD)
        assert (await STORE.mark_all_read(database, "u1")).updated == 2
    assert b'"count" : 1' in (await STORE.unread_counts(database, ["u1"]))[0].payload


async def test_reading_all_twice_at_once_counts_each_once(database: Database) -> None:
    await many(database, "u1", 200)
    updated = await asyncio.gather(*(RETRIES.run(partial(STORE.mark_all_read, database, "u1")) for _ in range(4)))
    assert sorted(each.updated for each in updated) == [0, 0, 0, 200]
    assert await database.fetchval("select count(*) from callboard.outbox where name = 'notification:updated'") == min(
        200, READ_ALL_MESSAGES
    )


async def test_reading_very_many_tells_of_the_newest_oldest_first(database: Database) -> None:
    await many(database, "u1", READ_ALL_MESSAGES + 10)
    await database.execute("delete from callboard.outbox")
    assert (await STORE.mark_all_read(database, "u1")).updated == READ_ALL_MESSAGES + 10
    rows = await database.fetch("select payload::json ->> 'id' as id from callboard.outbox order by outbox.id")
    newest = await database.fetch(
        "select notification_id::text as id from callboard.notification_recipients "
        "order by arrived_at desc, notification_id desc limit $1",
        READ_ALL_MESSAGES,
    )
    assert [row["id"] for row in rows] == [row["id"] for row in newest][::-1]
