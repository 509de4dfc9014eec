"""HTTP long-polling, as an ASGI application.

Owns: GET (a poll, held until there is something to say), POST (packets from the client), OPTIONS, and the sink
that keeps messages between two polls, and the last answer. Never: more than one held poll a session.

A client that leaves has a poll under way and says so by a POST on another connection, which may come first. So the
POST's answer waits a moment for that poll, which is answered as if it had been held: a browser would show a refusal.

Long-polling has no acknowledgement, and HTTP lets a client repeat a GET whose answer the line has swallowed: browsers
and libraries do it by themselves. So the answer to a poll is kept until the next poll says that it has come, and a poll
that is repeated gets the same answer again. What tells the two apart is `t`, a stamp that the clients put into the
query anew for each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import parse_qs

from callboard.errors import ProtocolError, TooLarge
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.engine import Engine
from callboard.transports import cors
from callboard.transports.asgi_types import Receive, Scope, Send
from callboard.transports.handshake import Policy, Refusal, RefusalCode, Request, admit
from callboard.wire import engineio
from callboard.wire.engineio import Outgoing
from callboard.wire.session import State

Headers = list[tuple[bytes, bytes]]

_TEXT = (b"content-type", b"text/plain; charset=UTF-8")
_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
# Seconds in which a poll arrives that was sent before the POST that overtook it.
OVERTAKEN = 0.1


class PollingSink:
    """Keeps messages until the next poll. Its connection is paused while no poll is held."""

    __slots__ = ("_answer", "_buffer", "_opening_stamp", "_size", "_stamp", "_waiter", "connection", "posting")

    name = "polling"
    descriptor: int | None = None

    def __init__(self, stamp: str | None = None) -> None:
        """`stamp`: of the request that opens the session."""
        self.connection: Connection | None = None
        self.posting = False
        self._buffer: list[Outgoing] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._opening_stamp = stamp
        self._stamp: str | None = None
        self._answer: bytes | None = None

    @property
    def polled(self) -> bool:
        """Whether a poll is held."""
        return self._waiter is not None

    def write(self, batch: list[Outgoing]) -> None:
        """Keep the batch and end a held poll. An empty batch ends it with NOOP."""
        self._buffer += batch
        self._size += sum(outgoing.size for outgoing in batch)
        self._wake()

    def unsent(self) -> int:
        return self._size

    def drain(self) -> list[Outgoing]:
        batch, self._buffer = self._buffer, []
        self._size = 0
        return batch

    def close(self, reason: Reason) -> None:
        """End a held poll: with CLOSE behind what is unsent, or with NOOP if the client itself has left."""
        if self._waiter is not None:
            if self.connection is not None and reason is not Reason.CLIENT:
                self._buffer.append(engineio.CLOSE)
            self._wake()
        self.connection = None

    def repeats(self, stamp: str | None) -> bool:
        """Whether a poll with this stamp is the one that was answered last, sent again.

        Never of a client that sends no stamp, or the same one always: its first poll has that of its handshake.
        """
        return stamp is not None and stamp == self._stamp and stamp != self._opening_stamp

    def answer_again(self) -> bytes | None:
        """What answered the last poll; None if that was too large to be kept."""
        return self._answer

    def begin_poll(self, stamp: str | None = None) -> asyncio.Future[None]:
        """Hold a poll: the answer to the one before has come. The future is done when there is something to say."""
        self._stamp, self._answer = stamp, None
        self._waiter = asyncio.get_running_loop().create_future()
        if self._buffer or (self.connection is not None and self.connection.session.state is State.PROBING):
            self._wake()
        return self._waiter

    def end_poll(self, most_kept: int = 0) -> bytes:
        """The body that answers the held poll. Up to `most_kept` bytes, it is kept for the poll's repetition."""
        self._waiter = None
        body = engineio.encode_payload(self.drain() or [engineio.NOOP])
        if self._stamp is not None and len(body) <= most_kept:
            self._answer = body
        return body

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Polling:
    """The ASGI application of one engine's path."""

    def __init__(self, engine: Engine, policy: Policy) -> None:
        self._engine = engine
        self._policy = policy
        self._leaving: dict[str, asyncio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Cross-origin headers and preflights are `cors.py`'s."""
        request = request_from(scope)
        overtaken = self._overtaken(request) if self._leaving else None
        if overtaken is not None:
            overtaken.set()
            await respond(send, 200, engineio.encode_payload([engineio.NOOP]), _TEXT)
            return
        try:
            connection = admit(self._engine, self._policy, request, upgrade=False)
            if connection is None:
                await self._open(request, send)
            elif request.method == "GET":
                await self._poll(connection, _stamp(request), receive, send)
            elif request.method == "POST":
                await self._post(connection, receive, send)
            else:
                raise Refusal(RefusalCode.BAD_METHOD, "Bad request method")
        except Refusal as refusal:
            await refuse(send, refusal)

    async def _open(self, request: Request, send: Send) -> None:
        sink = PollingSink(_stamp(request))
        connection = self._engine.open(sink, self._policy.address(request), upgrades=("websocket",))
        sink.connection = connection
        connection.pause()
        await self._answer(connection, sink, sink.end_poll(), send)

    async def _poll(self, connection: Connection, stamp: str | None, receive: Receive, send: Send) -> None:
        sink = connection.sink
        if not isinstance(sink, PollingSink):
            raise Refusal(RefusalCode.BAD_REQUEST, "Bad request")
        if sink.polled:
            raise _broken(connection, "only one poll at a time")
        if sink.repeats(stamp):
            await self._repeat(connection, sink, send)
            return
        waiter = sink.begin_poll(stamp)
        connection.resume()
        if not waiter.done() and await _left(waiter, receive):
            _lose(connection, sink)
            return
        if connection.sink is sink:  # not if the session has moved to a WebSocket while the poll was held
            connection.pause()
        await self._answer(connection, sink, sink.end_poll(self._engine.options.max_unsent), send)

    async def _repeat(self, connection: Connection, sink: PollingSink, send: Send) -> None:
        """Answer a poll as it was answered before. If that is gone, so is the session: its client comes back."""
        body = sink.answer_again()
        if body is None:
            connection.close(Reason.TRANSPORT)
            raise Refusal(RefusalCode.UNKNOWN_SID, "the answer to this poll is not there any more")
        await self._answer(connection, sink, body, send)

    async def _answer(self, connection: Connection, sink: PollingSink, body: bytes, send: Send) -> None:
        self._engine.traffic.bytes_out += len(body)
        try:
            await respond(send, 200, body, _TEXT)
        except OSError:  # by which a server says that the client is gone
            _lose(connection, sink)

    async def _post(self, connection: Connection, receive: Receive, send: Send) -> None:
        sink = connection.sink
        if not isinstance(sink, PollingSink):
            raise Refusal(RefusalCode.BAD_REQUEST, "Bad request")
        if sink.posting:  # the order of two at once would be anybody's guess
            raise _broken(connection, "only one POST at a time")
        sink.posting = True
        try:
            body = await _read(receive, self._engine.options.max_payload)
        finally:
            sink.posting = False
        if body is Reason.TRANSPORT:
            connection.close(body)
            return
        if isinstance(body, Reason):
            raise _broken(connection, "the payload is too large", status=TooLarge.status)
        self._engine.traffic.bytes_in += len(body)
        may_leave = not connection.closed and not sink.polled
        try:
            connection.receive_payload(body)
        except ProtocolError as error:
            raise Refusal(RefusalCode.BAD_REQUEST, error.message) from None
        if may_leave and connection.closed:
            await self._await_overtaken(connection.session.sid)
        await respond(send, 200, b"ok", _TEXT)

    async def _await_overtaken(self, sid: str) -> None:
        """The client has left without a poll: wait a moment for one that is still on its way."""
        came = self._leaving[sid] = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(OVERTAKEN, came.set)
        try:
            await came.wait()
        finally:
            timer.cancel()
            del self._leaving[sid]

    def _overtaken(self, request: Request) -> asyncio.Event | None:
        """What to set if the request is a poll that the POST of a leaving client has overtaken."""
        if request.method != "GET" or not self._policy.allows(request):
            return None
        came = self._leaving.get(parse_qs(request.query).get("sid", [""])[0])
        return None if came is None or came.is_set() else came


def request_from(scope: Scope) -> Request:
    """The handshake's view of an ASGI scope."""
    client = scope.get("client")
    return Request(
        method=scope["method"],
        query=scope["query_string"].decode("latin-1"),
        headers=cors.headers_of(scope["headers"]),
        peer=client[0] if client else "",
        scheme=scope.get("scheme", "http"),
    )


async def respond(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Send a whole answer that nobody may store."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, _NO_STORE, *headers]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def refuse(send: Send, refusal: Refusal) -> None:
    """Answer with an Engine.IO error."""
    extra: Iterable[tuple[bytes, bytes]] = ()
    if refusal.retry_after is not None:
        extra = [(b"retry-after", b"%d" % refusal.retry_after)]
    await respond(send, refusal.status, refusal.body, _JSON, *extra)


async def _left(waiter: asyncio.Future[None], receive: Receive) -> bool:
    """Wait for the answer or for the client to go away; whether it went away, be it in the same turn."""
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        await asyncio.wait({waiter, gone}, return_when=asyncio.FIRST_COMPLETED)
        return gone.done()
    finally:
        gone.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _lose(connection: Connection, sink: PollingSink) -> None:
    """The client of a poll is gone; its session too, unless it has moved to a WebSocket meanwhile."""
    if connection.sink is sink:
        connection.close(Reason.TRANSPORT)


def _stamp(request: Request) -> str | None:
    """The query's `t` as it stands there."""
    for field in request.query.split("&"):
        if field.startswith("t="):
            return field
    return None


def _broken(connection: Connection, message: str, *, status: int = 400) -> Refusal:
    """The answer to a client that broke a rule of its session, which has ended with that."""
    connection.refuse(ProtocolError(message, code=TooLarge.code if status == TooLarge.status else None))
    return Refusal(RefusalCode.BAD_REQUEST, message, status=status)


async def _read(receive: Receive, limit: int) -> bytes | Reason:
    """The request's body, or why there is none: it is over `limit` bytes (TOO_LARGE), or the client is gone."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return Reason.TRANSPORT
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            return Reason.TOO_LARGE
        if not message.get("more_body", False):
            return b"".join(parts)
