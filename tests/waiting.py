"""Waiting: for what only a look can tell, and for what takes a slow machine long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

PATIENCE = 20.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something in the database, which tells nobody when it happens."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.01)


async def fill(dsn: str, statement: str, *args: object) -> None:
    """Run a statement that prepares a test and may take longer than the service allows one of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement, *args)
    finally:
        await connection.close()
