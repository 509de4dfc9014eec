"""The message log, read back for clients that return and for a node that starts."""

from __future__ import annotations

import pytest
from tests.waiting import fill

from callboard.store.database import Database
from callboard.store.message_log import MISSED, NEAR, MessageLog
from callboard.store.outbox import MOVE, LoggedMessage

EVERYTHING = 1 << 40


async def write(database: Database, *rooms: str, namespace: str = "/feed", payload: str = "{}") -> None:
    await database.execute("select callboard.enqueue_text($1::text[], 'n', $2, $3)", list(rooms), payload, namespace)


async def number(database: Database) -> None:
    while await database.fetch(MOVE, 500):
        pass


@pytest.fixture
async def log(database: Database) -> MessageLog:
    """Messages 1 to 6."""
    for rooms in (("user:u1",), ("user:u2",), ("user:u2", "team:art"), ("team:art", "user:u1")):
        await write(database, *rooms)
    await write(database, "user:u1", namespace="/jobs")
    await write(database, "user:u1", payload='{"b":1,  "a":"é"}')
    await number(database)
    return MessageLog(database)


def seqs(messages: list[LoggedMessage] | None) -> list[int] | None:
    return None if messages is None else [message.seq for message in messages]


async def missed(
    log: MessageLog, *rooms: str, after: int = 0, until: int = 100, limit: int = 100, most_bytes: int = EVERYTHING
) -> list[int] | None:
    return seqs(await log.missed("/feed", rooms, after=after, until=until, limit=limit, most_bytes=most_bytes))


async def test_messages_to_any_of_the_rooms_each_once_and_in_order(log: MessageLog) -> None:
    assert await missed(log, "user:u1") == [1, 4, 6]
    assert await missed(log, "user:u1", "team:art", "role:none") == [1, 3, 4, 6]
    assert await missed(log, "none") == await missed(log) == []


async def test_after_until_and_limit(log: MessageLog) -> None:
    assert await missed(log, "user:u1", after=1, until=4) == [4]
    assert await missed(log, "user:u1", after=4, until=5) == []
    assert await missed(log, "user:u1", limit=2) == [1, 4]
    assert await missed(log, "user:u1", after=6) == await missed(log, "user:u1", after=1000) == []


async def test_the_message_that_passes_the_bytes_is_the_last(log: MessageLog, database: Database) -> None:
    for size in (100, 200, 300):
        await write(database, "user:big", payload='{"x":"' + "x" * (size - 8) + '"}')
    await number(database)
    assert await missed(log, "user:big", most_bytes=EVERYTHING) == [7, 8, 9]
    assert [await missed(log, "user:big", most_bytes=most) for most in (99, 100, 299, 300)] == [
        [7],
        [7, 8],
        [7, 8],
        [7, 8, 9],
    ]


async def test_a_message_comes_back_as_it_was_sent(log: MessageLog, database: Database) -> None:
    found = await log.missed("/feed", ["user:u1"], after=4, until=6, limit=1, most_bytes=EVERYTHING)
    assert found is not None
    [message] = found
    assert (message.name, message.namespace, message.rooms) == ("n", "/feed", ("user:u1",))
    assert message.payload == '{"b":1,  "a":"é"}'
    assert message.position == await database.fetchval("select callboard.position()")
    assert [message] == await log.latest(until=6, limit=1, most_bytes=EVERYTHING)


async def test_a_log_that_lost_a_partition_does_not_reach_back_before_it(log: MessageLog, database: Database) -> None:
    await old_partition(database, "message_log_20200101")
    assert await missed(log, "user:u1") == [1, 4, 6]
    await database.execute("select callboard.drop_log_partitions('72 hours')")
    assert await missed(log, "user:u1", after=0) is None
    assert await missed(log, "user:u1", after=2) is None
    assert await missed(log, "user:u1", after=3) == [4, 6]


async def old_partition(database: Database, name: str) -> None:
    """Move messages 1 to 3 into a partition of long ago."""
    await database.execute(
        f"create table callboard.{name} partition of callboard.message_log"
        " for values from ('2020-01-01Z') to ('2020-01-02Z')"
    )
    await database.execute("update callboard.message_log set logged_at = '2020-01-01 12:00Z' where seq <= 3")


