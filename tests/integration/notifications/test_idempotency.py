"""Idempotency-Key: what was answered once is answered again, and done once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.integration.notifications.inbox import HOUR, Inbox, now
from tests.rest_client import bearer, client_for, slice_endpoints

from callboard import telemetry
from callboard.store.database import Database

ADMIN = bearer("boss", "admin")
BODY = {"user_id": "u1", "type": "a", "title": "t", "message": ""}
BATCH = {"user_ids": ["u1", "u2"], "type": "a", "title": "t", "message": ""}
# As a program calls it that is older than migration 0007.
WITHOUT_ENDPOINT = """
select id from callboard.create_once('boss', 'k', '', array['u1'], null, null, 'a', 't', '', '{}', 'normal', null, null,
                                     null, null, null, true)
"""


@pytest.fixture
def inbox(database: Database) -> Inbox:
    return Inbox(database)


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(slice_endpoints(database)) as opened:
        opened.base_url = httpx.URL("http://callboard.test/api/v1/")
        yield opened


async def post(
    client: httpx.AsyncClient, body: object, key: str = "k", path: str = "notifications", by: dict[str, str] = ADMIN
) -> httpx.Response:
    content = body if isinstance(body, str) else json.dumps(body)
    return await client.post(path, headers={**by, "idempotency-key": key}, content=content)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("notifications", BODY),
        ("notifications", BATCH),
        ("notifications/batch", BATCH),
        (
            "notifications",
            {**BODY, "user_id": None, "subscribers_of": {"resource_type": "episode", "resource_id": "4"}},
        ),
    ],
)
async def test_the_same_call_again_gives_the_same_answer(
    client: httpx.AsyncClient, inbox: Inbox, path: str, body: dict[str, Any]
) -> None:
    followed = {"resource_type": "episode", "resource_id": "4"}
    await client.post("subscriptions", headers=bearer("u1"), json=followed)
    first = await post(client, body, path=path)
    # Meanwhile it was read: the answer is still the first.
    await inbox.service.mark_all_read("u1")
    second = await post(client, body, path=path)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert len(await inbox.items()) == 1
    assert [each.name for each in await inbox.sent()].count("notification:new") == 1


async def test_a_held_one_too(client: httpx.AsyncClient, inbox: Inbox) -> None:
    await inbox.people_have_a_status()
    await inbox.status("dnd", now() + HOUR)
    first = await post(client, BODY)
    assert first.json()["decision"]["outcome"] == "held"
    await inbox.status("dnd")
    assert (await post(client, BODY)).content == first.content


async def test_with_another_body_it_is_a_conflict(client: httpx.AsyncClient, inbox: Inbox) -> None:
    await post(client, BODY)
    refused = await post(client, {**BODY, "title": "other"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert refused.json()["detail"] == (
        "this Idempotency-Key was used with another body: send a new key with each new call"
    )
    assert refused.headers["content-type"] == "application/problem+json"
    assert len(await inbox.items()) == 1


@pytest.mark.parametrize(("first", "second"), [("", "/batch"), ("/batch", "")])
async def test_at_another_endpoint_it_is_a_conflict_that_names_the_first(
    client: httpx.AsyncClient, inbox: Inbox, first: str, second: str
) -> None:
    await post(client, BATCH, path=f"notifications{first}")
    refused = await post(client, BATCH, path=f"notifications{second}")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert refused.json()["detail"] == (
        f"this Idempotency-Key was used at another endpoint, POST /api/v1/notifications{first}: "
        "send a new key with each new call"
    )
    assert len(await inbox.items()) == 1


async def test_a_key_from_before_endpoints_were_kept_is_held_against_its_body(
    client: httpx.AsyncClient, inbox: Inbox
) -> None:
    first = await post(client, BODY)
    await inbox.database.execute("update callboard.idempotency_keys set endpoint = null")
    assert (await post(client, BODY)).content == first.content
    assert (await post(client, BATCH, path="notifications/batch")).status_code == 409


async def test_a_node_from_before_then_creates_once_too(inbox: Inbox) -> None:
    assert await inbox.database.fetchval(WITHOUT_ENDPOINT) == await inbox.database.fetchval(WITHOUT_ENDPOINT)
    assert await inbox.count() == 1


async def test_it_counts_once(client: httpx.AsyncClient) -> None:
    arrived = telemetry.NOTIFIED.labels("now")
    before = arrived._value.get()
    await asyncio.gather(*(post(client, BATCH) for _ in range(4)))
    await post(client, BATCH)
    assert arrived._value.get() - before == 2


async def test_space_and_order_are_no_other_body(client: httpx.AsyncClient) -> None:
    data = {"a": 1, "b": [1, 2]}
    first = await post(client, json.dumps({**BODY, "data": data}))
    turned = {"data": {"b": [1, 2], "a": 1}, **dict(reversed(BODY.items()))}
    assert (await post(client, json.dumps(turned, indent=2))).content == first.content
    assert (await post(client, {**BODY, "data": {"a": 1, "b": [2, 1]}})).status_code == 409


async def test_another_key_or_caller_is_another_call(client: httpx.AsyncClient, inbox: Inbox) -> None:
    await post(client, BODY)
    await post(client, BODY, key="K")
    await post(client, BODY, by=bearer("chief", "admin"))
    assert await inbox.count() == 3


async def test_at_once_it_is_done_once(client: httpx.AsyncClient, inbox: Inbox) -> None:
    answers = await asyncio.gather(*(post(client, BODY) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await inbox.count() == 1


async def test_at_once_with_two_bodies_one_is_refused(client: httpx.AsyncClient, inbox: Inbox) -> None:
    answers = await asyncio.gather(*(post(client, {**BODY, "title": f"t{n % 2}"}) for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [409] * 4
    assert await inbox.count() == 1


async def test_a_refused_call_is_not_remembered(client: httpx.AsyncClient, inbox: Inbox) -> None:
    await inbox.settings(rate_limit=1)
    await inbox.notify()
    assert (await post(client, BODY)).status_code == 429
    await inbox.settings(types=["b"])
    assert (await post(client, {**BODY, "type": "c"})).status_code == 422
    await inbox.settings(types=None, rate_limit=50)
    # The key is free, for another body also.
    assert (await post(client, {**BODY, "title": "after"})).status_code == 201
    assert (await inbox.titles())[0] == "after"


async def test_a_dry_run_takes_no_key(client: httpx.AsyncClient, inbox: Inbox) -> None:
    assert (await post(client, BODY, path="notifications?dry_run=true")).status_code == 201
    assert (await post(client, {**BODY, "title": "x"})).status_code == 201


async def test_after_a_day_it_is_forgotten(client: httpx.AsyncClient, inbox: Inbox) -> None:
    await post(client, BODY)
    made = await inbox.database.fetchval("select created_at from callboard.idempotency_keys")
    day = timedelta(hours=24)
    first = await post(client, BODY)
    await inbox.upkeep.remove_spent(inbox.database, made + day, 10)
    assert (await post(client, BODY)).content == first.content
    await inbox.upkeep.remove_spent(inbox.database, made + day + timedelta(microseconds=1), 10)
    assert (await post(client, {**BODY, "title": "other"})).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256])
async def test_a_wrong_key_is_named(client: httpx.AsyncClient, inbox: Inbox, key: str) -> None:
    headers = [(b"authorization", ADMIN["authorization"].encode()), (b"idempotency-key", key.encode())]
    refused = await client.post("notifications", headers=headers, json=BODY)
    assert (refused.status_code, refused.json()["field"]) == (422, "Idempotency-Key")
    assert await inbox.count() == 0


async def test_two_keys_are_none(client: httpx.AsyncClient, inbox: Inbox) -> None:
    headers = [("authorization", ADMIN["authorization"]), ("idempotency-key", "a"), ("idempotency-key", "b")]
    refused = await client.post("notifications", headers=headers, json=BODY)
    assert (refused.status_code, refused.json()["field"]) == (422, "Idempotency-Key")
    assert refused.json()["detail"] == "Idempotency-Key is given more than once"
    assert await inbox.count() == 0


async def test_the_longest_key(client: httpx.AsyncClient) -> None:
    assert (await post(client, BODY, key="~" * 255)).status_code == 201
