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
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, BrowserContext, Locator, Page, Request, expect

START_SECONDS = 60


class Server:
    """`callboard serve` on a data directory of its own. The port stays the same over restarts."""

    def __init__(self, data_dir: Path, *, demo: bool) -> None:
        self.data_dir = data_dir
        self.url = ""
        self._demo = demo
        self._admin = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._log = data_dir.with_suffix(".log")

    async def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        command = ["serve", "--port", port, "--data-dir", str(self.data_dir)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "callboard.cli", *command, *(["--demo"] if self._demo else [])],
                env={**os.environ, "NOTIFICATION_RATE_LIMIT": "1000000"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not await self._is_ready(self._process):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{self._log.read_text()}")
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        """As a crash would end it: SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def token(self, user: str, *options: str) -> str:
        """A token for anybody, signed with this server's secret."""
        command = ["token", "--sub", user, *options, "--data-dir", str(self.data_dir)]
        done = subprocess.run(
            [sys.executable, "-m", "callboard.cli", *command], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    async def notify(self, *users: str, title: str, **fields: str) -> None:
        """Send by REST as the admin u1."""
        self._admin = self._admin or self.token("u1", "--role", "admin")
        body = {"user_ids": users, "type": "note", "message": "", "title": title, **fields}
        async with httpx.AsyncClient(base_url=self.url) as client:
            headers = {"Authorization": f"Bearer {self._admin}"}
            answer = await client.post("/api/v1/notifications", json=body, headers=headers)
            assert answer.is_success, answer.text

    async def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        file = self.data_dir / "server.json"
        if not file.exists():
            return False
        try:
            written: dict[str, Any] = json.loads(file.read_text())
        except ValueError:
            return False  # Half written; it is read again.
        if written["pid"] != process.pid:
            return False  # The one before it, which was killed, left it.
        self.url = str(written["url"]).rstrip("/")
        async with httpx.AsyncClient(base_url=self.url) as client:
            try:
                return (await client.get("/readyz")).is_success
            except httpx.TransportError:
                return False

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


def bell(page: Page, unread: int) -> Locator:
    """The bell, if it shows this number."""
    return page.get_by_role("button", name=f"Notifications, {unread} unread", exact=True)


async def live(page: Page) -> Page:
    """The page, once it says that it is live."""
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    return page
