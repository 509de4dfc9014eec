"""What becomes of notifications with time: holds end, groups go out, what has expired or is old goes away.

Owns: when that is done, and that it is done in bounded batches with pauses, by the node that leads the relay. Never:
SQL, a rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from callboard import telemetry
from callboard.clock import Clock
from callboard.errors import CallboardError
from callboard.notifications.service import Committed
from callboard.notifications.upkeep_store import UpkeepStore
from callboard.store.database import Queries

# Seconds between two looks for holds that have ended and groups that are due.
LOOK = 0.5
# Seconds between two rounds of removing.
INTERVAL = 300.0
# Rows of one transaction: it ends in some ten milliseconds, so that writers of the same rows hardly wait.
BATCH = 500
# Seconds to leave to others between two batches of removing.
PAUSE = 0.05
RETRY = 5.0


class Leader(Protocol):
    """The part of the relay that says whose work this is."""

    @property
    def leading(self) -> bool:
        """Whether this node leads."""


class NotificationUpkeep:
    """See the module. `retention_days`: NOTIFICATION_RETENTION_DAYS."""

    def __init__(
        self,
        queries: Queries,
        outbox: Committed,
        leader: Leader,
        clock: Clock,
        *,
        retention_days: int,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        store: UpkeepStore | None = None,
    ) -> None:
        self._queries = queries
        self._outbox = outbox
        self._leader = leader
        self._clock = clock
        self._retention = timedelta(days=retention_days)
        self._pause = pause
        self._store = store or UpkeepStore()

    async def run_due(self) -> None:
        """Look for what is due until cancelled."""
        await self._repeat(LOOK, self.do_due)

    async def run_removal(self) -> None:
        """Remove what is over until cancelled."""
        await self._repeat(INTERVAL, self.remove)

    async def do_due(self) -> None:
        """Let arrive what was held until now, and send groups that are due. Raises Unavailable."""
        now = self._clock.now()
        while True:
            # In a batch each copy arrives a microsecond after the one before; the next batch comes after that.
            released = await self._store.release_held(self._queries, now, BATCH)
            sent = await self._store.send_folds(self._queries, now, BATCH)
            if released.due or sent:
                self._outbox.committed()
                telemetry.RELEASED.inc(released.released)
                telemetry.log.info("notifications.due", released=released.released, groups=sent)
            if released.due < BATCH and sent < BATCH:
                return
            now = max(self._clock.now(), now + timedelta(microseconds=BATCH))

    async def remove(self) -> None:
        """Remove what has expired, what is past its retention, and what nobody will ask for. Raises Unavailable."""
        now = self._clock.now()
        store, old = self._store, now - self._retention
        await self._remove("expired", now, store.remove_expired)
        await self._remove("copies", old, store.remove_old_copies)
        await self._remove("contents", old, store.remove_old_contents)
        await self._remove("spent", now, store.remove_spent)

    async def _remove(
        self, kind: str, moment: datetime, batch: Callable[[Queries, datetime, int], Awaitable[int]]
    ) -> None:
        total = 0
        while self._leader.leading:
            removed = await batch(self._queries, moment, BATCH)
            total += removed
            telemetry.REMOVED.labels(kind).inc(removed)
            if removed:
                self._outbox.committed()
            if removed < BATCH:
                break
            await self._pause(PAUSE)
        if total:
            telemetry.log.info("notifications.removed", kind=kind, number=total)

    async def _repeat(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        failing = False
        while True:
            await self._pause(seconds if not failing else max(seconds, RETRY))
            if not self._leader.leading:
                continue
            try:
                await work()
                failing = False
            except CallboardError as error:
                if not failing:
                    telemetry.log.warning("task.failed", task="notification-upkeep", reason=error.message)
                failing = True
