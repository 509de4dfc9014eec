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
