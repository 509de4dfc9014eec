"""The embedded server: its starts, several processes on one directory, and what kill -9 leaves."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from tests.integration.store.clusters import FAST, ask, postmaster, runs, user_process

from callboard.clock import SystemClock
from callboard.errors import StartError
from callboard.store.cluster import ServerUser, make_cluster, server_user, wheel
from callboard.store.embedded import EmbeddedPostgres


def modes(path: Path) -> list[tuple[str, int, int]]:
    return [(str(p), stat.S_IMODE(p.stat().st_mode), p.stat().st_uid) for p in (path, *path.parents)]


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
