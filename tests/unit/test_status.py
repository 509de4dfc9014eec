"""Health, readiness, metrics and the page's configuration, without a database."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from callboard import __version__
from callboard.auth.tokens import verifier
from callboard.clock import SystemClock
from callboard.errors import StoreError, Unavailable
from callboard.rest.api import create_api
from callboard.settings import Settings
from callboard.status import Status
from callboard.telemetry import NODE_FAMILIES, NodeCollector, Samples

SETTINGS = Settings(
    data_dir=Path("/nonexistent"),
    jwt_secret="a secret for tests, 32 bytes long",
    reconnection_delay_ms=7,
    reconnection_max_delay_ms=8,
)


class Database:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def fetchval(self, query: str, *args: object) -> int:
        if self.error is not None:
            raise self.error
        return 1


async def ask(
    path: str, *, error: Exception | None = None, trouble: str | None = None, demo: bool = False
) -> httpx.Response:
    status = Status(SETTINGS, cast(Any, Database(error)), lambda: trouble, demo=demo)
    api: Any = create_api([], verifier(SETTINGS, clock=SystemClock()), public=status.endpoints())
    transport = httpx.ASGITransport(app=api)
    async with httpx.AsyncClient(transport=transport, base_url="http://callboard.test") as client:
        return await client.get(path)


async def test_ready_means_that_database_and_relay_work() -> None:
    answer = await ask("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("error", [Unavailable("it is away"), StoreError("it refuses")])
async def test_not_ready_without_the_database(error: Exception) -> None:
    answer = await ask("/readyz", error=error)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "database" in answer.json()["detail"]


async def test_not_ready_without_the_relay() -> None:
    answer = await ask("/readyz", trouble="the relay is not in contact with the message log")
    assert answer.status_code == 503
    assert "relay" in answer.json()["detail"]


async def test_the_process_is_healthy_whatever_the_database_does() -> None:
    answer = await ask(
        "/healthz", error=Unavailable("it is away"), trouble="the relay is not in contact with the message log"
    )
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("demo", [True, False])
async def test_the_page_is_told_how_to_connect(demo: bool) -> None:
    assert (await ask("/config.json", demo=demo)).json() == {
        "version": __version__,
        "demo": demo,
        "socket": {"path": "/socket.io/", "reconnection_delay": 7, "reconnection_max_delay": 8},
    }


async def test_metrics_are_in_prometheus_words() -> None:
    answer = await ask("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for name in ("relayed_total", "commit_to_write_seconds_count"):
        assert f"callboard_{name}" in answer.text


async def test_metrics_of_the_node_are_read_when_somebody_asks() -> None:
    readings = 0

    def read() -> Samples:
        nonlocal readings
        readings += 1
        return {family.name: [] for family in NODE_FAMILIES} | {"callboard_users": [((), readings)]}

    status = Status(SETTINGS, cast(Any, Database()), lambda: None, demo=False, collectors=[NodeCollector(read)])
    api: Any = create_api([], verifier(SETTINGS, clock=SystemClock()), public=status.endpoints())
    assert readings == 0
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=api), base_url="http://callboard.test") as client:
        for number in (1, 2):
            text = (await client.get("/metrics")).text
            assert f"callboard_users {number}.0" in text
            assert "callboard_relayed_total" in text
    names = [family.name for family in text_string_to_metric_families(text)]
    assert len(names) == len(set(names))
