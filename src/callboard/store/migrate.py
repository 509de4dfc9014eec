"""Migrations: plain SQL files, applied in order, each in a transaction of its own.

Owns: the files' names and checksums, the table `callboard.schema_migrations`, and the lock that lets two
nodes start together. Never: an edit of an applied migration (a wrong one is mended by the next), a step down.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from callboard.errors import StartError
from callboard.store.database import DRIVER_ERRORS, reason_of
from callboard.store.pool import CONNECT_TIMEOUT
from callboard.telemetry import log

DIRECTORY = Path(__file__).with_name("migrations")
LOCK_TIMEOUT = "120s"
# Any constant does: the key of "this database's schema callboard is being migrated".
LOCK = 4_702_111_234_474_983_745

_NAME = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql\Z")


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One file: `version` from its number, `checksum` of its text (SHA-256, hexadecimal)."""

    version: int
    name: str
    sql: str
    checksum: str


def load(directory: Path = DIRECTORY) -> list[Migration]:
    """The migrations of `directory`, `NNNN_name.sql`, in order from 0001 without a gap. Raises StartError."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        match = _NAME.match(path.name)
        if match is None:
            raise StartError(f"{path} is not named like a migration (0001_name.sql)")
        sql = path.read_text(encoding="utf-8")
        checksum = hashlib.sha256(sql.encode()).hexdigest()
        found.append(Migration(version=int(match[1]), name=match[2], sql=sql, checksum=checksum))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise StartError(f"the migrations in {directory} are not numbered 0001, 0002, … without a gap")
    return found


async def migrate(dsn: str, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """Apply what is not applied, and return it. Safe when several nodes start together: one works, others
    wait.

    A failing migration leaves nothing of itself; those before it stay. Raises StartError for that, for an
    applied migration whose text was changed since, for a database newer than this program, and if there is no
    connection.
    """
    known = load() if migrations is None else list(migrations)
    applied = []
    async with _connected(dsn) as connection:
        await connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        await connection.execute("set lock_timeout = 0")
        for migration in _missing(known, await _read_applied(connection)):
            await _apply(connection, migration)
            log.info("database.migrated", version=migration.version, name=migration.name)
            applied.append(migration)
    return applied


async def pending(dsn: str, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """What `migrate` would apply. Changes nothing; raises as it does."""
    async with _connected(dsn) as connection:
        return _missing(load() if migrations is None else migrations, await _read_applied(connection))


async def _read_applied(connection: Any) -> list[Any]:
    if await connection.fetchval("select to_regclass('callboard.schema_migrations')") is None:
        return []
    rows: list[Any] = await connection.fetch(
        "select version, name, checksum from callboard.schema_migrations order by version"
    )
    return rows


def _missing(known: Sequence[Migration], applied: Sequence[Any]) -> list[Migration]:
    by_version = {migration.version: migration for migration in known}
    for row in applied:
        migration = by_version.get(row["version"])
        if migration is None:
            raise StartError(
                f"the database has migration {row['version']:04} ({row['name']}), which this version of "
                "Callboard does not know: it is newer than the program, so upgrade Callboard"
            )
        if migration.checksum != row["checksum"]:
            raise StartError(
                f"migration {migration.version:04} ({migration.name}) was changed after it was applied to "
                "this database: restore its text, and put the change into a new migration"
            )
    done = {row["version"] for row in applied}
    return [migration for migration in known if migration.version not in done]


async def _apply(connection: Any, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(_PREPARE)
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into callboard.schema_migrations (version, name, checksum) values ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.checksum,
            )
    except asyncpg.PostgresError as error:
        raise StartError(
            f"migration {migration.version:04} ({migration.name}) failed and was rolled back: {reason_of(error)}"
        ) from error


# In the transaction of each migration, so that a first one that fails leaves the database as it was.
_PREPARE = """
create schema if not exists callboard;
create table if not exists callboard.schema_migrations (
  version    integer primary key,
  name       text not null,
  checksum   text not null,
  applied_at timestamptz not null default clock_timestamp()
);
"""


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Any]:
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT,
            server_settings={"application_name": "callboard migrate", "timezone": "UTC"},
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT)
    except (*DRIVER_ERRORS, ValueError) as error:
        raise StartError(f"cannot migrate the database: {reason_of(error)}") from error
