"""Waiting for what only a look can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE = 20.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something in the database, which tells nobody when it happens."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.01)
