"""The log's upkeep: partitions for the coming days, none past the recovery window, nobody who was away for longer.

Owns: when that is done, by the relay that leads. Never: a message.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from callboard.clock import Clock
from callboard.store.database import reason_of
from callboard.store.sessions import FORGET, FORGOTTEN
from callboard.telemetry import log

# Seconds. The shorter one is for what was refused, and for what is left of many to forget.
INTERVAL = 3600.0
RETRY = 60.0


class LogUpkeep:
    """`window`: how many hours recovery reaches back."""

    def __init__(self, clock: Clock, window: int) -> None:
        self._clock = clock
        self._window = window
        self._next = 0.0

    def begin(self) -> None:
        """There is a new connection: whatever was done on the last one, it is due."""
        self._next = 0.0

    async def do_if_due(self, connection: Any) -> None:
        """On an asyncpg connection. A refusal is logged and waits a minute; raises what a lost connection raises."""
        if self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + INTERVAL
        try:
            await connection.execute("select callboard.ensure_log_partitions()")
            await connection.execute("select callboard.drop_log_partitions(make_interval(hours => $1))", self._window)
            if await connection.execute(FORGET, self._window, FORGOTTEN) == f"DELETE {FORGOTTEN}":
                self._next = self._clock.monotonic() + RETRY
        except asyncpg.PostgresError as error:
            if connection.is_closed():
                raise
            self._next = self._clock.monotonic() + RETRY
            log.warning("relay.failed", reason=reason_of(error), retry_in=RETRY)
