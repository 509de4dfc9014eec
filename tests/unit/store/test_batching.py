"""Calls that wait together share a run, and nothing else: neither answers nor errors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.clock import TurnedClock
from tests.loop import Timers, settle

from callboard.errors import Invalid, Unavailable
from callboard.store.batching import Batcher
from callboard.store.database import Locked


class Doubling:
    """Doubles numbers when told to go on; refuses batches that hold a 13, and fails while `away`.

    A 7 meets a lock, until it is `free`.
    """

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False
        self.free = asyncio.Event()
        self.alone_runs: list[int] = []

    async def __call__(self, calls: Sequence[int]) -> list[int]:
        self.runs.append(list(calls))
        await self.gate.wait()
        if self.away:
            raise Unavailable("away")
        if 13 in calls:
            raise Invalid("13 is refused")
        if 7 in calls:
            raise Locked("somebody has the 7")
        return [call * 2 for call in calls]

    async def alone(self, call: int) -> int:
        self.alone_runs.append(call)
        if call == 7:
            await self.free.wait()
        if self.away:
            raise Unavailable("away")
        return call * 2


async def until(batcher: Batcher[int, int], waiting: Sequence[int]) -> list[asyncio.Task[int]]:
    """Start calls and let them queue."""
    tasks = [asyncio.ensure_future(batcher.call(number)) for number in waiting]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_a_call_that_finds_nothing_under_way_runs_at_once() -> None:
    run = Doubling()
    assert await Batcher(run).call(4) == 8
    assert run.runs == [[4]]


async def test_what_waits_shares_the_next_run_in_order_and_gets_its_own_answer() -> None:
    run = Doubling()
    batcher = Batcher(run)
    run.gate.clear()
    first = await until(batcher, [1])
    others = await until(batcher, range(2, 7))
    run.gate.set()
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8, 10, 12]
    assert run.runs == [[1], [2, 3, 4, 5, 6]]


async def test_a_run_holds_no_more_than_the_most() -> None:
    run = Doubling()
    batcher = Batcher(run, most=2)
    run.gate.clear()
    tasks = await until(batcher, range(6))
    run.gate.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8, 10]
    assert max(map(len, run.runs)) == 2


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    timers = Timers(TurnedClock())
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", timers.call_later)
    return timers


async def test_who_waits_for_a_run_that_takes_long_gets_another(timers: Timers) -> None:
    run = Doubling()
    batcher = Batcher(run, lanes=3, patience=0.02)
    run.gate.clear()
    tasks = await until(batcher, [1])
    tasks += await until(batcher, [2, 3])
    timers.turn(0.019)
    await settle()
    assert run.runs == [[1]]
    timers.turn(0.001)
    tasks += await until(batcher, [4])
    assert run.runs == [[1], [2, 3]]
    timers.turn(0.02)
    tasks += await until(batcher, [5])
    timers.turn(0.02)
    tasks += await until(batcher, [6])
    assert run.runs == [[1], [2, 3], [4]]  # three lanes, all late
    run.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10, 12]
    assert sorted(run.runs[3]) == [5, 6]


async def test_who_comes_when_all_runs_are_late_runs_at_once(timers: Timers) -> None:
    run = Doubling()
    batcher = Batcher(run, lanes=2, patience=0.02)
    run.gate.clear()
    tasks = await until(batcher, [1])
    timers.turn(0.02)
    tasks += await until(batcher, [2])
    assert run.runs == [[1], [2]]
    run.gate.set()
    await asyncio.gather(*tasks)
    # What was late is over: there is one at a time again.
    run.gate.clear()
    tasks = await until(batcher, [3])
    tasks += await until(batcher, [4])
    assert run.runs[2:] == [[3]]
    run.gate.set()
    await asyncio.gather(*tasks)


async def test_only_the_wrong_call_of_a_run_fails() -> None:
    run = Doubling()
    batcher = Batcher(run)
    run.gate.clear()
    tasks = await until(batcher, [1, 2, 13, 4])
    run.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[:2] == [2, 4]
    assert isinstance(answers[2], Invalid)
    assert answers[3] == 8


async def test_what_passes_by_itself_is_told_to_all_and_not_run_again() -> None:
    run = Doubling()
    run.away = True
    batcher = Batcher(run)
    run.gate.clear()
    tasks = await until(batcher, [1, 2, 3])
    run.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert run.runs == [[1, 2, 3]]


async def test_nobody_waits_for_a_lock_but_who_needs_it() -> None:
    run = Doubling()
    batcher = Batcher(run, alone=run.alone)
    run.gate.clear()
    tasks = await until(batcher, [1, 7, 2, 7])
    run.gate.set()
    assert [await tasks[0], await tasks[2]] == [2, 4]
    assert await batcher.call(3) == 6  # the lane is free
    assert (run.runs, run.alone_runs) == ([[1, 7, 2, 7], [3]], [1, 7, 2, 7])
    assert [task.done() for task in tasks] == [True, False, True, False]
    tasks[3].cancel()
    run.free.set()
    assert await tasks[1] == 14


async def test_who_waited_for_a_lock_is_told_what_became_of_it() -> None:
    run = Doubling()
    batcher = Batcher(run, alone=run.alone)
    (task,) = await until(batcher, [7])
    run.away = True
    run.free.set()
    with pytest.raises(Unavailable, match="away"):
        await task


async def test_a_lock_is_told_to_all_where_nobody_runs_alone() -> None:
    run = Doubling()
    tasks = await until(Batcher(run), [1, 7, 2])
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Locked] * 3
    assert run.runs == [[1, 7, 2]]


async def test_a_call_that_was_given_up_is_not_run() -> None:
    run = Doubling()
    batcher = Batcher(run)
    run.gate.clear()
    (first,) = await until(batcher, [1])
    second, third = await until(batcher, [2, 3])
    second.cancel()
    await asyncio.sleep(0)
    run.gate.set()
    assert [await first, await third] == [2, 6]
    assert run.runs == [[1], [3]]


async def test_it_goes_on_after_a_defect() -> None:
    async def broken(calls: Sequence[int]) -> list[int]:
        raise RuntimeError("a defect")

    batcher: Batcher[int, int] = Batcher(broken)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await batcher.call(1)
