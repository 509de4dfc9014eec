"""The command line: options, exit statuses, and one line for a known error."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import structlog
from click.testing import CliRunner, Result

from callboard import __version__, announcement, cli, doctor
from callboard.announcement import announced
from callboard.doctor import Finding

SUPPRESSED = {"muted": 0, "rate_limited": 0}
SENT = {"notification_id": "0192", "created": 2, "held": 0, "folded": 0, "suppressed": SUPPRESSED}
NOTIFY = ("notify", "--to", "u1", "--to", "u2", "--type", "note", "--title", "Hello")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings from outside, and none of the commands' logging after the test."""
    monkeypatch.chdir(tmp_path)
    for name in ("JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_URL", "DATABASE_URL", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CALLBOARD_DATA_DIR", str(tmp_path / "data"))
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, list(arguments))


def check_one_line(result: Result, *words: str) -> None:
    """A known error: exit status 1, one line, no traceback."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


class Server:
    """Stands in for a running server: keeps what it is sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer = httpx.Response(201, json=SENT)
        self.error: Exception | None = None
        self.requests: list[tuple[str, bytes, dict[str, str]]] = []
        monkeypatch.setattr(httpx, "post", self.post)

    def post(self, url: str, *, content: bytes, headers: dict[str, str], **options: Any) -> httpx.Response:
        self.requests.append((url, content, headers))
        if self.error is not None:
            raise self.error
        return self.answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"callboard, version {__version__}\n")


def test_every_command_takes_a_data_directory() -> None:
    assert set(cli.main.commands) == {"serve", "migrate", "token", "revoke", "notify", "doctor"}
    for command in cli.main.commands.values():
        assert "--data-dir" in {name for parameter in command.params for name in parameter.opts}


# token


def test_token_says_what_was_asked(tmp_path: Path) -> None:
    result = run("token", "--sub", "u1", "--name", "Mira", "--role", "admin", "--team", "art", "--team", "cut")
    assert result.exit_code == 0
    secret = (tmp_path / "data" / "jwt-secret").read_bytes()
    claims = jwt.decode(result.stdout.strip(), secret, algorithms=["HS256"])
    assert (claims["sub"], claims["name"], claims["roles"], claims["teams"]) == (
        "u1",
        "Mira",
        ["admin"],
        ["art", "cut"],
    )
    assert claims["exp"] - int(claims["iat"]) == 24 * 3600
    assert (tmp_path / "data").stat().st_mode & 0o077 in (0, 0o011)


def test_token_says_when_it_made_the_key_that_signs_it() -> None:
    first, second = run("token", "--sub", "u1"), run("token", "--sub", "u1")
    assert "made a new key" in first.stderr
    assert second.stderr == ""


def test_an_empty_data_directory_counts_as_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert run("token", "--sub", "u1", "--data-dir", "").exit_code == 0
    assert list(elsewhere.iterdir()) == []
    assert (tmp_path / "data" / "jwt-secret").exists()


def test_the_working_directory_can_be_the_data_directory(tmp_path: Path) -> None:
    assert run("token", "--sub", "u1", "--data-dir", ".").exit_code == 0
    assert (tmp_path / "jwt-secret").exists()
    assert not (tmp_path / "data").exists()


def test_token_lives_as_long_as_asked() -> None:
    claims = jwt.decode(run("token", "--sub", "u1", "--ttl", "15m").stdout.strip(), options={"verify_signature": False})
    assert claims["exp"] - int(claims["iat"]) == 15 * 60


@pytest.mark.parametrize("ttl", ["0s", "15", "-1h", "forever", "9999d"])
def test_token_with_a_wrong_lifetime(ttl: str) -> None:
    check_one_line(run("token", "--sub", "u1", "--ttl", ttl), "lifetime")


def test_token_for_nobody() -> None:
    check_one_line(run("token", "--sub", ""), "sub")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOCKET_PORT", "70000"),
        ("SOCKET_CORS_ORIGIN", "*"),
        ("JWT_SECRET", "short"),
        ("JWT_ALGORITHMS", "none"),
        ("JWT_JWKS_URL", "http://issuer.example"),
        ("DATABASE_URL", "postgresql://me:pa/hunter2@h/d"),
        ("LOG_LEVEL", "loud"),
    ],
)
@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("migrate",), ("token", "--sub", "u1"), NOTIFY])
def test_a_wrong_setting_stops_every_command(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    result = run(*command)
    check_one_line(result, name)
    assert "hunter2" not in result.stderr


def test_two_key_sources_stop_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "a secret of more than thirty-two bytes")
    monkeypatch.setenv("JWT_JWKS_URL", "https://issuer.example")
    check_one_line(run("token", "--sub", "u1"), "JWT_SECRET", "JWT_JWKS_URL")


# notify


