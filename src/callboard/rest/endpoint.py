"""Endpoints: what a slice declares, and the one way in which each request passes.

Owns: the order of a request (method, token, role, query, body, handler, answer) and the view of it that
handlers get. A path is one ASGI application in Litestar's routes: Litestar's dependency injection, signature models and
response objects cost more than all of this does. Never: a rule of a slice, an endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl, unquote_to_bytes
from uuid import UUID

import msgspec
from litestar.types import HTTPScope, Method, Receive, Send

from callboard.auth.principal import Principal
from callboard.auth.tokens import bearer_token
from callboard.errors import CallboardError, Forbidden, Invalid, Malformed, NotFound
from callboard.rest.body import MAX_BODY_BYTES, decode, invalid, read_body
from callboard.rest.cors import Cors
from callboard.rest.problem import Headers, answer_to, content_headers

_MAX_QUERY_FIELDS = 100
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


class Verifier(Protocol):
    """Turns a bearer token into a principal."""

    async def verify(self, token: str | None) -> Principal:
        """Raises Unauthenticated."""


class Call:
    """A request as its handler sees it: everything is checked.

    `query` and `body` are the Structs that the endpoint names, or None; `path` holds the path's parameters
    as text. A public endpoint's call has no `principal`. `idempotency_key`: the header's value, on endpoints that
    take one.
    """

    __slots__ = ("body", "idempotency_key", "path", "principal", "query")

    principal: Principal
    path: Mapping[str, str]
    query: Any
    body: Any
    idempotency_key: str | None

    def uuid(self, name: str) -> UUID:
        """A parameter of the path that is a UUID in its usual form. Raises NotFound: nothing has such an
        id."""
        text = self.path[name]
        try:
            value = UUID(text)
        except ValueError:
            raise NotFound(f"There is no {name} like this") from None
        if str(value) != text.lower():
            raise NotFound(f"There is no {name} like this")
        return value


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One operation.

    `path` is below /api/v1 ("/notifications/{id}/read"). The handler returns the answer's bytes, empty for
    204; `answers` are the Structs of which it is one, for the OpenAPI document. `admin`: the role is
    required. `body` and `query`: Structs that are decoded before the handler runs. `tail`: the path's last parameter
    is all that follows, slashes too. `idempotent`: it takes the header Idempotency-Key.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Callable[[Call], Awaitable[bytes]]
    summary: str
    tag: str
    status: int = 200
    answers: tuple[type[msgspec.Struct], ...] = ()
    admin: bool = False
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    media_type: str = "application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    tail: bool = False
    idempotent: bool = False


def require_admin(principal: Principal) -> None:
    """Raises Forbidden unless the principal has the role admin."""
    if not principal.is_admin:
        raise Forbidden("This needs the role admin")


class Path:
    """An ASGI application: all endpoints of one path. `verifier` is None for public ones."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        verifier: Verifier | None,
        cors: Cors | None,
        max_body: int = MAX_BODY_BYTES,
    ) -> None:
        self._operations: dict[str, _Operation] = {
            endpoint.method: _Operation(endpoint, verifier, max_body) for endpoint in endpoints
        }
        head: list[Method] = ["HEAD"] if "GET" in self._operations else []
        self.methods: list[Method] = [*(endpoint.method for endpoint in endpoints), *head, "OPTIONS"]
        self._allow = ", ".join(sorted(self.methods)).encode()
        self._cors = cors

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        authorization = length = origin = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"content-length":
                length = value
            elif name == b"origin":
                origin = value
        method: str = scope["method"]
        try:
            if method == "OPTIONS":
                status, headers, body = 204, self._options(origin), b""
            else:
                operation = self._operations.get("GET" if method == "HEAD" else method)
                if operation is None:
                    raise not_allowed(method)
                status, headers, body = await operation.run(scope, receive, authorization, length)
        except Exception as error:
            status, headers, body = answer_to(error, method, scope["path"])
            if status == 405:
                headers.append((b"allow", self._allow))
        if origin is not None and self._cors is not None and method != "OPTIONS":
            headers += self._cors.headers(origin)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body, "more_body": False})

    def _options(self, origin: bytes | None) -> Headers:
        allow = [(b"allow", self._allow)]
        if origin is None or self._cors is None:
            return allow
        return allow + self._cors.preflight(origin, self._allow)


