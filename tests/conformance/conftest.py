"""Fixtures: the server under test, started once per test module and transport, and its two endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from tests.conformance.client import BOTH_PATHS, DEADLINE, ENGINE_PATH, SOCKET_PATH, Engine
from tests.conformance.server import ROOMY, TRANSPORTS, Server, run_server


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(transport: str, request: pytest.FixtureRequest) -> Iterator[Server]:
    """With a heartbeat that leaves time to answer, unless the module has another, HEARTBEAT."""
    with run_server(transport, heartbeat=getattr(request.module, "HEARTBEAT", ROOMY)) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    # No proxy of the environment; a poll may be held for as long as the server likes.
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as client:
        yield client


@pytest.fixture
async def engine(http: httpx.AsyncClient, server: Server) -> Engine:
    """The echo at /engine.io/."""
    return Engine(http, server.origin, ENGINE_PATH)


@pytest.fixture
async def socketio(http: httpx.AsyncClient, server: Server) -> Engine:
    """The Engine.IO endpoint under Socket.IO, at /socket.io/."""
    return Engine(http, server.origin, SOCKET_PATH)


@pytest.fixture(params=BOTH_PATHS)
async def endpoint(http: httpx.AsyncClient, server: Server, request: pytest.FixtureRequest) -> Engine:
    """Each of the two."""
    return Engine(http, server.origin, request.param)
