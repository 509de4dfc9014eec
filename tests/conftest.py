"""Fixtures for every test: a clock to turn, and real PostgreSQL.

One embedded server for the whole run (no fsync: it need not survive the machine); each test that asks for
`dsn` or `database` gets a fresh, migrated database, copied from a template.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog
from hypothesis import settings

from callboard.store.database import Database
from callboard.store.embedded import EmbeddedPostgres
from callboard.store.migrate import migrate

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
TEMPLATE = "callboard_template"

# How long an example takes says what else the machine does, not whether the code is right.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

# The log's usual form, but for tracebacks: with colours and all locals, they take long to lay out.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.set_exc_info,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

_numbers = itertools.count(1)

# Tracing doubles their time, and what they run is run by other tests too.
UNTRACED = ("property", "conformance")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(tests) and item.path.relative_to(tests).parts[0] in UNTRACED:
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The run's server. Its directory is short-lived and its own: tests never see a developer's data."""
    data_dir = Path(tempfile.mkdtemp(prefix="callboard-tests-"))
    server = EmbeddedPostgres(data_dir, settings=FAST)
    try:
        asyncio.run(_start(server))
        yield server
        asyncio.run(server.stop())
    finally:
        shutil.rmtree(data_dir)


async def _start(server: EmbeddedPostgres) -> None:
    await server.start()
    await _administer(server, f"create database {TEMPLATE} owner callboard")
    await migrate(server.dsn(TEMPLATE))


async def _administer(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.dsn("postgres", role="postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def empty_dsn(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The DSN of an empty database: nothing migrated."""
    name = f"test_{next(_numbers)}"
    await _administer(postgres, f"create database {name} owner callboard")
    yield postgres.dsn(name)
    await _administer(postgres, f"drop database {name} with (force)")


@pytest.fixture
async def dsn(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The DSN of a fresh database with every migration applied, owned by an ordinary role."""
    name = f"test_{next(_numbers)}"
    await _administer(postgres, f"create database {name} template {TEMPLATE} owner callboard")
    yield postgres.dsn(name)
    await _administer(postgres, f"drop database {name} with (force)")


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """A pool on a fresh, migrated database."""
    opened = await Database.open(dsn, min_size=1, max_size=5)
    yield opened
    await opened.close()
