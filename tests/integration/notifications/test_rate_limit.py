"""The hourly limit: exact, also at once, a single one refused, a batch counted, what is over it folded if so set."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from tests.integration.notifications.inbox import HOUR, Inbox, now
from tests.rest_client import Outbox, bearer, client_for, slice_endpoints

from callboard.errors import RateLimited
from callboard.notifications.model import NewNotification
from callboard.notifications.service import NotificationService
from callboard.store.database import Database

NEW = NewNotification(type="a", title="t", message="")


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, 59, 30, tzinfo=UTC)

    def timestamp(self) -> float:
        return self.now().timestamp()

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
async def inbox(database: Database) -> Inbox:
    made = Inbox(database)
    await made.settings(rate_limit=3)
    return made


async def fill(inbox: Inbox, user: str = "u1") -> None:
    for number in range(3):
        await inbox.notify(user, f"n{number}")


async def counted(inbox: Inbox) -> dict[str, int]:
    return {
        row["user_id"]: row["sent"] for row in await inbox.database.fetch("select * from callboard.notification_rates")
    }


async def an_hour_passes(inbox: Inbox) -> None:
    await inbox.database.execute("update callboard.notification_rates set hour = hour - interval '1 hour'")


async def test_one_more_is_refused_and_leaves_nothing(inbox: Inbox) -> None:
    await fill(inbox)
    await inbox.sent()
    with pytest.raises(RateLimited):
        await inbox.notify()
    assert (await inbox.count(), await inbox.sent()) == (3, [])
    assert await inbox.database.fetchval("select count(*) from callboard.notifications") == 3
    assert await inbox.count("u2") == 0
    await inbox.notify("u2")


async def test_rest_answers_429_until_the_next_hour(inbox: Inbox) -> None:
    await fill(inbox)
    async with client_for(slice_endpoints(inbox.database)) as client:
        body = {"user_id": "u1", "type": "a", "title": "t", "message": ""}
        response = await client.post("/api/v1/notifications", headers=bearer("boss", "admin"), json=body)
    assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(response.headers["retry-after"]) <= 3600


async def test_the_time_to_wait_is_what_is_left_of_the_hour(inbox: Inbox) -> None:
    await fill(inbox)
    with pytest.raises(RateLimited) as refused:
        await NotificationService(inbox.database, Outbox(inbox.database), clock=Clock()).create("u1", NEW, actor=None)
    assert refused.value.retry_after == 30


async def test_the_next_hour_counts_from_nothing(inbox: Inbox) -> None:
    await fill(inbox)
    await an_hour_passes(inbox)
    await fill(inbox)
    with pytest.raises(RateLimited):
        await inbox.notify()
    assert await inbox.count() == 6


async def test_a_batch_counts_who_is_over(inbox: Inbox) -> None:
    await fill(inbox)
    made = await inbox.notify(["u1", "u2"], "to both")
    assert (made.created, made.rate_limited, made.outcome) == (1, 1, None)
    assert made.id is not None
    assert await inbox.titles("u2") == ["to both"]
    assert "to both" not in await inbox.titles("u1")
    explained = await inbox.explain(made.id)
    assert (explained["outcome"], explained["rule"]) == ("suppressed", "rate_limited")
    assert (explained["used"]["sent_in_hour"], explained["used"]["rate_limit"]) == (4, 3)
    # A list of one is a list.
    assert (await inbox.notify(["u1"])).rate_limited == 1


async def test_what_is_muted_is_not_counted(inbox: Inbox) -> None:
    await inbox.prefer(muted_types=["noise"])
    for _ in range(5):
        await inbox.notify(type="noise")
    await fill(inbox)
    assert (await counted(inbox)) == {"u1": 3}
    assert (await inbox.notify(type="noise")).rule == "muted_type"


async def test_of_a_group_only_the_first_is_counted(inbox: Inbox) -> None:
    for _ in range(6):
        await inbox.notify(group_key="g")
    assert await counted(inbox) == {"u1": 1}
    await inbox.notify(group_key="h")
    await inbox.notify()
    with pytest.raises(RateLimited):
        await inbox.notify(group_key="i")
    assert await counted(inbox) == {"u1": 3}
    # What folds is none more.
    assert (await inbox.notify(group_key="g")).outcome == "folded"


async def test_what_is_held_is_counted_when_it_is_created(inbox: Inbox) -> None:
    await inbox.people_have_a_status()
    await inbox.status("dnd")
    await fill(inbox)
    await inbox.status(None)
    with pytest.raises(RateLimited):
        await inbox.notify()
    await inbox.upkeep.attention_changed(inbox.database, "u1")
    assert await inbox.release(now()) == (3, 3)


@pytest.mark.parametrize("to", ["u1", ["u1", "u2"]])
async def test_many_at_once_are_counted_exactly(inbox: Inbox, to: str | list[str]) -> None:
    await inbox.settings(rate_limit=10)
    # Two services: two nodes.
    nodes = [inbox.service, NotificationService(inbox.database, Outbox(inbox.database))]
    done = await asyncio.gather(
        *(nodes[number % 2].create(to, NEW, actor=None) for number in range(30)), return_exceptions=True
    )
    refused = [each for each in done if isinstance(each, RateLimited)]
    assert not [each for each in done if isinstance(each, Exception) and each not in refused]
    assert await inbox.count() == 10
    assert len(refused) == (20 if to == "u1" else 0)


async def test_what_is_over_the_limit_folds_into_one_if_so_set(inbox: Inbox) -> None:
    await inbox.settings(rate_overflow="fold")
    await fill(inbox)
    await inbox.sent()
    first = await inbox.notify(title="over 1")
    assert (first.outcome, first.rule, first.created) == ("now", "rate_limited", 1)
    for number in (2, 3):
        more = await inbox.notify(title=f"over {number}", group_key="any")
        assert (more.outcome, more.rule) == ("folded", "rate_limited")
    (item, *others) = await inbox.items()
    assert (item["group_key"], item["group"]["count"], item["title"], len(others)) == ("~overflow", 3, "over 3", 3)
    (sent,) = await inbox.sent()
    assert (sent.payload["group_key"], sent.payload["group"]["count"]) == ("~overflow", 1)
    assert await inbox.upkeep.send_folds(inbox.database, now() + HOUR, 10) == 1
    (sent,) = await inbox.sent()
    assert sent.payload == (await inbox.items())[0]


async def test_a_batch_says_to_each_what_their_list_says(inbox: Inbox) -> None:
    await inbox.settings(rate_overflow="fold")
    await fill(inbox)
    await inbox.sent()
    made = await inbox.notify(["u1", "u2"], "to both")
    assert (made.created, made.rate_limited) == (2, 0)
    sent = {room: each.payload for each in await inbox.sent() for room in each.rooms}
    for user in ("u1", "u2"):
        assert (await inbox.items(user))[0] == sent[f"user:{user}"]
    assert sent["user:u1"]["group_key"] == "~overflow"
    assert sent["user:u2"]["group"] is None


async def test_an_expired_group_of_them_is_closed(inbox: Inbox) -> None:
    await inbox.settings(rate_overflow="fold")
    await fill(inbox)
    await inbox.notify(title="gone", expires_in=60)
    await inbox.database.execute(
        "update callboard.notification_recipients set expires_at = now() where group_key = '~overflow'"
    )
    assert (await inbox.notify(title="new")).outcome == "now"
    assert (await inbox.items())[0]["group"]["count"] == 1
