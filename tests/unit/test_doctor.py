"""The doctor: each check finds what it is for, and none raises."""

from __future__ import annotations

import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from callboard import doctor, web_files
from callboard.announcement import announced
from callboard.doctor import Finding
from callboard.store import migrate
from callboard.store.embedded import EmbeddedPostgres

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dsn: str) -> None:
    """A database that is all right."""
    monkeypatch.chdir(tmp_path)
    for name in ("JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", dsn)


async def examine(tmp_path: Path, port: int = 0) -> dict[str, Finding]:
    return {finding.name: finding for finding in await doctor.examine(tmp_path / "data", port)}


async def test_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(web_files, "built", lambda: True)
    found = await examine(tmp_path)
    assert list(found) == ["versions", "page", "settings", "keys", "port", "disk", "database", "migrations"]
    assert [finding for finding in found.values() if not finding.ok] == []


async def test_where_nothing_is_yet_it_says_so_and_makes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    found = await examine(tmp_path)
    for name in ("keys", "database"):
        assert found[name].ok
        assert found[name].text.startswith("none yet: 'callboard serve' makes ")
    assert "migrations" not in found
    assert list(tmp_path.iterdir()) == []


async def test_an_embedded_database_that_a_server_misses_is_told_and_not_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def abandoned(_: EmbeddedPostgres) -> bool:
        return True

    monkeypatch.delenv("DATABASE_URL")
    (tmp_path / "data" / "postgres").mkdir(parents=True)
    monkeypatch.setattr(EmbeddedPostgres, "abandoned", abandoned)
    found = (await examine(tmp_path))["database"]
    assert not found.ok
    assert "has ended" in found.text
    assert list((tmp_path / "data" / "postgres").iterdir()) == []


async def test_a_secret_that_is_kept_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jwt-secret").write_text("short")
    keys = (await examine(tmp_path))["keys"]
    assert not keys.ok
    assert "jwt-secret" in keys.text


async def test_a_page_that_is_not_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(web_files, "built", lambda: False)
    page = (await examine(tmp_path))["page"]
    assert not page.ok
    assert "pip install" in page.text


async def test_a_wrong_setting_ends_the_examination(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOCKET_PORT", "none")
    found = await examine(tmp_path)
    assert not found["settings"].ok
    assert "SOCKET_PORT" in found["settings"].text
    assert "database" not in found


async def test_a_key_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JWT_PUBLIC_KEY", "/nowhere/key.pem")
    keys = (await examine(tmp_path))["keys"]
    assert not keys.ok
    assert "JWT_PUBLIC_KEY" in keys.text


async def test_a_port_that_another_program_uses(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        port = (await examine(tmp_path, number))["port"]
    assert not port.ok
    assert str(number) in port.text


async def test_a_port_that_our_own_server_uses(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with announced(tmp_path / "data", f"http://127.0.0.1:{number}"):
            port = (await examine(tmp_path, number))["port"]
            taken.close()
    assert port.ok


async def test_a_disk_that_is_nearly_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, 1 << 20))
    disk = (await examine(tmp_path))["disk"]
    assert not disk.ok
    assert disk.text.startswith("1 MiB free")


async def test_a_database_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/d")
    found = await examine(tmp_path)
    assert not found["database"].ok
    assert "DATABASE_URL (postgresql://me@127.0.0.1:1/d)" in found["database"].text
    assert "hunter2" not in str(found)


async def test_a_database_that_is_too_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "MINIMUM_POSTGRES", 999_999)
    found = await examine(tmp_path)
    assert not found["database"].ok
    assert "14 or newer" in found["database"].text


async def test_migrations_that_are_pending(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_dsn: str) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_dsn)
    found = await examine(tmp_path)
    assert not found["migrations"].ok
    assert "kernel" in found["migrations"].text
    assert "callboard migrate" in found["migrations"].text


async def test_a_database_that_is_newer_than_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(migrate, "load", list)
    found = await examine(tmp_path)
    assert not found["database"].ok
    assert "upgrade Callboard" in found["database"].text
