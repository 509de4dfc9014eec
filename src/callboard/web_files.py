"""The built web page, from the package.

Owns: where it is and the headers it is served with. Never: building it (`hatch_build.py`), or a page's logic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litestar import Request, Response
from litestar.exceptions import NotFoundException
from litestar.router import Router
from litestar.static_files import create_static_files_router

DIRECTORY = Path(__file__).resolve().parent / "web"

_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def built() -> bool:
    """Whether the page is there: it is in every wheel, and in a checkout once it was installed."""
    return (DIRECTORY / "index.html").is_file()


def router() -> Router:
    """Serves the page at / and its files below."""
    return create_static_files_router(
        path="/",
        directories=[DIRECTORY],
        html_mode=True,
        before_request=_check_path,
        after_request=_add_headers,
        include_in_schema=False,
    )


def has(path: str) -> bool:
    """Whether a request path names a file of the page."""
    if path == "/":
        return built()
    try:
        found = (DIRECTORY / path.lstrip("/")).resolve()
        return found.is_relative_to(DIRECTORY) and found.is_file()
    except (OSError, ValueError):  # longer than a name may be, or with NUL
        return False


def _check_path(request: Request[Any, Any, Any]) -> None:
    """Litestar fails at a name that no file can have, instead of finding nothing."""
    if not has(request.scope["path"]):
        raise NotFoundException


def _add_headers(response: Response[Any]) -> Response[Any]:
    response.headers.update(_HEADERS)
    return response