async def test_a_log_that_was_emptied_reaches_only_its_head(log: MessageLog, database: Database) -> None:
    await database.execute("delete from callboard.message_log")
    assert [await missed(log, "user:u1", after=after) for after in (0, 5, 6)] == [None, None, []]


async def test_an_empty_log_reaches_its_beginning(database: Database) -> None:
    assert await missed(MessageLog(database), "user:u1", until=0) == []


async def test_the_newest_whoever_they_are_for(log: MessageLog) -> None:
    async def latest(until: int, limit: int, most_bytes: int = EVERYTHING) -> list[int] | None:
        return seqs(await log.latest(until=until, limit=limit, most_bytes=most_bytes))

    assert await latest(100, 3) == [4, 5, 6]
    assert await latest(4, 2) == [3, 4]
    assert await latest(4, 100) == [1, 2, 3, 4]
    assert await latest(0, 100) == []
    # As many of the newest as the bytes allow: the last one has 18, the others 2 each.
    assert [await latest(6, 100, most_bytes) for most_bytes in (17, 18, 21, 22)] == [[], [6], [5, 6], [4, 5, 6]]


async def test_every_node_of_a_database_signs_with_the_same_key(log: MessageLog, database: Database) -> None:
    key = await log.recovery_key()
    assert len(key) == 32
    assert await MessageLog(database).recovery_key() == key


GROW = """
insert into callboard.message_log (seq, logged_at, created_at, namespace, rooms, name, payload)
select n, now(), now(), '/feed', array['user:p' || n % 5000, 'team:t' || n % 3], 'n', '{"fill":"xxxxxxxxxxxxxxxx"}'
from generate_series(7, 60000) n
"""


@pytest.mark.parametrize(
    ("rooms", "after", "by_room"),
    [
        ("user:p17", 6, True),  # quiet, and long away: what others got since is not read through
        ("user:p17", 59_000, False),
        ("team:t1", 6, False),  # busy: the limit is reached at once
        ("team:t1", 59_990, False),
        ("none", 0, True),
    ],
)
async def test_a_large_log_is_read_by_the_index_that_suits(
    log: MessageLog, dsn: str, database: Database, rooms: str, after: int, by_room: bool
) -> None:
    await fill(dsn, GROW)
    await database.execute("update callboard.log_head set seq = 60000")
    await fill(dsn, "analyze callboard.message_log")
    today = await database.fetchval("select 'message_log_' || to_char(now() at time zone 'UTC', 'YYYYMMDD')")
    async with database.transaction() as queries:
        await queries.execute("prepare missed (text, text[], bigint, bigint, integer, bigint, bigint) as " + MISSED)
        values = f"'/feed', '{{{rooms}}}', {after}, 60000, 1001, {EVERYTHING}, {NEAR}"
        explained = await queries.fetch(f"explain (analyze, timing off, summary off) execute missed ({values})")
        await queries.execute("deallocate missed")
    plan = [str(row[0]) for row in explained]
    used = [line for line in plan if "Scan" in line and today in line and "never executed" not in line]
    assert [line for line in used if "Seq Scan" in line] == [], plan
    assert any(f"{today}_rooms_idx" in line for line in used) is by_room, plan
    removed = [int(line.rpartition(":")[2]) for line in plan if "Rows Removed by Filter" in line]
    assert sum(removed) <= NEAR, plan


async def test_what_is_found_by_number_and_by_room_is_one_list(log: MessageLog, database: Database) -> None:
    await database.execute(GROW)
    await database.execute("update callboard.log_head set seq = 60000")
    expected = [number for number in range(7, 60_001) if number % 5000 == 17]
    assert await missed(log, "user:p17", after=6, until=60_000) == expected
    assert expected[-1] > 6 + NEAR
    assert await missed(log, "user:p17", after=6, until=60_000, limit=11) == expected[:11]
    assert await missed(log, "user:p17", after=17, until=expected[-1] - 1) == expected[1:-1]
    size = len('{"fill":"xxxxxxxxxxxxxxxx"}')
    assert await missed(log, "user:p17", after=6, until=60_000, most_bytes=11 * size) == expected
    assert await missed(log, "user:p17", after=6, until=60_000, most_bytes=11 * size - 1) == expected[:11]
