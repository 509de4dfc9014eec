"""uvicorn's HTTP protocol, with what it leaves out: bounds for requests, and the bytes behind an upgrade request.

Owns: how long and how large a request's head may be, how slowly a body may come and an answer be taken, and the bytes
that come in one segment with the upgrade request, which uvicorn drops; what is no request, is one of another version of
HTTP, names no host or two, or asks for an upgrade that there is not. Never: requests themselves; they go to the ASGI
application as always.

A further request of a connection that comes whole, as nearly all do, costs no timer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from callboard import telemetry
from callboard.rest.problem import body_of, new_instance
from callboard.transports.answer import Answer

_VERSIONS = ("1.1", "1.0")
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """Bounds of one HTTP connection. Times in seconds, sizes in bytes.

    `head_timeout`: from the connection, or a further request's first byte, to the head's end. `body_timeout`: from
    there to the body's end, and a second more for each `min_rate` bytes that have come; while the application does
    not read, no time passes. `send_timeout`: the time in which a client must take `min_rate` bytes a second of its
    answer. `max_head`: request line and headers. `max_pipelined`: requests sent ahead while one is being answered.
    """

    head_timeout: float = 10.0
    body_timeout: float = 20.0
    send_timeout: float = 30.0
    min_rate: int = 1_000
    max_head: int = 32_768
    max_pipelined: int = 16


class _Owed(Enum):
    """What the client has to send next."""

    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"


class HttpProtocol(HttpToolsProtocol):
    """Give it, or what `limited` makes of it, to uvicorn as `http`."""

    limits = HttpLimits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._segment = b""
        self._before = b""
        self._owed = _Owed.HEAD
        self._requests = 0
        self._size = 0
        self._hosts = 0
        self._unparsed = 0
        self._refused = False
        self._told_of_upgrade = False
        self._watched: tuple[int, _Owed] | None = None
        self._since = 0.0
        self._waited_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    def owes_since(self, since: float) -> None:
        """The client was connected at that time of the loop, before this protocol was there for it."""
        self._waited_since = since

    # The transport

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Remember the segment while it is parsed, and the three bytes before it: the head's end may be split."""
        if self._refused:
            return
        self._segment = data
        before = self._requests, self._owed
        try:
            self._parse(data)
        finally:
            self._before = (self._before + data[-3:])[-3:]
            self._segment = b""
        if before == (self._requests, self._owed) and self._owed is _Owed.HEAD:
            # All of it belongs to a head whose end has not come: perhaps one line without an end.
            self._unparsed += len(data)
            self._bound_head(self._unparsed)
        answered = self.cycle is not None and self.cycle.response_complete
        if self._owed is _Owed.NOTHING and answered and self.timeout_keep_alive_task is None:
            # Empty lines between two requests: uvicorn has stopped its timer for them.
            self._owed = _Owed.HEAD
        self._watch()

    def _parse(self, data: bytes) -> None:
        """What uvicorn's `data_received` does, with refusals of our own."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._refused:
                return
            if _is_defect(error):
                telemetry.log.exception("task.failed", task="http", reason=repr(error.__context__))
                self._refuse(500, "internal", "the server failed; its log says why")
            else:
                self._refuse(400, "malformed", "this is no request of HTTP/1.1")
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._ignore_upgrade()

    def _ignore_upgrade(self) -> None:
        """The request is served as it is. Told once for a connection: each of its requests may ask again."""
        if not self._refused and not self._told_of_upgrade:
            self._told_of_upgrade = True
            telemetry.log.info("http.upgrade_ignored", address=self._address())

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._send_timer is None:
            self._expect_taking()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection; what its client has not taken by now is dropped, or the end would wait for it."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    # The parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._owed = _Owed.HEAD
        self._size = self._unparsed = self._hosts = 0

    def on_url(self, url: bytes) -> None:
        self._size += len(url)
        self._bound_head(self._size)
        if not self._refused:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        length = len(name)
        if length == 4 and name.lower() == b"host":
            self._hosts += 1
        self._size += length + len(value) + 4
        self._bound_head(self._size)
        if not self._refused:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        if len(self.pipeline) >= self.limits.max_pipelined:
            self._refuse(429, "too_many_requests", "too many requests were sent ahead")
            return
        if self.parser.get_http_version() not in _VERSIONS:
            self._refuse(505, "http_version_not_supported", "requests are taken in HTTP/1.1 and HTTP/1.0")
            return
        if self._hosts != 1 and (reason := self._flaw_of_hosts()) is not None:
            self._refuse(400, "malformed", reason)
            return
        earlier = self.cycle
        super().on_headers_complete()
        if self.cycle is not earlier:  # no upgrade to a WebSocket
            answer: Any = Answer(self.transport, self.loop)
            self.cycle.transport = answer
        self._owed = _Owed.BODY
        self._size = 0

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()
        self._owed = _Owed.NOTHING
        self._requests += 1

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, then what came behind the head."""
        if self._refused:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._owed = _Owed.NOTHING  # what is to be answered is the request before it
            self._refuse(400, "bad_upgrade", "an upgrade came behind a request that is not answered yet")
            return
        if (reason := self._flaw_of_upgrade()) is not None:
            self._refuse(400, "bad_upgrade", reason)
            return
        super().handle_websocket_upgrade()
        self._stop_timers()
        # A request before this one may end in the same segment: the head's end to look for is behind our key.
        key = dict(self.scope["headers"]).get(b"sec-websocket-key", b"")
        segment = self._before + self._segment
        _, _, behind = segment[max(0, segment.find(key)) :].partition(_HEAD_END)
        protocol: Any = self.transport.get_protocol()
        if behind and protocol is not self:
            protocol.data_received(behind)

    def _flaw_of_hosts(self) -> str | None:
        """Why a request that does not have one Host header is refused (RFC 9112, section 3.2)."""
        if self._hosts:
            return "the header Host is given more than once"
        if self.parser.get_http_version() > "1.0":
            return "the header Host is missing: HTTP/1.1 needs it"
        return None

    def _flaw_of_upgrade(self) -> str | None:
        """Why an upgrade request is refused (RFC 6455, section 4.1): uvicorn takes it whatever stands around it."""
        names = {name for name, _ in self.scope["headers"]}
        if self.scope["http_version"] != "1.1":
            return "an upgrade to WebSocket needs HTTP/1.1"
        if not names.isdisjoint((b"content-length", b"transfer-encoding")):
            return "an upgrade to WebSocket has no body"
        return None

    # Bounds

    def _bound_head(self, size: int) -> None:
        if size > self.limits.max_head and not self._refused:
            self._refuse(431, "head_too_large", f"the request's head is over {self.limits.max_head} bytes")

    def _watch(self) -> None:
        """Have a deadline for what is owed now; one for the same thing goes on."""
        if self._watched == (self._requests, self._owed):
            return
        self._watched = self._requests, self._owed
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._owed is _Owed.NOTHING or self._refused or self.transport.get_protocol() is not self:
            return
        self._since = self.loop.time()
        timeout = self.limits.head_timeout if self._owed is _Owed.HEAD else self.limits.body_timeout
        if self._waited_since is not None:
            timeout -= self._since - self._waited_since
            self._waited_since = None
        self._timer = self.loop.call_later(timeout, self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._owed is _Owed.HEAD:
            self._refuse(408, "request_timeout", "the request's head did not come in time")
            return
        if self.flow.read_paused:
            self._since, self._size = self.loop.time(), 0
        left = self._since + self.limits.body_timeout + self._size / self.limits.min_rate - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._on_deadline)
        else:
            self._refuse(408, "request_timeout", "the request's body came too slowly")

    def _expect_taking(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._send_timer = self.loop.call_later(self.limits.send_timeout, self._on_send_deadline, unsent)

    def _on_send_deadline(self, unsent: int) -> None:
        self._send_timer = None
        taken = unsent - self.transport.get_write_buffer_size()
        if taken < self.limits.send_timeout * self.limits.min_rate:
            self._note_refusal(0, "slow", "the answer is not taken")
            self.transport.abort()
        else:
            self._expect_taking()

    def _stop_timers(self) -> None:
        for timer in (self._timer, self._send_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._send_timer = None

    # Refusing

    def _refuse(self, status: int, code: str, reason: str) -> None:
        """Answer with an error if nothing is being answered, and end the connection."""
        self._refused = True
        instance = self._note_refusal(status, code, reason)
        cycle = self.cycle
        under_way = cycle is not None and not cycle.response_complete
        asking = under_way and self._owed is _Owed.BODY and not self.pipeline and not cycle.response_started
        if under_way and not asking:
            self.transport.abort()
            return
        if asking:
            cycle.disconnected = True
            cycle.message_event.set()
        body = body_of(status, code, reason, instance)
        self.transport.write(
            b"%scontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (STATUS_LINE[status], len(body), body)
        )
        self.transport.close()

    def _note_refusal(self, status: int, code: str, reason: str) -> str:
        """Log and count it; the name that it has in the log."""
        address, request = self._address(), new_instance()
        telemetry.log.info("http.refused", status=status, code=code, address=address, reason=reason, request=request)
        telemetry.REFUSED.labels(code).inc()
        return request

    def _address(self) -> str:
        return self.client[0] if self.client else ""


def _is_defect(error: httptools.HttpParserError) -> bool:
    """Whether it is ours. A callback also fails for a path that is not ASCII or cannot be taken apart."""
    theirs = (UnicodeDecodeError, httptools.HttpParserInvalidURLError)
    return isinstance(error, httptools.HttpParserCallbackError) and not isinstance(error.__context__, theirs)


def limited(limits: HttpLimits) -> type[HttpProtocol]:
    """The class to give to uvicorn, with bounds of one's own."""
    return type("HttpProtocol", (HttpProtocol,), {"limits": limits})
