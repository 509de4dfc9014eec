"""Upkeep on real PostgreSQL: in bounded batches, blocking nobody, telling who is connected, keeping what is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from tests.clock import TurnedClock
from tests.integration.notifications.inbox import HOUR, Inbox, now

from callboard import telemetry
from callboard.notifications import upkeep
from callboard.notifications.upkeep import NotificationUpkeep
from callboard.store.database import Database

DAY = timedelta(days=1)
MILLISECOND = timedelta(milliseconds=1)


class Leader:
    leading = True


@pytest.fixture
def inbox(database: Database) -> Inbox:
    return Inbox(database)


async def no_pause(seconds: float) -> None:
    """A test's time does not pass."""


async def rows(inbox: Inbox, table: str) -> int:
    number: int = await inbox.database.fetchval(f"select count(*) from callboard.{table}")
    return number


def node(inbox: Inbox, clock: TurnedClock, leader: Leader | None = None) -> NotificationUpkeep:
    return NotificationUpkeep(
        inbox.database, inbox.outbox, leader or Leader(), clock, retention_days=30, pause=no_pause
    )


def clock_at(moment: datetime) -> TurnedClock:
    clock = TurnedClock()
    clock.turn((moment - clock.now()).total_seconds())
    return clock


async def test_the_expired_leave_open_clients(inbox: Inbox) -> None:
    gone = await inbox.id_of(["u1", "u2"], "gone", expires_in=60)
    await inbox.notify("u1", "later", expires_in=7200)
    await inbox.notify("u1", "stays")
    await inbox.service.change("u2", gone, "read")
    await inbox.sent()
    remove = inbox.upkeep.remove_expired
    assert await remove(inbox.database, now(), 10) == 0
    assert await remove(inbox.database, now() + HOUR, 10) == 2
    # One message for those in the same state; each user's count is renewed by it.
    assert [(each.name, each.rooms, each.payload) for each in await inbox.sent()] == [
        ("notification:deleted", ["user:u1"], {"id": str(gone), "revision": 2}),
        ("notification:deleted", ["user:u2"], {"id": str(gone), "revision": 3}),
    ]
    assert await inbox.titles() == ["stays", "later"]


async def test_those_that_expire_together_share_a_message(inbox: Inbox) -> None:
    await inbox.notify(["u1", "u2", "u3"], expires_in=60)
    await inbox.sent()
    await inbox.upkeep.remove_expired(inbox.database, now() + HOUR, 10)
    (sent,) = await inbox.sent()
    assert sent.rooms == ["user:u1", "user:u2", "user:u3"]