class _Operation:
    """An endpoint with what is prepared once for it."""

    def __init__(self, endpoint: Endpoint, verifier: Verifier | None, max_body: int) -> None:
        self._endpoint = endpoint
        self._max_body = max_body
        self._handler = endpoint.handler
        self._verifier = verifier
        self._media_type = endpoint.media_type.encode()
        self._headers = list(endpoint.headers)
        self._decoder = msgspec.json.Decoder(endpoint.body) if endpoint.body is not None else None
        self._query = endpoint.query
        self._idempotent = endpoint.idempotent
        before, _, name = endpoint.path.rpartition("{")
        self._tail = (before, name.removesuffix("}")) if endpoint.tail else None

    async def run(
        self, scope: HTTPScope, receive: Receive, authorization: bytes | None, length: bytes | None
    ) -> tuple[int, Headers, bytes]:
        call = Call()
        if self._verifier is not None:
            token = bearer_token(authorization.decode("latin-1")) if authorization is not None else None
            call.principal = await self._verifier.verify(token)
            if self._endpoint.admin:
                require_admin(call.principal)
        call.path = scope.get("path_params", {})
        if self._tail is not None:
            call.path = {**call.path, **_tail(scope, *self._tail)}
        call.idempotency_key = _idempotency_key(scope["headers"]) if self._idempotent else None
        call.query = _query(scope["query_string"], self._query) if self._query is not None else None
        call.body = None
        if self._decoder is not None:
            call.body = decode(await read_body(receive, length, self._max_body), self._decoder)
        body = await self._handler(call)
        if self._endpoint.status == 204:
            return 204, list(self._headers), b""
        return self._endpoint.status, content_headers(self._media_type, body) + self._headers, body


def _tail(scope: HTTPScope, before: str, name: str) -> dict[str, str]:
    """The parameter that ends the path, from its raw form: Litestar's `path` has lost empty segments ("s3://a")."""
    raw = (scope.get("raw_path") or b"").partition(before.encode())[2]
    return {name: unquote_to_bytes(raw).decode(errors="replace") if raw else scope["path"].partition(before)[2]}


def _idempotency_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The header's value. Raises Invalid unless it is 1 to 255 visible ASCII characters, given once."""
    values = [value for name, value in headers if name == b"idempotency-key"]
    if not values:
        return None
    if len(values) > 1:
        raise Invalid("Idempotency-Key is given more than once", field="Idempotency-Key")
    if not _IDEMPOTENCY_KEY.fullmatch(values[0]):
        raise Invalid("Idempotency-Key must have 1 to 255 visible ASCII characters", field="Idempotency-Key")
    return values[0].decode()


def _query(raw: bytes, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """The query string as a Struct; unknown parameters are ignored, a repeated one is refused."""
    given: dict[str, str] = {}
    for name, value in _pairs(raw) if raw else ():
        if "\0" in value:
            raise Invalid("Text must not hold the character NUL", field=name)
        if name in given:
            raise Invalid(f"{name} is given more than once", field=name)
        if name in kind.__struct_fields__:
            given[name] = value
    try:
        query = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as problem:
        raise invalid(problem) from None
    for name, text in given.items():
        value = getattr(query, name)
        # msgspec takes the text "null" for the absence of a value that is not text, and "1.0" for 1.
        if value is None:
            raise Invalid(f"{name}: null is not a value; leave it out", field=name)
        if type(value) is int and str(value) != text:
            raise Invalid(f"{name}: give a whole number in digits, such as {value}", field=name)
    return query


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError as problem:
        raise Malformed(f"The query string cannot be read: {problem}") from None


def not_allowed(method: str) -> CallboardError:
    """The error for a method that a path does not have: 405, which no other layer knows."""
    error = CallboardError(f"{method} is not a method of this path", code="method_not_allowed")
    error.status = 405
    return error
