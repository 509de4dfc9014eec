"""Explain tells why afterwards, and a dry run what would be: exactly what a real create then does."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.integration.notifications.inbox import HOUR, Inbox, now, quiet_now
from tests.rest_client import bearer, client_for, slice_endpoints

from callboard.store.database import Database

ADMIN, U1 = bearer("boss", "admin"), bearer("u1")
USERS = ["u1", "u2", "u3"]
CONTENT = {"type": "a", "title": "t", "message": ""}
EPISODE = {"type": "episode", "id": "4"}


@pytest.fixture
async def inbox(database: Database) -> Inbox:
    made = Inbox(database)
    await made.people_have_a_status()
    return made


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(slice_endpoints(database)) as opened:
        opened.base_url = httpx.URL("http://callboard.test/api/v1/")
        yield opened


async def post(client: httpx.AsyncClient, body: dict[str, Any], *, dry: bool = False) -> httpx.Response:
    path = "notifications?dry_run=true" if dry else "notifications"
    return await client.post(path, headers=ADMIN, json={**CONTENT, **body})


async def explain(client: httpx.AsyncClient, id_: str, user: str) -> dict[str, Any]:
    response = await client.get(f"notifications/{id_}/explain", headers=bearer(user))
    assert response.status_code == 200, response.text
    explained: dict[str, Any] = response.json()
    return explained


async def everything(inbox: Inbox) -> list[Any]:
    """Every row that a create might write."""
    tables = ("notifications", "notification_recipients", "notification_rates", "outbox", "idempotency_keys")
    return [tuple(row) for table in tables for row in await inbox.database.fetch(f"select * from callboard.{table}")]


async def change_something(inbox: Inbox, chance: random.Random) -> None:
    user = chance.choice(USERS)
    match chance.randrange(6):
        case 0:
            await inbox.status(chance.choice(["dnd", "busy", "online"]), now() + chance.choice([-1, 1, 2]) * HOUR, user)
        case 1:
            await inbox.prefer(user, quiet_hours=chance.choice([None, quiet_now(now())]))
        case 2:
            await inbox.prefer(user, muted_types=chance.choice([[], ["b"]]))
        case 3:
            await inbox.prefer(user, muted_resources=chance.choice([[], [EPISODE]]), types={"a": {"attention": False}})
        case 4:
            await inbox.service.mark_all_read(user)
        case 5:
            await inbox.database.execute(
                "update callboard.notification_recipients set expires_at = now() where group_open and user_id = $1",
                user,
            )


def something(chance: random.Random) -> dict[str, Any]:
    body: dict[str, Any] = {"type": chance.choice("ab"), "priority": chance.choice(["normal", "normal", "urgent"])}
    body |= chance.choice([{"user_id": chance.choice(USERS)}, {"user_ids": USERS}])
    if chance.random() < 0.5:
        body["group_key"] = chance.choice("gh")
    if chance.random() < 0.3:
        body["resource"] = EPISODE
    return body


@pytest.mark.parametrize("overflow", ["suppress", "fold"])
@pytest.mark.parametrize("seed", range(3))
async def test_a_dry_run_foretells_what_then_becomes_of_it(
    inbox: Inbox, client: httpx.AsyncClient, overflow: str, seed: int
) -> None:
    chance = random.Random(seed)
    await inbox.settings(rate_limit=6, rate_overflow=overflow)
    met = set()
    for _ in range(40):
        await change_something(inbox, chance)
        body = something(chance)
        before = await everything(inbox)
        foretold = await post(client, body, dry=True)
        assert (foretold.status_code, await everything(inbox)) == (201, before)
        dry = foretold.json()
        real = await post(client, body)
        if real.status_code == 429:
            assert dry["suppressed"] == {"muted": 0, "rate_limited": 1}
            continue
        made = real.json()
        if "user_ids" in body:
            assert {name: dry[name] for name in ("created", "held", "folded", "suppressed")} == {
                name: made[name] for name in ("created", "held", "folded", "suppressed")
            }
        for recipient in dry["recipients"]:
            explained = await explain(client, made.get("id") or made["notification_id"], recipient["user_id"])
            for name in ("outcome", "rule", "held_until"):
                assert explained[name] == recipient[name], (name, body)
            assert explained["used"] | (recipient["used"] or {}) == explained["used"]
            met.add((explained["outcome"], explained["rule"]))
    assert {outcome for outcome, _ in met} >= {"now", "held", "folded", "suppressed"}


async def test_a_dry_run_of_followers(inbox: Inbox, client: httpx.AsyncClient) -> None:
    for user in (*USERS, "boss"):
        followed = {"resource_type": "episode", "resource_id": "4"}
        await client.post("subscriptions", headers=bearer(user), json=followed)
    await inbox.prefer("u2", muted_types=["a"])
    dry = (await post(client, {"subscribers_of": {"resource_type": "episode", "resource_id": "4"}}, dry=True)).json()
    assert [(each["user_id"], each["outcome"]) for each in dry["recipients"]] == [
        ("u1", "now"),
        ("u2", "suppressed"),
        ("u3", "now"),
    ]
    assert (dry["created"], dry["suppressed"]) == (2, {"muted": 1, "rate_limited": 0})


async def test_a_dry_run_shows_the_first_hundred_and_counts_all(client: httpx.AsyncClient) -> None:
    users = [f"u{number:03}" for number in range(150)]
    response = await client.post(
        "notifications/batch?dry_run=true", headers=ADMIN, json={**CONTENT, "user_ids": users[::-1]}
    )
    dry = response.json()
    assert [each["user_id"] for each in dry["recipients"]] == users[:100]
    assert dry["created"] == 150


@pytest.mark.parametrize(("body", "field"), [({"user_ids": []}, "user_ids"), ({"user_id": "u1", "title": ""}, "title")])
async def test_a_dry_run_refuses_what_a_real_one_does(
    client: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    for dry in (True, False):
        refused = await post(client, body, dry=dry)
        assert (refused.status_code, refused.json()["field"]) == (422, field)


async def test_explanations_are_sentences_with_the_values(inbox: Inbox, client: httpx.AsyncClient) -> None:
    plain = await explain(client, (await post(client, {"user_id": "u1"})).json()["id"], "u1")
    assert (plain["outcome"], plain["rule"], plain["used"]) == ("now", None, {"sent_in_hour": 1})
    assert plain["summary"] == "It arrived at once."
    until = now() + HOUR
    await inbox.status("dnd", until)
    made = (await post(client, {"user_id": "u1"})).json()
    held = await explain(client, made["id"], "u1")
    assert held["held_until"] == made["decision"]["held_until"]
    assert held["summary"] == f"It was held because the status was dnd; it arrives at {held['held_until']}."
    await inbox.release(until)
    arrived = await explain(client, made["id"], "u1")
    assert arrived["summary"].endswith(f", and arrived at {arrived['arrived_at']}.")
    assert arrived["arrived_at"].startswith((until + timedelta(microseconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%f"))


async def test_urgent_is_no_reason_where_there_was_no_hold(inbox: Inbox, client: httpx.AsyncClient) -> None:
    moment = now()
    await inbox.prefer(quiet_hours=quiet_now(moment + 6 * HOUR))
    made = (await post(client, {"user_id": "u1", "priority": "urgent"})).json()
    assert made["decision"] == {"outcome": "now", "rule": None, "held_until": None}


async def test_the_owner_and_admins_are_told_and_nobody_else(inbox: Inbox, client: httpx.AsyncClient) -> None:
    id_ = str(await inbox.id_of("u1"))
    path = f"notifications/{id_}/explain"
    assert (await client.get(path, headers=U1)).json()["user_id"] == "u1"
    assert (await client.get(f"{path}?user_id=u1", headers=U1)).status_code == 200
    assert (await client.get(f"{path}?user_id=u1", headers=ADMIN)).json()["user_id"] == "u1"
    assert (await client.get(path, headers=ADMIN)).status_code == 404
    assert (await client.get(f"{path}?user_id=u1", headers=bearer("u2"))).status_code == 403
    assert (await client.get(path, headers=bearer("u2"))).status_code == 404
    for unknown in (str(uuid4()), "nonsense"):
        assert (await client.get(f"notifications/{unknown}/explain", headers=U1)).status_code == 404


async def test_a_hold_without_an_end_has_none(inbox: Inbox, client: httpx.AsyncClient) -> None:
    await inbox.status("busy")
    dry = (await post(client, {"user_id": "u1"}, dry=True)).json()
    made = (await post(client, {"user_id": "u1"})).json()
    assert made["decision"] == {"outcome": "held", "rule": "attention", "held_until": None}
    assert (dry["held"], dry["recipients"][0]["held_until"]) == (1, None)
    explained = await explain(client, made["id"], "u1")
    assert (explained["held_until"], explained["used"]["attention"]) == (None, "busy")
    assert explained["summary"] == "It was held because the status was busy; it arrives when that changes."
