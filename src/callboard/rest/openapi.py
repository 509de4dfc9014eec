"""The OpenAPI 3.1 document, made from the endpoints' own declarations.

Owns: the mapping from endpoints and their Structs to the document. The schemas are msgspec's, from the very
types that decode requests. Never: a hand-written schema of a slice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from callboard.rest.endpoint import Endpoint
from callboard.rest.problem import Problem

_PARAMETER = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{name}"
_REASONS = {
    400: "The request cannot be parsed",
    401: "No valid token",
    403: "The role admin is missing",
    404: "No such thing, or another's",
    409: "The Idempotency-Key was used with another body or at another endpoint",
    413: "The body is larger than HTTP_MAX_BODY_BYTES",
    422: "A value is not allowed; `field` names it",
    429: "The recipient is over the hourly limit; come again after Retry-After seconds",
    503: "The database is away; come again after Retry-After seconds",
}


def document(endpoints: Sequence[Endpoint], public: Sequence[Endpoint], *, prefix: str, version: str) -> bytes:
    """The document as JSON. `public` endpoints need no token and have no prefix."""
    paths: dict[str, dict[str, Any]] = {}
    for start, group in ((prefix, endpoints), ("", public)):
        for endpoint in group:
            operation = _operation(endpoint, secured=group is endpoints)
            paths.setdefault(start + endpoint.path, {})[endpoint.method.lower()] = operation
    _, schemas = msgspec.json.schema_components([Problem, *_types([*endpoints, *public])], ref_template=_REF)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Callboard",
                "version": version,
                "description": "Live notifications over one log with one "
                "cursor. The same facts arrive live over Socket.IO at /socket.io/.",
            },
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }
    )


def _types(endpoints: Sequence[Endpoint]) -> list[type[msgspec.Struct]]:
    named: dict[type[msgspec.Struct], None] = {}
    for endpoint in endpoints:
        named.update(dict.fromkeys(endpoint.answers))
        if endpoint.body is not None:
            named[endpoint.body] = None
    return list(named)


def _operation(endpoint: Endpoint, *, secured: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "responses": _responses(endpoint, secured=secured),
    }
    if secured:
        operation["security"] = [{"token": []}]
    parameters = [*_path_parameters(endpoint), *_query_parameters(endpoint), *_headers(endpoint)]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(endpoint.body)}},
        }
    return operation


def _operation_id(endpoint: Endpoint) -> str:
    words = re.findall(r"[A-Za-z0-9]+", endpoint.path)
    return "_".join([endpoint.method.lower(), *words])


def _responses(endpoint: Endpoint, *, secured: bool) -> dict[str, Any]:
    success: dict[str, Any] = {"description": endpoint.summary}
    if endpoint.answers:
        schemas = [_ref(answer) for answer in endpoint.answers]
        success["content"] = {endpoint.media_type: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}
    elif endpoint.status != 204:
        success["content"] = {endpoint.media_type: {}}
    statuses = [
        *((400, 422) if endpoint.body is not None or endpoint.query is not None else ()),
        *((413,) if endpoint.body is not None else ()),
        *((401,) if secured else ()),
        *((403,) if endpoint.admin else ()),
        *((409, 429) if endpoint.idempotent else ()),
        *((404,) if _PARAMETER.search(endpoint.path) else ()),
        503,
    ]
    problems = {str(status): _problem(_REASONS[status]) for status in sorted(statuses)}
    return {str(endpoint.status): success, **problems, "default": _problem("Anything else")}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/problem+json": {"schema": _ref(Problem)}}}


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    schema = msgspec.json.schema(endpoint.query)["$defs"][endpoint.query.__name__]
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _plain(property_),
        }
        for name, property_ in schema["properties"].items()
    ]


def _headers(endpoint: Endpoint) -> list[dict[str, Any]]:
    if not endpoint.idempotent:
        return []
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Does it once: the same key and body give the first answer again, for 24 hours",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }
    ]


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without the null that stands for its absence."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**rest, **kinds[0]}


def _ref(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}
