"""The database: statements, transactions, and the driver's errors in our own words.

Owns: the translation of every driver error into `callboard.errors`, and what is done about a deadlock or a database
that is frozen. With `pool.py` the only module besides relay, log_upkeep, migrate and embedded that imports asyncpg.
Never: SQL of a slice, a retry (the caller's client knows better than we do whether to come again; only what a deadlock
has undone is done again).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

import asyncpg

from callboard.clock import SystemClock
from callboard.errors import CallboardError, Conflict, Invalid, StartError, StoreError, Unavailable
from callboard.store.pool import CONNECT_TIMEOUT, SESSION_SETTINGS, Pool, lost
from callboard.store.pulse import Pulse
from callboard.telemetry import log, report

# How often a statement is tried that ends up in deadlocks; each takes the server a second to see.
DEADLOCKS = 3

AWAY = "the database is not available, try again"

Row: TypeAlias = asyncpg.Record
T = TypeVar("T")

_ASYNCPG_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# Whatever a driver call can raise. OSError holds TimeoutError and every refused or broken connection.
DRIVER_ERRORS = (*_ASYNCPG_ERRORS, OSError)
# asyncpg takes its protocol from a connection that is terminated, and between two steps of a statement misses it.
_STATEMENT_ERRORS = (*DRIVER_ERRORS, AttributeError)

# SQLSTATEs that pass by themselves: connection trouble, resources, shutdown, failover, deadlock, a timeout.
_PASSING_CLASSES = ("08", "53", "57", "40")
_PASSING_STATES = frozenset({"25006", "25P03", "3D000", "28P01", "28000"})
_BAD_TEXT_STATES = frozenset({"22021", "22P05"})
# Of a number in `data`: the only JSON of others that PostgreSQL takes apart, and JSON's numbers have no bounds.
_OUT_OF_RANGE = "22003"


class Queries(Protocol):
    """Something that runs statements: the pool (each statement its own transaction) or one transaction.

    asyncpg's semantics; `json` and `jsonb` go in and come out as JSON text. Raises Unavailable when the
    database cannot be reached or is too busy, Locked where a statement gives up a lock, Invalid when a
    statement of ours refused a value (SQLSTATE CB422) or a text holds NUL, Conflict when one said so (CB409),
    StoreError for anything else.
    """

    async def fetch(self, query: str, *args: object) -> list[Row]:
        """Every row."""

    async def fetchrow(self, query: str, *args: object) -> Row | None:
        """The first row, or None."""

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first column of the first row, or None."""

    async def execute(self, query: str, *args: object) -> str:
        """The command tag ("INSERT 0 1")."""


class Deadlock(Unavailable):
    """This transaction was rolled back because others waited for it in a circle: nothing of it is done."""


class Locked(Unavailable):
    """Somebody's transaction holds what this one needs for longer than this one waits: nothing of it is done."""


