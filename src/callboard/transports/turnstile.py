"""Much work at once, spread over the turns of the event loop.

Owns: the work that waits for its turn, in order. Never: what the work is, a task, a timer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Turnstile:
    """Lets `most` pieces of work through in a turn of the loop, or half as many, and the rest in those that follow.

    So when thousands come at once, what else there is to do waits for a few of them, not for all. Who enters is to be
    bounded by the caller.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._waiting: deque[Callable[[], None]] = deque()
        self._scheduled = False

    def enter(self, work: Callable[[], None]) -> bool:
        """Call `work` now or, if it is too much for this turn, in a later one; whether it was now."""
        # Not before half of them are through: with one a turn, as it mostly is, each would have a callback of its own.
        if not self._scheduled and self._left <= self._most // 2:
            self._schedule()
        if self._left:
            self._left -= 1
            work()
            return True
        self._waiting.append(work)
        return False

    def _schedule(self) -> None:
        self._scheduled = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Those who wait go before those who come."""
        self._scheduled = False
        self._left = self._most
        if self._waiting:
            self._schedule()  # before the work, which may raise
        while self._waiting and self._left:
            self._left -= 1
            self._waiting.popleft()()