def test_notify_sends_what_was_asked_as_an_admin(server: Server, tmp_path: Path) -> None:
    result = run(*NOTIFY, "--message", "Look", "--data", '{"n": [1, "é"]}', "--url", "http://127.0.0.1:9/")
    assert (result.exit_code, result.stdout) == (0, "sent 0192: 2 delivered\n")
    ((url, content, headers),) = server.requests
    assert url == "http://127.0.0.1:9/api/v1/notifications"
    assert json.loads(content) == {
        "user_ids": ["u1", "u2"],
        "type": "note",
        "title": "Hello",
        "message": "Look",
        "data": {"n": [1, "é"]},
    }
    secret = (tmp_path / "data" / "jwt-secret").read_bytes()
    claims = jwt.decode(headers["authorization"].removeprefix("Bearer "), secret, algorithms=["HS256"])
    assert claims["roles"] == ["admin"]
    assert claims["exp"] - int(claims["iat"]) == 60


def test_notify_says_whom_it_did_not_reach(server: Server) -> None:
    fate = {"created": 0, "held": 1, "folded": 2, "suppressed": {"muted": 3, "rate_limited": 4}}
    server.answer = httpx.Response(201, json={"notification_id": "0192", **fate})
    result = run(*NOTIFY, "--url", "http://127.0.0.1:9")
    said = "sent 0192: 0 delivered, 1 held, 2 joined a group, 3 muted, 4 over the hourly limit\n"
    assert (result.exit_code, result.stdout) == (0, said)


def test_notify_finds_the_server_of_the_data_directory(server: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with announced(tmp_path / "data", url):
            assert run(*NOTIFY).exit_code == 0
            listener.close()
    assert server.requests[0][0] == f"{url}/api/v1/notifications"


def test_notify_without_a_server_asks_nobody_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    check_one_line(run(*NOTIFY), "no server runs on", "callboard serve", "--url")
    assert server.requests == []
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("data", ["{", "{'a': 1}", '{"a": NaN}', '{"a": -Infinity}', "[" * 100_000])
def test_notify_with_data_that_is_no_json(server: Server, data: str) -> None:
    check_one_line(run(*NOTIFY, "--data", data, "--url", "http://127.0.0.1:9"), "--data is not JSON")
    assert server.requests == []


def test_notify_that_the_server_refuses(server: Server) -> None:
    server.answer = httpx.Response(422, json={"detail": "title must not be so"})
    check_one_line(run(*NOTIFY, "--url", "http://127.0.0.1:9"), "refused it (422): title must not be so")
    server.answer = httpx.Response(502, text="a proxy's page")
    check_one_line(run(*NOTIFY, "--url", "http://127.0.0.1:9"), "refused it (502): a proxy's page")


@pytest.mark.parametrize("answer", [{"json": {"ok": True}}, {"json": [1]}, {"text": "<html>"}])
def test_notify_that_something_else_answers(server: Server, answer: dict[str, Any]) -> None:
    server.answer = httpx.Response(200, **answer)
    check_one_line(run(*NOTIFY, "--url", "http://127.0.0.1:9"), "not as Callboard does")


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadTimeout("late"), httpx.InvalidURL("bad")])
def test_notify_that_nobody_answers(server: Server, error: Exception) -> None:
    server.error = error
    check_one_line(run(*NOTIFY, "--url", "http://127.0.0.1:9"), "http://127.0.0.1:9", str(error))


@pytest.mark.parametrize("url", ["nowhere", "http://[::1", "ftp://127.0.0.1"])
def test_notify_with_an_address_that_is_none(url: str) -> None:
    check_one_line(run(*NOTIFY, "--url", url), url)


def test_notify_needs_a_secret_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_JWKS_URL", "https://issuer.example")
    check_one_line(run(*NOTIFY, "--url", "http://127.0.0.1:9"), "JWT_JWKS_URL", "cannot sign")


# doctor


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 1)])
def test_doctor_prints_its_findings_and_tells_by_its_status(
    monkeypatch: pytest.MonkeyPatch, ok: bool, status: int
) -> None:
    async def examine(data_dir: Path | None, port: int | None) -> list[Finding]:
        assert (data_dir, port) == (Path("there"), 7)
        return [Finding(name="disk", ok=True, text="room"), Finding(name="port", ok=ok, text="7 is free")]

    monkeypatch.setattr(doctor, "examine", examine)
    result = run("doctor", "--data-dir", "there", "--port", "7")
    assert result.exit_code == status
    assert result.output.splitlines() == ["ok   disk: room", f"{'ok  ' if ok else 'FAIL'} port: 7 is free"]


# server.json


def test_an_announcement_is_there_while_the_server_is(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with announced(tmp_path / "data", url):
            found = announcement.find(tmp_path / "data")
            assert found is not None
            assert (found.url, found.port) == (url, listener.getsockname()[1])
            listener.close()
            assert announcement.find(tmp_path / "data") is None
    assert not (tmp_path / "data" / announcement.FILE).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "http://127.0.0.1:1"}', '{"url": "http://h:x", "pid": 1}'])
def test_a_file_that_says_nothing_announces_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / announcement.FILE).write_text(text)
    assert announcement.find(tmp_path) is None
