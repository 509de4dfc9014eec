"""Turns: so many at a time.

Owns: `Turns`, which keeps statements that may wait for somebody's lock from taking all connections of the pool. Never:
a statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from callboard.errors import Unavailable


class Turns:
    """At most `most` at a time, in the order in which they came; who waits for `patience` seconds is refused."""

    def __init__(self, most: int, *, patience: float = 5.0) -> None:
        self._free = asyncio.Semaphore(most)
        self._patience = patience

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A turn, until the end of the block. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable("too many requests wait for transactions of others, try again") from None
        try:
            yield
        finally:
            self._free.release()
