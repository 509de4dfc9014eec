"""A server, windows and the page's parts, as the browser tests name them.

Owns: starting, killing and stopping `callboard serve`; windows that note a script error or a request to anywhere
but the server; what a person sees, by its accessible name. Never: a wait for time to pass; every wait is for a
condition.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import httpx
from playwright.async_api import Browser, BrowserContext, Locator, Page, Request, expect
from tests.tracing import untraced

from callboard.auth.tokens import TokenSigner
from callboard.clock import SystemClock
from callboard.settings import load

START_SECONDS = 60


class Server:
    """`callboard serve` on a data directory of its own. The port stays the same over restarts.

    `settings` are those that differ from the defaults, by their names in the environment.
    """

    def __init__(self, data_dir: Path, *, demo: bool, **settings: str) -> None:
        self.data_dir = data_dir
        self.url = ""
        self._demo = demo
        self._settings = settings
        self._admin = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._log = b""

    async def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        command = ["serve", "--port", port, "--data-dir", str(self.data_dir)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "callboard.cli", *command, *(["--demo"] if self._demo else [])],
            env={
                **untraced(os.environ),
                "LOG_LEVEL": "info",
                "LOG_FORMAT": "json",
                "NOTIFICATION_RATE_LIMIT": "1000000",
                **self._settings,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started: Future[str] = Future()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout, started))
        self._reader.start()
        try:
            async with asyncio.timeout(START_SECONDS):
                self.url = await asyncio.wrap_future(started)
        except (TimeoutError, EOFError):
            raise AssertionError(f"the server did not start:\n{self._log.decode(errors='replace')}") from None

    def kill(self) -> None:
        """As a crash would end it: SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def token(self, user: str, *roles: str, name: str | None = None) -> str:
        """A token for anybody, signed with this server's secret."""
        signer = TokenSigner(load(self._settings, data_dir=self.data_dir), clock=SystemClock())
        return signer.sign(user, name, roles, ttl=timedelta(hours=1))

    async def notify(self, *users: str, title: str, **fields: Any) -> dict[str, Any]:
        """Send by REST as the admin u1; what became of it."""
        async with self._as_admin() as client:
            return await create(client, user_ids=users, title=title, **fields)

    async def notify_each(self, user: str, titles: Sequence[str]) -> None:
        """Send a person many by REST, one after another."""
        async with self._as_admin() as client:
            for title in titles:
                await create(client, user_id=user, title=title)

    def _as_admin(self) -> httpx.AsyncClient:
        self._admin = self._admin or self.token("u1", "admin")
        return httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {self._admin}"})

    def _read(self, output: IO[bytes], started: Future[str]) -> None:
        """Keep what the server says until it ends; `started` gets its address, once it is ready."""
        with output:
            for line in output:
                self._log += line
                if b'"server.started"' in line and not started.done():
                    started.set_result(str(json.loads(line)["url"]))
        if not started.done():
            started.set_exception(EOFError())

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the server did not end on {number.name}") from None
        finally:
            if self._reader is not None:
                self._reader.join()


async def create(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """Create a notification; what became of it."""
    answer = await client.post("/api/v1/notifications", json={"type": "note", "message": "", **fields})
    assert answer.is_success, answer.text
    became: dict[str, Any] = answer.json()
    return became


class Windows:
    """Opens windows, each a browser of its own (cookies, storage); watches what their pages do."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.troubles: list[str] = []

    async def open(self, server: Server, user: str | None = None, **options: Any) -> Page:
        """A page in a window of its own, as an example user if one is named."""
        context = await self._browser.new_context(**options)
        context.set_default_timeout(20_000)
        self._contexts.append(context)
        page = await context.new_page()
        page.on("pageerror", lambda error: self.troubles.append(f"script error: {error}"))
        page.on("request", self._watch(server))
        await page.goto(server.url + ("/" if user is None else f"/#{user}"))
        return page

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()

    def _watch(self, server: Server) -> Callable[[Request], None]:
        def watch(request: Request) -> None:
            if not request.url.startswith(server.url + "/"):
                self.troubles.append(f"a request to elsewhere: {request.url}")

        return watch


def rows(page: Page) -> Locator:
    """The notifications listed."""
    return page.locator("cb-inbox").get_by_role("listitem")


def row(page: Page, title: str) -> Locator:
    """The notification with this in its title or text."""
    return rows(page).filter(has_text=title)


def titles(page: Page) -> Locator:
    """Their headings, from the top."""
    return rows(page).get_by_role("heading")


def bell(page: Page, unread: int) -> Locator:
    """The bell, if it shows this number."""
    return page.get_by_role("button", name=f"Notifications, {unread} unread", exact=True)


async def live(page: Page) -> Page:
    """The page, once it says that it is live."""
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    return page
