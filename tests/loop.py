"""Timers that tests turn, in place of the running event loop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.clock import TurnedClock


class Timer:
    """What `call_later` gives back."""

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Timers:
    """Stands in for `call_later` of the running loop. `turn` moves the clock from timer to timer."""

    def __init__(self, clock: TurnedClock) -> None:
        self.clock = clock
        self.pending: list[Timer] = []
        self.made = 0

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        timer = Timer(self.clock.monotonic() + delay, lambda: callback(*args))
        self.pending.append(timer)
        self.made += 1
        return timer

    def turn(self, seconds: float) -> None:
        """Let so much time pass, calling what falls due on the way."""
        end = self.clock.monotonic() + seconds
        while due := [timer for timer in self.pending if timer.at <= end]:
            first = min(due, key=lambda timer: timer.at)
            self.pending.remove(first)
            if first.cancelled:
                continue
            self.clock.turn(max(0.0, first.at - self.clock.monotonic()))
            first.call()
        self.clock.turn(end - self.clock.monotonic())


async def settle() -> None:
    """Let the loop go on until nothing but what tests wait for is left to do."""
    for _ in range(20):
        await asyncio.sleep(0)


class Pauses:
    """Stands in for the `asyncio.sleep` of one task. Each pause lasts until `over`, which turns the clock by it."""

    def __init__(self, clock: TurnedClock) -> None:
        self.clock = clock
        self.asked: list[float] = []
        self._gate: asyncio.Future[None] | None = None

    @property
    def under_way(self) -> bool:
        return self._gate is not None

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._gate = asyncio.get_running_loop().create_future()
        try:
            await self._gate
        finally:
            self._gate = None

    async def over(self, times: int = 1, *, late: float = 0.0) -> None:
        """Let the pause end, `late` seconds after its time; and so many that follow it."""
        for _ in range(times):
            await settle()
            assert self._gate is not None, "no pause is under way"
            self.clock.turn(self.asked[-1] + late)
            self._gate.set_result(None)
            await settle()
