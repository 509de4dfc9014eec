"""WebSocket by ASGI, for servers other than uvicorn.

Owns: the receive loop and the pump of one ASGI WebSocket. Never: frames (the ASGI server's), or a second copy of
the session's rules. It costs a task a connection, which the ASGI interface asks for; `native.py` does not.
"""

from __future__ import annotations

import asyncio

from callboard import telemetry
from callboard.errors import ProtocolError, TooLarge, Unavailable
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.engine import Engine
from callboard.realtime.traffic import Traffic
from callboard.transports import cors
from callboard.transports.asgi_types import Message, Receive, Scope, Send
from callboard.transports.handshake import Policy, Refusal, Request, admit
from callboard.wire.engineio import Outgoing
from callboard.wire.frames import CloseCode

_CLOSE_CODES = {
    Reason.CLIENT: CloseCode.NORMAL,
    Reason.TRANSPORT: CloseCode.NORMAL,
    Reason.TOO_LARGE: CloseCode.TOO_BIG,
}


class AsgiSink:
    """Messages on their way to one ASGI WebSocket. Its connection is paused while any wait."""

    __slots__ = ("_buffer", "_pump", "_size", "_traffic", "_wake", "close_code", "connection")

    name = "websocket"
    descriptor: int | None = None

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self.connection: Connection | None = None
        self.close_code: CloseCode | None = None
        self._buffer: list[Outgoing] = []
        self._size = 0
        self._wake = asyncio.Event()
        self._pump: asyncio.Future[None] | None = None

    def write(self, batch: list[Outgoing]) -> None:
        self._buffer += batch
        self._size += sum(outgoing.size for outgoing in batch)
        if self.connection is not None:
            self.connection.pause()
        self._wake.set()

    def unsent(self) -> int:
        return self._size

    def drain(self) -> list[Outgoing]:
        return []

    def close(self, reason: Reason) -> None:
        if self.close_code is None:
            self.close_code = _CLOSE_CODES.get(reason, CloseCode.POLICY_VIOLATION)
            self._wake.set()
            if reason in (Reason.SLOW, Reason.PING_TIMEOUT) and self._pump is not None:
                # The peer does not read: waiting for it to take what is unsent would wait for ever.
                self._pump.cancel()

    def start(self, send: Send) -> asyncio.Future[None]:
        """Begin to send what is written, until the sink is closed; the future is done after that."""
        self._pump = asyncio.ensure_future(self._send(send))
        return self._pump

    async def _send(self, send: Send) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._buffer = self._buffer, []
            for outgoing in batch:
                await _send_one(send, outgoing)
                self._size -= outgoing.size
                self._traffic.bytes_out += outgoing.size
            if self.connection is not None and not self._buffer:
                self.connection.resume()
            if self.close_code is not None and not self._buffer:
                await send({"type": "websocket.close", "code": int(self.close_code)})
                return


class AsgiWebSocket:
    """The ASGI application for the WebSockets of one engine's path."""

    def __init__(self, engine: Engine, policy: Policy) -> None:
        self._engine = engine
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket to its end."""
        request = _request(scope)
        await receive()  # websocket.connect
        try:
            connection = admit(self._engine, self._policy, request, upgrade=True)
        except Refusal as refusal:
            await _refuse(scope, send, refusal)
            return
        await send({"type": "websocket.accept"})
        sink = AsgiSink(self._engine.traffic)
        if connection is None:
            address = self._policy.address(request)
            try:
                self._engine.admit(address)  # again: others may have come, or the end, while the handshake was answered
            except Unavailable:
                await send({"type": "websocket.close", "code": int(CloseCode.TRY_AGAIN_LATER)})
                return
            sink.connection = self._engine.open(sink, address)
        elif not connection.stand_by(sink):
            await send({"type": "websocket.close", "code": int(CloseCode.POLICY_VIOLATION)})
            return
        await self._serve(sink, connection, receive, send)

    async def _serve(self, sink: AsgiSink, probed: Connection | None, receive: Receive, send: Send) -> None:
        pump = sink.start(send)
        reader = asyncio.ensure_future(self._read(sink, probed, receive))
        try:
            await asyncio.wait({pump, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if sink.connection is not None:
                sink.connection.close(Reason.TRANSPORT)
            elif probed is not None:
                probed.abandon(sink)
            pump.cancel()
            reader.cancel()
            for result in await asyncio.gather(pump, reader, return_exceptions=True):
                # OSError is how a server says that the client is gone.
                if isinstance(result, Exception) and not isinstance(result, OSError):
                    telemetry.log.error("task.failed", task="websocket", reason=repr(result), exc_info=result)

    async def _read(self, sink: AsgiSink, probed: Connection | None, receive: Receive) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            data = _data(message)
            self._engine.traffic.bytes_in += len(data) if isinstance(data, bytes) else len(data.encode())
            if sink.close_code is not None:
                continue
            if len(data) > self._engine.options.max_payload:
                # The ASGI server's own bound may be wider. Characters are counted: a text may be up to thrice as long.
                reason = f"the message is over {self._engine.options.max_payload} bytes"
                _refuse_client(sink, probed, ProtocolError(reason, code=TooLarge.code))
            elif sink.connection is not None:
                sink.connection.receive(data)
            elif probed is not None:
                try:
                    probed.probe(sink, data)
                except ProtocolError as error:
                    _refuse_client(sink, probed, error)


def _refuse_client(sink: AsgiSink, probed: Connection | None, error: ProtocolError) -> None:
    """End a WebSocket whose client broke a rule or a bound; the session that it only probes for lives."""
    if sink.connection is not None:
        sink.connection.refuse(error)
    elif probed is not None:
        telemetry.socket_refused(error.code, probed.address, error.message)
    sink.close(Reason.of(error))


def _data(message: Message) -> str | bytes:
    text: str | None = message.get("text")
    binary: bytes = message.get("bytes") or b""
    return binary if text is None else text


def _request(scope: Scope) -> Request:
    client = scope.get("client")
    return Request(
        method="GET",
        query=scope["query_string"].decode("latin-1"),
        headers=cors.headers_of(scope["headers"]),
        peer=client[0] if client else "",
        scheme="https" if scope.get("scheme") == "wss" else "http",
    )


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer the handshake with an HTTP error where the server can, else with its plain refusal."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(refusal.body))]
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": refusal.body, "more_body": False})


async def _send_one(send: Send, outgoing: Outgoing) -> None:
    if outgoing.text or not outgoing.attachments:
        await send({"type": "websocket.send", "text": outgoing.text.decode()})
    for data in outgoing.attachments:
        await send({"type": "websocket.send", "bytes": data})
