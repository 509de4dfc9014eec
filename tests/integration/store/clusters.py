"""Clusters as the tests of the embedded server see them: their users, their process, a question."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

FAST = {"fsync": "off"}
PATIENCE = 60.0

# A process that uses the server until its standard input ends.
USER = """
import asyncio, sys
from pathlib import Path
from callboard import telemetry
from callboard.store.embedded import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"})
    print(await server.start(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()

telemetry.configure("error", "json")
asyncio.run(main())
"""


@asynccontextmanager
async def user_process(data_dir: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that uses the server of `data_dir`; ready when the block begins."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        USER,
        str(data_dir),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            assert (await process.stdout.readline()).startswith(b"postgresql://")
        yield process
    finally:
        process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            await process.wait()


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split("\n")[0])


def runs(pid: int) -> bool:
    """Whether `pid` is a PostgreSQL server, and not a dead one that nobody has reaped."""
    try:
        return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def ask(dsn: str, query: str = "select 1") -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
