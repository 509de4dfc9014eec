"""Fixtures of the tests on the real process: one server for most tests, and a way to start more."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.serve.kit import Server

Launch = Callable[..., Server]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A running server that many tests share: each uses users of its own."""
    with tempfile.TemporaryDirectory(prefix="callboard-serve-") as directory:
        server = Server(Path(directory) / "data", "--demo")
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short name: the path of a socket may not be long."""
    with tempfile.TemporaryDirectory(prefix="callboard-serve-") as directory:
        yield Path(directory)


@pytest.fixture
def launch(home: Path) -> Iterator[Launch]:
    """Starts further servers, by default on the data directory `home/data`, and ends them after the test."""
    servers: list[Server] = []

    def start(*options: str, data: str = "data", ready: bool = True, **settings: str) -> Server:
        server = Server(home / data, *options, log=home / f"{data}-{len(servers)}.log", traced=True, **settings)
        servers.append(server)
        server.launch()
        if ready:
            server.wait_until_ready()
        return server

    try:
        yield start
    finally:
        for server in servers:
            server.stop()


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """A user id that no other test uses."""
    return f"user-of-{request.node.name}"[:200]
