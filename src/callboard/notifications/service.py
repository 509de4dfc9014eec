"""Use cases of notifications, for REST, client messages and the host alike.

Owns: what counts as one change, and when the relay is woken. Each use case is one statement, so one transaction.
Never: SQL, a JSON shape, an HTTP status, what a person chose (`choices.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Protocol
from uuid import UUID

from callboard import telemetry
from callboard.clock import Clock, SystemClock
from callboard.errors import NotFound, RateLimited
from callboard.notifications.creation_store import Content, Created, CreationStore, Decided, Key, Recipients, ToOne
from callboard.notifications.model import FollowedResource, NewNotification, check_type
from callboard.notifications.store import AllRead, Change, ListedPage, Marked, NotificationStore, PageCall
from callboard.store.batching import Batcher
from callboard.store.database import Queries
from callboard.store.locks import Retries
from callboard.store.outbox import Sending

HOUR = 3600
# A create waits for transactions that decide for the same people, as long as a host's may last, by coming again: none
# holds one of the pool's connections for longer than its statement takes.
LANES = 2
TO_MANY = 4
ALONE = 2
CHANGING = 4
AGAIN = 2


class Committed(Protocol):
    """The part of the outbox that is told of commits."""

    def committed(self) -> None:
        """A transaction with messages has committed."""


class Messages(Sending, Committed, Protocol):
    """The part of the outbox that sees to it that messages leave."""


class NotificationService:
    """`types`: the types that NOTIFICATION_TYPES allows; None allows any."""

    def __init__(
        self,
        queries: Queries,
        outbox: Messages,
        *,
        types: frozenset[str] | None = None,
        clock: Clock | None = None,
        store: NotificationStore | None = None,
        creation: CreationStore | None = None,
    ) -> None:
        self._queries = queries
        self._outbox = outbox
        self._types = types
        self._clock = clock or SystemClock()
        self._store = store or NotificationStore()
        self._creation = creation or CreationStore()
        # Apart, since calls with a group among them are done one after another.
        self._to_one = Batcher(self._create_each, alone=self._create_alone, lanes=LANES)
        self._to_group = Batcher(self._create_each, alone=self._create_alone, lanes=LANES)
        self._alone = Retries(first=ALONE, again=AGAIN)
        self._to_many = Retries(first=TO_MANY, again=AGAIN)
        # A change waits in the same way for a transaction that has grown the group that it is about.
        self._changing = Retries(first=CHANGING, again=AGAIN)
        self._counts = Batcher(self._count_each)
        self._pages = {
            (read, archived): Batcher(partial(self._list_each, read=read, archived=archived))
            for read in (None, True, False)
            for archived in (True, False)
        }

    async def create(
        self,
        to: str | Sequence[str] | FollowedResource,
        new: NewNotification,
        *,
        data: bytes = b"{}",
        actor: str | None,
        key: Key | None = None,
        within: Queries | None = None,
    ) -> Created:
        """Notify people: content, copies and message commit together, and each person gets it once.

        `data` is the checked JSON of an object; `actor` is who did it unless `new` names somebody. With a `key` it is
        done once: the same call again gives the first answer. Raises Invalid; RateLimited if `to` is one person, who is
        over the hourly limit; Conflict for a key of another call; Unavailable if a transaction that decides for the
        same people stays open for ten seconds more.

        `within`, somebody's transaction: it is part of that, and sent when that commits.
        """
        check_type(new.type, self._types)
        content = _content(new, data, actor)
        if within is not None:
            return self._count(
                await self._creation.create_within(within, _recipients(to), content, isinstance(to, str))
            )
        if key is None and isinstance(to, str):
            return self._count(await self._create_one(ToOne(to, content)))
        if key is None:
            attempt = partial(self._creation.create, self._outbox, _recipients(to), content)
        else:
            attempt = partial(
                self._creation.create_once,
                *(self._outbox, key, _recipients(to), content),
                refuse_over_limit=isinstance(to, str),
            )
        created = await self._to_many.run(attempt)
        return self._count(created)

    def _count(self, created: Created) -> Created:
        """Each notification once. Raises RateLimited for what was not stored."""
        if created.id is None:
            left = HOUR - int(self._clock.now().timestamp()) % HOUR
            raise RateLimited("the recipient has had as many notifications as an hour allows", retry_after=left)
        if created.repeated:
            return created
        for outcome, number in (
            ("now", created.created),
            ("held", created.held),
            ("folded", created.folded),
            ("muted", created.muted),
            ("rate_limited", created.rate_limited),
        ):
            if number:
                telemetry.labelled(telemetry.NOTIFIED, outcome).inc(number)
        return created

    async def decide(
        self,
        to: str | Sequence[str] | FollowedResource,
        new: NewNotification,
        *,
        data: bytes = b"{}",
        actor: str | None,
    ) -> list[Decided]:
        """What would become of a notification for each recipient, by user id; nothing is stored. Raises Invalid."""
        check_type(new.type, self._types)
        return await self._creation.decide(self._queries, _recipients(to), _content(new, data, actor))

    async def explain(self, user_id: str, id_: UUID) -> bytes:
        """The decision about a user's copy as JSON, also if it is not in the inbox. Raises NotFound."""
        explained = await self._creation.explain(self._queries, user_id, id_)
        if explained is None:
            raise _absent()
        return explained

    async def _create_one(self, call: ToOne) -> Created:
        """Together with others that come at the same time, unless it is known to have to wait."""
        if self._alone.is_held_up(call.user_id):
            return await self._create_alone(call)
        together = self._to_one if call.content.group_key is None else self._to_group
        return await together.call(call)

    async def _create_each(self, calls: Sequence[ToOne]) -> Sequence[Created]:
        # In the order of users and groups, so that nobody waits in a circle; what else a user gets stays in the order
        # of arrival.
        order = sorted(range(len(calls)), key=lambda place: _lock_order(calls[place]))
        created = await self._creation.create_each(self._outbox, [calls[place] for place in order])
        return [made for _, made in sorted(zip(order, created, strict=True), key=lambda pair: pair[0])]

    async def _create_alone(self, call: ToOne) -> Created:
        """By a statement of its own, again and again; from the first lock that it meets, its recipient is held up."""
        recipients = Recipients([call.user_id])
        attempt = partial(self._creation.create, self._outbox, recipients, call.content, refuse_over_limit=True)
        return await self._alone.run(attempt, who=call.user_id)

    async def _count_each(self, user_ids: Sequence[str]) -> Sequence[bytes]:
        return [count.payload for count in await self._store.unread_counts(self._queries, user_ids)]

    async def _list_each(self, calls: Sequence[PageCall], *, read: bool | None, archived: bool) -> Sequence[ListedPage]:
        return await self._store.pages(self._queries, calls, read=read, archived=archived)

    async def page(
        self,
        user_id: str,
        *,
        limit: int,
        before: tuple[datetime, UUID] | None = None,
        type_: str | None = None,
        read: bool | None = None,
        archived: bool = False,
    ) -> ListedPage:
        """A user's notifications, the newest arrival first; the archived ones or the others."""
        at, id_ = before or (None, None)
        return await self._pages[read, archived].call(PageCall(user_id, at, id_, limit, type_))

    async def change(self, user_id: str, id_: UUID, change: Change) -> bytes:
        """Change one; the notification as JSON. Raises NotFound for another's and an unknown one.

        As all changes it raises Unavailable if a transaction that has grown this group stays open for ten seconds more.
        """
        marked = await self._change(user_id, [id_], change)
        if not marked:
            raise _absent()
        return marked[0].payload

    async def change_many(self, user_id: str, ids: Sequence[UUID], change: Change) -> int:
        """Change several in one transaction; how many changed. Unknown ones are passed over."""
        return sum(each.changed for each in await self._change(user_id, ids, change))

    async def _change(self, user_id: str, ids: Sequence[UUID], change: Change) -> list[Marked]:
        marked = await self._changing.run(partial(self._store.change, self._queries, user_id, ids, change), who=user_id)
        if any(each.changed for each in marked):
            self._outbox.committed()
        return marked

    async def mark_all_read(self, user_id: str) -> AllRead:
        """Make read all that had arrived when the statement began; one that arrives meanwhile stays unread."""
        done = await self._changing.run(partial(self._store.mark_all_read, self._queries, user_id), who=user_id)
        if done.updated:
            self._outbox.committed()
        return done

    async def delete(self, user_id: str, id_: UUID) -> None:
        """Remove a user's copy. Raises NotFound, also the second time."""
        if not await self.delete_many(user_id, [id_]):
            raise _absent()

    async def delete_many(self, user_id: str, ids: Sequence[UUID]) -> int:
        """Remove several copies in one transaction; how many there were."""
        deleted = await self._changing.run(partial(self._store.delete, self._queries, user_id, ids), who=user_id)
        if deleted:
            self._outbox.committed()
        return deleted

    async def unread_count(self, user_id: str) -> bytes:
        """The count and its position, as JSON."""
        return await self._counts.call(user_id)

    def stop_waiting(self) -> None:
        """Refuse whoever waits for somebody's open transaction: the server ends, which that may outlast."""
        for waiting in (self._alone, self._to_many, self._changing):
            waiting.stop()


def _recipients(to: str | Sequence[str] | FollowedResource) -> Recipients:
    if isinstance(to, FollowedResource):
        return Recipients(None, to.resource_type, to.resource_id)
    return Recipients([to] if isinstance(to, str) else to)


def _content(new: NewNotification, data: bytes, actor: str | None) -> Content:
    return Content(
        type=new.type,
        title=new.title,
        message=new.message,
        data=data.decode(),
        priority=new.priority,
        actor=new.actor or actor,
        resource_type=new.resource.type if new.resource is not None else None,
        resource_id=new.resource.id if new.resource is not None else None,
        group_key=new.group_key,
        expires_in=new.expires_in,
    )


def _lock_order(call: ToOne) -> tuple[str, str]:
    return call.user_id, call.content.group_key or ""


def _absent() -> NotFound:
    return NotFound("There is no such notification")
