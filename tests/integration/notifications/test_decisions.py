"""Holds and mutes: what is held is nowhere until it arrives by itself, in order, whichever node lets it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.clock import TurnedClock
from tests.integration.notifications.inbox import HOUR, Inbox, now, quiet_now
from tests.rest_client import Outbox

from callboard.errors import NotFound
from callboard.notifications import upkeep
from callboard.notifications.upkeep import NotificationUpkeep
from callboard.store.database import Database

MICROSECOND = timedelta(microseconds=1)


class Leading:
    leading = True


@pytest.fixture
async def inbox(database: Database) -> Inbox:
    made = Inbox(database)
    await made.people_have_a_status()
    return made


def node(database: Database, clock: TurnedClock) -> NotificationUpkeep:
    return NotificationUpkeep(database, Outbox(), Leading(), clock, retention_days=30)


def clock_at(moment: datetime) -> TurnedClock:
    clock = TurnedClock()
    clock.turn((moment - clock.now()).total_seconds())
    return clock


async def test_what_is_held_is_nowhere_until_its_hold_ends(inbox: Inbox) -> None:
    until = now() + HOUR
    await inbox.status("dnd", until)
    held = await inbox.notify(title="later")
    assert (held.created, held.held, held.outcome, held.rule, held.held_until) == (0, 1, "held", "attention", until)
    assert held.id is not None
    assert (await inbox.items(), await inbox.count(), await inbox.sent()) == ([], 0, [])
    for change in ("read", "archive", "seen"):
        with pytest.raises(NotFound):
            await inbox.service.change("u1", held.id, change)
    with pytest.raises(NotFound):
        await inbox.service.delete("u1", held.id)
    assert (await inbox.service.mark_all_read("u1")).updated == 0

    assert await inbox.release(until - MICROSECOND) == (0, 0)
    assert await inbox.release(until) == (1, 1)
    assert await inbox.release(until) == (0, 0)
    (sent,) = await inbox.sent()
    assert (sent.name, sent.rooms) == ("notification:new", ["user:u1"])
    assert await inbox.items() == [sent.payload]
    assert (sent.payload["title"], await inbox.count()) == ("later", 1)
    explained = await inbox.explain(held.id)
    assert (explained["outcome"], explained["rule"], explained["held_until"]) == ("held", "attention", None)
    assert explained["arrived_at"] == sent.payload["arrived_at"]


async def test_quiet_hours_hold_until_they_end(inbox: Inbox) -> None:
    moment = now()
    await inbox.prefer(quiet_hours=quiet_now(moment))
    held = await inbox.notify()
    assert held.rule == "quiet_hours"
    assert held.held_until == (moment + HOUR).replace(second=0, microsecond=0)
    assert held.id is not None
    assert (await inbox.explain(held.id))["used"]["quiet_hours"]["timezone"] == "UTC"


async def test_they_arrive_in_the_order_in_which_holds_end_and_then_of_creation(inbox: Inbox) -> None:
    moment = now()
    for title, hours in (("late 1", 2), ("early 1", 1), ("late 2", 2), ("early 2", 1)):
        await inbox.status("busy", moment + hours * HOUR)
        await inbox.notify(title=title)
    assert await inbox.release(moment + 3 * HOUR) == (4, 4)
    assert [each.payload["title"] for each in await inbox.sent()] == ["early 1", "early 2", "late 1", "late 2"]
    assert await inbox.titles() == ["late 2", "late 1", "early 2", "early 1"]


async def test_the_order_holds_over_the_ends_of_batches(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 2)
    until = now() + HOUR
    await inbox.status("dnd", until)
    titles = [f"n{number}" for number in range(7)]
    for title in titles:
        await inbox.notify(title=title)
    await node(inbox.database, clock_at(until)).do_due()
    assert [each.payload["title"] for each in await inbox.sent()] == titles
    assert await inbox.titles() == titles[::-1]


async def test_another_node_lets_it_arrive_after_a_restart(inbox: Inbox, dsn: str) -> None:
    until = now() + HOUR
    await inbox.status("dnd", until)
    await inbox.notify()
    clock = clock_at(until - MICROSECOND)
    other = await Database.open(dsn, min_size=1, max_size=1)
    try:
        await node(other, clock).do_due()
        assert await inbox.count() == 0
        clock.turn(0.001)
        await node(other, clock).do_due()
    finally:
        await other.close()
    assert await inbox.count() == 1


async def test_who_is_still_busy_then_has_it_held_again(inbox: Inbox) -> None:
    first, second = now() + HOUR, now() + 2 * HOUR
    await inbox.status("dnd", first)
    held = await inbox.notify()
    await inbox.status("busy", second)
    assert held.id is not None
    assert await inbox.release(first) == (1, 0)
    explained = await inbox.explain(held.id)
    assert (explained["outcome"], explained["used"]["attention"], explained["arrived_at"]) == ("held", "busy", None)
    assert await inbox.count() == 0
    assert await inbox.release(second) == (1, 1)
    assert await inbox.count() == 1


@pytest.mark.parametrize(
    ("mute", "rule", "unmute"),
    [
        ({"muted_types": ["a"]}, "muted_type", {"muted_types": []}),
        ({"types": {"a": {"muted": True}}}, "muted_type", {"types": {}}),
        ({"muted_resources": [{"type": "episode", "id": "4"}]}, "muted_resource", {"muted_resources": []}),
    ],
)
async def test_what_was_muted_meanwhile_never_arrives(
    inbox: Inbox, mute: dict[str, Any], rule: str, unmute: dict[str, Any]
) -> None:
    until = now() + HOUR
    await inbox.status("dnd", until)
    held = await inbox.notify(group_key="g", resource={"type": "episode", "id": "4"})
    assert held.id is not None
    await inbox.prefer(**mute)
    assert await inbox.release(now()) == (1, 0)
    assert await inbox.release(until) == (0, 0)
    explained = await inbox.explain(held.id)
    assert (explained["outcome"], explained["rule"], explained["held_until"]) == ("suppressed", rule, None)
    await inbox.prefer(**unmute)
    await inbox.status(None)
    assert (await inbox.notify(group_key="g")).outcome == "now"


async def test_changed_preferences_have_what_is_held_decided_again_at_once_and_in_order(inbox: Inbox) -> None:
    await inbox.prefer(quiet_hours=quiet_now(now()))
    await inbox.prefer("u2", quiet_hours=quiet_now(now()))
    titles = [f"n{number}" for number in range(5)]
    for title in titles:
        await inbox.notify(["u1", "u2"], title)
    # Rows on disk lie in another order.
    await inbox.database.execute(
        "update callboard.notification_recipients set expires_at = now() + interval '1 day' where notification_id = "
        "(select notification_id from callboard.notification_recipients order by 1 limit 1)"
    )
    await inbox.prefer(quiet_hours=None)
    assert await inbox.release(now()) == (5, 5)
    assert [each.payload["title"] for each in await inbox.sent()] == titles
    assert await inbox.titles() == titles[::-1]
    assert await inbox.titles("u2") == []


async def test_a_changed_status_too(inbox: Inbox) -> None:
    await inbox.status("dnd")
    held = await inbox.notify()
    assert held.outcome == "held"
    assert await inbox.release(now() + 24 * 365 * HOUR) == (0, 0)
    await inbox.status("online")
    await inbox.upkeep.attention_changed(inbox.database, "u1")
    assert await inbox.release(now()) == (1, 1)


async def test_what_expires_while_it_is_held_never_was(inbox: Inbox) -> None:
    until = now() + HOUR
    await inbox.status("dnd", until)
    await inbox.notify(expires_in=60)
    await inbox.database.execute("update callboard.notification_recipients set expires_at = $1", until)
    assert await inbox.release(until) == (1, 1)
    await inbox.database.execute("update callboard.notification_recipients set expires_at = now()")
    assert (await inbox.items(), await inbox.count(), await inbox.sent()) == ([], 0, [])


async def test_it_is_removed_without_a_word_if_upkeep_comes_first(inbox: Inbox) -> None:
    await inbox.status("dnd")
    await inbox.notify(expires_in=60)
    assert await inbox.upkeep.remove_expired(inbox.database, now() + HOUR, 10) == 1
    assert await inbox.sent() == []


async def test_urgent_passes_holds_but_not_mutes(inbox: Inbox) -> None:
    await inbox.status("dnd")
    passed = await inbox.notify(title="fire", priority="urgent")
    assert (passed.outcome, passed.rule) == ("now", "urgent")
    assert await inbox.titles() == ["fire"]
    await inbox.prefer(muted_resources=[{"type": "episode", "id": "4"}])
    about: dict[str, Any] = {"resource": {"type": "episode", "id": "4"}, "priority": "urgent"}
    muted = await inbox.notify(**about)
    assert (muted.outcome, muted.rule, muted.muted) == ("suppressed", "muted_resource", 1)
    assert await inbox.titles() == ["fire"]


async def test_a_types_settings_let_it_pass(inbox: Inbox) -> None:
    await inbox.status("dnd")
    await inbox.prefer(types={"a": {"attention": False}, "b": {"muted": True}})
    assert [(await inbox.notify(type=type_)).outcome for type_ in ("a", "b", "c")] == ["now", "suppressed", "held"]


async def test_copies_that_arrive_together_share_their_message(inbox: Inbox) -> None:
    until = now() + HOUR
    for user in ("u2", "u1"):
        await inbox.status("dnd", until, user)
    assert (await inbox.notify(["u1", "u2", "u3"], "shared")).held == 2
    assert [each.rooms for each in await inbox.sent()] == [["user:u3"]]
    assert await inbox.release(until) == (2, 2)
    (sent,) = await inbox.sent()
    assert sent.rooms == ["user:u1", "user:u2"]
    assert await inbox.items("u1") == await inbox.items("u2") == [sent.payload]


async def test_what_somebody_else_lets_go_is_passed_over(inbox: Inbox) -> None:
    until = now() + HOUR
    for user in ("u1", "u2"):
        await inbox.status("dnd", until, user)
        await inbox.notify(user)
    async with inbox.database.transaction() as other:
        assert await inbox.upkeep.release_held(other, until, 1) == (1, 1)
        assert await inbox.release(until) == (1, 1)
    assert (await inbox.count("u1"), await inbox.count("u2")) == (1, 1)
