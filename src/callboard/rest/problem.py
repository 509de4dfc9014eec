"""Problems: what a failed request answers (RFC 9457, application/problem+json).

Owns: the body and the headers of every error answer, and its one line in the log. Never: the internals of a
defect, a token or a body, in either.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec

from callboard import ids
from callboard.errors import CallboardError, Invalid, RateLimited, Unauthenticated, Unavailable
from callboard.telemetry import REFUSED, log

MEDIA_TYPE = b"application/problem+json"

Headers = list[tuple[bytes, bytes]]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An error. `code` is stable; `field` is the path of the first wrong value."""

    type: Annotated[str, msgspec.Meta(description="about:blank: the status says what kind it is")]
    title: str
    status: int
    detail: str
    code: str
    instance: Annotated[str, msgspec.Meta(description="names this one answer; the log line has it as `request`")]
    field: str | None = None


def answer_to(error: Exception, method: str, path: str) -> tuple[int, Headers, bytes]:
    """Status, headers and body of the answer to `error`; logs it.

    Anything but a CallboardError is a defect: it answers 500 and is logged whole, and so is one of status
    500.
    """
    request = new_instance()
    known = error if isinstance(error, CallboardError) and error.status != HTTPStatus.INTERNAL_SERVER_ERROR else None
    status = known.status if known is not None else 500
    code = error.code if isinstance(error, CallboardError) else "internal"
    facts = {"method": method, "path": path, "status": status, "code": code, "request": request}
    if known is None:
        log.error("request.failed", reason=repr(error), exc_info=error, **facts)
        detail = "The server failed; its log says why, under this instance."
    else:
        detail = known.message
        if status >= 500:
            log.warning("request.failed", reason=detail, **facts)
        else:
            log.info("request.refused", reason=detail, **facts)
    REFUSED.labels(code=code).inc()
    body = body_of(status, code, detail, request, field=error.field if isinstance(error, Invalid) else None)
    return status, [*_headers(error), *content_headers(MEDIA_TYPE, body)], body


def new_instance() -> str:
    """A name for one answer."""
    return f"urn:uuid:{ids.uuid7()}"


def body_of(status: int, code: str, detail: str, instance: str, *, field: str | None = None) -> bytes:
    """A Problem as JSON."""
    title = HTTPStatus(status).phrase
    return msgspec.json.encode(
        Problem(
            type="about:blank", title=title, status=status, detail=detail, code=code, instance=instance, field=field
        )
    )


def content_headers(media_type: bytes, body: bytes) -> Headers:
    """The headers that every body needs. Answers are a person's own: nobody keeps them."""
    return [
        (b"content-type", media_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]


def _headers(error: Exception) -> Headers:
    if isinstance(error, RateLimited | Unavailable):
        return [(b"retry-after", b"%d" % error.retry_after)]
    if isinstance(error, Unauthenticated):
        if error.code == "token_missing":
            return [(b"www-authenticate", b'Bearer realm="callboard"')]
        return [(b"www-authenticate", b'Bearer realm="callboard", error="invalid_token"')]
    return []
