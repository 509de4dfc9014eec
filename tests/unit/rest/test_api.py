"""rest: the way of a request, from token to answer, on endpoints made for it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any
from uuid import uuid4

import httpx
import msgspec
import pytest
import structlog.testing
from tests.rest_client import ORIGIN, SIGNER, bearer, client_for

from callboard.errors import NotFound, RateLimited, StoreError, Unavailable
from callboard.rest.api import create_api
from callboard.rest.endpoint import Call, Endpoint


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str


class Filter(msgspec.Struct, frozen=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=9)] = 5
    word: str | None = None
    open: bool | None = None


async def show(call: Call) -> bytes:
    return msgspec.json.encode({"user": call.principal.id, "query": call.query, "id": call.path.get("id")})


async def take(call: Call) -> bytes:
    return msgspec.json.encode({"title": call.body.title})


async def nothing(_: Call) -> bytes:
    return b""


def raising(error: Exception) -> Any:
    async def handler(_: Call) -> bytes:
        raise error

    return handler


ENDPOINTS = [
    Endpoint(method="GET", path="/things", handler=show, summary="s", tag="t", query=Filter),
    Endpoint(method="POST", path="/things", handler=take, summary="s", tag="t", body=Asked, status=201, admin=True),
    Endpoint(method="GET", path="/things/{id}", handler=show, summary="s", tag="t"),
    Endpoint(method="GET", path="/rooms/{id}", handler=show, summary="s", tag="t", tail=True),
    Endpoint(method="DELETE", path="/things/{id}", handler=nothing, summary="s", tag="t", status=204),
    Endpoint(method="GET", path="/limited", handler=raising(RateLimited("slow", retry_after=7)), summary="s", tag="t"),
    Endpoint(method="GET", path="/away", handler=raising(Unavailable("away", retry_after=2)), summary="s", tag="t"),
    Endpoint(method="GET", path="/defect", handler=raising(KeyError("inner secret")), summary="s", tag="t"),
    Endpoint(method="GET", path="/store", handler=raising(StoreError("relation secret")), summary="s", tag="t"),
]
PUBLIC = [Endpoint(method="GET", path="/healthz", handler=nothing, summary="s", tag="t", media_type="text/plain")]


@pytest.fixture
def client() -> httpx.AsyncClient:
    return client_for(ENDPOINTS, PUBLIC)


def problem_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "code", "instance"} <= set(problem)
    assert (problem["status"], problem["code"]) == (status, code)
    return problem


async def test_a_signed_in_user_is_answered(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/things?limit=3&word=null&open=true&other=null", headers=bearer("u1"))
    assert response.status_code == 200
    assert response.json() == {"user": "u1", "query": {"limit": 3, "word": "null", "open": True}, "id": None}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


async def test_without_a_token(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/things")
    problem_of(response, 401, "token_missing")
    assert response.headers["www-authenticate"] == 'Bearer realm="callboard"'


@pytest.mark.parametrize("header", ["Bearer x.y.z", "Bearer é", "bearer " + "a" * 9000])
async def test_with_a_wrong_token(client: httpx.AsyncClient, header: str) -> None:
    response = await client.get("/api/v1/things", headers=[(b"authorization", header.encode("latin-1"))])
    problem_of(response, 401, "token_invalid")
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


async def test_with_an_expired_token(client: httpx.AsyncClient) -> None:
    token = SIGNER.sign("u1", ttl=timedelta(seconds=-60))
    response = await client.get("/api/v1/things", headers={"authorization": f"Bearer {token}"})
    problem_of(response, 401, "token_expired")


async def test_a_refusal_is_logged_once_and_without_the_token(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as lines:
        response = await client.get("/api/v1/things", headers={"authorization": "Bearer hush.hush.hush"})
    (line,) = [line for line in lines if line["event"].startswith("request.")]
    assert line["event"] == "request.refused"
    assert line["request"] == response.json()["instance"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/v1/things", 401)
    assert "hush" not in repr(lines) + response.text


async def test_an_admin_route_refuses_a_user_before_it_reads_the_body(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/things", headers=bearer("u1"), content=b"no json")
    problem_of(response, 403, "forbidden")


async def test_a_body_is_decoded(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/things", headers=bearer("u1", "admin"), content=b'{"title":"x"}')
    assert (response.status_code, response.json()) == (201, {"title": "x"})


async def test_wrong_bodies(client: httpx.AsyncClient) -> None:
    admin = bearer("u1", "admin")
    problem_of(await client.post("/api/v1/things", headers=admin, content=b"{"), 400, "malformed")
    wrong = problem_of(await client.post("/api/v1/things", headers=admin, content=b'{"title":1}'), 422, "invalid")
    assert wrong["field"] == "title"
    large = b'{"title":"' + b"x" * (1 << 20) + b'"}'
    problem_of(await client.post("/api/v1/things", headers=admin, content=large), 413, "too_large")

    async def parts() -> Any:
        for _ in range(40):
            yield b"x" * 32_768

    problem_of(await client.post("/api/v1/things", headers=admin, content=parts()), 413, "too_large")


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("limit=0", 422, "limit"),
        ("limit=x", 422, "limit"),
        ("limit=", 422, "limit"),
        ("limit=1.0", 422, "limit"),
        ("limit=1e0", 422, "limit"),
        ("limit=1&limit=2", 422, "limit"),
        ("word=a&limit=1&word=a", 422, "word"),
        ("open=null", 422, "open"),
        ("word=%00", 422, "word"),
        ("word=%FF", 400, None),
        ("&".join(["a=1"] * 101), 400, None),
    ],
)
async def test_wrong_queries(client: httpx.AsyncClient, query: str, status: int, field: str | None) -> None:
    response = await client.get(f"/api/v1/things?{query}", headers=bearer("u1"))
    assert response.status_code == status
    assert response.json().get("field") == field


async def test_what_is_wrong_with_a_query_is_said(client: httpx.AsyncClient) -> None:
    for query, detail in (
        ("limit=1&limit=2", "limit is given more than once"),
        ("limit=1.0", "limit: give a whole number in digits, such as 1"),
        ("limit=abc", "limit: it must be a whole number"),
        ("limit=", "limit: it must be a whole number"),
        ("limit=1.5", "limit: it must be a whole number"),
        ("limit=0", "limit: it must be 1 or more"),
        ("limit=10", "limit: it must be 9 or less"),
        ("open=perhaps", "open: it must be true or false"),
    ):
        response = await client.get(f"/api/v1/things?{query}", headers=bearer("u1"))
        assert response.json()["detail"] == detail


async def test_unknown_parameters_are_passed_over_however_often_they_come(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/things?limit=2&utm=a&utm=b&__doc__=1.0", headers=bearer("u1"))
    assert response.json()["query"] == {"limit": 2, "word": None, "open": None}


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    problem_of(await client.get("/api/v1/nope", headers=bearer("u1")), 404, "not_found")
    problem_of(await client.get("/nope"), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "id_"), [("/things", None), ("/things/", None), ("/things/7", "7"), ("/things/{id:str}", "{id:str}")]
)
async def test_a_path_is_found_however_it_is_written(client: httpx.AsyncClient, path: str, id_: str | None) -> None:
    response = await client.get(f"/api/v1{path}", headers=bearer("u1"))
    assert response.status_code == 200, response.text
    assert response.json()["id"] == id_


async def test_a_wrong_method_is_a_problem_that_says_which_are_right(client: httpx.AsyncClient) -> None:
    response = await client.put("/api/v1/things", headers=bearer("u1"))
    problem_of(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    for method in ("PUT", "QUERY"):
        response = await client.request(method, "/api/v1/things/5", headers=bearer("u1"))
        problem_of(response, 405, "method_not_allowed")
        assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "DELETE", "OPTIONS"}


async def test_head_is_get_without_a_body(client: httpx.AsyncClient) -> None:
    got = await client.get("/api/v1/things", headers=bearer("u1"))
    head = await client.head("/api/v1/things", headers=bearer("u1"))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_204_has_no_body(client: httpx.AsyncClient) -> None:
    response = await client.delete("/api/v1/things/5", headers=bearer("u1"))
    assert (response.status_code, response.content) == (204, b"")
    assert "content-type" not in response.headers


async def test_what_will_pass_says_when_to_come_again(client: httpx.AsyncClient) -> None:
    limited = await client.get("/api/v1/limited", headers=bearer("u1"))
    problem_of(limited, 429, "rate_limited")
    assert limited.headers["retry-after"] == "7"
    away = await client.get("/api/v1/away", headers=bearer("u1"))
    problem_of(away, 503, "unavailable")
    assert away.headers["retry-after"] == "2"


@pytest.mark.parametrize(("path", "code"), [("/defect", "internal"), ("/store", "store")])
async def test_a_defect_is_logged_whole_once_and_shows_nothing(client: httpx.AsyncClient, path: str, code: str) -> None:
    with structlog.testing.capture_logs() as lines:
        response = await client.get(f"/api/v1{path}", headers=bearer("u1"))
    problem = problem_of(response, 500, code)
    assert "secret" not in response.text
    (line,) = lines
    assert line["event"] == "request.failed"
    assert line["request"] == problem["instance"]
    assert "secret" in line["reason"]
    assert line["exc_info"]


async def test_public_endpoints_need_no_token(client: httpx.AsyncClient) -> None:
    response = await client.get("/healthz")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/plain")


async def test_pages_of_allowed_origins_may_call(client: httpx.AsyncClient) -> None:
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    preflight = await client.options("/api/v1/things", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    answer = await client.get("/api/v1/things", headers={**bearer("u1"), "origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    refused = await client.get("/api/v1/things", headers={"origin": ORIGIN})
    assert refused.headers["access-control-allow-origin"] == ORIGIN


async def test_pages_of_other_origins_may_not(client: httpx.AsyncClient) -> None:
    for method in ("OPTIONS", "GET"):
        answer = await client.request(
            method, "/api/v1/things", headers={**bearer("u1"), "origin": "https://evil.example.com"}
        )
        assert "access-control-allow-origin" not in answer.headers


def test_a_method_twice_on_a_path_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="/things"):
        client_for([*ENDPOINTS, ENDPOINTS[0]])


async def test_a_websocket_to_a_rest_path_is_closed() -> None:
    sent: list[Any] = []
    scope = {"type": "websocket", "path": "/healthz", "headers": [], "query_string": b"", "root_path": ""}

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    class Nobody:
        async def verify(self, token: str | None) -> Any:
            raise AssertionError

    api: Any = create_api([], Nobody(), public=PUBLIC)
    await api(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_docs_load_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|url\(", page.text)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_a_uuid_of_the_path_is_exact() -> None:
    call, id_ = Call(), uuid4()
    call.path = {"id": str(id_)}
    assert call.uuid("id") == id_
    for text in ("", "x", "\0", id_.hex, f"{{{id_}}}", f"urn:uuid:{id_}"):
        call.path = {"id": text}
        with pytest.raises(NotFound):
            call.uuid("id")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("resource:episode:4", "resource:episode:4"),
        ("resource:file:a%2Fb%20c", "resource:file:a/b c"),
        ("a/b", "a/b"),
        ("a//b/", "a//b/"),
        ("resource:file:s3://bucket/k%C3%BC%FF", "resource:file:s3://bucket/kü\ufffd"),
        ("%2Fa", "/a"),
        ("rooms/rooms/x", "rooms/rooms/x"),
    ],
)
async def test_a_parameter_at_the_end_may_have_slashes(client: httpx.AsyncClient, path: str, expected: str) -> None:
    response = await client.get(f"/api/v1/rooms/{path}", headers=bearer("u1"))
    assert (response.status_code, response.json()["id"]) == (200, expected)


@pytest.mark.parametrize("path", ["/api/v1/rooms", "/api/v1/rooms/"])
async def test_a_parameter_at_the_end_must_be_there(client: httpx.AsyncClient, path: str) -> None:
    problem_of(await client.get(path, headers=bearer("u1")), 404, "not_found")


async def test_a_parameter_at_the_end_without_the_raw_path(client: httpx.AsyncClient) -> None:
    response = await client.get("/%61pi/v1/%72ooms/a%2Fb", headers=bearer("u1"))
    assert (response.status_code, response.json()["id"]) == (200, "a/b")
