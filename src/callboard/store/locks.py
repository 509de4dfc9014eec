"""Locks: who needs what somebody else's transaction holds comes again, and waits by itself.

Owns: `Retries`, which runs statements that give up locks until they get them. Never: a connection that is held while it
waits, a statement.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
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
        # Who is held up, as far as is known: how many wait for each.
        self._held_up: Counter[str] = Counter()
        self._waits: set[asyncio.Timeout] = set()
        self._stopped = False

    def is_held_up(self, who: str) -> bool:
        """Whether somebody waits for a lock that holds up this one."""
        return who in self._held_up

    async def run(self, attempt: Callable[[], Awaitable[T]], *, who: str | None = None) -> T:
        """What `attempt` returns, once it meets no lock. Raises what it raises; Unavailable after `patience` seconds.

        `who`: whom it is about. Whoever is known to be held up has no first attempt, but waits with the others who are.
        """
        deadline = asyncio.get_running_loop().time() + self._patience
        places = self._again if who is not None and who in self._held_up else self._first
        full = Unavailable("too many requests come at once, try again")
        try:
            return await self._attempt(attempt, places, deadline, full)
        except Locked as locked:
            return await self._come_again(attempt, who, deadline, locked)

    async def _come_again(
        self, attempt: Callable[[], Awaitable[T]], who: str | None, deadline: float, refusal: Unavailable
    ) -> T:
        if who is not None:
            self._held_up[who] += 1
        pause = FIRST_PAUSE
        try:
            while True:
                await self._wait(asyncio.sleep(pause * random.uniform(0.5, 1.0)), deadline, refusal)  # noqa: S311
                pause = min(2 * pause, LAST_PAUSE)
                try:
                    return await self._attempt(attempt, self._again, deadline, refusal)
                except Locked as locked:
                    refusal = locked
        finally:
            if who is not None:
                self._held_up -= Counter((who,))

    async def _attempt(
        self, attempt: Callable[[], Awaitable[T]], places: asyncio.Semaphore, deadline: float, refusal: Unavailable
    ) -> T:
        if places.locked():
            await self._wait(places.acquire(), deadline, refusal)
        else:
            await places.acquire()
        try:
            return await attempt()
        finally:
            places.release()

    def stop(self) -> None:
        """Refuse whoever waits, now and from now on."""
        self._stopped = True
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            wait.reschedule(now)

    async def _wait(self, what: Awaitable[object], deadline: float, refusal: Unavailable) -> None:
        """Until the deadline: then the refusal."""
        try:
            async with asyncio.timeout_at(0.0 if self._stopped else deadline) as wait:
                self._waits.add(wait)
                try:
                    await what
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            raise refusal from None
