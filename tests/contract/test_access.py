"""Every endpoint needs a token; every endpoint that is for admins refuses a user."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from tests.rest_client import NoDatabase, bearer, client_for, slice_endpoints

from callboard.rest.endpoint import Endpoint

ENDPOINTS = slice_endpoints(NoDatabase())
ADMIN_ONLY = {
    ("POST", "/notifications"),
    ("POST", "/notifications/batch"),
    ("POST", "/socket/broadcast"),
    ("POST", "/socket/notify-user/{user_id}"),
    ("POST", "/socket/notify-room/{room}"),
    ("POST", "/socket/disconnect/{sid}"),
    ("GET", "/socket/stats"),
    ("GET", "/socket/connections"),
}


def url(path: str) -> str:
    return "/api/v1" + re.sub(r"\{\w+\}", str(uuid4()), path)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
@pytest.mark.parametrize("header", [None, "Bearer a.b.c", "Basic dTE6eA=="])
async def test_a_token_is_needed(endpoint: Endpoint, header: str | None) -> None:
    async with client_for(ENDPOINTS) as client:
        headers = {"authorization": header} if header else {}
        response = await client.request(endpoint.method, url(endpoint.path), headers=headers)
    assert response.status_code == 401
    assert "www-authenticate" in response.headers


def test_the_contract_says_which_are_for_admins() -> None:
    assert {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if endpoint.admin} == ADMIN_ONLY


@pytest.mark.parametrize(("method", "path"), sorted(ADMIN_ONLY))
async def test_a_user_is_refused(method: str, path: str) -> None:
    async with client_for(ENDPOINTS) as client:
        response = await client.request(method, url(path), headers=bearer("u1", "editor"), content=b"{}")
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
