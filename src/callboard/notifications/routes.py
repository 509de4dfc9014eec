"""REST of notifications: parse, call the service, answer.

Owns: the operations under /notifications. Never: SQL, a rule, state.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from callboard.notifications.model import (
    MAX_DATA_BYTES,
    CreateBatch,
    CreateNotification,
    NotificationType,
    recipients_of,
)
from callboard.notifications.payloads import (
    CreatedNotification,
    Notification,
    NotificationPage,
    ReadAll,
    UnreadCount,
)
from callboard.notifications.service import NotificationService
from callboard.notifications.store import Created
from callboard.rest.body import object_bytes
from callboard.rest.endpoint import Call, Endpoint
from callboard.rest.pagination import Page, PageQuery, Place, decode_cursor, page_bytes

TAG = "notifications"


class NotificationQuery(PageQuery, frozen=True, kw_only=True):
    """Filters of the list."""

    type: NotificationType | None = None
    read: Annotated[bool, msgspec.Meta(description="Only read, or only unread ones")] | None = None


class NotificationRoutes:
    """The handlers; see `routes`."""

    def __init__(self, service: NotificationService) -> None:
        self._service = service

    async def create(self, call: Call) -> bytes:
        request: CreateNotification = call.body
        user_ids = recipients_of(request)
        created = await self._service.create(user_ids, request, data=_data(request.data), actor=call.principal.id)
        return created.payload if request.user_id is not None else _summary(created)

    async def create_batch(self, call: Call) -> bytes:
        request: CreateBatch = call.body
        return _summary(
            await self._service.create(request.user_ids, request, data=_data(request.data), actor=call.principal.id)
        )

    async def list(self, call: Call) -> bytes:
        query: NotificationQuery = call.query
        listed = await self._service.page(
            call.principal.id,
            limit=query.limit,
            before=decode_cursor(query.cursor),
            type_=query.type,
            read=query.read,
        )
        last = None
        if listed.last_arrived_at is not None and listed.last_id is not None:
            last = Place(listed.last_arrived_at, listed.last_id)
        return page_bytes(Page(listed.items, last, listed.position))

    async def read(self, call: Call) -> bytes:
        return await self._service.mark(call.principal.id, call.uuid("id"), read=True)

    async def unread(self, call: Call) -> bytes:
        return await self._service.mark(call.principal.id, call.uuid("id"), read=False)

    async def read_all(self, call: Call) -> bytes:
        return msgspec.json.encode(ReadAll(updated=await self._service.mark_all_read(call.principal.id)))

    async def delete(self, call: Call) -> bytes:
        await self._service.delete(call.principal.id, call.uuid("id"))
        return b""

    async def unread_count(self, call: Call) -> bytes:
        return await self._service.unread_count(call.principal.id)


def routes(service: NotificationService) -> list[Endpoint]:
    """The slice's endpoints."""
    do = NotificationRoutes(service)
    return [
        Endpoint(
            method="POST",
            path="/notifications",
            handler=do.create,
            summary="Notify a person (answers the notification) or several (answers how many)",
            tag=TAG,
            status=201,
            admin=True,
            body=CreateNotification,
            answers=(Notification, CreatedNotification),
        ),
        Endpoint(
            method="POST",
            path="/notifications/batch",
            handler=do.create_batch,
            summary="Notify up to 10,000 people in one transaction",
            tag=TAG,
            status=201,
            admin=True,
            body=CreateBatch,
            answers=(CreatedNotification,),
        ),
        Endpoint(
            method="GET",
            path="/notifications",
            handler=do.list,
            summary="The caller's notifications, the newest arrival first",
            tag=TAG,
            query=NotificationQuery,
            answers=(NotificationPage,),
        ),
        Endpoint(
            method="GET",
            path="/notifications/unread-count",
            handler=do.unread_count,
            summary="How many are unread, as of a position",
            tag=TAG,
            answers=(UnreadCount,),
        ),
        Endpoint(
            method="POST",
            path="/notifications/read-all",
            handler=do.read_all,
            summary="Mark all as read that had arrived by now",
            tag=TAG,
            answers=(ReadAll,),
        ),
        Endpoint(
            method="POST",
            path="/notifications/{id}/read",
            handler=do.read,
            summary="Mark one as read; twice is the same as once",
            tag=TAG,
            answers=(Notification,),
        ),
        Endpoint(
            method="POST",
            path="/notifications/{id}/unread",
            handler=do.unread,
            summary="Mark one as unread again",
            tag=TAG,
            answers=(Notification,),
        ),
        Endpoint(
            method="DELETE",
            path="/notifications/{id}",
            handler=do.delete,
            summary="Remove the caller's copy",
            tag=TAG,
            status=204,
        ),
    ]


def _data(raw: msgspec.Raw) -> bytes:
    return object_bytes(raw, "data", MAX_DATA_BYTES)


def _summary(created: Created) -> bytes:
    return msgspec.json.encode(CreatedNotification(notification_id=str(created.id), created=created.created))
