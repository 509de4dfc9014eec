"""The demo: tokens for three people, and only for this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from callboard.auth.tokens import TokenSigner, verifier
from callboard.clock import SystemClock
from callboard.demo import Demo, for_this_machine
from callboard.errors import SettingsError
from callboard.rest.api import create_api
from callboard.settings import Settings

SETTINGS = Settings(data_dir=Path("/nonexistent"), jwt_secret="a secret for tests, 32 bytes long")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    clock = SystemClock()
    demo = Demo(TokenSigner(SETTINGS, clock=clock), clock)
    api: Any = for_this_machine(create_api([], verifier(SETTINGS, clock=clock), public=demo.endpoints()))
    transport = httpx.ASGITransport(app=api)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:3002") as client:
        yield client


async def test_the_users_are_the_contracts(client: httpx.AsyncClient) -> None:
    assert (await client.get("/demo/users")).json() == {
        "users": [
            {"id": "u1", "name": "Mira Okafor", "roles": ["admin"], "teams": ["direction"]},
            {"id": "u2", "name": "Jonas Weber", "roles": [], "teams": ["art"]},
            {"id": "u3", "name": "Aiko Tan", "roles": [], "teams": ["art", "editorial"]},
        ]
    }


async def test_a_token_is_the_users_for_half_a_day(client: httpx.AsyncClient) -> None:
    given = (await client.post("/demo/token", json={"id": "u3"})).json()
    principal = await verifier(SETTINGS, clock=SystemClock()).verify(given["token"])
    assert (principal.id, principal.name) == ("u3", "Aiko Tan")
    assert (principal.roles, principal.teams) == (frozenset(), frozenset({"art", "editorial"}))
    assert given["expires_at"].endswith("Z")
    left = datetime.fromisoformat(given["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)


@pytest.mark.parametrize(("body", "status"), [({"id": "root"}, 404), ({"id": 1}, 422), ({}, 422)])
async def test_nobody_else_gets_one(client: httpx.AsyncClient, body: dict[str, object], status: int) -> None:
    assert (await client.post("/demo/token", json=body)).status_code == status


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:3002", "[::1]:3002", "[::1]"])
async def test_this_machine_may_ask(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/demo/users", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3002", "localhost.evil.example", "10.0.0.1", "[::2]"])
async def test_a_page_that_reaches_loopback_by_its_own_name_may_not(client: httpx.AsyncClient, host: str) -> None:
    for answer in (
        await client.get("/demo/users", headers={"host": host}),
        await client.post("/demo/token", json={"id": "u1"}, headers={"host": host}),
    ):
        assert answer.status_code == 403
        assert answer.json()["code"] == "forbidden"
        assert "token" not in answer.json()


async def test_other_paths_are_open_by_any_name(client: httpx.AsyncClient) -> None:
    assert (await client.get("/openapi.json", headers={"host": "evil.example"})).status_code == 200


def test_who_cannot_sign_has_no_demo() -> None:
    asymmetric = Settings(data_dir=Path("/nonexistent"), jwt_jwks_url="https://issuer.example")
    with pytest.raises(SettingsError, match="JWT_JWKS_URL"):
        TokenSigner(asymmetric, clock=SystemClock())
