"""Cross-origin requests (CORS) of long-polling; those of the REST API are `rest/cors.py`'s.

Owns: preflight answers and the headers that let a listed origin read an answer. Never: a decision to serve; an
origin that is not listed simply gets no headers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from callboard.transports.asgi_types import ASGIApp, Receive, Scope, Send
from callboard.transports.handshake import Policy

_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
]


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header names (lower case) to values; the last of a repeated one wins."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


class Cors:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, adding headers where the origin is listed; answer a preflight here."""
        origin = _origin(scope)
        if origin is None:
            await self._app(scope, receive, send)
            return
        extra = self._headers(origin)
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = extra + _PREFLIGHT if len(extra) > 1 else [*extra, (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _headers(self, origin: str) -> list[tuple[bytes, bytes]]:
        headers = [(b"vary", b"Origin")]
        if origin in self._policy.origins:
            headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
            if self._policy.credentials:
                headers.append((b"access-control-allow-credentials", b"true"))
        return headers


def _origin(scope: Scope) -> str | None:
    if scope["type"] != "http":
        return None
    for name, value in scope["headers"]:
        if name == b"origin":
            return str(value, "latin-1")
    return None
