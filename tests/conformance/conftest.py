"""Starts the conformance fixture once per test module and transport, and ends it by its own process id."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from tests.conformance.client import DEADLINE, ENGINE_PATH, SOCKET_PATH, Engine

TRANSPORTS = ("native", "asgi")


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running fixture: where it listens, with what it serves WebSockets, and its process."""

    origin: str
    port: int
    transport: str
    process: subprocess.Popen[str]


@contextmanager
def run_server(transport: str, port: int = 0) -> Iterator[Server]:
    command = [sys.executable, "-m", "callboard.conformance", "--port", str(port), "--transport", transport]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(r"listening on (http://127\.0\.0\.1:([0-9]+))\n", line)
            assert found, f"the fixture printed {line!r} where it should say where it listens"
            yield Server(origin=found[1], port=int(found[2]), transport=transport, process=process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(transport: str) -> Iterator[Server]:
    with run_server(transport) as running:
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