async def test_no_batch_is_larger_than_asked(inbox: Inbox) -> None:
    for _ in range(5):
        await inbox.notify(expires_in=60)
    later = now() + HOUR
    assert [await inbox.upkeep.remove_expired(inbox.database, later, 2) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("kind", ["remove_expired", "remove_old_copies"])
async def test_what_somebody_writes_is_passed_over_and_nobody_waits(inbox: Inbox, kind: str) -> None:
    first = await inbox.id_of(title="being read", expires_in=60)
    await inbox.notify(title="other", expires_in=60)
    remove = getattr(inbox.upkeep, kind)
    later = now() + HOUR
    async with inbox.database.transaction() as writer:
        await writer.execute(
            "update callboard.notification_recipients set read_at = now() where notification_id = $1", first
        )
        # With a writer that never ends this returns all the same.
        assert await remove(inbox.database, later, 10) == 1
    assert await remove(inbox.database, later, 10) == 1


async def test_a_writer_waits_for_no_more_than_its_own_row(inbox: Inbox) -> None:
    await inbox.notify(title="old", expires_in=60)
    kept = await inbox.id_of(title="new")
    async with inbox.database.transaction() as removing:
        assert await inbox.upkeep.remove_expired(removing, now() + HOUR, 10) == 1
        await inbox.service.change("u1", kept, "read")
        await inbox.notify(title="another")
    assert await inbox.titles() == ["another", "new"]


async def test_retention_goes_by_the_last_arrival(inbox: Inbox) -> None:
    old = await inbox.id_of(title="old")
    grown = await inbox.id_of(title="grown", group_key="g")
    await inbox.notify("u2", "muted")
    await inbox.database.execute("update callboard.notification_recipients set arrived_at = null where user_id = 'u2'")
    await inbox.database.execute(
        "update callboard.notification_recipients set arrived_at = $2 where notification_id = $1", grown, now() + DAY
    )
    await inbox.sent()
    remove = inbox.upkeep.remove_old_copies
    assert await remove(inbox.database, now() + HOUR, 10) == 2
    assert [(each.rooms, each.payload["id"]) for each in await inbox.sent()] == [(["user:u1"], str(old))]
    assert await inbox.titles() == ["grown"]
    assert await remove(inbox.database, now() + 2 * DAY, 10) == 1


async def test_retention_keeps_what_is_newer_to_the_millisecond(inbox: Inbox) -> None:
    made = await inbox.id_of()
    at = datetime.fromtimestamp(int(made.hex[:12], 16) / 1000, tz=UTC)
    await inbox.database.execute("update callboard.notification_recipients set arrived_at = $1", at)
    assert await inbox.upkeep.remove_old_copies(inbox.database, at, 10) == 0
    assert await inbox.upkeep.remove_old_copies(inbox.database, at + MILLISECOND, 10) == 1


async def test_retention_keeps_what_is_held(inbox: Inbox) -> None:
    await inbox.people_have_a_status()
    await inbox.status("dnd", now() + 60 * DAY)
    await inbox.notify()
    assert await inbox.upkeep.remove_old_copies(inbox.database, now() + 40 * DAY, 10) == 0
    assert await inbox.release(now() + 60 * DAY) == (1, 1)


async def test_contents_stay_while_anybody_has_a_copy_or_shows_them(inbox: Inbox) -> None:
    for user in ("u1", "u2"):
        await inbox.notify(user, "first", group_key="g")
    latest = await inbox.id_of("u1", "latest", group_key="g")
    both = await inbox.id_of(["u1", "u2"], "both")
    await inbox.service.delete("u1", both)
    later = now() + HOUR
    remove = inbox.upkeep.remove_old_contents
    assert await remove(inbox.database, later, 10) == 0
    await inbox.database.execute("delete from callboard.notification_recipients where notification_id = $1", latest)
    assert await remove(inbox.database, later, 10) == 0
    assert await inbox.titles() == ["latest"]
    await inbox.service.delete("u2", both)
    assert await remove(inbox.database, now() - HOUR, 10) == 0
    assert await remove(inbox.database, later, 10) == 1
    assert await inbox.titles("u2") == ["first"]


async def test_contents_go_in_batches_too(inbox: Inbox) -> None:
    for _ in range(3):
        await inbox.service.delete("u1", await inbox.id_of())
    later = now() + HOUR
    assert [await inbox.upkeep.remove_old_contents(inbox.database, later, 2) for _ in range(3)] == [2, 1, 0]


async def test_counts_of_past_hours_go(inbox: Inbox) -> None:
    await inbox.notify()
    assert await inbox.upkeep.remove_spent(inbox.database, now() + 23 * HOUR, 10) == 0
    assert await inbox.upkeep.remove_spent(inbox.database, now() + 26 * HOUR, 10) == 1
    assert await rows(inbox, "notification_rates") == 0


async def test_a_round_removes_all_of_it_in_batches_and_says_so(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 2)
    for _ in range(5):
        await inbox.notify(expires_in=60)
    before = {kind: telemetry.REMOVED.labels(kind)._value.get() for kind in ("expired", "copies", "contents", "spent")}
    commits = inbox.outbox.commits
    with capture_logs() as logs:
        await node(inbox, clock_at(now() + 31 * DAY)).remove()
    assert {
        table: await rows(inbox, table) for table in ("notification_recipients", "notifications", "notification_rates")
    } == {"notification_recipients": 0, "notifications": 0, "notification_rates": 0}
    after = {kind: telemetry.REMOVED.labels(kind)._value.get() for kind in before}
    assert {kind: after[kind] - before[kind] for kind in before} == {
        "expired": 5,
        "copies": 0,
        "contents": 5,
        "spent": 1,
    }
    assert [(log["event"], log["kind"], log["number"]) for log in logs] == [
        ("notifications.removed", "expired", 5),
        ("notifications.removed", "contents", 5),
        ("notifications.removed", "spent", 1),
    ]
    assert inbox.outbox.commits > commits
    assert len([each for each in await inbox.sent() if each.name == "notification:deleted"]) == 5


async def test_only_the_leader_removes(inbox: Inbox) -> None:
    await inbox.notify(expires_in=60)
    follower = Leader()
    follower.leading = False
    await node(inbox, clock_at(now() + 31 * DAY), follower).remove()
    assert await rows(inbox, "notification_recipients") == 1


async def test_what_is_due_is_logged_and_counted(inbox: Inbox) -> None:
    await inbox.people_have_a_status()
    await inbox.notify(title="first", group_key="g")
    await inbox.notify(title="second", group_key="g")
    until = now() + HOUR
    await inbox.status("dnd", until)
    await inbox.notify(title="held")
    before = telemetry.RELEASED._value.get()
    with capture_logs() as logs:
        await node(inbox, clock_at(until)).do_due()
        await node(inbox, clock_at(until)).do_due()
    assert telemetry.RELEASED._value.get() == before + 1
    assert [(log["event"], log["released"], log["groups"]) for log in logs] == [("notifications.due", 1, 1)]


async def test_the_floor_of_ids(inbox: Inbox) -> None:
    at = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
    floor: UUID = await inbox.database.fetchval("select callboard.uuid_floor($1)", at)
    assert (int(floor.hex[:12], 16), floor.version) == (int(at.timestamp() * 1000), 7)
    assert floor.hex[12:] == "70008000000000000000"


async def test_what_is_spent_goes_in_batches_past_what_is_in_use(inbox: Inbox) -> None:
    for user in ("u1", "u2", "u3", "u4"):
        await inbox.notify(user)
        await inbox.database.execute(
            "insert into callboard.idempotency_keys (caller, key, fingerprint) values ($1, 'k', '')", user
        )
    later = now() + 26 * HOUR
    async with inbox.database.transaction() as using:
        await using.execute("update callboard.notification_rates set sent = 2 where user_id = 'u1'")
        await using.execute("update callboard.idempotency_keys set answer = '{}' where caller = 'u1'")
        assert [await inbox.upkeep.remove_spent(inbox.database, later, 2) for _ in range(3)] == [4, 2, 0]
    assert await inbox.upkeep.remove_spent(inbox.database, later, 2) == 2
