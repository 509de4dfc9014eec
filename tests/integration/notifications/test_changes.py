"""Archive, seen, delete several and read all, over REST: each change once, told once, to its owner alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import httpx
import pytest
from tests.integration.notifications.inbox import Inbox
from tests.rest_client import bearer, client_for, slice_endpoints

from callboard.notifications import store
from callboard.notifications.model import MAX_DATA_BYTES, NewNotification, Resource
from callboard.store.database import Database

U1, U2 = bearer("u1"), bearer("u2")


@pytest.fixture
def inbox(database: Database) -> Inbox:
    return Inbox(database)


@pytest.fixture
async def client(inbox: Inbox) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(slice_endpoints(inbox.database, outbox=inbox.outbox)) as opened:
        opened.base_url = httpx.URL("http://callboard.test/api/v1/notifications")
        yield opened


async def many(inbox: Inbox, number: int, user: str = "u1") -> list[str]:
    """Ids in the order of arrival; nothing of it is in `sent`."""
    ids = [str(await inbox.id_of(user, f"n{place}")) for place in range(number)]
    await inbox.sent()
    inbox.outbox.commits = 0
    return ids


async def post(client: httpx.AsyncClient, path: str, body: object = None, headers: dict[str, str] = U1) -> Any:
    response = await client.post(f"/{path}", headers=headers, json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def listed(client: httpx.AsyncClient, query: str) -> list[str]:
    return [item["title"] for item in (await client.get(f"?{query}", headers=U1)).json()["items"]]


async def test_what_is_archived_leaves_list_and_count_and_comes_back(client: httpx.AsyncClient, inbox: Inbox) -> None:
    ids = await many(inbox, 3)
    archived = [await post(client, f"{ids[1]}/archive") for _ in range(2)]
    assert archived[0] == archived[1]
    assert (archived[0]["revision"], archived[0]["read_at"]) == (2, None)
    assert archived[0]["archived_at"] == archived[0]["seen_at"] is not None
    assert (await listed(client, ""), await listed(client, "archived=true")) == (["n2", "n0"], ["n1"])
    assert await listed(client, "archived=true&read=true") == []
    assert await listed(client, "archived=true&read=false&type=a") == ["n1"]
    assert await inbox.count() == 2
    back = [await post(client, f"{ids[1]}/unarchive") for _ in range(2)]
    assert back[0] == back[1]
    assert (back[0]["revision"], back[0]["archived_at"]) == (3, None)
    # Where it was.
    assert (await listed(client, ""), await inbox.count()) == (["n2", "n1", "n0"], 3)
    assert [each.payload for each in await inbox.sent()] == [archived[0], back[0]]
    assert inbox.outbox.commits == 2


async def test_an_archived_one_can_be_read_and_deleted(client: httpx.AsyncClient, inbox: Inbox) -> None:
    (id_,) = await many(inbox, 1)
    await post(client, f"{id_}/archive")
    assert (await post(client, f"{id_}/read"))["read_at"] is not None
    assert (await client.delete(f"/{id_}", headers=U1)).status_code == 204
    assert await listed(client, "archived=true") == []


@pytest.mark.parametrize("action", ["archive", "unarchive", "read", "unread"])
async def test_of_anothers_nothing_is_said(client: httpx.AsyncClient, inbox: Inbox, action: str) -> None:
    (id_,) = await many(inbox, 1, "u2")
    for wrong in (id_, str(uuid4()), "nonsense"):
        assert (await client.post(f"/{wrong}/{action}", headers=U1)).status_code == 404
    assert await inbox.sent() == []


async def test_several_are_seen_at_once_and_each_is_told(client: httpx.AsyncClient, inbox: Inbox) -> None:
    ids = await many(inbox, 4)
    (others,) = await many(inbox, 1, "u2")
    body = {"ids": [ids[2], ids[0], ids[2], others, str(uuid4())]}
    assert await post(client, "seen", body) == {"updated": 2}
    assert await post(client, "seen", {"ids": ids[:3]}) == {"updated": 1}
    assert await post(client, "seen", {"ids": ids[:3]}) == {"updated": 0}
    seen = [item["seen_at"] is not None for item in await inbox.items()]
    assert seen == [False, True, True, True]
    assert await inbox.count() == 4
    sent = await inbox.sent()
    assert [(each.name, each.rooms, each.payload["id"]) for each in sent] == [
        ("notification:updated", ["user:u1"], id_) for id_ in (ids[0], ids[2], ids[1])
    ]
    assert all(each.payload["seen_at"] is not None and each.payload["revision"] == 2 for each in sent)
    assert (await inbox.items("u2"))[0]["seen_at"] is None
    assert inbox.outbox.commits == 2


async def test_several_are_deleted_at_once_and_each_is_told(client: httpx.AsyncClient, inbox: Inbox) -> None:
    ids = await many(inbox, 4)
    (others,) = await many(inbox, 1, "u2")
    await post(client, f"{ids[0]}/read")
    await inbox.sent()
    assert await post(client, "delete", {"ids": [ids[0], ids[3], others, str(uuid4()), ids[0]]}) == {"deleted": 2}
    assert await post(client, "delete", {"ids": [ids[0]]}) == {"deleted": 0}
    assert (await inbox.titles(), await inbox.count(), await inbox.count("u2")) == (["n2", "n1"], 2, 1)
    sent = {each.payload["id"]: (each.name, each.rooms, each.payload["revision"]) for each in await inbox.sent()}
    assert sent == {
        ids[0]: ("notification:deleted", ["user:u1"], 3),
        ids[3]: ("notification:deleted", ["user:u1"], 2),
    }
    assert inbox.outbox.commits == 2


@pytest.mark.parametrize("path", ["seen", "delete"])
async def test_one_to_a_hundred_are_named(client: httpx.AsyncClient, inbox: Inbox, path: str) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"ids": []}, "ids"),
        ({"ids": [str(uuid4())] * 101}, "ids"),
        ({"ids": ["nonsense"]}, "ids[0]"),
        ({}, "ids"),
    ]
    for body, field in wrong:
        refused = await client.post(f"/{path}", headers=U1, json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field)
    await post(client, path, {"ids": [str(uuid4()) for _ in range(100)]})
    assert inbox.outbox.commits == 0


async def test_reading_all_leaves_the_archived_and_what_has_not_arrived(
    client: httpx.AsyncClient, inbox: Inbox
) -> None:
    await inbox.people_have_a_status()
    ids = await many(inbox, 3)
    await post(client, f"{ids[0]}/archive")
    await post(client, f"{ids[1]}/read")
    await inbox.status("dnd")
    await inbox.notify(title="held")
    await inbox.sent()
    assert (await post(client, "read-all"))["updated"] == 1
    (sent,) = await inbox.sent()
    assert (sent.payload["id"], sent.payload["revision"]) == (ids[2], 2)
    assert sent.payload["seen_at"] == sent.payload["read_at"] is not None
    assert await listed(client, "archived=true&read=false") == ["n0"]
    await inbox.status(None)
    await inbox.upkeep.attention_changed(inbox.database, "u1")
    assert (
        await inbox.upkeep.release_held(inbox.database, (await inbox.database.fetchval("select now()")), 10)
    ).released
    assert (await listed(client, "read=false"), await inbox.count()) == (["held"], 1)


async def test_unread_again_keeps_that_it_was_seen(client: httpx.AsyncClient, inbox: Inbox) -> None:
    (id_,) = await many(inbox, 1)
    read = await post(client, f"{id_}/read")
    unread = await post(client, f"{id_}/unread")
    assert (unread["read_at"], unread["seen_at"]) == (None, read["seen_at"])


async def test_the_largest_notification_has_room_for_the_names_of_others(inbox: Inbox) -> None:
    """A message has at most 64 KB. A control character is a byte, and six in JSON."""
    await inbox.settings(rate_limit=1_000)
    for number in range(store.READ_ALL_NAMED):
        await inbox.notify(title=f"t{number}")
    for _ in range(2):
        await inbox.service.create(
            "u1",
            NewNotification(
                type="a" * 64,
                title="\x01" * 199 + "x",
                message="\x01" * 2000,
                actor="🎬" * 255,
                resource=Resource(type="a" * 64, id="\x01" * 200),
                group_key="\x01" * 200,
            ),
            data=json.dumps({"text": "x" * (MAX_DATA_BYTES - 20)}).encode(),
            actor=None,
        )
    await inbox.sent()
    with patch.object(store, "READ_ALL_MESSAGES", 1):
        done = await inbox.service.mark_all_read("u1")
    (told,) = await inbox.sent()
    assert done.updated == store.READ_ALL_NAMED + 1
    assert len(told.payload["also_read"]) == store.READ_ALL_NAMED
