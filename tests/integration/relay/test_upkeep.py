"""The leader's upkeep: partitions of the log, and subscriptions of who was away for too long."""

from __future__ import annotations

import asyncpg
from tests.clock import TurnedClock
from tests.integration.relay.kit import Heard, Inbox, publish, relaying

from callboard.store.database import Database
from callboard.store.log_upkeep import RETRY, LogUpkeep
from callboard.store.outbox import MOVE, TAIL
from callboard.store.sessions import FORGOTTEN


async def drop_partition(database: Database, *, days: int) -> None:
    day = await database.fetchval("select to_char(now() + make_interval(days => $1), 'YYYYMMDD')", days)
    await database.execute(f"drop table callboard.message_log_{day}")


async def test_leader_makes_coming_partitions_and_drops_those_past_the_window(dsn: str, database: Database) -> None:
    await database.execute(
        """
        create table callboard.message_log_20200101 partition of callboard.message_log
          for values from ('2020-01-01Z') to ('2020-01-02Z');
        """
    )
    await drop_partition(database, days=1)
    partitions = "select count(*) from pg_inherits where inhparent = 'callboard.message_log'::regclass"
    assert await database.fetchval(partitions) == 4
    async with relaying(dsn, Inbox()):
        assert await database.fetchval("select to_regclass('callboard.message_log_20200101')") is None
        assert await database.fetchval(partitions) == 4


async def test_leader_forgets_subscriptions_of_who_was_away_for_longer_than_the_window(
    dsn: str, database: Database
) -> None:
    await database.execute(
        """
        insert into callboard.sessions (pid, user_id, namespace, updated_at)
        select 'p' || hours, 'u1', '/jobs', now() - make_interval(hours => hours) from unnest(array[1, 72, 74]) hours
        """
    )
    async with relaying(dsn, Inbox()):
        kept = await database.fetch("select pid from callboard.sessions order by pid")
    assert [row["pid"] for row in kept] == ["p1", "p72"]


async def test_many_to_forget_are_forgotten_by_and_by(dsn: str, database: Database) -> None:
    await database.execute(
        """
        insert into callboard.sessions (pid, user_id, namespace, updated_at)
        select 'p' || n, 'u1', '/jobs', now() - interval '100 hours' from generate_series(1, $1) n
        """,
        FORGOTTEN + 1,
    )
    clock = TurnedClock()
    upkeep = LogUpkeep(clock, window=72)
    connection = await asyncpg.connect(dsn)
    left = []
    for seconds in (0.0, RETRY - 1, 1.0, RETRY):
        clock.turn(seconds)
        await upkeep.do_if_due(connection)
        left.append(await connection.fetchval("select count(*) from callboard.sessions"))
    await connection.close()
    assert left == [1, 1, 0, 0]


async def test_refused_upkeep_stops_no_message(dsn: str, database: Database, heard: Heard) -> None:
    await database.execute("drop function callboard.drop_log_partitions(interval)")
    inbox = Inbox()
    async with relaying(dsn, inbox):
        await publish(database, "n")
        await inbox.holds(1)
    assert heard.count_of("relay.failed") == 1


async def test_message_of_a_day_without_partition_is_kept(database: Database) -> None:
    await drop_partition(database, days=0)
    await publish(database, "n")
    assert [row["name"] for row in await database.fetch(MOVE, 10)] == ["n"]
    # The day's partition cannot be made beside a row of that day: it is left out, and the row stays.
    assert await database.fetchval("select callboard.ensure_log_partitions()") == 0
    assert [row["name"] for row in await database.fetch(TAIL, 0, 10)] == ["n"]
