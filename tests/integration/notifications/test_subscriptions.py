"""Following a resource, and telling those who do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.integration.notifications.inbox import Inbox
from tests.rest_client import bearer, client_for, slice_endpoints

from callboard.auth.principal import Principal
from callboard.errors import Forbidden
from callboard.notifications.choices import ChoiceService
from callboard.notifications.model import FollowedResource
from callboard.store.database import Database

ADMIN, U1 = bearer("boss", "admin"), bearer("u1")
EPISODE = {"resource_type": "episode", "resource_id": "4"}
CONTENT = {"type": "a", "title": "t", "message": ""}


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(slice_endpoints(database)) as opened:
        opened.base_url = httpx.URL("http://callboard.test/api/v1/")
        yield opened


async def follow(client: httpx.AsyncClient, user: str, **changes: str) -> dict[str, Any]:
    response = await client.post("subscriptions", headers=bearer(user), json={**EPISODE, **changes})
    assert response.status_code == 201, response.text
    followed: dict[str, Any] = response.json()
    return followed


async def unfollow(client: httpx.AsyncClient, user: str, **changes: str) -> int:
    response = await client.request("DELETE", "subscriptions", headers=bearer(user), json={**EPISODE, **changes})
    return response.status_code


async def notify_followers(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    body = {"subscribers_of": EPISODE, **CONTENT, **changes}
    response = await client.post("notifications", headers=ADMIN, json=body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def test_following_twice_is_as_once(client: httpx.AsyncClient) -> None:
    first = await follow(client, "u1")
    assert {name: first[name] for name in EPISODE} == EPISODE
    assert await follow(client, "u1") == first
    listed = (await client.get("subscriptions", headers=U1)).json()
    assert (listed["items"], listed["next_cursor"]) == ([first], None)


async def test_unfollowing(client: httpx.AsyncClient) -> None:
    await follow(client, "u1")
    await follow(client, "u2")
    assert await unfollow(client, "u1", resource_id="5") == 404
    assert [await unfollow(client, "u1") for _ in range(2)] == [204, 404]
    assert (await notify_followers(client))["created"] == 1


async def test_pages_newest_first(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await follow(client, "u1", resource_id=str(number))
    await follow(client, "u2", resource_id="9")
    seen: list[list[str]] = []
    cursor = ""
    while True:
        page = (await client.get(f"subscriptions?limit=2{cursor}", headers=U1)).json()
        seen.append([item["resource_id"] for item in page["items"]])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [["4", "3"], ["2", "1"], ["0"]]


async def test_followers_are_told_but_not_who_did_it(client: httpx.AsyncClient, database: Database) -> None:
    inbox = Inbox(database)
    for user in ("u2", "u1", "boss", "mira"):
        await follow(client, user)
    await follow(client, "u3", resource_id="5")
    await follow(client, "u4", resource_type="file")
    made = await notify_followers(client)
    assert (made["created"], made["suppressed"]) == (3, {"muted": 0, "rate_limited": 0})
    (sent,) = await inbox.sent()
    assert sent.rooms == ["user:mira", "user:u1", "user:u2"]
    await notify_followers(client, actor="mira")
    (sent,) = await inbox.sent()
    assert sent.rooms == ["user:boss", "user:u1", "user:u2"]
    assert await inbox.count() == 2


async def test_each_follower_is_decided_for(client: httpx.AsyncClient, database: Database) -> None:
    inbox = Inbox(database)
    await inbox.settings(rate_limit=1)
    for user in ("free", "muted", "full"):
        await follow(client, user)
    await inbox.prefer("muted", muted_resources=[{"type": "episode", "id": "4"}])
    await inbox.notify("full")
    made = await notify_followers(client, resource={"type": "episode", "id": "4"})
    assert (made["created"], made["suppressed"]) == (1, {"muted": 1, "rate_limited": 1})


async def test_what_nobody_follows_reaches_nobody(client: httpx.AsyncClient, database: Database) -> None:
    assert (await notify_followers(client))["created"] == 0
    assert await Inbox(database).sent() == []


async def test_followers_may_be_very_many(client: httpx.AsyncClient, database: Database) -> None:
    await database.execute(
        "insert into callboard.subscriptions (user_id, resource_type, resource_id) "
        "select 'u' || n, 'episode', '4' from generate_series(1, 10001) n"
    )
    assert (await notify_followers(client))["created"] == 10_001
    sent = await Inbox(database).sent()
    assert [len(each.rooms) for each in sent] == [10_000, 1]
    assert len({room for each in sent for room in each.rooms}) == 10_001


async def test_access_is_asked_before_following(database: Database) -> None:
    asked: list[tuple[str, ...]] = []

    class Closed:
        def may(self, principal: Principal, verb: str, type: str, id: str) -> bool:  # noqa: A002  the contract's names
            asked.append((principal.id, verb, type, id))
            return False

    choices = ChoiceService(database, Closed())
    resource = FollowedResource(resource_type="episode", resource_id="4")
    with pytest.raises(Forbidden):
        await choices.follow(Principal(id="u1"), resource)
    assert asked == [("u1", "read", "episode", "4")]
    assert await database.fetchval("select count(*) from callboard.subscriptions") == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"resource_type": "Episode"}, "resource_type"), ({"resource_id": ""}, "resource_id"), ({"more": "x"}, None)],
)
async def test_what_cannot_be_followed(client: httpx.AsyncClient, changes: dict[str, str], field: str | None) -> None:
    refused = await client.post("subscriptions", headers=U1, json={**EPISODE, **changes})
    assert refused.status_code == 422
    if field is not None:
        assert refused.json()["field"] == field
