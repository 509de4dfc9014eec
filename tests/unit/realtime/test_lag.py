"""How late the event loop is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.clock import TurnedClock
from tests.loop import Pauses, settle

from callboard.realtime.lag import Lag, LoopLag


class Sampled:
    def __init__(self) -> None:
        self.pauses = Pauses(TurnedClock())
        self.lag = LoopLag(self.pauses.clock, interval=0.1, window=10.0, pause=self.pauses)
        self.task = asyncio.create_task(self.lag.run())


@pytest.fixture
async def sampled() -> AsyncIterator[Sampled]:
    sampled = Sampled()
    await settle()
    yield sampled
    sampled.task.cancel()
    await asyncio.wait([sampled.task])


async def test_before_the_first_sample_there_is_none(sampled: Sampled) -> None:
    assert sampled.lag.read() == Lag(0.0, 0.0, 0.0)


async def test_quantiles(sampled: Sampled) -> None:
    for _ in range(95):
        await sampled.pauses.over(late=0.001)
    for _ in range(5):
        await sampled.pauses.over(late=0.05)
    assert sampled.lag.read() == pytest.approx((0.001, 0.05, 0.05))


async def test_a_long_pause_counts_for_all_that_wanted_to_run_in_it(sampled: Sampled) -> None:
    for _ in range(20):
        await sampled.pauses.over()
    await sampled.pauses.over(late=2.0)
    lag = sampled.lag.read()
    assert lag.worst == pytest.approx(2.0)
    # 20 on time, then 2.0, 1.9 … 0.0
    assert lag.p50 == pytest.approx(0.0)
    assert lag.p99 == pytest.approx(2.0)
    await sampled.pauses.over(late=5.0)
    assert sampled.lag.read().p50 == pytest.approx(1.4, abs=0.3)


async def test_only_the_window_counts(sampled: Sampled) -> None:
    await sampled.pauses.over(late=3600.0)
    assert sampled.lag.read().worst == pytest.approx(3600.0)
    await sampled.pauses.over(100)
    assert sampled.lag.read().worst == pytest.approx(0.0)


async def test_a_clock_that_did_not_move_is_not_early(sampled: Sampled) -> None:
    await sampled.pauses.over(late=-0.05)
    assert sampled.lag.read() == Lag(0.0, 0.0, 0.0)
