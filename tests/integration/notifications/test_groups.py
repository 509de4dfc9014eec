"""Groups: what shares a key folds into one, which says how many, who, the first and the latest."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from tests.integration.notifications.inbox import HOUR, Inbox, now

from callboard.notifications.store import Change
from callboard.store.database import Database

SECOND = timedelta(seconds=1)


@pytest.fixture
async def inbox(database: Database) -> Inbox:
    made = Inbox(database)
    await made.people_have_a_status()
    return made


async def grow(inbox: Inbox, *actors: str | None, key: str = "g", to: str | list[str] = "u1") -> list[UUID]:
    """One for each actor, titled by them."""
    return [await inbox.id_of(to, f"by {actor}", actor=actor, group_key=key) for actor in actors]


async def send(inbox: Inbox, at: datetime, most: int = 500) -> int:
    return await inbox.upkeep.send_folds(inbox.database, at, most)


async def test_what_shares_a_key_folds(inbox: Inbox) -> None:
    first, second, third = await grow(inbox, "mira", "jonas", "mira")
    (item,) = await inbox.items()
    assert (item["id"], item["title"], item["actor"], item["group_key"]) == (str(first), "by mira", "mira", "g")
    group = item["group"]
    assert (group["count"], group["actors"]) == (3, 2)
    assert (group["first"]["id"], group["latest"]["id"]) == (str(first), str(third))
    assert (group["first"]["actor"], group["latest"]["title"]) == ("mira", "by mira")
    assert await inbox.count() == 1
    assert (await inbox.explain(first))["outcome"] == "now"
    for folded in (second, third):
        explained = await inbox.explain(folded)
        assert (explained["outcome"], explained["rule"]) == ("folded", "group")
        assert (explained["folded_into"], explained["arrived_at"]) == (str(first), None)
        assert "into" not in explained["used"]


async def test_keys_and_people_are_kept_apart(inbox: Inbox) -> None:
    await grow(inbox, "a", "b", key="one")
    await grow(inbox, "a", key="two")
    await grow(inbox, "a", key="one", to="u2")
    await grow(inbox, "a", "b", key="one", to=["u1", "u2"])
    assert sorted(item["group"]["count"] for item in await inbox.items()) == [1, 4]
    assert [item["group"]["count"] for item in await inbox.items("u2")] == [3]


async def test_clients_are_told_once_when_the_first_fold_is_old_enough(inbox: Inbox) -> None:
    begun = now()
    await inbox.notify(title="before", group_key="g")
    await inbox.notify(title="other")
    assert [each.name for each in await inbox.sent()] == ["notification:new"] * 2
    assert await send(inbox, now() + 24 * HOUR) == 0
    for title in ("x", "y", "z"):
        await inbox.notify(title=title, group_key="g")
    assert await inbox.sent() == []
    assert await inbox.titles() == ["other", "z"]
    assert await send(inbox, begun + 5 * SECOND) == 0
    assert await send(inbox, now() + 5 * SECOND) == 1
    (sent,) = await inbox.sent()
    assert (sent.name, sent.rooms, sent.payload["group"]["count"]) == ("notification:updated", ["user:u1"], 4)
    # It has come to the top.
    assert await inbox.titles() == ["z", "other"]
    assert (await inbox.items())[0] == sent.payload
    assert await send(inbox, now() + HOUR) == 0


async def test_a_full_batch_goes_at_once(inbox: Inbox) -> None:
    await inbox.settings(batch_size=3)
    await grow(inbox, "a", "b", "c")
    assert await send(inbox, now()) == 0
    await grow(inbox, "d")
    assert await send(inbox, now()) == 1
    # And the next begins from nothing.
    await grow(inbox, "e", "f")
    assert await send(inbox, now()) == 0
    assert await send(inbox, now() + 5 * SECOND) == 1


async def test_those_that_fold_later_do_not_put_it_off(inbox: Inbox) -> None:
    await grow(inbox, "a", "b")
    due = await inbox.database.fetchval("select fold_due from callboard.notification_recipients where group_open")
    await grow(inbox, "c")
    assert await send(inbox, due) == 1


async def test_the_timeout_is_a_setting(inbox: Inbox) -> None:
    await inbox.settings(batch_timeout=timedelta(seconds=60))
    await grow(inbox, "a", "b")
    assert await send(inbox, now() + 59 * SECOND) == 0
    assert await send(inbox, now() + 60 * SECOND) == 1


async def test_groups_go_in_the_order_in_which_they_are_due(inbox: Inbox) -> None:
    for key in ("one", "two", "three"):
        await grow(inbox, "first", key=key)
    for key in ("three", "two", "one"):
        await grow(inbox, f"latest of {key}", key=key)
    await inbox.sent()
    assert [await send(inbox, now() + HOUR, 2), await send(inbox, now() + 2 * HOUR, 2)] == [2, 1]
    assert [each.payload["group_key"] for each in await inbox.sent()] == ["three", "two", "one"]
    assert [item["group_key"] for item in await inbox.items()] == ["one", "two", "three"]


async def test_copies_that_grew_together_share_their_message(inbox: Inbox) -> None:
    await grow(inbox, "a", "b", to=["u1", "u2"])
    await inbox.sent()
    assert await send(inbox, now() + HOUR) == 2
    (sent,) = await inbox.sent()
    assert sent.rooms == ["user:u1", "user:u2"]
    assert await inbox.items("u1") == await inbox.items("u2") == [sent.payload]


async def test_the_revision_grows_with_each_fold_and_again_when_it_goes_out(inbox: Inbox) -> None:
    revisions = []
    for actor in ("a", "b", "c"):
        await grow(inbox, actor)
        revisions.append((await inbox.items())[0]["revision"])
    await send(inbox, now() + HOUR)
    revisions.append((await inbox.items())[0]["revision"])
    assert revisions == [1, 2, 3, 4]


async def test_what_was_seen_is_new_again(inbox: Inbox) -> None:
    (first,) = await grow(inbox, "a")
    await inbox.service.change("u1", first, "seen")
    await grow(inbox, "b")
    assert (await inbox.items())[0]["seen_at"] is None


@pytest.mark.parametrize("change", ["read", "archive"])
async def test_a_change_closes_the_group(inbox: Inbox, change: Change) -> None:
    first, _ = await grow(inbox, "a", "b")
    await inbox.service.change("u1", first, change)
    # Unread or out of the archive it is not open again.
    await inbox.service.change("u1", first, "unread" if change == "read" else "unarchive")
    await grow(inbox, "c")
    assert [item["group"]["count"] for item in await inbox.items()] == [1, 2]
    assert await inbox.count() == 2


async def test_reading_all_and_deleting_close_it_too(inbox: Inbox) -> None:
    await grow(inbox, "a")
    await inbox.service.mark_all_read("u1")
    (second,) = await grow(inbox, "b")
    await inbox.service.delete("u1", second)
    await grow(inbox, "c")
    assert [(item["group"]["count"], item["title"]) for item in await inbox.items()] == [(1, "by c"), (1, "by a")]


async def test_an_expired_group_is_closed(inbox: Inbox) -> None:
    first = await inbox.id_of(group_key="g", expires_in=60)
    await inbox.database.execute("update callboard.notification_recipients set expires_at = now()")
    new = await inbox.notify(title="new", group_key="g")
    assert (new.outcome, new.folded) == ("now", 0)
    (item,) = await inbox.items()
    assert item["id"] != str(first)
    assert item["group"]["count"] == 1


@pytest.mark.parametrize(("first", "second", "later"), [(60, 3600, "second"), (3600, 60, "first"), (60, None, None)])
async def test_a_group_lives_as_long_as_any_of_it(
    inbox: Inbox, first: int, second: int | None, later: str | None
) -> None:
    made = {"first": await inbox.notify(group_key="g", expires_in=first)}
    made["second"] = await inbox.notify(group_key="g", expires_in=second)
    ends = {
        str(row["id"]): row["ends"]
        for row in await inbox.database.fetch(
            "select id, callboard.utc_text(expires_at) as ends from callboard.notifications"
        )
    }
    assert (await inbox.items())[0]["expires_at"] == (None if later is None else ends[str(made[later].id)])


async def test_actors_are_counted_once_and_to_a_hundred(inbox: Inbox) -> None:
    (first,) = await grow(inbox, None)
    assert (await inbox.items())[0]["group"]["actors"] == 0
    await grow(inbox, "a", "b", "a", None)
    assert (await inbox.items())[0]["group"]["actors"] == 2
    await inbox.database.execute(
        "update callboard.notification_recipients r "
        "set group_actors = array(select 'p' || n from generate_series(1, 100) n) where r.notification_id = $1",
        first,
    )
    await grow(inbox, "one more")
    group = (await inbox.items())[0]["group"]
    assert (group["count"], group["actors"]) == (6, 100)


async def test_a_held_group_grows_and_arrives_as_one(inbox: Inbox) -> None:
    until = now() + HOUR
    await inbox.status("dnd", until)
    first, *_ = await grow(inbox, "a", "b", "c")
    assert (await inbox.items(), await inbox.sent()) == ([], [])
    assert await send(inbox, until) == 0
    assert await inbox.release(until) == (1, 1)
    (sent,) = await inbox.sent()
    assert (sent.name, sent.payload["id"], sent.payload["group"]["count"]) == ("notification:new", str(first), 3)
    assert (await inbox.items(), await inbox.count()) == ([sent.payload], 1)
    await grow(inbox, "d")
    assert await send(inbox, until + HOUR) == 1
    assert [each.payload["group"]["count"] for each in await inbox.sent()] == [4]


@pytest.mark.parametrize("after", [[], ["normal"]])
async def test_an_urgent_one_takes_its_held_group_along(inbox: Inbox, after: list[str]) -> None:
    await inbox.status("dnd")
    await inbox.notify(group_key="g")
    assert (await inbox.notify(title="fire", group_key="g", priority="urgent")).outcome == "folded"
    for priority in after:
        await inbox.notify(title="more", group_key="g", priority=priority)
    assert await inbox.release(now()) == (1, 1)
    assert (await inbox.items())[0]["group"]["count"] == 2 + len(after)


async def test_of_a_group_that_has_expired_no_more_is_said(inbox: Inbox) -> None:
    await inbox.notify(group_key="g", expires_in=60)
    await inbox.notify(group_key="g", expires_in=60)
    await inbox.sent()
    assert await send(inbox, now() + HOUR) == 1
    assert await inbox.sent() == []


async def test_a_group_that_somebody_changes_is_passed_over(inbox: Inbox) -> None:
    for key in ("one", "two"):
        await grow(inbox, "a", "b", key=key)
    later = now() + HOUR
    async with inbox.database.transaction() as other:
        assert await inbox.upkeep.send_folds(other, later, 1) == 1
        assert await send(inbox, later) == 1
    assert await send(inbox, later) == 0
