"""uvicorn's HTTP protocol, with what it leaves out of a WebSocket's beginning.

Owns: the bytes that come in one segment with the upgrade request, which uvicorn drops. Never: requests; they go to
the ASGI application as always.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD_END = b"\r\n\r\n"


class HttpProtocol(HttpToolsProtocol):
    """Give it to uvicorn as `http`. It hands what follows an upgrade request to the WebSocket protocol."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._segment = b""
        self._before = b""

    def data_received(self, data: bytes) -> None:
        """Remember the segment while it is parsed, and the three bytes before it: the head's end may be split."""
        self._segment = data
        try:
            super().data_received(data)
        finally:
            self._before = (self._before + data[-3:])[-3:]
            self._segment = b""

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, then what came behind the head."""
        super().handle_websocket_upgrade()
        # A request before this one may end in the same segment: the head's end to look for is behind our key.
        key = dict(self.scope["headers"]).get(b"sec-websocket-key", b"")
        segment = self._before + self._segment
        _, _, behind = segment[max(0, segment.find(key)) :].partition(_HEAD_END)
        protocol: Any = self.transport.get_protocol()
        if behind and protocol is not self:
            feed(protocol, behind)


def feed(protocol: Any, data: bytes) -> None:
    """Give bytes to a buffered protocol, in pieces that fit what it offers."""
    view = memoryview(data)
    while view:
        buffer = protocol.get_buffer(-1)
        count = min(len(buffer), len(view))
        buffer[:count] = view[:count]
        protocol.buffer_updated(count)
        view = view[count:]
