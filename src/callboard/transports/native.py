"""WebSocket straight on the event loop's transports, as uvicorn's `ws` protocol class.

Owns: the seam to uvicorn, frames in, and one write a turn out. Never: the form of a frame (see `callboard.wire`), or
ASGI; the ASGI application does not see these connections.

The request comes from `Front`, taken apart, or from uvicorn, as bytes that it rebuilt from the headers it had parsed.
From there on the connection is ours alone. What is written goes to the socket itself, as frames that were made once
for all receivers; only what the socket does not take waits in the loop's transport. Its limit is none, so that it
pauses us at the first byte that waits, and nothing passes by it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from callboard import telemetry
from callboard.errors import ProtocolError
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.engine import Engine
from callboard.transports.handshake import Policy, Refusal, RefusalCode, Request, admit, note
from callboard.transports.upgrade import refused, switching, take_apart
from callboard.wire import frames
from callboard.wire.engineio import Outgoing
from callboard.wire.fragments import MessageAssembler, whole_message
from callboard.wire.frames import CloseCode, Frame, FrameError, Opcode

MAX_UNSENT_PONGS = 1 << 16
CLOSING_TIME = 5.0

_CLOSE_CODES = {
    Reason.CLIENT: CloseCode.NORMAL,
    Reason.PROTOCOL: CloseCode.PROTOCOL_ERROR,
    Reason.TOO_LARGE: CloseCode.TOO_BIG,
    Reason.STOPPING: CloseCode.GOING_AWAY,
    Reason.UNAVAILABLE: CloseCode.TRY_AGAIN_LATER,
    Reason.FAILED: CloseCode.INTERNAL_ERROR,
}
_SOCKETS_ARE_FILES = os.name == "posix"
# Below it are data's opcodes. An enum's members are looked up by Python code.
_CLOSE = int(Opcode.CLOSE)


class WebSocket(asyncio.Protocol):
    """One WebSocket: the protocol on a transport of the loop, and the connection's sink."""

    __slots__ = (
        "_answer",
        "_asked",
        "_assembler",
        "_ended",
        "_engine",
        "_held",
        "_opened_by",
        "_socket",
        "_transport",
        "connection",
        "descriptor",
    )

    name = "websocket"
    engines: ClassVar[Mapping[str, Engine]]
    policy: ClassVar[Policy]

    def __init__(self, *, config: Any, server_state: Any, app_state: Any) -> None:
        """uvicorn's arguments, of which none is needed."""
        self.connection: Connection | None = None
        self.descriptor: int | None = None
        # A WebSocket that names a session stands beside it until the upgrade is complete.
        self._opened_by: Connection | None = None
        self._engine: Engine  # once the request has been accepted
        self._transport: asyncio.Transport | None = None
        self._socket: int | None = None
        self._asked = self._ended = False
        # The answer to the upgrade request, until it leaves with the first frame; the part of a frame that has come;
        # the part of a message, while a fragmented one is under way: most connections never have one.
        self._answer = b""
        self._held: bytearray | None = None
        self._assembler: MessageAssembler | None = None

    # Sink

    def write(self, batch: list[Outgoing]) -> None:
        data = batch[0].frame if len(batch) == 1 else b"".join([outgoing.frame for outgoing in batch])
        self._engine.traffic.bytes_out += len(data)
        self._send(data)

    def unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def drain(self) -> list[Outgoing]:
        return []

    def close(self, reason: Reason) -> None:
        self._end(_CLOSE_CODES.get(reason, CloseCode.POLICY_VIOLATION), reason.value, reason)

    # The transport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def upgrade(self, method: bytes, target: bytes, headers: Mapping[str, str]) -> None:
        """Answer an upgrade request; names of headers are lower case."""
        assert self._transport is not None
        self._asked = True
        try:
            self._open(self._transport, method, target, headers)
        except Refusal as refusal:
            self._refuse(self._transport, refusal)
        except Exception as error:
            _log_defect(error)
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take frames; from uvicorn, the upgrade request before them. What comes behind the end counts for nothing."""
        if not self._asked:
            self.upgrade(*take_apart(data))
        elif not self._ended:
            try:
                self._take_frames(data)
            except FrameError as error:
                self._fail(error)
            except Exception as error:
                _log_defect(error)
                self._give_up()

    def pause_writing(self) -> None:
        self.descriptor = None
        if self.connection is not None:
            self.connection.pause()

    def resume_writing(self) -> None:
        if not self._ended:
            self.descriptor = self._socket
        if self.connection is not None:
            self.connection.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end. Nothing is left for the garbage collector."""
        self._ended = True
        self._transport = self.descriptor = self._held = None
        connection, self.connection = self.connection, None
        opened_by, self._opened_by = self._opened_by, None
        if connection is not None:
            connection.close(Reason.TRANSPORT)
        elif opened_by is not None:
            opened_by.abandon(self)

    # The upgrade

    def _open(self, transport: asyncio.Transport, method: bytes, target: bytes, headers: Mapping[str, str]) -> None:
        path, _, query = target.decode("latin-1").partition("?")
        request = _request(query, headers, transport)
        try:
            engine = self._asked_for(method, path)
            answer = switching(headers)
        except Refusal as refusal:
            note(refusal, self.policy.address(request))
            raise
        opened_by = admit(engine, self.policy, request, upgrade=True)
        self._engine, self._answer = engine, answer
        transport.set_write_buffer_limits(high=0)
        if _SOCKETS_ARE_FILES and request.scheme == "http":
            self._socket = transport.get_extra_info("socket").fileno()
        if not self.unsent():  # the answers to earlier requests have left
            self.descriptor = self._socket
        if opened_by is None:
            self.connection = engine.open(self, self.policy.address(request))
        if self._answer:  # no first packet of a session took it along
            self._send(b"")
        if self.unsent():  # the transport has told whoever had it until now
            self.pause_writing()
        if opened_by is not None:
            self._opened_by = opened_by
            if not opened_by.stand_by(self):
                self._fail(FrameError("the session has a WebSocket", CloseCode.POLICY_VIOLATION))

    def _asked_for(self, method: bytes, path: str) -> Engine:
        if method != b"GET":
            raise Refusal(RefusalCode.BAD_METHOD, "a WebSocket begins with GET")
        engine = self.engines.get(path if path.endswith("/") else path + "/")
        if engine is None:
            raise Refusal(RefusalCode.BAD_REQUEST, "no WebSocket here", status=404)
        return engine

    def _refuse(self, transport: asyncio.Transport, refusal: Refusal) -> None:
        self._ended = True
        transport.write(refused(refusal))
        transport.close()

    # Frames

    def _send(self, data: bytes) -> None:
        if self._transport is None or self._ended:
            return
        if self._answer:
            data, self._answer = self._answer + data, b""
        if self.descriptor is not None:
            try:
                sent = os.write(self.descriptor, data)
            except OSError:  # it took nothing; the transport will find out why
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        self._transport.write(data)

    def _take_frames(self, data: bytes | bytearray) -> None:
        if self._held is not None:
            self._held += data
            data = self._held
        start, limit = 0, self._engine.options.max_payload
        while not self._ended and (frame := frames.decode(data, start, limit)) is not None:
            start = frame.end
            self._take(frame)
        if self._ended or start == len(data):
            self._held = None
        elif self._held is None:
            self._held = bytearray(data[start:])
        else:
            del self._held[:start]

    def _take(self, frame: Frame) -> None:
        if frame.opcode < _CLOSE:
            self._take_data(frame)
        elif frame.opcode == _CLOSE:
            self._take_close(frame.payload)
        # A peer that only sends, and never reads, is not answered without end.
        elif frame.opcode == Opcode.PING and self.unsent() < MAX_UNSENT_PONGS:
            self._send(frames.encode(Opcode.PONG, frame.payload))

    def _take_data(self, frame: Frame) -> None:
        self._engine.traffic.bytes_in += len(frame.payload)
        options, assembler = self._engine.options, self._assembler
        if assembler is None and frame.fin and frame.opcode:  # 0 continues
            self._take_message(whole_message(frame.opcode, frame.payload, options.max_payload))
            return
        if assembler is None:
            assembler = MessageAssembler(options.max_payload, options.max_fragments)
        message = assembler.feed(frame.opcode, frame.fin, frame.payload)
        self._assembler = assembler if assembler.in_message else None
        if message is not None:
            self._take_message(message)

    def _take_message(self, message: str | bytes) -> None:
        if self.connection is not None:
            self.connection.receive(message)
        elif self._opened_by is not None:
            try:
                self._opened_by.probe(self, message)
            except ProtocolError as error:
                self._fail(FrameError(error.message))

    def _take_close(self, payload: bytes) -> None:
        code = frames.decode_close(payload)
        self._end(CloseCode.NORMAL if code is None else code, "", Reason.TRANSPORT)
        if self.connection is not None:
            self.connection.close(Reason.TRANSPORT)

    # The end

    def _fail(self, error: FrameError) -> None:
        self._end(error.close_code, error.message, Reason.PROTOCOL)
        if self.connection is not None:
            self.connection.refuse(error)
        elif self._opened_by is not None:  # that session goes on where it is
            telemetry.socket_refused(error.code, self._opened_by.address, error.message)

    def _give_up(self) -> None:
        self._end(CloseCode.INTERNAL_ERROR, "", Reason.FAILED)
        if self.connection is not None:
            self.connection.close(Reason.FAILED)

    def _end(self, code: int, text: str, reason: Reason) -> None:
        """Close with a code. To a peer that does not read, without: it would wait behind what is not read."""
        transport = self._transport
        if transport is None:
            return
        if reason in (Reason.SLOW, Reason.PING_TIMEOUT):
            self._ended, self.descriptor = True, None
            transport.abort()
        elif not self._ended:
            self._send(frames.encode(Opcode.CLOSE, frames.close_payload(code, text)))
            self._ended, self.descriptor = True, None
            transport.close()
            if transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(CLOSING_TIME, transport.abort)


def protocol_class(engines: Mapping[str, Engine], policy: Policy) -> type[WebSocket]:
    """The class to give to uvicorn as `ws`. `engines`: by path, each ending in a slash ("/socket.io/")."""
    return type("WebSocket", (WebSocket,), {"__slots__": (), "engines": engines, "policy": policy})


def _request(query: str, headers: Mapping[str, str], transport: asyncio.Transport) -> Request:
    peer = transport.get_extra_info("peername")
    return Request(
        method="GET",
        query=query,
        headers=headers,
        peer=peer[0] if isinstance(peer, tuple) else "",
        scheme="https" if transport.get_extra_info("sslcontext") else "http",
    )


def _log_defect(error: Exception) -> None:
    telemetry.log.exception("task.failed", task="websocket", reason=repr(error))
