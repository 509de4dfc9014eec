"""WebSocket by picows, plugged into uvicorn as its `ws` protocol class.

Owns: the seam to uvicorn and to picows' private `WSProtocol`, frames in, and one write a turn out. Never: ASGI;
the ASGI application does not see these connections. picows is pinned exactly, and tests hold this seam.

The request comes from `Front`, taken apart, or from uvicorn, as bytes that it rebuilt from the headers it had parsed.
From there on the connection is picows' alone: its parser unmasks and bounds frames, and what is written goes straight
to the socket's transport as frames that were made once for all receivers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from picows import (
    WSAutoPingStrategy,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSProtocol

from callboard import telemetry
from callboard.errors import ProtocolError
from callboard.realtime.connection import Connection, Reason, SendShared
from callboard.realtime.engine import Engine
from callboard.transports.handshake import Policy, Refusal, RefusalCode, Request, admit
from callboard.transports.http import feed
from callboard.transports.link import Link
from callboard.wire.engineio import Outgoing
from callboard.wire.frames import CloseCode, FrameError, MessageAssembler, Opcode, whole_message

READ_BUFFER = 2048
MAX_UNSENT_PONGS = 1 << 16
CLOSING_TIME = 5.0

_KEPT_HEADERS = frozenset(
    {b"host", b"origin", b"sec-websocket-key", b"sec-websocket-version", b"x-forwarded-for", b"x-forwarded-proto"}
)
_CLOSE_CODES = {
    Reason.CLIENT: CloseCode.NORMAL,
    Reason.PROTOCOL: CloseCode.PROTOCOL_ERROR,
    Reason.STOPPING: CloseCode.GOING_AWAY,
    Reason.UNAVAILABLE: CloseCode.TRY_AGAIN_LATER,
    Reason.FAILED: CloseCode.INTERNAL_ERROR,
}
# What picows is given of a request whose other parts are with us. It judges the key.
_UPGRADE = b"GET / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
_SECOND_CLOSE = "CLOSE for the second time"
_NOT_ON_THE_WIRE = frozenset({0, 1004, 1005, 1006, 1015})


class NativeSink(WSListener):
    """One WebSocket: picows' listener and the connection's sink in one object."""

    __slots__ = ("_assembler", "_engine", "_opened_by", "_transport", "_write", "address", "connection", "send_shared")

    name = "websocket"

    def __init__(self, engine: Engine, address: str, connection: Connection | None) -> None:
        self._engine = engine
        self.address = address
        # A WebSocket that names a session stands beside it until the upgrade is complete.
        self._opened_by = connection
        self.connection: Connection | None = None
        self._assembler: MessageAssembler | None = None
        self._transport: WSTransport | None = None
        self.send_shared: SendShared | None = None
        self._write: Callable[[bytes], None] = _write_nothing

    # Sink

    def write(self, batch: list[Outgoing]) -> None:
        data = batch[0].frame if len(batch) == 1 else b"".join([outgoing.frame for outgoing in batch])
        self._engine.traffic.bytes_out += len(data)
        self._write(data)

    def unsent(self) -> int:
        return int(self._transport.underlying_transport.get_write_buffer_size()) if self._transport else 0

    def drain(self) -> list[Outgoing]:
        return []

    def close(self, reason: Reason) -> None:
        self._end(_CLOSE_CODES.get(reason, CloseCode.POLICY_VIOLATION), reason.value, reason)

    # picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self.send_shared = transport.send_reuse_external_bytearray
        # picows keeps the request as long as the connection lives; its headers are 1 KB.
        del transport.request.headers
        link: Link = transport.underlying_transport
        opening = [link.take_answer()]
        self._write = opening.append
        try:
            if self._opened_by is None:
                self.connection = self._engine.open(self, self.address)
        finally:
            self._write = link.transport.write
            self._write(b"".join(opening))
        if self._opened_by is not None and not self._opened_by.stand_by(self):
            self._end(CloseCode.POLICY_VIOLATION, "the session has a WebSocket", Reason.PROTOCOL)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if transport.is_close_frame_sent:
            return
        kind = frame.msg_type
        try:
            if frame.rsv1 or frame.rsv2 or frame.rsv3:
                raise FrameError("a reserved bit is set")
            if kind == WSMsgType.CLOSE:
                self._on_close_frame(frame)
            elif kind == WSMsgType.PING:
                self._on_ping(transport, frame)
            elif kind != WSMsgType.PONG:
                self._on_data(int(kind), bool(frame.fin), frame.get_payload_as_bytes())
        except FrameError as error:
            self._fail(error)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._write, self.send_shared = _write_nothing, None
        if self.connection is not None:
            self.connection.close(Reason.TRANSPORT)
        elif self._opened_by is not None:
            self._opened_by.abandon(self)
        self.connection = self._opened_by = None

    def pause_writing(self) -> None:
        if self.connection is not None:
            self.connection.pause()

    def resume_writing(self) -> None:
        if self.connection is not None:
            self.connection.resume()

    # Frames

    def _on_ping(self, transport: WSTransport, frame: WSFrame) -> None:
        """Not left to picows: it answers a peer that only sends, and never reads, without end."""
        if self.unsent() < MAX_UNSENT_PONGS:
            transport.send_pong(frame.get_payload_as_bytes())

    def _fail(self, error: FrameError) -> None:
        self._end(error.close_code, error.message, Reason.PROTOCOL)
        if self.connection is not None:
            self.connection.refuse(error)

    def _on_data(self, opcode: int, fin: bool, data: bytes) -> None:
        self._engine.traffic.bytes_in += len(data)
        options, assembler = self._engine.options, self._assembler
        if assembler is None and fin and opcode in (Opcode.TEXT, Opcode.BINARY):
            self._on_message(whole_message(opcode, data, options.max_payload))
            return
        if assembler is None:
            assembler = MessageAssembler(options.max_payload, options.max_fragments)
        message = assembler.feed(opcode, fin, data)
        # Kept only while a fragmented message is under way: most connections never have one.
        self._assembler = assembler if assembler.in_message else None
        if message is not None:
            self._on_message(message)

    def _on_message(self, message: str | bytes) -> None:
        if self.connection is not None:
            self.connection.receive(message)
        elif self._opened_by is not None:
            try:
                self._opened_by.probe(self, message)
            except ProtocolError as error:
                self._end(CloseCode.PROTOCOL_ERROR, error.message, Reason.PROTOCOL)

    def _on_close_frame(self, frame: WSFrame) -> None:
        code = int(frame.get_close_code())
        if frame.payload_size >= 2 and (code in _NOT_ON_THE_WIRE or code >= 5000):
            raise FrameError("invalid close code")
        self._end(CloseCode.NORMAL if frame.payload_size < 2 else code, "", Reason.TRANSPORT)
        if self.connection is not None:
            self.connection.close(Reason.TRANSPORT)

    def _end(self, code: int, text: str, reason: Reason) -> None:
        """Send a close frame and end the TCP connection, once."""
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        self._write = _write_nothing
        if reason in (Reason.SLOW, Reason.PING_TIMEOUT):
            # The peer does not read: waiting for it to take what is buffered would wait for ever.
            transport.disconnect(False)
            return
        if transport.is_close_frame_sent:
            return
        transport.send_close(code, text)
        transport.disconnect()
        if transport.underlying_transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(CLOSING_TIME, transport.underlying_transport.abort)


class _Quiet:
    """picows' logger of one connection. It lets through what only picows knows: broken frames, and defects of ours that
    it caught.

    picows reads one frame ahead, and refuses a second close frame before it has given us the first. It tells its logger
    so before it answers, which is the moment to answer the first one: what stands behind a close frame counts for
    nothing (RFC 6455, section 5.5.1).
    """

    __slots__ = ("transport",)

    def __init__(self) -> None:
        self.transport: WSTransport | None = None

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  the name is logging's
        return False

    def _nothing(self, *args: object, **kwargs: object) -> None:
        pass

    debug = info = warning = log = _nothing

    def error(self, text: str, *args: object) -> None:
        if not text.startswith("WS parser"):
            self.exception(text, *args)
            return
        if self.transport is not None and _SECOND_CLOSE in str(args):
            code = int(self.transport.close_handshake.recv.code)
            self.transport.send_close(CloseCode.NORMAL if code in _NOT_ON_THE_WIRE else code)
            return
        telemetry.log.info("socket.refused", code=ProtocolError.code, address=None, reason=text % args)
        telemetry.REFUSED.labels(ProtocolError.code).inc()

    def exception(self, text: str, *args: object) -> None:
        telemetry.log.exception("task.failed", task="websocket", reason=text % args)


def protocol_class(engines: Mapping[str, Engine], policy: Policy) -> type[WSProtocol]:
    """The class to give to uvicorn as `ws`. `engines`: by path, each ending in a slash ("/socket.io/")."""

    limit = max(engine.options.max_payload for engine in engines.values())

    class NativeProtocol(WSProtocol):
        __slots__ = ("_asked", "_quiet")

        def __init__(self, *, config: Any, server_state: Any, app_state: Any) -> None:
            self._quiet = _Quiet()
            self._asked: tuple[bytes, Mapping[str, str]] | None = None
            super().__init__(
                host_port=None,
                ws_path=None,
                is_client_side=False,
                ws_listener_factory=self._accept,
                logger=self._quiet,
                disconnect_on_exception=True,
                websocket_handshake_timeout=None,
                enable_auto_ping=False,
                auto_ping_idle_timeout=0,
                auto_ping_reply_timeout=0,
                auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
                enable_auto_pong=False,
                max_frame_size=limit,
                extra_headers=None,
                read_buffer_init_size=READ_BUFFER,
            )

        def connection_made(self, transport: asyncio.Transport) -> None:
            """Begin; picows gets a Link for the transport."""
            super().connection_made(Link(transport))

        def upgrade(self, target: bytes, headers: Mapping[str, str]) -> None:
            """Take an upgrade request that `Front` has understood; names of headers are lower case."""
            self._asked = target, headers
            key = headers.get("sec-websocket-key", "")
            feed(self, _UPGRADE + b"sec-websocket-key: " + key.encode("latin-1") + b"\r\n\r\n")

        def data_received(self, data: bytes) -> None:
            """Take the upgrade request from uvicorn, in pieces that fit picows' buffer."""
            feed(self, _slim(data))

        def connection_lost(self, exc: Exception | None) -> None:
            """The end. Nothing is left for the garbage collector."""
            self._quiet.transport = None
            super().connection_lost(exc)

        def _accept(self, upgrade: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
            target, headers = self._asked or _parts(upgrade)
            self._asked = None
            path, _, query = target.decode("latin-1").partition("?")
            engine = engines.get(path if path.endswith("/") else path + "/")
            if engine is None:
                return _refused(404, b"no WebSocket here\n", {})
            transport = self.transport.underlying_transport.transport
            request = _request(query, headers, transport)
            try:
                if headers.get("sec-websocket-version") != "13":
                    raise Refusal(RefusalCode.BAD_REQUEST, "WebSocket version 13 is required", status=426)
                connection = admit(engine, policy, request, upgrade=True)
            except Refusal as refusal:
                headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
                headers |= {"Sec-WebSocket-Version": "13"} if refusal.status == 426 else {}
                return _refused(refusal.status, refusal.body, {"Content-Type": "application/json", **headers})
            sink = NativeSink(engine, policy.address(request), connection)
            self._quiet.transport = self.transport
            return WSUpgradeResponseWithListener(_ANSWER, sink)

    return NativeProtocol


def _slim(data: bytes) -> bytes:
    """The upgrade request with only the headers that are looked at.

    Cookies of many kilobytes stay out of picows' buffer, and `Connection: keep-alive, Upgrade`, as Firefox sends
    it, becomes the one form that picows accepts; uvicorn has already checked that it holds `upgrade`.
    """
    request_line, *lines = data.rstrip(b"\r\n").split(b"\r\n")
    kept = [line for line in lines if line.partition(b":")[0].lower() in _KEPT_HEADERS]
    return b"\r\n".join([request_line, b"upgrade: websocket", b"connection: upgrade", *kept, b"", b""])


def _parts(upgrade: WSUpgradeRequest) -> tuple[bytes, Mapping[str, str]]:
    return upgrade.path, {name.lower(): value for name, value in upgrade.headers.items()}


def _request(query: str, headers: Mapping[str, str], transport: asyncio.Transport) -> Request:
    peer = transport.get_extra_info("peername")
    return Request(
        method="GET",  # picows takes no other
        query=query,
        headers=headers,
        peer=peer[0] if isinstance(peer, tuple) else "",
        scheme="https" if transport.get_extra_info("sslcontext") else "http",
    )


class _Switching(WSUpgradeResponse):
    """picows' answer of success, one for all: picows sets the header that differs, and takes the bytes at once."""

    __slots__ = ()

    version = b"HTTP/1.1"
    status = HTTPStatus.SWITCHING_PROTOCOLS
    body = None

    @property
    def headers(self) -> dict[str, str]:
        """What picows adds to."""
        return _ANSWER_HEADERS

    def to_bytes(self) -> bytearray:
        """What picows writes."""
        return bytearray(_SWITCHING + _ANSWER_HEADERS["Sec-WebSocket-Accept"].encode() + b"\r\n\r\n")


def _refused(status: int, body: bytes, headers: dict[str, str]) -> WSUpgradeResponseWithListener:
    response = WSUpgradeResponse.create_error_response(status, body, headers)
    return WSUpgradeResponseWithListener(response, None)


_ANSWER_HEADERS: dict[str, str] = {}
_ANSWER = _Switching()


def _write_nothing(data: bytes) -> None:
    """What a sink writes to before it is connected and after it is closed."""
