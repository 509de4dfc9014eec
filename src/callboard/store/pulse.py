"""Whether a database that took a statement still answers at all.

Owns: the look at statements that wait, the probe on a connection of its own, and what is done when the probe is not
answered. Never: a limit to a slow statement (the server has one): as long as the probe is answered, a statement may
take its time.

A database that stopped refuses at once. One that froze, or whose machine is cut off, says nothing: without this, who
waits for it would wait for the network's timeouts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from callboard.clock import Clock
from callboard.telemetry import log

# Seconds. A statement is looked at after one to two LOOKs; all together stays below one second.
LOOK = 0.15
ANSWER_TIME = 0.5
# How late the event loop may be for a missing answer to be the database's fault.
LATE = 0.1


class Waiting(Protocol):
    """A connection on which somebody waits."""

    def give_up(self) -> None:
        """End it; who waits gets the driver's error for a lost connection."""


class Pulse:
    """`frozen`: nothing answers."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], clock: Clock) -> None:
        self._connect = connect
        self._clock = clock
        self._connection: Any = None
        self._waiting: set[Waiting] = set()
        self._begun = asyncio.Event()
        self.frozen = False

    def begin(self, each: Waiting) -> None:
        """Somebody waits on a connection: an object of its own for each use of one."""
        self._waiting.add(each)
        self._begun.set()

    def end(self, each: Waiting) -> None:
        """Nobody does any more."""
        self._waiting.discard(each)

    async def run(self) -> None:
        """Look until cancelled. The caller owns the task; there is one."""
        try:
            while True:
                if not self._waiting and not self.frozen:
                    self._begun.clear()
                    await self._begun.wait()
                before = set(self._waiting)
                await asyncio.sleep(LOOK)
                if self.frozen or not before.isdisjoint(self._waiting):
                    self._note(await self._answers())
        finally:
            self._let_go()

    def _note(self, answers: bool) -> None:
        if answers and self.frozen:
            log.info("database.answers")
        elif not answers and not self.frozen:
            log.warning("database.frozen", waiting=len(self._waiting))
        self.frozen = not answers
        if self.frozen:
            for each in list(self._waiting):
                each.give_up()

    async def _answers(self) -> bool:
        """Whether anything comes back in time: a refusal is an answer, with which each statement deals itself."""
        asked = asyncio.ensure_future(self._ask())
        late = True
        while late and not asked.done():
            begun = self._clock.monotonic()
            await asyncio.wait({asked}, timeout=ANSWER_TIME)
            late = self._clock.monotonic() - begun > ANSWER_TIME + LATE
        if asked.done():
            if asked.exception() is not None:
                self._let_go()
            return True
        asked.cancel()
        self._let_go()
        await asyncio.wait({asked})
        return False

    async def _ask(self) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        await self._connection.execute("select 1")

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
