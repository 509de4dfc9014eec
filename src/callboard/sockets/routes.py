"""REST of the sockets slice: parse, call the service, answer.

Owns: the operations under /socket. Never: a rule, a connection.
"""

from __future__ import annotations

import msgspec

from callboard.rest.body import object_bytes
from callboard.rest.endpoint import Call, Endpoint
from callboard.sockets.model import MAX_DATA_BYTES, Broadcast
from callboard.sockets.payloads import Accepted
from callboard.sockets.service import SocketService

_ACCEPTED = msgspec.json.encode(Accepted())


def routes(service: SocketService) -> list[Endpoint]:
    """The slice's endpoints."""

    async def broadcast(call: Call) -> bytes:
        request: Broadcast = call.body
        data = object_bytes(request.data, "data", MAX_DATA_BYTES)
        service.broadcast(call.principal, namespace=request.namespace, event=request.event, data=data)
        return _ACCEPTED

    return [
        Endpoint(
            method="POST",
            path="/socket/broadcast",
            handler=broadcast,
            summary="Send a volatile message to everyone in a namespace",
            tag="sockets",
            status=202,
            admin=True,
            body=Broadcast,
            answers=(Accepted,),
        )
    ]
