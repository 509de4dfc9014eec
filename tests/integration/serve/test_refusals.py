"""Bad input over REST: one clear answer, one line in the log, and never the token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from tests.integration.serve.kit import Server

SECRET = b"a secret of another server, 32 bytes and more"
NEW = {"user_id": "u", "type": "note", "title": "t", "message": ""}
BIG = b'{"title":"' + b"x" * (1 << 20) + b'"}'


def claims(**changed: object) -> dict[str, object]:
    end = datetime.now(UTC) + timedelta(hours=1)
    return {"sub": "u1", "roles": ["admin"], "exp": int(end.timestamp()), **changed}


def sign(server: Server, algorithm: str, **changed: object) -> str:
    """A token signed with the server's own secret."""
    return jwt.encode(claims(**changed), (server.data_dir / "jwt-secret").read_bytes(), algorithm=algorithm)


def wrong_tokens(server: Server) -> dict[str, tuple[str, str]]:
    """By what is wrong: the token and the code that answers it."""
    head, body, _ = server.token("u1").split(".")
    return {
        "garbage": ("garbage", "token_invalid"),
        "another secret": (jwt.encode(claims(), SECRET, algorithm="HS256"), "token_invalid"),
        "another algorithm": (sign(server, "HS512"), "token_invalid"),
        "no algorithm": (jwt.encode(claims(), "", algorithm="none"), "token_invalid"),
        "no signature": (f"{head}.{body}.", "token_invalid"),
        "expired": (sign(server, "HS256", exp=1_700_000_000), "token_expired"),
        "no subject": (sign(server, "HS256", sub=""), "token_invalid"),
    }


# fmt: off
WRONG = (
    "garbage", "another secret", "another algorithm", "no algorithm", "no signature", "expired", "no subject",
)
# fmt: on


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with server.rest() as client:
        yield client


@pytest.fixture
def admin(server: Server) -> dict[str, str]:
    return server.bearer("boss", "admin")


def check_problem(server: Server, answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """It is a problem of this status and code, and is logged exactly once, without the token."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, "about:blank")
    lines = server.log_lines(request=problem["instance"])
    assert len(lines) == 1
    assert lines[0]["code"] == code
    assert lines[0]["event"] == ("request.failed" if status >= 500 else "request.refused")
    scheme, _, token = answer.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and len(token) > 20:
        for text in (token, token.split(".")[-1] or token):
            assert text not in server.log_text()
            assert text not in answer.text
    return problem


async def test_no_token(server: Server, client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/notifications")
    check_problem(server, answer, 401, "token_missing")
    assert answer.headers["www-authenticate"] == 'Bearer realm="callboard"'


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_token(server: Server, client: httpx.AsyncClient, wrong: str) -> None:
    token, code = wrong_tokens(server)[wrong]
    answer = await client.get("/api/v1/notifications", headers={"authorization": f"Bearer {token}"})
    check_problem(server, answer, 401, code)
    assert answer.headers["www-authenticate"] == 'Bearer realm="callboard", error="invalid_token"'


def test_the_list_of_wrong_tokens_is_whole(server: Server) -> None:
    assert set(WRONG) == set(wrong_tokens(server))


async def test_a_body_that_is_no_json(server: Server, client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    answer = await client.post("/api/v1/notifications", content=b'{"title": ', headers=admin)
    check_problem(server, answer, 400, "malformed")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large(
    server: Server, client: httpx.AsyncClient, admin: dict[str, str], declared: bool
) -> None:
    async def chunked() -> AsyncIterator[bytes]:
        yield BIG

    answer = await client.post("/api/v1/notifications", content=BIG if declared else chunked(), headers=admin)
    assert ("content-length" in answer.request.headers) is declared
    check_problem(server, answer, 413, "too_large")
    assert (await client.get("/healthz")).is_success


@pytest.mark.parametrize("field", ["title", "message", "data", "actor"])
async def test_nul_in_text(server: Server, client: httpx.AsyncClient, admin: dict[str, str], field: str) -> None:
    body = {**NEW, field: {"k": "a\0b"} if field == "data" else "a\0b"}
    answer = await client.post("/api/v1/notifications", content=json.dumps(body).encode(), headers=admin)
    assert check_problem(server, answer, 422, "invalid")["field"] == field


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"type": "Not A Type"}, "type"), ({"title": ""}, "title"), ({"user_ids": ["u"]}, "user_id"), ({"x": 1}, "x")],
)
async def test_a_wrong_value_is_named(
    server: Server, client: httpx.AsyncClient, admin: dict[str, str], changed: dict[str, object], field: str
) -> None:
    answer = await client.post("/api/v1/notifications", json={**NEW, **changed}, headers=admin)
    assert check_problem(server, answer, 422, "invalid")["field"] == field


async def test_anothers_id_answers_as_if_it_did_not_exist(server: Server, user: str) -> None:
    await server.notify(user, title="mine")
    async with server.rest(user) as owner, server.rest(user + "-stranger") as other:
        id_ = (await owner.get("/api/v1/notifications")).json()["items"][0]["id"]
        details = set()
        for path in (id_, str(uuid4())):
            for answer in (
                await other.post(f"/api/v1/notifications/{path}/read"),
                await other.post(f"/api/v1/notifications/{path}/unread"),
                await other.delete(f"/api/v1/notifications/{path}"),
            ):
                details.add(check_problem(server, answer, 404, "not_found")["detail"])
        assert len(details) == 1
        assert (await owner.get("/api/v1/notifications")).json()["items"][0]["read_at"] is None


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/nowhere", "/api/v1/notifications/a/b/c", "/api/v2/", "/%00"])
async def test_an_unknown_path(server: Server, client: httpx.AsyncClient, path: str) -> None:
    check_problem(server, await client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/v1/notifications", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("GET", "/api/v1/notifications/read-all", {"POST", "OPTIONS"}),
        ("POST", "/healthz", {"GET", "HEAD", "OPTIONS"}),
        ("PATCH", "/api/v1/notifications/x/read", {"POST", "OPTIONS"}),
        ("PROPFIND", "/api/v1/notifications/x/read", {"POST", "OPTIONS"}),
        ("PROPFIND", "/api/v1/notifications", {"GET", "HEAD", "POST", "OPTIONS"}),
    ],
)
async def test_a_wrong_method(
    server: Server, client: httpx.AsyncClient, method: str, path: str, allow: set[str]
) -> None:
    answer = await client.request(method, path)
    check_problem(server, answer, 405, "method_not_allowed")
    assert {word.strip() for word in answer.headers["allow"].split(",")} >= allow


async def test_a_wrong_cursor_and_limit(server: Server, user: str) -> None:
    async with server.rest(user) as client:
        check_problem(server, await client.get("/api/v1/notifications?cursor=x"), 400, "malformed")
        answer = await client.get("/api/v1/notifications?limit=101")
        assert check_problem(server, answer, 422, "invalid")["field"] == "limit"


async def test_what_is_no_http_costs_nobody_else_anything(server: Server, client: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"\x16\x03\x01 not HTTP\r\n\r\n")
    assert b" 400 " in (await reader.read()).split(b"\r\n")[0]
    writer.close()
    await writer.wait_closed()
    assert (await client.get("/healthz")).is_success
