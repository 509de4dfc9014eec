"""Every operation of the OpenAPI document, asked for what it allows and what it does not, by schemathesis.

A real server answers. Nothing may be a server error, and each status, media type and body must be one that the
document describes. What is generated is the same each time.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks
from tests.integration.serve.kit import Server
from tests.rest_client import NoDatabase, slice_endpoints

from callboard.rest.api import PREFIX
from callboard.rest.openapi import document

EXAMPLES = 12
# Signed in as a user, and as one who may do everything.
ROLES: dict[str, tuple[str, ...]] = {"ursula": (), "boss": ("admin",)}
ANSWER_CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]
CHECKS = [*ANSWER_CHECKS, openapi_checks.negative_data_rejection]

described = json.loads(document(slice_endpoints(NoDatabase()), (), prefix=PREFIX, version="0"))
schema = schemathesis.openapi.from_dict(described)
# Unknown parameters of a query are passed over, as clients and proxies add their own.
schema.config.generation.allow_extra_parameters = False


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of its own: an admin may end anybody's connections."""
    with tempfile.TemporaryDirectory(prefix="callboard-schema-") as directory:
        server = Server(Path(directory) / "data", NOTIFICATION_RATE_LIMIT="1000000")
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def tokens(server: Server) -> dict[str, str]:
    return {user: server.token(user, *roles) for user, roles in ROLES.items()}


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=server.bearer("boss", "admin"), trust_env=False) as client:
        yield client


def existing(admin: httpx.Client, user: str) -> str:
    """The id of a notification in the user's inbox, whatever holds an earlier example has set."""
    body = {"user_id": user, "type": "note", "title": "T", "message": "", "priority": "urgent"}
    return str(admin.post(f"{PREFIX}/notifications", json=body).json()["id"])


@pytest.mark.parametrize("user", ROLES)
@schema.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_it_answers_as_it_says(
    case: schemathesis.Case[Any], user: str, server: Server, tokens: dict[str, str], admin: httpx.Client
) -> None:
    headers = {"Authorization": f"Bearer {tokens[user]}"}
    case.call_and_validate(base_url=server.url, headers=headers, checks=CHECKS)
    if "{id}" in case.path:
        # Nothing has an id that was made up; and again with one that there is.
        case.path_parameters = {"id": existing(admin, user)}
        case.call_and_validate(base_url=server.url, headers=headers, checks=ANSWER_CHECKS)


def test_the_document_is_the_running_servers(admin: httpx.Client) -> None:
    served = admin.get("/openapi.json").json()
    assert {path: item for path, item in served["paths"].items() if path.startswith(PREFIX)} == described["paths"]
    schemas = served["components"]["schemas"]
    assert described["components"]["schemas"] == {name: schemas[name] for name in described["components"]["schemas"]}
