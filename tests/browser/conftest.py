"""Fixtures of the browser tests: a real server, a real Chromium, windows.

Chromium starts once for all of them, so they and their fixtures run on one event loop. A window is its test's own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect
from tests.browser.stage import Server, Windows

# A page that lost its server waits longer the longer that is away, up to seven seconds. Milliseconds.
expect.set_options(timeout=30_000)

# Groups go out at once, and nobody gets too many.
SETTINGS = {"NOTIFICATION_BATCH_TIMEOUT": "0", "NOTIFICATION_RATE_LIMIT": "2000"}
SHOTS = Path(__file__).parent / "shots"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            # Before the marker of the automatic mode, which names no loop.
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    """Start a server, and stop it at the end."""
    try:
        await server.start()
        yield server
    finally:
        server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path, dsn: str) -> AsyncIterator[Server]:
    """A running server with the example users, on a fresh database of the run's PostgreSQL."""
    async with running(Server(tmp_path / "data", demo=True, DATABASE_URL=dsn, **SETTINGS)) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def plain_server(tmp_path: Path, dsn: str) -> AsyncIterator[Server]:
    """A running server that hands out no tokens."""
    async with running(Server(tmp_path / "data", demo=False, DATABASE_URL=dsn, **SETTINGS)) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def embedded_server(tmp_path: Path) -> AsyncIterator[Server]:
    """A running server with the example users that starts and stops a PostgreSQL of its own, as most people's do."""
    async with running(Server(tmp_path / "data", demo=True, **SETTINGS)) as server:
        yield server


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CALLBOARD_TEST_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.fail("The browser tests need Chromium: install it, or set CALLBOARD_TEST_CHROMIUM to the path of one.")
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Keeps nothing from test to test: cookies and storage are a window's."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def windows(browser: Browser) -> AsyncIterator[Windows]:
    windows = Windows(browser)
    yield windows
    await windows.close()
    assert windows.troubles == []


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where screenshots go, for a person to look at."""
    SHOTS.mkdir(exist_ok=True)
    return SHOTS
