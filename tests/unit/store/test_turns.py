"""So many at a time, in order; who waits too long is refused and takes no turn."""

from __future__ import annotations

import asyncio

import pytest
from tests.loop import settle

from callboard.errors import Unavailable
from callboard.store.turns import Turns


async def test_so_many_at_a_time_and_in_order() -> None:
    turns, let, had = Turns(2), asyncio.Semaphore(0), list[int]()

    async def take(number: int) -> None:
        async with turns.one():
            had.append(number)
            await let.acquire()

    tasks = [asyncio.create_task(take(number)) for number in range(5)]
    for expected in ([0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]):
        await settle()
        assert had == expected
        let.release()
    let.release()
    await asyncio.gather(*tasks)


async def test_who_waits_too_long_is_refused_and_the_turn_is_for_the_next() -> None:
    turns = Turns(1, patience=0.0)
    async with turns.one():
        with pytest.raises(Unavailable, match="too many requests wait"):
            async with turns.one():
                raise AssertionError("there was no turn")
    async with turns.one():
        pass


async def test_a_turn_that_fails_is_over() -> None:
    turns = Turns(1, patience=0.0)
    with pytest.raises(LookupError):
        async with turns.one():
            raise LookupError
    async with turns.one():
        pass
