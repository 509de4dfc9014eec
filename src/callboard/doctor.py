"""`callboard doctor`: what would stop this installation, and how to mend it.

Owns: the checks, each of which reports and never raises. Never: a change to anything: it makes neither a key nor a
database, and says that `serve` does. (An embedded database that does not run is started, and stopped again.)
"""

from __future__ import annotations

import platform
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from callboard import __version__, announcement, web_files
from callboard import settings as settings_module
from callboard.auth.keys import SECRET_FILE
from callboard.auth.tokens import verifier
from callboard.clock import SystemClock
from callboard.errors import CallboardError
from callboard.server import database, has_database
from callboard.settings import Settings
from callboard.store.database import Database
from callboard.store.embedded import EmbeddedPostgres
from callboard.store.migrate import pending

MINIMUM_POSTGRES = 140000
MINIMUM_FREE_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check. `text` says what is, or what to do."""

    name: str
    ok: bool
    text: str


async def examine(data_dir: Path | None, port: int | None) -> list[Finding]:
    """Run every check that can be run."""
    findings = [_versions(), _page()]
    try:
        settings = settings_module.load(data_dir=data_dir)
    except CallboardError as error:
        return [*findings, Finding(name="settings", ok=False, text=error.message)]
    findings.append(Finding(name="settings", ok=True, text=f"data directory {settings.data_dir}"))
    wanted = settings.socket_port if port is None else port
    findings += [_keys(settings), _port(wanted, settings.data_dir), _disk(settings.data_dir)]
    return findings + await _database(settings)


def _versions() -> Finding:
    text = f"callboard {__version__}, Python {platform.python_version()}, asyncpg {asyncpg.__version__}"
    return Finding(name="versions", ok=True, text=text)


def _page() -> Finding:
    if web_files.built():
        return Finding(name="page", ok=True, text="built")
    return Finding(
        name="page", ok=False, text="not built: install the package again (pip install -e .), which builds it"
    )


def _keys(settings: Settings) -> Finding:
    given = settings.jwt_secret or settings.jwt_public_key or settings.jwt_jwks_url
    if not given and not (settings.data_dir / SECRET_FILE).exists():
        return Finding(name="keys", ok=True, text="none yet: 'callboard serve' makes a secret in the data directory")
    try:
        verifier(settings, clock=SystemClock())
    except CallboardError as error:
        return Finding(name="keys", ok=False, text=error.message)
    return Finding(name="keys", ok=True, text=f"tokens by {', '.join(settings.jwt_algorithms)}")


def _port(port: int, data_dir: Path) -> Finding:
    running = announcement.find(data_dir)
    if running is not None and running.port == port:
        return Finding(name="port", ok=True, text=f"{port} is used by the server of this data directory")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            text = (
                f"{port} cannot be used ({error.strerror}): end what uses it, or set SOCKET_PORT; if it is a server of"
                " yours, name its directory with --data-dir"
            )
            return Finding(name="port", ok=False, text=text)
    return Finding(name="port", ok=True, text=f"{port} is free")


def _disk(data_dir: Path) -> Finding:
    place = next(parent for parent in (data_dir, *data_dir.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    text = f"{free // (1 << 20)} MiB free at {place}"
    if free < MINIMUM_FREE_BYTES:
        return Finding(name="disk", ok=False, text=f"{text}: make room, PostgreSQL stops on a full disk")
    return Finding(name="disk", ok=True, text=text)


async def _database(settings: Settings) -> list[Finding]:
    if not has_database(settings):
        text = "none yet: 'callboard serve' makes one in the data directory; for one of your own, set DATABASE_URL"
        return [Finding(name="database", ok=True, text=text)]
    try:
        if settings.database_url is None and await EmbeddedPostgres(settings.data_dir).abandoned():
            log = settings.data_dir / "postgres.log"
            text = f"the embedded PostgreSQL has ended, and the server that uses it tries to start it again: see {log}"
            return [Finding(name="database", ok=False, text=text)]
        async with database(settings) as dsn:
            return [await _server_version(dsn), await _migrations(dsn)]
    except CallboardError as error:
        return [Finding(name="database", ok=False, text=error.message)]


async def _server_version(dsn: str) -> Finding:
    pool = await Database.open(dsn, min_size=1, max_size=1)
    try:
        number = int(await pool.fetchval("select current_setting('server_version_num')"))
        version = await pool.fetchval("select current_setting('server_version')")
    finally:
        await pool.close()
    if number < MINIMUM_POSTGRES:
        return Finding(name="database", ok=False, text=f"PostgreSQL {version} is too old: use 14 or newer")
    return Finding(name="database", ok=True, text=f"PostgreSQL {version}")


async def _migrations(dsn: str) -> Finding:
    names = [migration.name for migration in await pending(dsn)]
    if names:
        return Finding(name="migrations", ok=False, text=f"pending: {', '.join(names)}; run 'callboard migrate'")
    return Finding(name="migrations", ok=True, text="all applied")
