"""The pool: connections to PostgreSQL, ready at hand.

Owns: how many there are, their settings and timeouts, and who gets one. asyncpg's pool makes them, ends them, and takes
back each with which something may be wrong: a statement that failed or was cancelled, a connection that broke. One that
was used well waits here for the next statement, still lent by asyncpg, whose acquire and release cost a third as much
as a small statement. After LENT_FOR uses it goes back too: asyncpg replaces it if it has had its number of statements,
which bounds what the server's process remembers of them. Never: a statement, session state on a connection: it is not
reset between users, which saves a round trip for each statement.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

ACQUIRE_TIMEOUT = 1.0
STATEMENT_TIMEOUT_MS = 10_000
# The server's own timeout fires first; this one is for a network that swallows packets.
COMMAND_TIMEOUT = 12.0
CONNECT_TIMEOUT = 5.0
# Statements of a connection, and uses between two looks at whether it has had them.
MAX_STATEMENTS = 50_000
LENT_FOR = 1_000

SESSION_SETTINGS = {
    "application_name": "callboard",
    "timezone": "UTC",
    "jit": "off",
    # Our statements are few and have plans that suit any value; PostgreSQL would plan those with arrays anew each time.
    "plan_cache_mode": "force_generic_plan",
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": "30000",
}
# No statement holds a connection for longer than this because of somebody's open transaction; who can wait comes again
# (`store/locks.py`). A deadlock is found before it: after a second, by default.
POOL_SETTINGS = {**SESSION_SETTINGS, "lock_timeout": "2000"}


class Pool:
    """At most `max_size` connections. Its methods raise the driver's errors."""

    def __init__(self, pool: asyncpg.Pool, idle: list[Any]) -> None:
        self._pool = pool
        self._idle = idle
        # How often those were used that asyncpg has lent us.
        self._uses: dict[Any, int] = {}
        self._waiting = 0
        self._closing = False

    @classmethod
    async def open(cls, dsn: str, *, min_size: int, max_size: int, max_statements: int = MAX_STATEMENTS) -> Pool:
        """Connect `min_size` times. A connection is replaced within LENT_FOR uses after `max_statements`."""
        pool = await asyncpg.create_pool(
            dsn,
            # asyncpg would restore a minimum by itself, and log a traceback for each attempt.
            min_size=0,
            max_size=max_size,
            max_queries=max_statements,
            max_inactive_connection_lifetime=0,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings=POOL_SETTINGS,
            reset=_keep_session,
        )
        return cls(pool, [await pool.acquire() for _ in range(min_size)])

    async def acquire(self) -> Any:
        """The connection that was used last, or a new one. Raises TimeoutError if there is none within a second."""
        while self._idle:
            connection = self._idle.pop()
            uses = self._uses.get(connection, 0)
            if uses < LENT_FOR and not lost(connection):
                self._uses[connection] = uses + 1
                return connection
            # Here, and not when it is released: if the server says nothing to its end, no statement was run in vain.
            async with asyncio.timeout(ACQUIRE_TIMEOUT):
                await self._give_back(connection)
        self._waiting += 1
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT):
                return await self._pool.acquire()
        finally:
            self._waiting -= 1

    async def release(self, connection: Any, *, well: bool) -> None:
        """Take a connection back. `well`: whoever had it came to an end with it, and not to an error.

        Otherwise this waits until nothing is under way on it any more, and ends it if that fails.
        """
        if well and not self._waiting and not self._closing:
            self._idle.append(connection)
        else:
            await self._give_back(connection)

    async def close(self) -> None:
        """Wait for the connections in use, then end all."""
        self._closing = True
        while self._idle:
            await self._give_back(self._idle.pop())
        await self._pool.close()

    async def _give_back(self, connection: Any) -> None:
        self._uses.pop(connection, None)
        await self._pool.release(connection)

    def terminate(self) -> None:
        """End all connections, whoever uses them."""
        self._pool.terminate()


def lost(connection: Any) -> bool:
    """Whether the connection broke, or asyncpg's pool took it back for that."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


async def _keep_session(connection: Any) -> None:
    """Nothing to reset: no statement of ours leaves session state behind."""
