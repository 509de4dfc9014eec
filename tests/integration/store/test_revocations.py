"""callboard.revoke: a row, and a message to every node, in the caller's transaction."""

from __future__ import annotations

import json

import pytest

from callboard.errors import Invalid
from callboard.store import revocations
from callboard.store.database import Database

OUTBOX = "select namespace, rooms, name, payload from callboard.outbox order by id"


async def test_a_revocation_is_kept_and_sent(database: Database) -> None:
    first = await revocations.revoke(database, "u1")
    second = await revocations.revoke(database, "u1")
    other = await revocations.revoke(database, "u2")
    assert first < second
    known = dict(await revocations.load(database))
    assert known == {"u1": pytest.approx(second.timestamp()), "u2": pytest.approx(other.timestamp())}
    sent = await database.fetch(OUTBOX)
    assert [(row["namespace"], row["rooms"], row["name"]) for row in sent] == [
        ("/control", [f"user:{user}"], "user:revoked") for user in ("u1", "u1", "u2")
    ]
    assert json.loads(sent[1]["payload"]) == {"user_id": "u1", "not_before": pytest.approx(second.timestamp())}


async def test_what_is_rolled_back_revokes_nobody(database: Database) -> None:
    async def revoke_and_fail() -> None:
        async with database.transaction() as queries:
            await revocations.revoke(queries, "u1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await revoke_and_fail()
    assert await revocations.load(database) == []
    assert await database.fetch(OUTBOX) == []


@pytest.mark.parametrize("user", ["", "x" * 256, None])
async def test_an_id_that_no_user_has_is_refused(database: Database, user: str) -> None:
    with pytest.raises(Invalid) as refused:
        await revocations.revoke(database, user)
    assert refused.value.field == "user_id"
