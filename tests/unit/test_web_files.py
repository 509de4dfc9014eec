"""The built page: found, served with its policy, and nothing beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from callboard import web_files
from callboard.auth.tokens import verifier
from callboard.clock import SystemClock
from callboard.rest.api import create_api
from callboard.settings import Settings

SETTINGS = Settings(data_dir=Path("/nonexistent"), jwt_secret="a secret for tests, 32 bytes long")


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A built page; beside it lies what is nobody's business."""
    directory = tmp_path / "web"
    (directory / "assets").mkdir(parents=True)
    (directory / "index.html").write_text("<p>page")
    (directory / "assets" / "app.js").write_text("script")
    (tmp_path / "secret").write_text("secret")
    (directory / "way-out").symlink_to(tmp_path / "secret")
    monkeypatch.setattr(web_files, "DIRECTORY", directory)
    return directory


@pytest.fixture
async def client(page: Path) -> AsyncIterator[httpx.AsyncClient]:
    handlers = [web_files.router()]
    api: Any = create_api([], verifier(SETTINGS, clock=SystemClock()), litestar_handlers=handlers)
    transport = httpx.ASGITransport(app=api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://callboard.test") as client:
        yield client


@pytest.mark.parametrize(("path", "text"), [("/", "<p>page"), ("/index.html", "<p>page"), ("/assets/app.js", "script")])
async def test_a_file_is_served_with_its_policy(client: httpx.AsyncClient, path: str, text: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.text) == (200, text)
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/assets", "/%00", "/" + "x" * 300, "/..%2fsecret", "/%2e%2e/secret", "//etc/passwd", "/way-out"],
)
async def test_what_is_no_file_of_the_page_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert "secret" not in answer.text.replace("/secret", "")


def test_a_page_that_is_not_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(web_files, "DIRECTORY", tmp_path)
    assert not web_files.built()
    assert not web_files.has("/")
