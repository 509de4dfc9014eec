"""notifications.host: what a host application in Python may ask for, and what it is refused."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec
import pytest
from tests.rest_client import Outbox

from callboard.errors import Invalid, RateLimited
from callboard.notifications.host import Notifications
from callboard.notifications.service import NotificationService
from callboard.store.database import Database


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


@pytest.fixture
def notifications(database: Database, outbox: Outbox) -> Notifications:
    return Notifications(NotificationService(database, outbox))


async def test_one_several_and_followers(notifications: Notifications, database: Database, outbox: Outbox) -> None:
    await database.execute(
        "insert into callboard.subscriptions (user_id, resource_type, resource_id) "
        "values ('u1', 'episode', '4'), ('u2', 'episode', '4'), ('u3', 'episode', '5')"
    )
    one = await notifications.notify("u1", type="a", title="t", data={"n": 1})
    several = await notifications.notify(("u1", "u2", "u1"), type="a", title="t")
    followers = await notifications.notify(
        type="a", title="t", subscribers_of=("episode", "4"), actor="u2", resource=("episode", "4"), group_key="g"
    )
    assert (one.created, several.created, followers.created) == (1, 2, 1)
    assert outbox.commits == 3
    assert await database.fetchval("select data from callboard.notifications where id = $1", one.id) == '{"n": 1}'


async def test_in_a_transaction_it_is_sent_when_that_commits(
    notifications: Notifications, database: Database, dsn: str, outbox: Outbox
) -> None:
    host = await asyncpg.connect(dsn)
    # As a host's driver may be set up: our statement must not meet it.
    await host.set_type_codec("jsonb", encoder=msgspec.json.encode, decoder=msgspec.json.decode, schema="pg_catalog")
    try:
        for ending in ("rollback", "commit"):
            await host.execute("begin")
            await notifications.notify("u1", type="a", title=ending, data={"n": 1}, connection=host)
            assert await database.fetchval("select count(*) from callboard.outbox") == 0
            await host.execute(ending)
    finally:
        await host.close()
    (stored,) = await database.fetch("select title, data from callboard.notifications")
    assert tuple(stored) == ("commit", '{"n": 1}')
    assert outbox.commits == 0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"to": None}, "to"),
        ({"subscribers_of": ("episode", "4")}, "to"),
        ({"to": None, "subscribers_of": ("E P", "4")}, "subscribers_of"),
        ({"to": None, "subscribers_of": ("episode", "")}, "subscribers_of"),
        ({"type": "Not"}, "type"),
        ({"title": ""}, "title"),
        ({"data": {"x": object()}}, "data"),
        ({"data": {"x": "y" * 20_000}}, "data"),
        ({"resource": ("Episode", "4")}, "resource.type"),
        ({"group_key": "~x"}, "group_key"),
        ({"to": []}, "user_ids"),
    ],
)
async def test_what_is_wrong_is_named(notifications: Notifications, wrong: dict[str, Any], field: str) -> None:
    arguments: dict[str, Any] = {"to": "u1", "type": "a", "title": "t", **wrong}
    with pytest.raises(Invalid) as refused:
        await notifications.notify(arguments.pop("to"), **arguments)
    assert refused.value.field == field


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize(
    "ids", [["u1\nu2"], ["u1", "u2\nu3"], ["u1", "\n"], [""], ["u1", ""], ["u1", "u\x1f"], ["u1", None]]
)
async def test_no_id_passes_for_several_or_none(
    notifications: Notifications, database: Database, dsn: str, ids: list[Any], within: bool
) -> None:
    host = await asyncpg.connect(dsn)
    try:
        with pytest.raises(Invalid, match="a user id must have 1 to 255 characters") as refused:
            await notifications.notify(ids, type="a", title="t", connection=host if within else None)
    finally:
        await host.close()
    assert refused.value.field == "user_ids"
    assert await database.fetchval("select count(*) from callboard.notifications") == 0


async def test_one_person_over_the_limit_is_refused_and_nothing_is_stored(
    notifications: Notifications, database: Database
) -> None:
    await database.execute("update callboard.notification_settings set rate_limit = 1")
    await notifications.notify("u1", type="a", title="t")
    with pytest.raises(RateLimited):
        await notifications.notify("u1", type="a", title="t")
    assert (await notifications.notify(["u1"], type="a", title="t")).rate_limited == 1
    assert await database.fetchval("select count(*) from callboard.notifications") == 2
