"""How late the event loop is.

Owns: one sampler for the process and its last minute of samples. Never: a cause; it says that something held the
loop, not what.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from callboard.clock import Clock


class Lag(NamedTuple):
    """Seconds by which callbacks ran late: the median, the 99th percentile and the worst of the window."""

    p50: float
    p99: float
    worst: float


class LoopLag:
    """Asks the loop to be woken every `interval` seconds, and keeps how late it was over `window` seconds.

    A pause of the loop that covers several intervals counts once for each of them, as everything that wanted to run
    in it was late.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        interval: float = 0.1,
        window: float = 60.0,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._pause = pause
        self._samples: deque[float] = deque(maxlen=max(1, round(window / interval)))

    async def run(self) -> None:
        """Sample until cancelled. The caller owns the task; there is one."""
        while True:
            due = self._clock.monotonic() + self._interval
            await self._pause(self._interval)
            self._note(max(0.0, self._clock.monotonic() - due))

    def read(self) -> Lag:
        """The window's quantiles; zeros before the first sample."""
        ordered = sorted(self._samples)
        if not ordered:
            return Lag(0.0, 0.0, 0.0)
        last = len(ordered) - 1
        return Lag(ordered[last // 2], ordered[round(last * 0.99)], ordered[last])

    def _note(self, late: float) -> None:
        missed = min(int(late / self._interval), self._samples.maxlen or 0)
        self._samples.extend(late - self._interval * number for number in range(missed, -1, -1))
