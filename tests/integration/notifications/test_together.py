"""Calls for one person each that share a statement: each does what it does alone, in its order; all of them or none."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest
from tests.integration.notifications.inbox import Inbox, now
from tests.integration.notifications.test_one_and_many import anything, choose, copies

from callboard.errors import Invalid, RateLimited
from callboard.notifications.creation_store import Content, Created, CreationStore, ToOne
from callboard.store.database import Database

CHOICES = range(4)


@pytest.fixture
async def inbox(database: Database) -> Inbox:
    made = Inbox(database)
    await made.people_have_a_status()
    return made


def call(user: str, title: str = "t", **fields: Any) -> ToOne:
    content: dict[str, Any] = {
        "type": "a",
        "title": title,
        "message": "",
        "data": "{}",
        "priority": "normal",
        "actor": None,
        "resource_type": None,
        "resource_id": None,
        "group_key": None,
        "expires_in": None,
    }
    return ToOne(user, Content(**(content | fields)))


async def together(inbox: Inbox, calls: list[ToOne]) -> list[Created]:
    return await CreationStore().create_each(inbox.outbox, calls)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("overflow", ["suppress", "fold"])
@pytest.mark.parametrize("groups", [False, True])
async def test_each_is_decided_for_as_if_alone(inbox: Inbox, overflow: str, groups: bool, seed: int) -> None:
    """People in every state, some of them called several times; half of all calls go beyond the limit."""
    await inbox.settings(rate_limit=5, rate_overflow=overflow)
    moment = now()
    for choice in CHOICES:
        for each in ("alone", "together"):
            await choose(inbox, f"{each}{choice}", choice, moment)
    await inbox.database.execute("insert into callboard.people (id, name) values ('mira', 'Mira Okafor')")
    chance = random.Random(seed)
    alone, calls = [], []
    for number in range(48):
        new = anything(chance)
        resource = new.pop("resource") or {}
        if not groups:
            new["group_key"] = None
        person, title = chance.choice(CHOICES), f"{number:02}"
        fields = new | {"resource_type": resource.get("type"), "resource_id": resource.get("id")}
        alone.append((await together(inbox, [call(f"alone{person}", title, **fields)]))[0])
        calls.append(call(f"together{person}", title, **fields))
    made = await together(inbox, calls)
    assert [each._replace(id=None, payload=b"") for each in made] == [
        each._replace(id=None, payload=b"") for each in alone
    ]
    assert [each.id is None for each in made] == [each.id is None for each in alone]
    for choice in CHOICES:
        assert await copies(inbox, f"together{choice}") == await copies(inbox, f"alone{choice}")
    sent: dict[str, list[object]] = {"alone": [], "together": []}
    for name, rooms, payload in await inbox.sent():
        (room,) = rooms
        whose = room.removeprefix("user:")
        said = {key: value for key, value in payload.items() if not key.endswith("_at") and key not in ("id", "group")}
        sent[whose[:-1]].append((whose[-1], name, said))
    assert sent["together"] == sent["alone"]
    assert any(each.payload is not None and b"Mira Okafor" in each.payload for each in made)


async def test_the_answer_the_message_and_the_list_say_the_same(inbox: Inbox) -> None:
    made = await together(inbox, [call(f"u{number}", f"t{number}", expires_in=60) for number in range(5)])
    sent = await inbox.sent()
    assert [each.rooms for each in sent] == [[f"user:u{number}"] for number in range(5)]
    for number, (answer, message) in enumerate(zip(made, sent, strict=True)):
        assert [message.payload] == await inbox.items(f"u{number}") == [msgspec.json.decode(answer.payload)]
        assert message.payload["title"] == f"t{number}"


async def test_one_persons_keep_their_order(inbox: Inbox) -> None:
    await together(inbox, [call("u1", f"{number:02}") for number in range(30)])
    assert await inbox.titles() == [f"{number:02}" for number in reversed(range(30))]


async def test_the_limit_comes_in_the_middle(inbox: Inbox) -> None:
    await inbox.settings(rate_limit=4)
    await inbox.notify("u1")
    made = await together(inbox, [call(user, f"{n}") for n in range(4) for user in ("u1", "u2")])
    assert [each.rate_limited for each in made if each.id is None] == [1]
    assert made[6].id is None
    assert await inbox.titles("u1") == ["2", "1", "0", "t"]
    assert await inbox.titles("u2") == ["3", "2", "1", "0"]
    explained = await inbox.explain(made[5].id or pytest.fail("not stored"), "u2")
    assert explained["used"]["sent_in_hour"] == 3


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("user_ids", {"user": "u\n1"}),
        ("user_ids", {"user": ""}),
        ("type", {"type": "No"}),
        ("title", {"title": ""}),
        ("message", {"message": "m" * 2001}),
        ("data", {"data": "[]"}),
        ("priority", {"priority": "highest"}),
        ("resource", {"resource_type": "episode"}),
        ("expires_in", {"expires_in": 0}),
    ],
)
async def test_one_that_is_wrong_refuses_all(inbox: Inbox, field: str, wrong: dict[str, Any]) -> None:
    calls = [call("u1"), call("u2"), call(**({"user": "u3"} | wrong)), call("u4")]
    with pytest.raises(Invalid) as refused:
        await together(inbox, calls)
    assert refused.value.field == field
    assert await inbox.database.fetchval("select count(*) from callboard.notifications") == 0
    assert await inbox.database.fetchval("select count(*) from callboard.notification_rates") == 0


async def test_the_service_answers_each_of_those_that_share_a_statement(inbox: Inbox) -> None:
    """One in three is over the limit, which is nobody else's matter."""
    await inbox.settings(rate_limit=2)
    calls = [inbox.notify(f"u{number % 5}", f"{number:02}") for number in range(15)]
    done = await asyncio.gather(*calls, return_exceptions=True)
    refused = [isinstance(each, RateLimited) for each in done]
    assert [sum(refused[person::5]) for person in range(5)] == [1] * 5
    for number, answer in enumerate(done):
        if isinstance(answer, Created):
            assert msgspec.json.decode(answer.payload)["title"] == f"{number:02}"
        else:
            assert isinstance(answer, RateLimited)
