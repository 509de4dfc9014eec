"""Messages enter the outbox with their transaction or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.integration.relay.kit import NUMBERING
from tests.rest_client import NoDatabase
from tests.waiting import until

from callboard.app import NAMESPACES
from callboard.errors import Invalid, Unavailable
from callboard.store.database import Database, Locked
from callboard.store.outbox import HEAD, MOVE, SENT, TAIL, LoggedMessage, Outbox, logged
from callboard.wire.socketio import RESERVED_EVENTS

GOOD: dict[str, Any] = {
    "namespace": "/feed",
    "rooms": ["user:u1"],
    "name": "notification:new",
    "payload": '{"a":1}',
}


class Sender:
    """What the outbox told the relay, in order."""

    def __init__(self, *, leading: bool = False) -> None:
        self.leading = leading
        self.told: list[str | list[LoggedMessage]] = []

    def wake(self) -> None:
        self.told.append("wake")

    def numbered(self, messages: Sequence[LoggedMessage]) -> None:
        self.told.append(list(messages))

    def look(self) -> None:
        self.told.append("look")


async def test_rolled_back_transaction_leaves_no_message(database: Database) -> None:
    outbox = Outbox(database, Sender())

    async def fail() -> None:
        async with database.transaction() as queries:
            await outbox.put(queries, namespace="/feed", rooms=["user:u1"], name="n", payload="{}")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await database.fetchval("select count(*) from callboard.outbox") == 0


async def test_move_numbers_from_the_head_and_keeps_the_payload_byte_for_byte(database: Database) -> None:
    outbox = Outbox(database, Sender())
    payload = '{"b":1,  "a":"é"}'
    async with database.transaction() as queries:
        for name in ("first", "second", "third"):
            await outbox.put(queries, namespace="/feed", rooms=["user:u1", "team:x"], name=name, payload=payload)
    moved = [logged(row) for row in await database.fetch(MOVE, 2)]
    moved += [logged(row) for row in await database.fetch(MOVE, 2)]
    head = await database.fetchrow(HEAD)
    assert head is not None
    assert [(m.seq, m.name) for m in moved] == [(1, "first"), (2, "second"), (3, "third")]
    assert {m.payload for m in moved} == {payload}
    assert moved[0].rooms == ("user:u1", "team:x")
    assert moved[2].position == await database.fetchval("select callboard.position()") == f"{head['epoch']}.3"
    assert [logged(row) for row in await database.fetch(TAIL, 1, 10)] == moved[1:]
    assert await database.fetch(MOVE, 2) == []
    assert await database.fetchval("select count(*) from callboard.outbox") == 0


async def test_committed_wakes(database: Database) -> None:
    sender = Sender()
    Outbox(database, sender).committed()
    assert sender.told == ["wake"]


PUT = """
select name from (select * from unnest($1::text[]) with ordinality as n (name, place)) n
cross join lateral callboard.enqueue_text('{user:u1}', n.name, '{}', '/feed')
order by place
"""
IN_OUTBOX = "select coalesce(array_agg(name order by id), '{}') from callboard.outbox"
IN_LOG = "select coalesce(array_agg(name order by seq), '{}') from callboard.message_log"


async def test_what_is_sent_where_others_lead_waits_for_them(database: Database) -> None:
    sender = Sender(leading=False)
    assert await Outbox(database, sender).send(PUT, ["a", "b"]) == [("a",), ("b",)]
    assert sender.told == ["wake"]
    assert await database.fetchval(IN_OUTBOX) == ["a", "b"]


async def test_what_is_sent_where_we_lead_is_numbered_with_its_commit(database: Database) -> None:
    sender = Sender(leading=True)
    outbox = Outbox(database, sender)
    await outbox.put(database, namespace="/jobs", rooms=["user:u2"], name="before", payload='{"a": 1}')
    assert await outbox.send(PUT, ["a", "b"]) == [("a",), ("b",)]
    (messages,) = sender.told
    assert messages == [logged(row) for row in await database.fetch(TAIL, 0, 10)]
    assert [(message.seq, message.name) for message in messages if not isinstance(message, str)] == [
        (1, "before"),
        (2, "a"),
        (3, "b"),
    ]
    assert await database.fetchval(IN_OUTBOX) == []
    assert await database.fetchval("select seq from callboard.log_head") == 3


async def test_a_statement_without_messages_tells_of_none(database: Database) -> None:
    sender = Sender(leading=True)
    assert await Outbox(database, sender).send("select 1 as seq, 'x' as payload where $1", True) == [(1, "x")]
    assert await Outbox(database, sender).send("select 1 where $1", False) == []
    assert sender.told == []


async def test_more_than_leave_at_once_are_left_to_the_relay(database: Database) -> None:
    sender = Sender(leading=True)
    names = [f"n{number}" for number in range(SENT + 20)]
    assert [name for (name,) in await Outbox(database, sender).send(PUT, names)] == names
    messages, then = sender.told
    assert [message.name for message in messages if not isinstance(message, str)] == names[:SENT]
    assert then == "wake"
    assert await database.fetchval(IN_OUTBOX) == names[SENT:]


async def test_while_another_numbers_nobody_waits_for_it(database: Database) -> None:
    sender = Sender(leading=True)
    async with database.transaction() as other:
        await other.execute(NUMBERING)
        assert await Outbox(database, sender).send(PUT, ["a"]) == [("a",)]
        assert sender.told == ["wake"]
        assert await database.fetchval(IN_OUTBOX) == ["a"]
    assert [logged(row).name for row in await database.fetch(MOVE, 10)] == ["a"]


async def test_the_relay_waits_for_who_numbers_and_then_sees_what_that_left(database: Database) -> None:
    outbox = Outbox(database, Sender())
    async with database.transaction() as other:
        await other.execute(NUMBERING)
        await outbox.put(other, namespace="/feed", rooms=["user:u1"], name="first", payload="{}")
        await outbox.put(database, namespace="/feed", rooms=["user:u1"], name="second", payload="{}")
        moving = asyncio.create_task(database.fetch(MOVE, 10))
        await until(lambda: database.fetchval("select exists (select from pg_locks where not granted)"))
        await other.fetch("select * from callboard.number_outbox(10, false)")
    assert await moving == []
    assert await database.fetchval(IN_LOG) == ["first", "second"]


async def test_what_is_refused_stores_nothing(database: Database) -> None:
    sender = Sender(leading=True)
    with pytest.raises(Invalid):
        await Outbox(database, sender).send(PUT, ["good", ""])
    assert sender.told == []
    assert await database.fetchval(IN_OUTBOX) == await database.fetchval(IN_LOG) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [(Unavailable("away"), ["look"]), (asyncio.CancelledError(), ["look"]), (Locked("held"), [])],
)
async def test_what_may_have_been_done_is_looked_for(error: BaseException, told: list[str]) -> None:
    class Broken(NoDatabase):
        async def fetch(self, query: str, *args: object) -> list[Any]:
            raise error

    sender = Sender(leading=True)
    with pytest.raises(type(error)):
        await Outbox(Broken(), sender).send(PUT, ["a"])
    assert sender.told == told


@pytest.mark.parametrize(("set_to", "becomes"), [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")])
async def test_what_is_numbered_is_on_disk_whatever_the_database_is_set_to(
    database: Database, set_to: str, becomes: str
) -> None:
    await database.execute("create table seen (setting text)")
    await database.execute(
        """
        create function note() returns trigger language plpgsql as
          $$ begin insert into seen values (current_setting('synchronous_commit')); return null; end $$;
        """
    )
    await database.execute(
        "create constraint trigger note after insert on callboard.message_log_default "
        "initially deferred for each row execute function note()"
    )
    await database.execute("select callboard.drop_log_partitions(interval '-10 days')")
    async with database.transaction() as queries:
        await queries.execute(f"set local synchronous_commit = {set_to}")
        await queries.execute(PUT, ["a"])
        await queries.execute("select callboard.number_outbox(10, false)")
    assert await database.fetchval("select setting from seen") == becomes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "n" * 101),
        *(("name", name) for name in sorted(RESERVED_EVENTS)),
        ("namespace", "feed"),
        ("namespace", "/" + "n" * 100),
        ("rooms", []),
        ("rooms", [""]),
        ("rooms", ["r" * 301]),
        ("rooms", ["user:u1"] * 10_001),
        ("payload", "[]"),
        ("payload", '{"a":"' + "x" * 65_536 + '"}'),
    ],
)
async def test_wrong_message_is_refused_naming_the_field(database: Database, field: str, value: object) -> None:
    arguments = {**GOOD, field: value}
    with pytest.raises(Invalid) as put:
        await Outbox(database, Sender()).put(database, **arguments)
    with pytest.raises(Invalid) as publish:
        await database.execute(
            "select callboard.publish($1, $2, $3, $4)",
            arguments["rooms"],
            arguments["name"],
            arguments["payload"],
            arguments["namespace"],
        )
    assert put.value.field == publish.value.field == field
    assert await database.fetchval("select count(*) from callboard.outbox") == 0


async def test_publish_knows_the_namespaces(database: Database) -> None:
    with pytest.raises(Invalid) as error:
        await database.execute("select callboard.publish('{user:u1}', 'n', '{}', '/nope')")
    assert error.value.field == "namespace"
    for namespace in NAMESPACES:
        await database.execute("select callboard.publish('{user:u1}', 'n', '{}', $1)", namespace)


@pytest.mark.parametrize("payload", ["null", "1", '"text"', "[{}]"])
async def test_publish_takes_objects_only(database: Database, payload: str) -> None:
    with pytest.raises(Invalid) as error:
        await database.execute("select callboard.publish('{user:u1}', 'n', $1)", payload)
    assert error.value.field == "payload"


async def test_publish_refuses_null(database: Database) -> None:
    for call in (
        "null, 'n', '{}'",
        "'{a}', null, '{}'",
        "'{a}', 'n', null",
        "'{a}', 'n', '{}', null",
        "'{a,null}', 'n', '{}'",
    ):
        with pytest.raises(Invalid):
            await database.execute(f"select callboard.publish({call})")


async def test_largest_allowed_message_passes(database: Database) -> None:
    payload = '{"a":"' + "x" * (65_536 - 8) + '"}'
    rooms = [f"user:{n}" for n in range(10_000)]
    await Outbox(database, Sender()).put(database, namespace="/feed", rooms=rooms, name="n" * 100, payload=payload)
    (row,) = await database.fetch(MOVE, 10)
    assert logged(row).payload == payload
    assert len(logged(row).rooms) == 10_000