class Database:
    """A pool. As `Queries`, each statement commits by itself; `transaction()` holds several together.

    A statement that finds no connection within a second raises Unavailable; the pool connects again by
    itself. So does, within a second, one that waits for a database that answers nothing at all any more (`Pulse`).
    """

    def __init__(self, pool: Pool, pulse: Pulse) -> None:
        self._pool = pool
        self._pulse = pulse
        self._watch = asyncio.get_running_loop().create_task(pulse.run(), name="database-pulse")
        self._watch.add_done_callback(report)

    @classmethod
    async def open(cls, dsn: str, *, min_size: int = 2, max_size: int = 10) -> Database:
        """Connect `min_size` times. Raises StartError if the database cannot be reached or refuses us."""
        connect = partial(asyncpg.connect, dsn, timeout=CONNECT_TIMEOUT, server_settings=SESSION_SETTINGS)
        try:
            pool = await Pool.open(dsn, min_size=min_size, max_size=max_size)
        except (*DRIVER_ERRORS, ValueError) as error:
            raise StartError(f"cannot connect to the database: {reason_of(error)}") from error
        return cls(pool, Pulse(connect, SystemClock()))

    async def close(self, timeout: float = 5.0) -> None:
        """Wait `timeout` seconds for the connections in use, then end them."""
        self._watch.cancel()
        await asyncio.wait({self._watch})
        try:
            async with asyncio.timeout(timeout):
                await self._pool.close()
        except DRIVER_ERRORS:
            self._pool.terminate()

    async def fetch(self, query: str, *args: object) -> list[Row]:
        return await self._run(_Connection.fetch, query, args)

    async def fetchrow(self, query: str, *args: object) -> Row | None:
        return await self._run(_Connection.fetchrow, query, args)

    async def fetchval(self, query: str, *args: object) -> Any:
        return await self._run(_Connection.fetchval, query, args)

    async def execute(self, query: str, *args: object) -> str:
        return await self._run(_Connection.execute, query, args)

    async def _run(self, statement: Callable[..., Awaitable[T]], query: str, args: tuple[object, ...]) -> T:
        """Run a statement that is a transaction by itself; again if it was rolled back to end a deadlock."""
        for _ in range(DEADLOCKS):
            queries, well = await self._acquire(), False
            try:
                answer = await statement(queries, query, *args)
                well = True
                return answer
            except Deadlock as error:
                log.warning("database.deadlock", reason=error.message)
            finally:
                await self._release(queries, well)
        raise Unavailable(AWAY)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Queries]:
        """One transaction (read committed): commits at the end of the block, rolls back if it raises.

        Unavailable at the end of the block leaves the outcome unknown: the connection broke while committing.
        """
        queries, well = await self._acquire(), False
        try:
            async with queries.connection.transaction():
                yield queries
            well = True
        except _ASYNCPG_ERRORS as error:
            raise translate(error, lost=lost(queries.connection)) from error
        finally:
            await self._release(queries, well)

    async def _acquire(self) -> _Connection:
        if self._pulse.frozen:
            raise Unavailable(AWAY)
        try:
            queries = _Connection(await self._pool.acquire())
        except DRIVER_ERRORS as error:
            raise translate(error, lost=True) from error
        self._pulse.begin(queries)
        return queries

    async def _release(self, queries: _Connection, well: bool) -> None:
        self._pulse.end(queries)
        connection = queries.connection
        del queries.connection  # whoever keeps `queries` must not run statements in another's transaction
        try:
            await self._pool.release(connection, well=well)
        except DRIVER_ERRORS as error:
            raise translate(error, lost=True) from error


def on_connection(connection: Any) -> Queries:
    """`Queries` on an asyncpg connection that is somebody else's, in whatever transaction it is in."""
    return _Connection(connection)


class _Connection:
    """`Queries` on one connection."""

    __slots__ = ("connection",)

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def give_up(self) -> None:
        """See `Waiting`."""
        if not lost(self.connection):
            self.connection.terminate()

    async def fetch(self, query: str, *args: object) -> list[Row]:
        try:
            rows: list[Row] = await self.connection.fetch(query, *args)
        except _STATEMENT_ERRORS as error:
            raise self._translated(error) from error
        return rows

    async def fetchrow(self, query: str, *args: object) -> Row | None:
        try:
            row: Row | None = await self.connection.fetchrow(query, *args)
        except _STATEMENT_ERRORS as error:
            raise self._translated(error) from error
        return row

    async def fetchval(self, query: str, *args: object) -> Any:
        try:
            return await self.connection.fetchval(query, *args)
        except _STATEMENT_ERRORS as error:
            raise self._translated(error) from error

    async def execute(self, query: str, *args: object) -> str:
        try:
            tag: str = await self.connection.execute(query, *args)
        except _STATEMENT_ERRORS as error:
            raise self._translated(error) from error
        return tag

    def _translated(self, error: BaseException) -> CallboardError:
        """Raises the error itself if it is a defect."""
        gone = lost(self.connection)
        if isinstance(error, AttributeError) and not gone:
            raise error
        return translate(error, lost=gone)


def translate(error: BaseException, *, lost: bool = False) -> CallboardError:
    """The error of ours that a driver's error means. `lost`: its connection is gone, whatever it says."""
    state = getattr(error, "sqlstate", None) or ""
    if state == "CB422":
        field = getattr(error, "column_name", None) or getattr(error, "detail", None)
        return Invalid(str(getattr(error, "message", error)), field=field)
    if state == "CB409":
        return Conflict(str(getattr(error, "message", error)))
    if state in _BAD_TEXT_STATES or isinstance(error.__cause__, UnicodeEncodeError):
        return Invalid("text must be valid Unicode without the character NUL")
    if state == _OUT_OF_RANGE:
        return Invalid("data: a number has more digits than PostgreSQL stores", field="data")
    if state == "40P01" and not lost:
        return Deadlock("two transactions waited for each other, and this one was rolled back")
    if state == "55P03" and not lost:
        return Locked("a transaction that is still open holds what this one needs, try again")
    if lost or isinstance(error, OSError) or state[:2] in _PASSING_CLASSES or state in _PASSING_STATES:
        return Unavailable(AWAY)
    name = f"{type(error).__name__} {state}".strip()
    return StoreError(f"the database refused a statement: {name}")


def reason_of(error: BaseException) -> str:
    """The error's name and the first line of its text, for a log or a start error."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
