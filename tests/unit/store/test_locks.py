"""What has met a lock comes again: a few at a time, in nobody's way, until it gets it or has waited too long."""

from __future__ import annotations

import asyncio

import pytest
from tests.loop import settle

from callboard.errors import Invalid, Unavailable
from callboard.store import locks
from callboard.store.database import Locked
from callboard.store.locks import Retries


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(locks, "LAST_PAUSE", 0.0)


class Statement:
    """Meets a lock until it is free; counts attempts, and those that are under way."""

    most = 0
    under_way = 0

    def __init__(self, *, free: bool = False) -> None:
        self.free = free
        self.attempts = 0

    async def __call__(self) -> int:
        self.attempts += 1
        Statement.under_way += 1
        Statement.most = max(Statement.most, Statement.under_way)
        await asyncio.sleep(0)
        Statement.under_way -= 1
        if not self.free:
            raise Locked("held")
        return self.attempts


async def test_what_meets_no_lock_is_done_once() -> None:
    assert await Retries(first=1, again=1).run(Statement(free=True)) == 1


async def test_it_comes_again_until_the_lock_is_free() -> None:
    retries, statement = Retries(first=1, again=1), Statement()
    task = asyncio.create_task(retries.run(statement))
    while statement.attempts < 5:
        await asyncio.sleep(0)
    assert not task.done()
    statement.free = True
    assert await task == statement.attempts


async def test_who_comes_new_does_not_wait_for_those_who_come_again() -> None:
    retries, held = Retries(first=1, again=1), [Statement() for _ in range(50)]
    waiting = [asyncio.create_task(retries.run(statement, who="held")) for statement in held]
    while min(statement.attempts for statement in held) < 2:
        await asyncio.sleep(0)
    known = Statement(free=True)
    late = asyncio.create_task(retries.run(known, who="held"))
    await settle()
    assert await retries.run(Statement(free=True)) == 1
    for statement in held:
        statement.free = True
    await asyncio.gather(late, *waiting)
    assert not retries.is_held_up("held")


async def test_so_many_attempts_at_a_time() -> None:
    Statement.most = 0
    retries, statements = Retries(first=3, again=2), [Statement() for _ in range(20)]
    waiting = [asyncio.create_task(retries.run(statement)) for statement in statements]
    while min(statement.attempts for statement in statements) < 3:
        await asyncio.sleep(0)
    for statement in statements:
        statement.free = True
    await asyncio.gather(*waiting)
    assert Statement.most == 5


async def test_who_has_waited_too_long_is_refused_and_leaves_the_place() -> None:
    retries, statement = Retries(first=1, again=1, patience=0.0), Statement()
    with pytest.raises(Unavailable):
        await retries.run(statement)
    assert await Retries(first=1, again=1, patience=0.0).run(Statement(free=True)) == 1
    with pytest.raises(Locked, match="held"):
        await retries.run(statement)


async def test_who_has_met_a_lock_is_told_so_also_if_there_is_no_place_at_the_end() -> None:
    retries = Retries(first=1, again=1, patience=0.05)
    await retries._again.acquire()
    with pytest.raises(Locked, match="held"):
        await retries.run(Statement())


async def test_who_gets_no_place_in_time_is_refused() -> None:
    retries, gate = Retries(first=1, again=1, patience=0.0), asyncio.Event()
    first = asyncio.create_task(retries.run(gate.wait))
    await settle()
    with pytest.raises(Unavailable, match="too many requests come at once"):
        await retries.run(Statement(free=True))
    gate.set()
    assert await first


async def test_other_errors_end_it_at_once() -> None:
    attempts = 0

    async def refuse() -> None:
        nonlocal attempts
        attempts += 1
        raise Invalid("no")

    retries = Retries(first=1, again=1)
    for _ in range(2):
        with pytest.raises(Invalid):
            await retries.run(refuse)
    assert attempts == 2


async def test_whoever_is_known_to_be_held_up_takes_no_first_place() -> None:
    retries, gate = Retries(first=1, again=1), asyncio.Event()
    held = asyncio.create_task(retries.run(Statement(), who="held"))
    while not retries.is_held_up("held"):
        await asyncio.sleep(0)
    more = [asyncio.create_task(retries.run(gate.wait, who="held")) for _ in range(20)]
    await settle()
    for who in ("free", None):
        assert await retries.run(Statement(free=True), who=who) == 1
    held.cancel()
    gate.set()
    await asyncio.gather(*more)


async def test_at_the_end_whoever_waits_is_refused_and_nobody_waits_any_more() -> None:
    retries, gate = Retries(first=1, again=1), asyncio.Event()
    busy = asyncio.create_task(retries.run(gate.wait))
    for_a_place = asyncio.create_task(retries.run(Statement(free=True)))
    pausing = Retries(first=1, again=1)
    for_a_lock = asyncio.create_task(pausing.run(Statement()))
    await settle()
    retries.stop()
    pausing.stop()
    with pytest.raises(Unavailable, match="too many"):
        await for_a_place
    with pytest.raises(Locked):
        await for_a_lock
    with pytest.raises(Locked):
        await pausing.run(Statement())
    assert await pausing.run(Statement(free=True)) == 1
    gate.set()
    assert await busy, "what is under way comes to its end"
