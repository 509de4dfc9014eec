"""REST of notifications: parse, call the service, answer.

Owns: the operations under /notifications but for preferences (`choices_routes.py`). Never: SQL, a rule, state.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import msgspec

from callboard.errors import Forbidden
from callboard.notifications.creation_store import Created, Decided, Key
from callboard.notifications.explanations import sentence
from callboard.notifications.model import (
    MAX_DATA_BYTES,
    CreateBatch,
    CreateNotification,
    NamedNotifications,
    NotificationType,
    UserId,
    recipients_of,
)
from callboard.notifications.payloads import (
    Changed,
    CreatedNotification,
    Deleted,
    DryRun,
    Explanation,
    ForRecipient,
    Notification,
    NotificationForOne,
    NotificationPage,
    ReadAll,
    Suppressed,
    UnreadCount,
    time_text,
)
from callboard.notifications.service import NotificationService
from callboard.notifications.store import Change, ListedPage
from callboard.rest.api import PREFIX
from callboard.rest.body import object_bytes
from callboard.rest.endpoint import Call, Endpoint
from callboard.rest.pagination import Page, PageQuery, Place, decode_cursor, page_bytes

TAG = "notifications"
CREATE, CREATE_BATCH = "/notifications", "/notifications/batch"
MAX_SHOWN = 100


class CreateQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How to create."""

    dry_run: Annotated[bool, msgspec.Meta(description="Only say what would become of it")] = False


class NotificationQuery(PageQuery, frozen=True, kw_only=True):
    """Filters of the list."""

    type: NotificationType | None = None
    read: Annotated[bool, msgspec.Meta(description="Only read, or only unread ones")] | None = None
    archived: Annotated[bool, msgspec.Meta(description="The archived ones instead of the others")] = False


class ExplainQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose copy."""

    user_id: Annotated[UserId, msgspec.Meta(description="Another's, for an admin")] | None = None


class NotificationRoutes:
    """The handlers; see `routes`."""

    def __init__(self, service: NotificationService) -> None:
        self._service = service

    async def create(self, call: Call) -> bytes:
        request: CreateNotification = call.body
        to = recipients_of(request)
        data, actor = _data(request.data), call.principal.id
        if call.query.dry_run:
            return _dry(await self._service.decide(to, request, data=data, actor=actor))
        created = await self._service.create(to, request, data=data, actor=actor, key=_key(call, CREATE))
        return _for_one(created) if request.user_id is not None else _summary(created)

    async def create_batch(self, call: Call) -> bytes:
        request: CreateBatch = call.body
        data, actor = _data(request.data), call.principal.id
        if call.query.dry_run:
            return _dry(await self._service.decide(request.user_ids, request, data=data, actor=actor))
        key = _key(call, CREATE_BATCH)
        return _summary(await self._service.create(request.user_ids, request, data=data, actor=actor, key=key))

    async def list(self, call: Call) -> bytes:
        query: NotificationQuery = call.query
        listed = await self._service.page(
            call.principal.id,
            limit=query.limit,
            before=decode_cursor(query.cursor),
            type_=query.type,
            read=query.read,
            archived=query.archived,
        )
        return listed_bytes(listed)

    async def read(self, call: Call) -> bytes:
        return await self._change(call, "read")

    async def unread(self, call: Call) -> bytes:
        return await self._change(call, "unread")

    async def archive(self, call: Call) -> bytes:
        return await self._change(call, "archive")

    async def unarchive(self, call: Call) -> bytes:
        return await self._change(call, "unarchive")

    async def _change(self, call: Call, change: Change) -> bytes:
        return await self._service.change(call.principal.id, call.uuid("id"), change)

    async def read_all(self, call: Call) -> bytes:
        done = await self._service.mark_all_read(call.principal.id)
        return msgspec.json.encode(ReadAll(updated=done.updated, position=done.position))

    async def seen(self, call: Call) -> bytes:
        request: NamedNotifications = call.body
        updated = await self._service.change_many(call.principal.id, request.ids, "seen")
        return msgspec.json.encode(Changed(updated=updated))

    async def delete(self, call: Call) -> bytes:
        await self._service.delete(call.principal.id, call.uuid("id"))
        return b""

    async def delete_many(self, call: Call) -> bytes:
        request: NamedNotifications = call.body
        return msgspec.json.encode(Deleted(deleted=await self._service.delete_many(call.principal.id, request.ids)))

    async def unread_count(self, call: Call) -> bytes:
        return await self._service.unread_count(call.principal.id)

    async def explain(self, call: Call) -> bytes:
        query: ExplainQuery = call.query
        user_id = query.user_id or call.principal.id
        if user_id != call.principal.id and not call.principal.is_admin:
            raise Forbidden("Only an admin is told about another's notifications")
        found = msgspec.json.decode(await self._service.explain(user_id, call.uuid("id")))
        words = sentence(
            found["outcome"],
            found["rule"],
            found["used"],
            held_until=found["held_until"],
            arrived_at=found["arrived_at"],
        )
        return msgspec.json.encode(msgspec.convert({**found, "summary": words}, Explanation))


def routes(service: NotificationService) -> list[Endpoint]:
    """The slice's endpoints."""
    do = NotificationRoutes(service)
    return [
        Endpoint(
            method="POST",
            path=CREATE,
            handler=do.create,
            summary="Notify a person (answers the notification), several, or who follows a resource (answers how many)",
            tag=TAG,
            status=201,
            admin=True,
            idempotent=True,
            query=CreateQuery,
            body=CreateNotification,
            answers=(NotificationForOne, CreatedNotification, DryRun),
        ),
        Endpoint(
            method="POST",
            path=CREATE_BATCH,
            handler=do.create_batch,
            summary="Notify up to 10,000 people in one transaction",
            tag=TAG,
            status=201,
            admin=True,
            idempotent=True,
            query=CreateQuery,
            body=CreateBatch,
            answers=(CreatedNotification, DryRun),
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
            method="POST",
            path="/notifications/{id}/archive",
            handler=do.archive,
            summary="Archive one: it leaves the list and the count",
            tag=TAG,
            answers=(Notification,),
        ),
        Endpoint(
            method="POST",
            path="/notifications/{id}/unarchive",
            handler=do.unarchive,
            summary="Bring an archived one back",
            tag=TAG,
            answers=(Notification,),
        ),
        Endpoint(
            method="GET",
            path="/notifications/{id}/explain",
            handler=do.explain,
            summary="Why it was sent now, held, folded or suppressed",
            tag=TAG,
            query=ExplainQuery,
            answers=(Explanation,),
        ),
        Endpoint(
            method="POST",
            path="/notifications/seen",
            handler=do.seen,
            summary="Mark some as seen",
            tag=TAG,
            body=NamedNotifications,
            answers=(Changed,),
        ),
        Endpoint(
            method="POST",
            path="/notifications/delete",
            handler=do.delete_many,
            summary="Remove some of the caller's copies in one transaction",
            tag=TAG,
            body=NamedNotifications,
            answers=(Deleted,),
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


def listed_bytes(listed: ListedPage) -> bytes:
    """A page of the slice's lists as their answer."""
    last = None
    if listed.last_at is not None and listed.last_id is not None:
        last = Place(listed.last_at, listed.last_id)
    return page_bytes(Page(listed.items, last, listed.position))


def _data(raw: msgspec.Raw) -> bytes:
    return object_bytes(raw, "data", MAX_DATA_BYTES)


def _key(call: Call, path: str) -> Key | None:
    """The body as it was understood is what a key stands for: space and the order of members do not matter."""
    if call.idempotency_key is None:
        return None
    data = msgspec.json.encode(msgspec.json.decode(call.body.data), order="sorted")
    body = msgspec.json.encode(msgspec.structs.replace(call.body, data=msgspec.Raw(data)))
    return Key(call.principal.id, call.idempotency_key, hashlib.sha256(body).digest(), f"POST {PREFIX}{path}")


def _for_one(created: Created) -> bytes:
    decision = {"outcome": created.outcome, "rule": created.rule, "held_until": time_text(created.held_until)}
    return created.payload[:-1] + b',"decision":' + msgspec.json.encode(decision) + b"}"


def _summary(created: Created) -> bytes:
    return msgspec.json.encode(
        CreatedNotification(
            notification_id=str(created.id),
            created=created.created,
            held=created.held,
            folded=created.folded,
            suppressed=Suppressed(muted=created.muted, rate_limited=created.rate_limited),
        )
    )


def _dry(decided: Sequence[Decided]) -> bytes:
    outcomes = Counter(each.outcome for each in decided)
    limited = sum(each.outcome == "suppressed" and each.rule == "rate_limited" for each in decided)
    return msgspec.json.encode(
        DryRun(
            created=outcomes["now"],
            held=outcomes["held"],
            folded=outcomes["folded"],
            suppressed=Suppressed(muted=outcomes["suppressed"] - limited, rate_limited=limited),
            recipients=[
                msgspec.convert(
                    {
                        "user_id": each.user_id,
                        "outcome": each.outcome,
                        "rule": each.rule,
                        "held_until": time_text(each.held_until),
                        "used": None if each.used is None else msgspec.json.decode(each.used),
                    },
                    ForRecipient,
                )
                for each in decided[:MAX_SHOWN]
            ],
        )
    )
