"""The commands beside a running server, as a person types them."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from tests.integration.serve.kit import Server, callboard, tab

Launch = Callable[..., Server]


async def run(server: Server, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command on the server's data directory."""
    directory = ("--data-dir", str(server.data_dir))
    return await asyncio.to_thread(callboard, *arguments, *directory, cwd=server.data_dir.parent, **settings)


async def test_notify_reaches_who_is_named(server: Server, user: str) -> None:
    async with tab(server, user + "-a") as first, tab(server, user + "-b") as second:
        recipients = ("--to", user + "-a", "--to", user + "-b")
        words = ("--type", "episode:updated", "--title", "Rough cut ready", "--message", "See it", "--data", '{"n": 7}')
        ended = await run(server, "notify", *recipients, *words)
        assert ended.returncode == 0, ended.stderr
        assert re.fullmatch(r"sent [0-9a-f-]{36}: 2 delivered\n", ended.stdout)
        for each in (first, second):
            await each.until_title("Rough cut ready")
            got = each.got("notification:new")[0]
            assert (got["type"], got["message"], got["data"]) == ("episode:updated", "See it", {"n": 7})
            assert got["actor"] == "callboard"
            assert got["id"] in ended.stdout


async def test_a_token_is_accepted(server: Server) -> None:
    ended = await run(server, "token", "--sub", "u9", "--role", "admin", "--team", "art")
    token = ended.stdout.strip()
    async with tab(server, "u9", token=token, namespaces=("/admin",)) as here:
        assert here.refusals == []
        assert here.client.connected


async def test_revoke_ends_who_is_named_and_nobody_else(server: Server, user: str) -> None:
    other = user + "-other"
    async with tab(server, user) as here, tab(server, other) as there, server.rest(user) as client:
        assert (await client.get("/api/v1/notifications")).is_success
        ended = await run(server, "revoke", "--user", user)
        assert ended.returncode == 0, ended.stderr
        assert re.fullmatch(
            rf"revoked: tokens issued to {re.escape(user)} before [0-9T:-]{{19}}Z are refused\n", ended.stdout
        )
        await here.ended.wait()
        answer = await client.get("/api/v1/notifications")
        assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
        assert (await there.call("notification:read-all", {}))["ok"] is True
    ended = await run(server, "revoke", "--user", "x" * 256)
    assert ended.returncode == 1
    assert ended.stderr.endswith("\nError: user_id must have 1 to 255 characters\n")


async def test_revoke_asks_for_the_migrations_first(empty_dsn: str, tmp_path: Path) -> None:
    ended = await asyncio.to_thread(callboard, "revoke", "--user", "u1", cwd=tmp_path, DATABASE_URL=empty_dsn)
    assert ended.returncode == 1
    assert "callboard migrate" in ended.stderr


@pytest.mark.parametrize(
    ("command", "out", "err"),
    [
        (["migrate", "--check"], "pending: kernel\npending: notifications\n", ""),
        (["revoke", "--user", "u1"], "", "Error: there is no database in "),
    ],
)
async def test_to_look_makes_no_database(tmp_path: Path, command: list[str], out: str, err: str) -> None:
    directory = tmp_path / "none"
    ended = await asyncio.to_thread(callboard, *command, cwd=tmp_path, CALLBOARD_DATA_DIR=str(directory))
    assert ended.returncode == 1
    assert ended.stdout.startswith(out)
    assert ended.stderr.startswith(err)
    assert not list(directory.glob("postgres*"))


async def test_doctor_finds_nothing_wrong_with_a_running_server(server: Server) -> None:
    ended = await run(server, "doctor", "--port", str(server.port))
    lines = dict(line.split(": ", 1) for line in ended.stdout.splitlines())
    assert lines["ok   port"] == f"{server.port} is used by the server of this data directory"
    assert lines["ok   database"].startswith("PostgreSQL 18")
    assert lines["ok   migrations"] == "all applied"
    # A checkout without a built page is the one thing that may be missing here.
    assert [line for line in lines if line.startswith("FAIL")] in ([], ["FAIL page"])
    assert ended.returncode == (1 if "FAIL page" in lines else 0)
    assert ended.stderr == ""


async def test_a_second_server_does_not_hide_the_first(launch: Launch, dsn: str) -> None:
    first = launch(DATABASE_URL=dsn)
    second = launch(DATABASE_URL=dsn)
    announced = (first.data_dir / "server.json").read_text()
    assert second.url in announced
    assert second.stop() == 0
    assert first.url in (first.data_dir / "server.json").read_text()
    ended = await run(first, "notify", "--to", "u1", "--type", "note", "--title", "still here")
    assert ended.returncode == 0, ended.stderr
    assert first.stop() == 0
    assert not (first.data_dir / "server.json").exists()


async def test_a_server_that_was_killed_is_not_asked(launch: Launch) -> None:
    server = launch()
    server.kill()
    assert (server.data_dir / "server.json").exists()
    ended = await run(server, "notify", "--to", "u1", "--type", "note", "--title", "t")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: no server runs on {server.data_dir}")
    # Nobody else uses the database that the crash left: the next command that needs it stops it after use.
    ended = await run(server, "migrate", "--check")
    assert (ended.returncode, ended.stdout) == (0, "nothing is pending\n")
    assert server.postgres_pid() is None


async def test_migrate_says_what_is_pending_and_applies_it(home: Path, empty_dsn: str) -> None:
    def migrate(*options: str) -> subprocess.CompletedProcess[str]:
        return callboard("migrate", *options, cwd=home, DATABASE_URL=empty_dsn, CALLBOARD_DATA_DIR=str(home / "data"))

    checked = await asyncio.to_thread(migrate, "--check")
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[:2] == ["pending: kernel", "pending: notifications"]
    connection = await asyncpg.connect(empty_dsn)
    try:
        assert await connection.fetchval("select to_regnamespace('callboard')") is None
        applied = await asyncio.to_thread(migrate)
        assert applied.returncode == 0
        assert applied.stdout == checked.stdout.replace("pending", "applied")
        assert await connection.fetchval("select to_regclass('callboard.notifications')") is not None
    finally:
        await connection.close()
    again = await asyncio.to_thread(migrate)
    assert (again.returncode, again.stdout) == (0, "nothing is pending\n")
    assert (await asyncio.to_thread(migrate, "--check")).returncode == 0
