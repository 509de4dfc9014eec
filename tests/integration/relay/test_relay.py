"""The relay on real PostgreSQL: commit order, one leader, nothing lost and nothing twice through its
failures.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from tests.clock import TurnedClock
from tests.integration.relay.kit import CUT_THE_LEADER, PATIENCE, Heard, Inbox, publish, relaying, relaying_with

from callboard.clock import SystemClock
from callboard.relay import Relay
from callboard.store.database import Database
from callboard.store.outbox import LoggedMessage, Outbox

PAIRS = 1000


async def test_transaction_that_commits_late_is_not_skipped(dsn: str, database: Database) -> None:
    """A takes the lower id and commits after B, a thousand times, beside a plain reader of `id > last`."""
    await database.execute("create table plain (id bigint generated always as identity, name text)")
    inbox = Inbox()
    read: list[str] = []
    last = 0

    async def read_plainly() -> None:
        nonlocal last
        for row in await database.fetch("select id, name from plain where id > $1 order by id", last):
            last = row["id"]
            read.append(row["name"])

    async def write(connection: asyncpg.Connection, name: str) -> None:
        await connection.execute("select callboard.enqueue('{user:u1}', $1, '{}')", name)
        await connection.execute("insert into plain (name) values ($1)", name)

    late, early = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    async with relaying(dsn, inbox) as relay:
        for n in range(PAIRS):
            async with late.transaction():
                await write(late, f"late-{n}")
                async with early.transaction():
                    await write(early, f"early-{n}")
                relay.wake()
                await read_plainly()
            relay.wake()
            await read_plainly()
        await inbox.holds(2 * PAIRS)
    await late.close()
    await early.close()
    everything = {f"{kind}-{n}" for n in range(PAIRS) for kind in ("late", "early")}
    assert set(inbox.names) == everything
    assert inbox.seqs == list(range(1, 2 * PAIRS + 1))
    lost = everything - set(read)
    assert lost, "the plain reader was expected to skip rows; the test does not make the race"


async def test_messages_of_one_transaction_keep_their_order_across_batches(dsn: str, database: Database) -> None:
    inbox = Inbox()
    async with relaying(dsn, inbox) as relay:
        outbox = Outbox(database, relay)
        async with database.transaction() as queries:
            for n in range(1201):
                await outbox.put(queries, namespace="/feed", rooms=["user:u1"], name=f"n{n}", payload="{}")
        outbox.committed()
        await inbox.holds(1201)
    assert inbox.names == [f"n{n}" for n in range(1201)]


async def test_sql_publish_follows_the_fate_of_its_transaction(dsn: str, database: Database) -> None:
    await database.execute("create table orders (id integer primary key)")
    inbox = Inbox()

    async def order(number: int, fail: bool) -> None:
        async with database.transaction() as queries:
            await queries.execute("insert into orders values ($1)", number)
            await queries.execute(
                "select callboard.publish('{team:art}', $1, '{\"a\": 1}', '/jobs')", f"order-{number}"
            )
            if fail:
                raise LookupError

    async with relaying(dsn, inbox):
        with pytest.raises(LookupError):
            await order(1, fail=True)
        await order(2, fail=False)
        await inbox.holds(1)
    (message,) = inbox.messages
    assert (message.name, message.namespace, message.rooms) == ("order-2", "/jobs", ("team:art",))
    assert message.payload == '{"a": 1}'
    assert message.position == await database.fetchval("select callboard.position()")


async def test_written_while_no_relay_ran_is_delivered_by_the_next(dsn: str, database: Database) -> None:
    await publish(database, "waiting")
    inbox = Inbox()
    async with relaying(dsn, inbox):
        await inbox.holds(1)
    assert inbox.names == ["waiting"]


async def test_starts_at_the_head_and_not_at_the_beginning(dsn: str, database: Database) -> None:
    before = Inbox()
    async with relaying(dsn, before):
        await publish(database, "old")
        await before.holds(1)
    inbox = Inbox()
    async with relaying(dsn, inbox) as relay:
        assert relay.position == await database.fetchval("select callboard.position()")
        await publish(database, "new")
        await inbox.holds(1)
    assert inbox.names == ["new"]


async def test_one_of_two_leads_and_both_deliver_everything_once(dsn: str, database: Database) -> None:
    first_inbox, second_inbox = Inbox(), Inbox()
    async with relaying(dsn, first_inbox) as first, relaying(dsn, second_inbox) as second:
        assert (first.leading, second.leading) == (True, False)
        outbox = Outbox(database, second)  # the follower's own commits travel by the leader
        for n in range(20):
            await outbox.put(database, namespace="/feed", rooms=["user:u1"], name=f"n{n}", payload="{}")
            outbox.committed()
        await first_inbox.holds(20)
        await second_inbox.holds(20)
    assert first_inbox.messages == second_inbox.messages
    assert first_inbox.seqs == list(range(1, 21))


async def test_leader_whose_connection_is_cut_loses_and_repeats_nothing(
    dsn: str, database: Database, heard: Heard
) -> None:
    inboxes = [Inbox(), Inbox()]
    async with relaying(dsn, inboxes[0]) as first, relaying(dsn, inboxes[1]) as second:
        for n in range(300):
            await publish(database, f"n{n}")
            if n % 100 == 50:
                await heard.until(lambda: _leads_alone(first, second))
                assert await database.fetchval(CUT_THE_LEADER) == 1
        for inbox in inboxes:
            await inbox.holds(300)
        await heard.until(lambda: _leads_alone(first, second))
    for inbox in inboxes:
        assert inbox.names == [f"n{n}" for n in range(300)]
        assert inbox.seqs == list(range(1, 301))


def _leads_alone(first: Relay, second: Relay) -> bool:
    return first.leading != second.leading


async def test_follower_leads_when_the_leader_ends(dsn: str, database: Database) -> None:
    inbox = Inbox()
    async with relaying(dsn, Inbox()) as first:
        follower = Relay(dsn, inbox, clock=SystemClock())
        task = asyncio.create_task(follower.run())
        await follower.until_ready()
        assert (first.leading, follower.leading) == (True, False)
        await publish(database, "before")
        await inbox.holds(1)
    await publish(database, "after")
    await inbox.holds(2)
    assert follower.leading
    task.cancel()
    await asyncio.wait([task])
    assert inbox.names == ["before", "after"]


async def test_deliver_that_raises_is_logged_and_skips_no_other(dsn: str, database: Database, heard: Heard) -> None:
    inbox = Inbox()

    def deliver(message: LoggedMessage) -> None:
        inbox(message)
        if message.name == "bad":
            raise ValueError("cannot be shown")

    async with relaying(dsn, deliver) as relay:
        async with database.transaction() as queries:
            for name in ("good", "bad", "better"):
                await queries.execute("select callboard.publish('{user:u1}', $1, '{}')", name)
        await inbox.holds(3)
        assert relay.ready
    assert inbox.names == ["good", "bad", "better"]
    (failure,) = [line for line in heard if line["event"] == "relay.failed"]
    assert failure["name"] == "bad"
    assert failure["position"] == inbox.messages[1].position


async def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(
    dsn: str, database: Database, heard: Heard
) -> None:
    inbox = Inbox()
    away: list[float] = []
    async with relaying_with(Relay(dsn, inbox, clock=SystemClock(), on_back=away.append)) as relay:
        assert away == []
        await database.fetchval(CUT_THE_LEADER)
        await heard.until_logged("database.back")
        assert relay.ready
        await publish(database, "n")
        await inbox.holds(1)
    assert heard.count_of("database.lost") == 1
    assert [line["seconds_away"] for line in heard if line["event"] == "database.back"] == away
    assert len(away) == 1


async def test_the_lag_is_what_may_be_missing_here(dsn: str, database: Database) -> None:
    clock = TurnedClock()
    inbox = Inbox()
    relay = Relay(dsn, inbox, clock=clock)

    def lag() -> float | None:
        return relay.lag

    assert lag() is None
    async with relaying_with(relay):
        assert lag() == 0.0
        clock.turn(3.0)
        assert lag() == 3.0
        await publish(database, "n")
        await inbox.holds(1)
        async with asyncio.timeout(PATIENCE):
            while lag() != 0.0:
                await asyncio.sleep(0)


async def test_what_is_committed_while_others_are_delivered_may_be_missing_too(dsn: str, database: Database) -> None:
    clock = TurnedClock()
    lags: list[float | None] = []

    class Recorded(Relay):
        def _note_contact(self) -> None:
            super()._note_contact()
            lags.append(self.lag)

    inbox = Inbox()

    def slowly(message: LoggedMessage) -> None:
        clock.turn(2.0)
        inbox(message)

    async with relaying_with(Recorded(dsn, slowly, clock=clock)):
        assert set(lags) == {0.0}
        await publish(database, "n")
        await inbox.holds(1)
        async with asyncio.timeout(PATIENCE):
            while 2.0 not in lags:
                await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update callboard.log_head set epoch = 'restored', seq = 7", "this is another log"),
        ("update callboard.log_head set seq = 0", "the log went back"),
    ],
)
async def test_another_log_is_noticed_and_followed_from_its_head(
    dsn: str, database: Database, change: str, reason: str, heard: Heard
) -> None:
    inbox = Inbox()
    async with relaying(dsn, inbox):
        await publish(database, "before")
        await inbox.holds(1)
        async with database.transaction() as queries:
            await queries.execute(change)
            await queries.execute("delete from callboard.message_log")
            await queries.fetchval(CUT_THE_LEADER)
        await heard.until_logged("relay.repositioned")
        await publish(database, "after")
        await inbox.holds(2)
    assert inbox.names == ["before", "after"]
    assert inbox.messages[1].position == await database.fetchval("select callboard.position()")
    (line,) = [line for line in heard if line["event"] == "relay.repositioned"]
    assert line["reason"] == reason


async def test_what_is_read_at_the_begin_and_what_is_delivered_have_no_gap(
    dsn: str, database: Database, heard: Heard
) -> None:
    inbox, begun = Inbox(), list[str]()

    async def begin(connection: Any) -> None:
        begun.append(await connection.fetchval("select callboard.position()"))
        # Committed after the position was taken, so it is delivered.
        await publish(database, f"during {len(begun)}")

    async with relaying_with(Relay(dsn, inbox, clock=SystemClock(), begin=begin)):
        await inbox.holds(1)
        async with database.transaction() as queries:
            await queries.execute("update callboard.log_head set epoch = 'restored'")
            await queries.fetchval(CUT_THE_LEADER)
        await heard.until_logged("relay.repositioned")
        await inbox.holds(2)
    assert len(begun) == 2
    assert begun[1].startswith("restored.")
    assert inbox.names == ["during 1", "during 2"]


async def test_relay_never_writes_with_synchronous_commit_off(dsn: str, database: Database) -> None:
    name = await database.fetchval("select current_database()")
    await database.execute(f"alter database {name} set synchronous_commit = off")
    await database.execute(
        """
        create table seen (setting text);
        create function note() returns trigger language plpgsql as
          $$ begin insert into seen values (current_setting('synchronous_commit')); return null; end $$;
        create trigger note after insert on callboard.message_log for each row execute function note();
        """
    )
    inbox = Inbox()
    async with relaying(dsn, inbox):
        await publish(database, "n")
        await inbox.holds(1)
    assert await database.fetchval("select string_agg(setting, ',') from seen") == "on"
