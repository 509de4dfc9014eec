"""The API: endpoints of the slices, mounted, documented, and nothing else.

Owns: the Litestar application, the prefix /api/v1, /openapi.json and /docs, and what Litestar itself
refuses (an unknown path) as a problem. Never: an endpoint of a slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from litestar import Litestar, Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import ASGIRouteHandler, HTTPRouteHandler
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send

from callboard.errors import CallboardError, NotFound
from callboard.rest.body import MAX_BODY_BYTES
from callboard.rest.cors import Cors
from callboard.rest.docs import DOCS_HEADERS, DOCS_PAGE
from callboard.rest.endpoint import Call, Endpoint, Path, Verifier, not_allowed
from callboard.rest.openapi import document
from callboard.rest.problem import answer_to

PREFIX = "/api/v1"


def create_api(
    endpoints: Sequence[Endpoint],
    verifier: Verifier,
    *,
    public: Sequence[Endpoint] = (),
    cors: Cors | None = None,
    version: str = "0",
    max_body: int = MAX_BODY_BYTES,
    litestar_handlers: Sequence[ControllerRouterHandler] = (),
) -> ASGIApp:
    """The ASGI application that serves `endpoints` below /api/v1, each behind a bearer token.

    `public` endpoints have their paths from the root and need no token (/healthz). `litestar_handlers` are
    mounted as they are (static files, a host application's routers). A body may have `max_body` bytes. Raises
    ValueError if a path and method come twice.
    """
    description = document(endpoints, public, prefix=PREFIX, version=version)
    own = [
        _constant("/openapi.json", description, "application/json", "This document"),
        _constant("/docs", DOCS_PAGE, "text/html; charset=utf-8", "This document, to read", DOCS_HEADERS),
    ]
    paths = _paths(endpoints, PREFIX, verifier, cors, max_body) | _paths([*public, *own], "", None, cors, max_body)
    litestar = Litestar(
        [*(_route(path, application) for path, application in paths.items()), *litestar_handlers],
        openapi_config=None,
        logging_config=None,
        exception_handlers={HTTPException: _problem, Exception: _problem},
    )

    # A path without parameters, as it is written, needs no routing, which costs a twentieth of a request.
    plain = {path: application for path, application in paths.items() if "{" not in path}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and (application := plain.get(scope["path"])) is not None:
            await application(scope, receive, send)
        else:
            await litestar(scope, receive, send)

    return app


def _paths(
    endpoints: Sequence[Endpoint], prefix: str, verifier: Verifier | None, cors: Cors | None, max_body: int
) -> dict[str, Path]:
    """The applications by their paths as Litestar writes them."""
    by_path = sorted(endpoints, key=lambda endpoint: endpoint.path)
    paths = {}
    for path, group in groupby(by_path, key=lambda endpoint: endpoint.path):
        operations = list(group)
        if len({operation.method for operation in operations}) != len(operations):
            raise ValueError(f"{path} has a method twice")
        kind = ":path}" if operations[0].tail else ":str}"
        paths[prefix + path.replace("}", kind)] = Path(operations, verifier, cors, max_body)
    return paths


def _route(path: str, application: Path) -> ASGIRouteHandler | HTTPRouteHandler:
    """The cheapest route of Litestar's that can carry the path: a raw one cannot have parameters."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await application(scope, receive, send)
        else:
            # A WebSocket that asks for a REST path: refused before it is accepted (HTTP 403).
            await send({"type": "websocket.close", "code": 1008, "reason": "not a WebSocket path"})

    async def choose() -> ASGIApp:
        return handle

    if "{" in path:
        return HTTPRouteHandler(path, http_method=application.methods, status_code=200)(choose)
    return ASGIRouteHandler(path, copy_scope=False)(handle)


def _constant(
    path: str, body: bytes, media_type: str, summary: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> Endpoint:
    async def answer(_: Call) -> bytes:
        return body

    return Endpoint(
        method="GET",
        path=path,
        handler=answer,
        summary=summary,
        tag="service",
        media_type=media_type,
        headers=headers,
    )


def _problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """What Litestar refuses by itself, and what fails in `litestar_handlers`."""
    allow = None
    if isinstance(error, HTTPException) and error.status_code != 500:
        allow = (error.headers or {}).get("allow")
        error = _translated(error, request.method, request.scope["path"])
    status, headers, body = answer_to(error, request.method, request.scope["path"])
    if allow is not None:
        headers.append((b"allow", allow.encode()))
    return Response(
        body,
        status_code=status,
        media_type="application/problem+json",
        headers={name.decode(): value.decode() for name, value in headers if not name.startswith(b"content-")},
    )


def _translated(error: HTTPException, method: str, path: str) -> CallboardError:
    if error.status_code == 404:
        return NotFound(f"There is nothing at {path}")
    if error.status_code == 405:
        return not_allowed(method)
    translated = CallboardError(error.detail, code="malformed")
    translated.status = error.status_code
    return translated
