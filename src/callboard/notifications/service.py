"""Use cases of notifications, for REST, client messages and the host alike.

Owns: what counts as one change, when the relay is woken, and `UnreadCounts`. Each use case is one
statement, so one transaction. Never: SQL, a JSON shape, an HTTP status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol
from uuid import UUID

from callboard.errors import CallboardError, NotFound
from callboard.notifications.model import NewNotification, check_type
from callboard.notifications.payloads import FEED
from callboard.notifications.store import Content, Created, ListedPage, NotificationStore, PageCall, ToOne
from callboard.realtime.broker import Broker, Envelope
from callboard.store.batching import Batcher
from callboard.store.database import Queries
from callboard.telemetry import log


class Committed(Protocol):
    """The part of the outbox that is told of commits."""

    def committed(self) -> None:
        """A transaction with messages has committed."""


class NotificationService:
    """`types`: the types that NOTIFICATION_TYPES allows; None allows any."""

    def __init__(
        self,
        queries: Queries,
        outbox: Committed,
        *,
        types: frozenset[str] | None = None,
        store: NotificationStore | None = None,
    ) -> None:
        self._queries = queries
        self._outbox = outbox
        self._types = types
        self._store = store or NotificationStore()
        self._to_one = Batcher(self._create_each)
        self._counts = Batcher(self._count_each)
        self._pages = {read: Batcher(partial(self._list_each, read=read)) for read in (None, True, False)}

    async def create(
        self, user_ids: Sequence[str], new: NewNotification, *, data: bytes = b"{}", actor: str | None
    ) -> Created:
        """Notify people: content, copies and message commit together, and each person gets it once.

        `data` is the checked JSON of an object; `actor` is who did it unless `new` names somebody. Raises
        Invalid.
        """
        check_type(new.type, self._types)
        content = Content(
            type=new.type,
            title=new.title,
            message=new.message,
            data=data.decode(),
            priority=new.priority,
            actor=new.actor or actor,
            resource_type=new.resource.type if new.resource is not None else None,
            resource_id=new.resource.id if new.resource is not None else None,
            group_key=None,
            expires_in=new.expires_in,
        )
        if len(user_ids) == 1:
            return await self._to_one.call(ToOne(user_ids[0], content))
        created = await self._store.create(self._queries, user_ids, content)
        self._outbox.committed()
        return created

    async def _create_each(self, calls: Sequence[ToOne]) -> Sequence[Created]:
        created = await self._store.create_each(self._queries, calls)
        self._outbox.committed()
        return created

    async def _count_each(self, user_ids: Sequence[str]) -> Sequence[bytes]:
        return [count.payload for count in await self._store.unread_counts(self._queries, user_ids)]

    async def _list_each(self, calls: Sequence[PageCall], *, read: bool | None) -> Sequence[ListedPage]:
        return await self._store.pages(self._queries, calls, read=read)

    async def page(
        self,
        user_id: str,
        *,
        limit: int,
        before: tuple[datetime, UUID] | None = None,
        type_: str | None = None,
        read: bool | None = None,
    ) -> ListedPage:
        """A user's notifications, the newest arrival first."""
        at, id_ = before or (None, None)
        return await self._pages[read].call(PageCall(user_id, at, id_, limit, type_))

    async def mark(self, user_id: str, id_: UUID, *, read: bool) -> bytes:
        """Make one read or unread; the notification as JSON. Raises NotFound for another's and an unknown
        one."""
        marked = await self._store.mark(self._queries, user_id, id_, read=read)
        if marked is None:
            raise _absent()
        if marked.changed:
            self._outbox.committed()
        return marked.payload

    async def mark_all_read(self, user_id: str) -> int:
        """Make read all that had arrived when the statement began; how many changed."""
        updated = await self._store.mark_all_read(self._queries, user_id)
        if updated:
            self._outbox.committed()
        return updated

    async def delete(self, user_id: str, id_: UUID) -> None:
        """Remove a user's copy. Raises NotFound, also the second time."""
        if not await self._store.delete(self._queries, user_id, id_):
            raise _absent()
        self._outbox.committed()

    async def unread_count(self, user_id: str) -> bytes:
        """The count and its position, as JSON."""
        return await self._counts.call(user_id)


class UnreadCounts:
    """Tells connected users their unread counts, as seldom as will do.

    A mark asks for a count; marks that come while a query runs, or within `interval` seconds of the last,
    share the next one. `connected` says whether anybody of that user is connected here: for others nothing
    is kept or asked. Marks are a set of connected users, so bounded. While the database is away they are
    kept.
    """

    MAX_USERS_PER_QUERY = 1000
    FIRST_RETRY = 0.1
    LAST_RETRY = 5.0

    def __init__(
        self,
        queries: Queries,
        broker: Broker,
        connected: Callable[[str], bool],
        *,
        interval: float = 0.05,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        store: NotificationStore | None = None,
    ) -> None:
        self._queries = queries
        self._broker = broker
        self._connected = connected
        self._interval = interval
        self._pause = pause
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
            try:
                await self._serve()
            except CallboardError as error:
                if retry == self.FIRST_RETRY:
                    log.warning("task.failed", task="unread-counts", reason=error.message)
                await self._pause(retry)
                retry = min(retry * 2, self.LAST_RETRY)
                self._wake.set()
            else:
                retry = self.FIRST_RETRY
                await self._pause(self._interval)

    async def _serve(self) -> None:
        while self._marked:
            users = list(self._marked)[: self.MAX_USERS_PER_QUERY]
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
        for user_id, payload in await self._store.unread_counts(self._queries, users):
            self._broker.publish(
                Envelope(
                    namespace=FEED,
                    rooms=(f"user:{user_id}",),
                    name="notification:unread-count",
                    payload=payload,
                    key="unread-count",
                )
            )


def _absent() -> NotFound:
    return NotFound("There is no such notification")
