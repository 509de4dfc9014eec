"""Unread counts as messages.

Owns: when connected users are told their counts. Never: SQL, what changes a count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from callboard.errors import CallboardError
from callboard.notifications.payloads import FEED
from callboard.notifications.store import NotificationStore
from callboard.realtime.broker import Broker, Envelope
from callboard.store.database import Queries
from callboard.telemetry import log


class UnreadCounts:
    """Tells connected users their unread counts, as seldom as will do.

    A mark asks for a count; marks that come while it is asked for, or within `pause` seconds of that, share the next
    query, so that it never is so large that the database does nothing else for long. More than FEW marks, as those of
    a batch, wait `patience` seconds for others. `connected` says whether anybody of that user is connected here:
    for others nothing is kept or asked. Marks are a set of connected users, so bounded. While the database is away
    they are kept.
    """

    FEW = 100
    MAX_USERS_PER_QUERY = 1000
    FIRST_RETRY = 0.1
    LAST_RETRY = 5.0

    def __init__(
        self,
        queries: Queries,
        broker: Broker,
        connected: Callable[[str], bool],
        *,
        pause: float = 0.01,
        patience: float = 0.04,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        store: NotificationStore | None = None,
    ) -> None:
        self._queries = queries
        self._broker = broker
        self._connected = connected
        self._pause = pause
        self._patience = patience
        self._sleep = sleep
        self._store = store or NotificationStore()
        self._marked: dict[str, None] = {}
        self._wake = asyncio.Event()

    def mark(self, user_id: str) -> None:
        """This user's count may have changed. Returns at once."""
        if self._connected(user_id):
            self._marked[user_id] = None
            self._wake.set()

    async def run(self) -> None:
        """Serve marks until cancelled. The caller owns the task; there is one."""
        retry = self.FIRST_RETRY
        while True:
            await self._wake.wait()
            self._wake.clear()
            if len(self._marked) > self.FEW:
                await self._sleep(self._patience)
            try:
                await self._serve()
            except CallboardError as error:
                if retry == self.FIRST_RETRY:
                    log.warning("task.failed", task="unread-counts", reason=error.message)
                await self._sleep(retry)
                retry = min(retry * 2, self.LAST_RETRY)
                self._wake.set()
            else:
                retry = self.FIRST_RETRY
                await self._sleep(self._pause)

    async def _serve(self) -> None:
        """Tell those who are marked by now. Who is marked meanwhile waits for the next time."""
        marked = list(self._marked)
        for start in range(0, len(marked), self.MAX_USERS_PER_QUERY):
            users = marked[start : start + self.MAX_USERS_PER_QUERY]
            for user_id in users:
                del self._marked[user_id]
            try:
                await self._tell([user_id for user_id in users if self._connected(user_id)])
            except CallboardError:
                self._marked.update(dict.fromkeys(users))
                raise

    async def _tell(self, users: Sequence[str]) -> None:
        if not users:
            return
        for count in await self._store.unread_counts(self._queries, users):
            self._broker.publish(
                Envelope(
                    namespace=FEED,
                    rooms=(f"user:{count.user_id}",),
                    name="notification:unread-count",
                    payload=count.payload,
                    key="unread-count",
                )
            )
