"""`admin:alert`: what operators must know, durable, so that it waits for them.

Owns: noticing a burst in counters that others keep, and putting the alert into the outbox once the database takes it.
Never: a counter of its own, more than one alert of a kind at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from callboard import telemetry
from callboard.clock import Clock, utc_text
from callboard.errors import StoreError, Unavailable
from callboard.realtime.connection import Reason
from callboard.sockets.model import QUIET, REFUSAL_BURST, SLOW_BURST, WINDOW
from callboard.sockets.payloads import ADMIN, AdminAlert
from callboard.store.database import Queries

PERIOD = 5.0
ROOM = "role:admin"

Kind = Literal["slow_closes", "refusals", "database_back"]


class Sender(Protocol):
    """The outbox."""

    async def put(self, queries: Queries, *, namespace: str, rooms: Sequence[str], name: str, payload: str) -> None:
        """Add a message in the transaction of `queries`."""

    def committed(self) -> None:
        """The transaction has committed."""


class Burst:
    """Whether a growing number grew by `limit` within WINDOW seconds; after it has, not again for QUIET seconds."""

    def __init__(self, limit: int, total: Callable[[], int], now: float) -> None:
        self._limit = limit
        self._total = total
        self._seen: deque[tuple[float, int]] = deque([(now, total())])
        self._quiet_until = now

    def look(self, now: float) -> int | None:
        """By how much it grew, if that is a burst."""
        total = self._total()
        while len(self._seen) > 1 and self._seen[1][0] <= now - WINDOW:
            self._seen.popleft()
        grown = total - self._seen[0][1]
        self._seen.append((now, total))
        if grown < self._limit or now < self._quiet_until:
            return None
        self._quiet_until = now + QUIET
        return grown


class Alerts:
    """Looks every PERIOD seconds. Of each kind the newest waits while the database is away."""

    def __init__(
        self,
        queries: Queries,
        outbox: Sender,
        clock: Clock,
        node_id: str,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._queries = queries
        self._outbox = outbox
        self._clock = clock
        self._node_id = node_id
        self._pause = pause
        self._waiting: dict[Kind, AdminAlert] = {}
        now = clock.monotonic()
        self._slow = Burst(SLOW_BURST, slow_closes, now)
        self._refusals = Burst(REFUSAL_BURST, refusals, now)

    def database_back(self, seconds_away: float) -> None:
        """The database was away for so long and answers again. Returns at once."""
        self._raise("database_back", f"The database was away for {seconds_away:.1f} seconds and is back", seconds_away)

    async def run(self) -> None:
        """Look until cancelled. The caller owns the task; there is one."""
        while True:
            await self._pause(PERIOD)
            self._look()
            await self._send()

    def _look(self) -> None:
        now = self._clock.monotonic()
        if (count := self._slow.look(now)) is not None:
            text = f"{count} connections were closed as slow: their clients do not take what they are sent"
            self._raise("slow_closes", text, WINDOW, count)
        if (count := self._refusals.look(now)) is not None:
            text = f"{count} handshakes, connects or messages were refused: see refused in the statistics for why"
            self._raise("refusals", text, WINDOW, count)

    def _raise(self, kind: Kind, message: str, seconds: float, count: int | None = None) -> None:
        telemetry.log.warning("admin.alert", kind=kind, reason=message)
        at = utc_text(self._clock.now())
        self._waiting[kind] = AdminAlert(
            kind=kind, message=message, node=self._node_id, at=at, count=count, seconds=round(seconds, 3)
        )

    async def _send(self) -> None:
        while self._waiting:
            kind, alert = next(iter(self._waiting.items()))
            payload = msgspec.json.encode(alert).decode()
            try:
                await self._outbox.put(
                    self._queries, namespace=ADMIN, rooms=[ROOM], name="admin:alert", payload=payload
                )
            except Unavailable:
                return  # the relay logs that the database is away; the alert waits
            except StoreError as error:
                telemetry.log.error("task.failed", task="alerts", reason=error.message, exc_info=error)
            else:
                self._outbox.committed()
            if self._waiting.get(kind) is alert:
                del self._waiting[kind]


def slow_closes() -> int:
    """Connections of this process that were closed as slow."""
    return telemetry.totals(telemetry.CLOSED).get(Reason.SLOW.value, 0)


def refusals() -> int:
    """Everything this process refused."""
    return sum(telemetry.totals(telemetry.REFUSED).values())
