"""What is served without a token: metrics, the description of the API, configuration, the demo."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from jsonschema_rs import validator_for
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.serve.kit import Server, tab

from callboard import __version__


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with server.rest() as client:
        yield client


async def metric(client: httpx.AsyncClient, name: str, **labels: str) -> float:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items()):
                return float(sample.value)
    return 0.0


async def test_metrics_count_what_happens(server: Server, client: httpx.AsyncClient, user: str) -> None:
    before = await metric(client, "callboard_connections", transport="websocket")
    written = await metric(client, "callboard_messages_out_total")
    refused = await metric(client, "callboard_refused_total", code="token_missing")
    async with tab(server, user, transports=("websocket",)) as here:
        assert await metric(client, "callboard_connections", transport="websocket") == before + 1
        await server.notify(user, title="counted")
        await here.until_title("counted")
    assert await metric(client, "callboard_messages_out_total") >= written + 2
    assert await metric(client, "callboard_commit_to_write_seconds_count") >= 1
    await client.get("/api/v1/notifications")
    assert await metric(client, "callboard_refused_total", code="token_missing") == refused + 1


async def test_the_description_is_valid_and_covers_every_route(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == __version__
    for schema in document["components"]["schemas"].values():
        validator_for({**schema, "components": document["components"]})
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    for method, path in described:
        sample = re.sub(r"\{[^}]+\}", "x", path)
        answer = await client.request(method, sample)
        assert answer.status_code not in (404, 405, 500), (method, path)
    # What each path answers to, by its own word, is what is described.
    for path in document["paths"]:
        allow = (await client.options(re.sub(r"\{[^}]+\}", "x", path))).headers["allow"]
        methods = {word.strip() for word in allow.split(",")} - {"OPTIONS", "HEAD"}
        assert methods == {method for method, described_path in described if described_path == path}


async def test_the_description_is_to_be_read(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_health_and_configuration(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ok"}
    assert (await client.get("/config.json")).json() == {
        "version": __version__,
        "demo": True,
        "socket": {"path": "/socket.io/", "reconnection_delay": 1000, "reconnection_max_delay": 5000},
    }


async def test_the_demo_hands_out_tokens_that_work(server: Server, client: httpx.AsyncClient) -> None:
    users = (await client.get("/demo/users")).json()["users"]
    assert [user["id"] for user in users] == ["u1", "u2", "u3"]
    for user in users:
        given = (await client.post("/demo/token", json={"id": user["id"]})).json()
        namespaces = ("/feed", "/admin") if "admin" in user["roles"] else ("/feed",)
        async with tab(server, user["id"], token=given["token"], namespaces=namespaces) as here:
            assert here.client.connected
    assert (await client.post("/demo/token", json={"id": "u4"})).status_code == 404
    for name in ("evil.example", f"evil.example:{server.port}", "127.0.0.1.evil.example"):
        refused = await client.post("/demo/token", json={"id": "u1"}, headers={"host": name})
        assert refused.status_code == 403
        assert refused.json()["code"] == "forbidden"
    assert (await client.get("/demo/users", headers={"host": f"localhost:{server.port}"})).is_success
