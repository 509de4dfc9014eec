"""Messages enter the outbox with their transaction or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.app import NAMESPACES
from callboard.errors import Invalid
from callboard.store.database import Database
from callboard.store.outbox import HEAD, MOVE, TAIL, Outbox, logged
from callboard.wire.socketio import RESERVED_EVENTS

GOOD: dict[str, Any] = {
    "namespace": "/feed",
    "rooms": ["user:u1"],
    "name": "notification:new",
    "payload": '{"a":1}',
}


def _ignore() -> None:
    return


async def test_rolled_back_transaction_leaves_no_message(database: Database) -> None:
    outbox = Outbox(_ignore)

    async def fail() -> None:
        async with database.transaction() as queries:
            await outbox.put(queries, namespace="/feed", rooms=["user:u1"], name="n", payload="{}")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await database.fetchval("select count(*) from callboard.outbox") == 0


async def test_move_numbers_from_the_head_and_keeps_the_payload_byte_for_byte(database: Database) -> None:
    outbox = Outbox(_ignore)
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
    woken: list[bool] = []
    Outbox(lambda: woken.append(True)).committed()
    assert woken == [True]


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
        await Outbox(_ignore).put(database, **arguments)
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
    await Outbox(_ignore).put(database, namespace="/feed", rooms=rooms, name="n" * 100, payload=payload)
    (row,) = await database.fetch(MOVE, 10)
    assert logged(row).payload == payload
    assert len(logged(row).rooms) == 10_000
