"""Notifications over REST, on real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.rest_client import Outbox, bearer, client_for, slice_endpoints

from callboard.store.database import Database

ADMIN = bearer("boss", "admin")
U1, U2 = bearer("u1"), bearer("u2")
CONTENT = {"type": "episode:updated", "title": "Rough cut ready", "message": "Episode 4"}


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


@pytest.fixture
async def client(database: Database, outbox: Outbox) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(slice_endpoints(database, outbox=outbox)) as opened:
        opened.base_url = httpx.URL("http://callboard.test/api/v1/")
        yield opened


async def notify(client: httpx.AsyncClient, user: str = "u1", **changes: Any) -> dict[str, Any]:
    response = await client.post("notifications", headers=ADMIN, json={"user_id": user, **CONTENT, **changes})
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


async def titles(client: httpx.AsyncClient, query: str = "", headers: dict[str, str] = U1) -> list[str]:
    response = await client.get(f"notifications?{query}", headers=headers)
    assert response.status_code == 200, response.text
    return [item["title"] for item in response.json()["items"]]


async def unread(client: httpx.AsyncClient, headers: dict[str, str] = U1) -> int:
    count: int = (await client.get("notifications/unread-count", headers=headers)).json()["count"]
    return count


async def sent(database: Database) -> list[tuple[str, list[str]]]:
    return [(row["name"], row["rooms"]) for row in await database.fetch("select * from callboard.outbox order by id")]


async def test_created_for_one_it_is_answered_listed_counted_and_sent(
    client: httpx.AsyncClient, database: Database, outbox: Outbox
) -> None:
    created = await notify(client, data={"episode": 4})
    assert created.pop("decision") == {"outcome": "now", "rule": None, "held_until": None}
    assert created["actor"] == "boss"
    page = (await client.get("notifications", headers=U1)).json()
    assert page == {
        "items": [created],
        "next_cursor": None,
        "position": await database.fetchval("select callboard.position()"),
    }
    assert await unread(client) == 1
    assert await titles(client, headers=U2) == []
    assert await unread(client, U2) == 0
    assert await sent(database) == [("notification:new", ["user:u1"])]
    assert outbox.commits == 1


async def test_created_for_several_each_gets_it_once_in_one_message(
    client: httpx.AsyncClient, database: Database
) -> None:
    for path in ("notifications", "notifications/batch"):
        response = await client.post(path, headers=ADMIN, json={"user_ids": ["u2", "u1", "u2"], **CONTENT})
        assert response.status_code == 201
        assert response.json() == {
            "notification_id": response.json()["notification_id"],
            "created": 2,
            "held": 0,
            "folded": 0,
            "suppressed": {"muted": 0, "rate_limited": 0},
        }
    assert await sent(database) == [("notification:new", ["user:u1", "user:u2"])] * 2
    assert (await unread(client, U1), await unread(client, U2)) == (2, 2)
    assert await database.fetchval("select count(*) from callboard.notifications") == 2


async def test_ten_thousand_recipients_in_one_call(client: httpx.AsyncClient, database: Database) -> None:
    users = [f"user-{number}" for number in range(10_000)]
    response = await client.post("notifications/batch", headers=ADMIN, json={"user_ids": users, **CONTENT})
    assert response.json()["created"] == 10_000
    assert await database.fetchval("select count(*) from callboard.notification_recipients") == 10_000
    assert len((await sent(database))[0][1]) == 10_000


async def test_pages_follow_each_other_newest_first_while_new_ones_arrive(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await notify(client, title=f"t{number}")
    first = (await client.get("notifications?limit=2", headers=U1)).json()
    assert [item["title"] for item in first["items"]] == ["t4", "t3"]
    await notify(client, title="late")
    second = (await client.get(f"notifications?limit=2&cursor={first['next_cursor']}", headers=U1)).json()
    assert [item["title"] for item in second["items"]] == ["t2", "t1"]
    third = (await client.get(f"notifications?limit=2&cursor={second['next_cursor']}", headers=U1)).json()
    assert ([item["title"] for item in third["items"]], third["next_cursor"]) == (["t0"], None)


async def test_a_last_page_that_is_full_has_no_next(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await notify(client)
    assert (await client.get("notifications?limit=2", headers=U1)).json()["next_cursor"] is None


async def test_pages_are_right_when_many_arrived_in_one_millisecond(
    client: httpx.AsyncClient, database: Database
) -> None:
    await database.execute("select callboard.notify(array['u1'], 'a', 'n' || n, '') from generate_series(1, 30) n")
    await database.execute("update callboard.notification_recipients set arrived_at = '2026-01-01'")
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await client.get(f"notifications?limit=7{cursor}", headers=U1)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen)) == 30
    assert seen == sorted(seen, reverse=True)


async def test_filters(client: httpx.AsyncClient) -> None:
    one = await notify(client, title="one", type="a")
    await notify(client, title="two", type="b")
    await notify(client, title="three", type="a")
    await client.post(f"notifications/{one['id']}/read", headers=U1)
    assert await titles(client, "type=a") == ["three", "one"]
    assert await titles(client, "read=false") == ["three", "two"]
    assert await titles(client, "read=true") == ["one"]
    assert await titles(client, "type=a&read=false") == ["three"]
    assert await titles(client, "type=nobody") == []


async def test_read_and_unread_change_once_and_tell_once(
    client: httpx.AsyncClient, database: Database, outbox: Outbox
) -> None:
    id_ = (await notify(client))["id"]
    read = [(await client.post(f"notifications/{id_}/read", headers=U1)).json() for _ in range(2)]
    assert read[0] == read[1]
    assert (read[0]["revision"], read[0]["read_at"] is None) == (2, False)
    assert await unread(client) == 0
    back = [(await client.post(f"notifications/{id_}/unread", headers=U1)).json() for _ in range(2)]
    assert back[0] == back[1]
    assert (back[0]["revision"], back[0]["read_at"]) == (3, None)
    assert await unread(client) == 1
    assert [name for name, _ in await sent(database)] == ["notification:new"] + ["notification:updated"] * 2
    assert outbox.commits == 3


async def test_read_all_tells_of_each_that_changed(
    client: httpx.AsyncClient, database: Database, outbox: Outbox
) -> None:
    ids = [(await notify(client))["id"] for _ in range(3)]
    await notify(client, "u2")
    await client.post(f"notifications/{ids[1]}/read", headers=U1)
    response = await client.post("notifications/read-all", headers=U1)
    position = await database.fetchval("select callboard.position()")
    assert (response.status_code, response.json()) == (200, {"updated": 2, "position": position})
    assert (await client.post("notifications/read-all", headers=U1)).json()["updated"] == 0
    assert (await unread(client, U1), await unread(client, U2)) == (0, 1)
    told = await database.fetch(
        "select payload::json ->> 'id' as id, rooms from callboard.outbox "
        "where name = 'notification:updated' order by outbox.id"
    )
    assert [row["id"] for row in told] == [ids[1], ids[0], ids[2]]
    assert {room for row in told for room in row["rooms"]} == {"user:u1"}
    assert outbox.commits == 6


async def test_deleting_removes_ones_own_copy_only(client: httpx.AsyncClient, database: Database) -> None:
    made = await client.post("notifications/batch", headers=ADMIN, json={"user_ids": ["u1", "u2"], **CONTENT})
    id_ = made.json()["notification_id"]
    response = await client.delete(f"notifications/{id_}", headers=U1)
    assert (response.status_code, response.content) == (204, b"")
    assert await titles(client) == []
    assert await titles(client, headers=U2) == [CONTENT["title"]]
    assert (await sent(database))[1:] == [("notification:deleted", ["user:u1"])]
    assert (await client.delete(f"notifications/{id_}", headers=U1)).status_code == 404


@pytest.mark.parametrize("action", ["read", "unread", "delete"])
async def test_anothers_answers_like_an_unknown_one(client: httpx.AsyncClient, database: Database, action: str) -> None:
    id_ = (await notify(client, "u2"))["id"]
    answers = []
    for wrong in (id_, str(uuid4()), "nonsense"):
        method, path = ("DELETE", "") if action == "delete" else ("POST", f"/{action}")
        response = await client.request(method, f"notifications/{wrong}{path}", headers=U1)
        answers.append((response.status_code, response.json()["code"]))
    assert set(answers) == {(404, "not_found")}
    assert await unread(client, U2) == 1
    assert len(await sent(database)) == 1


async def test_what_has_expired_is_absent_at_once(client: httpx.AsyncClient, database: Database) -> None:
    id_ = (await notify(client, expires_in=3600))["id"]
    assert await unread(client) == 1
    await database.execute("update callboard.notification_recipients set expires_at = now() - interval '1 s'")
    assert (await unread(client), await titles(client)) == (0, [])
    for change in ("read", "unread", "archive", "unarchive"):
        assert (await client.post(f"notifications/{id_}/{change}", headers=U1)).status_code == 404
    assert (await client.delete(f"notifications/{id_}", headers=U1)).status_code == 404
    assert (await client.post("notifications/seen", headers=U1, json={"ids": [id_]})).json() == {"updated": 0}
    assert (await client.post("notifications/delete", headers=U1, json={"ids": [id_]})).json() == {"deleted": 0}
    assert (await client.post("notifications/read-all", headers=U1)).json()["updated"] == 0


async def test_a_type_that_the_settings_do_not_list_is_refused(database: Database) -> None:
    async with client_for(slice_endpoints(database, types=frozenset({"job:done"}))) as client:
        response = await client.post("/api/v1/notifications", headers=ADMIN, json={"user_id": "u1", **CONTENT})
    assert (response.status_code, response.json()["field"]) == (422, "type")
    assert await sent(database) == []


async def test_the_bounds_of_data(client: httpx.AsyncClient) -> None:
    cases = [
        ('{"a":"' + "x" * 16_376 + '"}', 201),
        ('{"a":"' + "x" * 16_377 + '"}', 422),
        # As large as JSON allows in 16 KB once PostgreSQL has put its spaces in.
        ('{"a":[' + ",".join("1" * 8188) + "]}", 201),
        # Small as text, huge as PostgreSQL's numeric.
        ('{"a":[' + ",".join(["1e308"] * 200) + "]}", 422),
        ('{"a":1e-200000}', 422),
        ("[]", 422),
        ('{"a":"\\u0000"}', 422),
    ]
    for data, status in cases:
        body = '{"user_id":"u1","type":"a","title":"t","message":"","data":' + data + "}"
        response = await client.post("notifications", headers=ADMIN, content=body)
        assert response.status_code == status, response.text
        if status == 422:
            assert response.json()["field"] == "data"


async def test_with_the_database_gone_requests_are_unavailable(dsn: str) -> None:
    database = await Database.open(dsn, min_size=1, max_size=1)
    await database.close()
    async with client_for(slice_endpoints(database)) as client:
        response = await client.get("/api/v1/notifications", headers=U1)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
