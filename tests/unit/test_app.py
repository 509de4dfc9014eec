"""The composition root: which requests are whose, and a start that fails."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from callboard import web_files
from callboard.app import Callboard, TokenAuthenticator, _dispatch, _roots, notification_settings
from callboard.auth.access import DefaultAccess
from callboard.auth.tokens import verifier
from callboard.clock import SystemClock
from callboard.errors import SettingsError, StartError, Unauthenticated
from callboard.notifications.choices import ChoiceService
from callboard.rest.endpoint import Endpoint
from callboard.settings import Settings, load
from callboard.store.database import Database

SETTINGS = Settings(data_dir=Path("/nonexistent"), jwt_secret="a secret for tests, 32 bytes long")


def endpoint(path: str) -> Endpoint:
    async def handler(call: Any) -> bytes:
        raise AssertionError("not called")

    return Endpoint(method="GET", path=path, handler=handler, summary="", tag="")


ROOTS = _roots([endpoint("/notifications"), endpoint("/notifications/{id}/read")], [endpoint("/healthz")])


async def owner(path: str, kind: str = "http", *, host: bool = True) -> str:
    """Who gets a request."""
    asked: list[str] = []

    def application(name: str) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            asked.append(name)

        return app

    app: Any = _dispatch(application("api"), application("polling"), application("host") if host else None, ROOTS)
    scope = {"type": kind} if kind == "lifespan" else {"type": kind, "path": path}
    await app(scope, None, None)
    (name,) = asked
    return name


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/socket.io/", "polling"),
        ("/socket.io", "polling"),
        ("/socket.io/x", "host"),
        ("/socket.iox", "host"),
        ("/api/v1/notifications", "api"),
        ("/api/v1/notifications/x/y", "api"),
        ("/api/v1/notificationsx", "host"),
        ("/api/v1/episodes", "host"),
        ("/healthz", "api"),
        ("/openapi.json", "api"),
        ("/docs", "api"),
        ("/docsx", "host"),
        ("/\0", "host"),
        ("/" + "x" * 5000, "host"),
        ("/../app.py", "host"),
    ],
)
async def test_callboards_own_paths_are_its_own_and_the_rest_is_the_hosts(path: str, expected: str) -> None:
    assert await owner(path) == expected


@pytest.mark.parametrize("path", ["/", "/nowhere", "/api/v1/episodes"])
async def test_without_a_host_everything_is_callboards(path: str) -> None:
    assert await owner(path, host=False) == "api"


async def test_a_host_gets_its_lifespan() -> None:
    assert await owner("", "lifespan") == "host"


async def test_the_page_goes_before_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(web_files, "DIRECTORY", tmp_path)
    assert await owner("/") == "host"
    (tmp_path / "index.html").write_text("page")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "app.js").write_text("script")
    assert await owner("/") == "api"
    assert await owner("/assets/app.js") == "api"
    assert await owner("/assets") == "host"
    assert await owner("/assets/other.js") == "host"


@pytest.mark.parametrize("auth", [{}, {"token": None}, {"token": ""}])
async def test_connecting_without_a_token_is_refused(auth: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await TokenAuthenticator(verifier(SETTINGS, clock=SystemClock())).authenticate(auth)
    assert refused.value.code == "token_missing"


def test_a_key_that_cannot_be_used_costs_no_database() -> None:
    with pytest.raises(SettingsError, match="JWT_PUBLIC_KEY"):
        Callboard(Settings(data_dir=Path("/nonexistent"), jwt_public_key="/nowhere.pem", jwt_algorithms=("RS256",)))
    with pytest.raises(SettingsError, match="cannot sign"):
        Callboard(Settings(data_dir=Path("/nonexistent"), jwt_jwks_url="https://issuer.example"), demo=True)


async def test_what_did_not_start_can_be_stopped() -> None:
    callboard = Callboard(SETTINGS)
    with pytest.raises(StartError, match="cannot connect"):
        await callboard.start("postgresql://127.0.0.1:1/x")
    await callboard.stop()


async def test_a_node_starts_and_stops(dsn: str) -> None:
    callboard = Callboard(SETTINGS)
    await callboard.start(dsn)
    await callboard.relay.until_ready()
    assert callboard.relay.ready
    await callboard.stop()
    assert not callboard.relay.ready


async def test_a_start_tells_the_database_the_settings_of_notifications(dsn: str) -> None:
    settings = load(
        {
            "DATABASE_URL": dsn,
            "JWT_SECRET": "a secret for tests, 32 bytes long",
            "NOTIFICATION_RATE_LIMIT": "7",
            "NOTIFICATION_RATE_OVERFLOW": "fold",
            "NOTIFICATION_BATCH_SIZE": "8",
            "NOTIFICATION_BATCH_TIMEOUT": "1500",
            "NOTIFICATION_TYPES": "b,a",
        },
        data_dir=Path("/nonexistent"),
    )
    database = await Database.open(dsn, min_size=1, max_size=1)
    try:
        await ChoiceService(database, DefaultAccess()).configure(notification_settings(settings))
        row = await database.fetchrow("select * from callboard.notification_settings")
        assert row is not None
        assert tuple(row)[1:] == (7, "fold", 8, timedelta(milliseconds=1500), ["a", "b"])
        await ChoiceService(database, DefaultAccess()).configure(notification_settings(load({}, data_dir=Path("/x"))))
        row = await database.fetchrow("select * from callboard.notification_settings")
        assert row is not None
        assert tuple(row)[1:] == (50, "suppress", 100, timedelta(seconds=5), None)
    finally:
        await database.close()
