"""Cross-origin requests: pages of the origins in SOCKET_CORS_ORIGIN may call the REST API.

Owns: the headers that tell a browser so. Never: a refusal. A request needs a bearer token, which a browser
does not send by itself; one from another origin is answered, and the browser keeps the answer from the
page.
"""

from __future__ import annotations

from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

_ALLOWED_HEADERS = b"authorization, content-type, idempotency-key"
_EXPOSED_HEADERS = b"retry-after, www-authenticate"


class Cors:
    """`origins` are exact ("https://app.example.com")."""

    def __init__(self, origins: Iterable[str], *, credentials: bool) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._credentials: Headers = [(b"access-control-allow-credentials", b"true")] if credentials else []

    def headers(self, origin: bytes) -> Headers:
        """For an answer to a request with the header `Origin: origin`."""
        if origin not in self._origins:
            return [(b"vary", b"origin")]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED_HEADERS),
            (b"vary", b"origin"),
            *self._credentials,
        ]

    def preflight(self, origin: bytes, methods: bytes) -> Headers:
        """For the answer to an OPTIONS request; `methods` are those of its path, separated by commas."""
        if origin not in self._origins:
            return [(b"vary", b"origin")]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", methods),
            (b"access-control-allow-headers", _ALLOWED_HEADERS),
            (b"access-control-max-age", b"600"),
            (b"vary", b"origin"),
            *self._credentials,
        ]
