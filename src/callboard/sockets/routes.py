"""REST of the sockets slice: parse, call the service, answer.

Owns: the operations under /socket. Never: a rule, a connection.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any
from uuid import UUID

import msgspec

from callboard.clock import utc_text
from callboard.realtime.namespace import Member
from callboard.rest.body import object_bytes
from callboard.rest.endpoint import Call, Endpoint
from callboard.rest.pagination import PageQuery, Place, decode_cursor, encode_cursor
from callboard.sockets.model import MAX_DATA_BYTES, MAX_USER_ID, Direct
from callboard.sockets.payloads import Accepted, ConnectionPage, Disconnected, ListedConnection, Statistics
from callboard.sockets.service import SocketService
from callboard.sockets.statistics import StatisticsReader

_ACCEPTED = msgspec.json.encode(Accepted())


class ConnectionQuery(PageQuery, frozen=True, kw_only=True):
    """Filters of the list."""

    namespace: Annotated[str, msgspec.Meta(max_length=100, description="Only in this one")] | None = None
    user_id: Annotated[str, msgspec.Meta(max_length=MAX_USER_ID, description="Only of this user")] | None = None


class SocketRoutes:
    """The handlers; see `routes`."""

    def __init__(self, service: SocketService, statistics: StatisticsReader) -> None:
        self._service = service
        self._statistics = statistics

    async def broadcast(self, call: Call) -> bytes:
        await self._service.broadcast(call.principal, **_direct(call.body))
        return _ACCEPTED

    async def notify_user(self, call: Call) -> bytes:
        await self._service.notify_user(call.principal, call.path["user_id"], **_direct(call.body))
        return _ACCEPTED

    async def notify_room(self, call: Call) -> bytes:
        await self._service.notify_room(call.principal, call.path["room"], **_direct(call.body))
        return _ACCEPTED

    async def disconnect(self, call: Call) -> bytes:
        member = await self._service.disconnect(call.principal, call.path["sid"])
        return msgspec.json.encode(Disconnected(sid=member.sid, user_id=member.principal.id))

    async def stats(self, call: Call) -> bytes:
        return msgspec.json.encode(self._statistics.read())

    async def connections(self, call: Call) -> bytes:
        query: ConnectionQuery = call.query
        place = decode_cursor(query.cursor)
        page = self._service.connections(
            namespace=query.namespace,
            user_id=query.user_id,
            before=None if place is None else place.id.int,
            limit=query.limit,
        )
        return msgspec.json.encode(
            ConnectionPage(
                node=self._service.node_id,
                items=[_listed(member) for member in page.items],
                next_cursor=encode_cursor(_place(page.items[-1])) if page.more else None,
                position=self._statistics.position,
            )
        )


def routes(service: SocketService, statistics: StatisticsReader) -> list[Endpoint]:
    """The slice's endpoints."""
    handlers = SocketRoutes(service, statistics)
    get = partial(Endpoint, method="GET", tag="sockets", admin=True)
    post = partial(Endpoint, method="POST", tag="sockets", admin=True)
    send = partial(post, status=202, body=Direct, answers=(Accepted,))
    return [
        send(
            path="/socket/broadcast",
            handler=handlers.broadcast,
            summary="Send a volatile message to everyone in a namespace",
        ),
        send(
            path="/socket/notify-user/{user_id}",
            handler=handlers.notify_user,
            summary="Send a volatile message to all connections of a user",
            tail=True,
        ),
        send(
            path="/socket/notify-room/{room}",
            handler=handlers.notify_room,
            summary="Send a volatile message to everyone in a room",
            tail=True,
        ),
        post(
            path="/socket/disconnect/{sid}",
            handler=handlers.disconnect,
            summary="End the connection of this node that has a Socket.IO sid",
            answers=(Disconnected,),
        ),
        get(path="/socket/stats", handler=handlers.stats, summary="This node's statistics", answers=(Statistics,)),
        get(
            path="/socket/connections",
            handler=handlers.connections,
            summary="List this node's connections, newest first",
            query=ConnectionQuery,
            answers=(ConnectionPage,),
        ),
    ]


def _direct(request: Direct) -> dict[str, Any]:
    data = object_bytes(request.data, "data", MAX_DATA_BYTES)
    return {"namespace": request.namespace, "event": request.event, "data": data}


def _place(member: Member) -> Place:
    return Place(member.connected_at, UUID(int=member.number))


def _listed(member: Member) -> ListedConnection:
    connection = member.connection
    return ListedConnection(
        sid=member.sid,
        namespace=member.namespace.name,
        user_id=member.principal.id,
        user_name=member.principal.name,
        transport=connection.transport,
        address=connection.address,
        connected_at=utc_text(member.connected_at),
        rooms=len(member.rooms),
        unsent_bytes=connection.sink.unsent(),
    )
