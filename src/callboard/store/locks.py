"""Locks: who needs what somebody else's transaction holds comes again, and waits by itself.

Owns: `Retries`, which runs statements that give up locks until they get them. Never: a connection that is held while it
waits, a statement.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from callboard.errors import Unavailable
from callboard.store.database import Locked

T = TypeVar("T")

# Seconds until the second attempt, and at most between two.
FIRST_PAUSE = 0.02
LAST_PAUSE = 0.25


class Retries:
    """Runs statements that give up a lock soon (they raise Locked), until they get it.

    At most `first` first attempts are under way at a time, in order of arrival, and `again` repeated ones: who comes
    new does not wait for those that have met a lock. Who has not got it after `patience` seconds is refused.
    """

    def __init__(self, *, first: int, again: int, patience: float = 10.0) -> None:
        self._first = asyncio.Semaphore(first)
        self._again = asyncio.Semaphore(again)
        self._patience = patience

    async def run(self, attempt: Callable[[], Awaitable[T]], *, met: bool = False) -> T:
        """What `attempt` returns, once it meets no lock. Raises what it raises; Unavailable after `patience` seconds.

        `met`: it has met one already, or will.
        """
        clock = asyncio.get_running_loop().time
        deadline, pause = clock() + self._patience, FIRST_PAUSE
        places, refusal = self._again if met else self._first, Unavailable("too many requests come at once, try again")
        while True:
            await _take(places, deadline, refusal)
            try:
                return await attempt()
            except Locked as locked:
                refusal = locked
            finally:
                places.release()
            if clock() >= deadline:
                raise refusal
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            places, pause = self._again, min(2 * pause, LAST_PAUSE)


async def _take(places: asyncio.Semaphore, deadline: float, refusal: Unavailable) -> None:
    """One of the places, or the refusal at the deadline. Most find one free, and need no deadline."""
    if not places.locked():
        await places.acquire()
        return
    try:
        async with asyncio.timeout_at(deadline):
            await places.acquire()
    except TimeoutError:
        raise refusal from None
