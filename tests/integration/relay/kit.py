"""What tests of the relay share: what a node was given, what was logged, and a relay that runs as long as a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import structlog

from callboard.clock import SystemClock
from callboard.relay import Relay
from callboard.store.database import Database
from callboard.store.outbox import LoggedMessage

PATIENCE = 30.0

# Who has run this numbers alone until the end of its transaction.
NUMBERING = "select from callboard.log_head for update"
CUT_THE_LEADER = """
select count(pg_terminate_backend(lock.pid))
from pg_locks lock
join pg_stat_activity activity on activity.pid = lock.pid
where lock.locktype = 'advisory' and lock.granted and activity.application_name = 'callboard relay'
  and lock.database = (select oid from pg_database where datname = current_database())
"""


class Heard(list[MutableMapping[str, Any]]):
    """What was logged, and a way to wait for what is logged when it happens."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def __call__(self, logger: object, method: str, line: MutableMapping[str, Any]) -> NoReturn:
        self.append(line)
        self._changed.set()
        raise structlog.DropEvent

    def count_of(self, event: str) -> int:
        return [line["event"] for line in self].count(event)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that begins, or is over, with a line of the log."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_logged(self, event: str) -> None:
        await self.until(lambda: self.count_of(event) > 0)


class Inbox:
    """What one node was given, and a way to wait for it."""

    def __init__(self) -> None:
        self.messages: list[LoggedMessage] = []
        self._changed = asyncio.Event()

    def __call__(self, message: LoggedMessage) -> None:
        self.messages.append(message)
        self._changed.set()

    @property
    def names(self) -> list[str]:
        return [message.name for message in self.messages]

    @property
    def seqs(self) -> list[int]:
        return [message.seq for message in self.messages]

    async def holds(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def relaying(dsn: str, deliver: Callable[[LoggedMessage], None]) -> AsyncIterator[Relay]:
    relay = Relay(dsn, deliver, clock=SystemClock())
    async with relaying_with(relay):
        yield relay


@asynccontextmanager
async def relaying_with(relay: Relay) -> AsyncIterator[Relay]:
    task = asyncio.create_task(relay.run())
    try:
        async with asyncio.timeout(PATIENCE):
            await relay.until_ready()
        yield relay
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def publish(database: Database, name: str) -> None:
    await database.execute("select callboard.publish('{user:u1}', $1, '{}')", name)
