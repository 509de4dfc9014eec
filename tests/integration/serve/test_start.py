"""What stops a start: one line that says so, exit status 1, and nothing left behind."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.integration.serve.kit import Server, callboard

Launch = Callable[..., Server]


def check_one_line(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("\n") == 1
    for word in words:
        assert word in ended.stderr


def serve(home: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A start that fails before a database is made."""
    ended = callboard("serve", *options, "--data-dir", str(home / "data"), cwd=home, **settings)
    assert not (home / "data" / "postgres").exists()
    assert not (home / "data" / "server.json").exists()
    return ended


def test_a_wrong_setting(home: Path) -> None:
    check_one_line(serve(home, TRUSTED_PROXIES="proxy.example"), "TRUSTED_PROXIES", "proxy.example")


def test_a_bound_out_of_its_range(home: Path) -> None:
    check_one_line(serve(home, SOCKET_MAX_UNSENT_BYTES="1MiB"), "SOCKET_MAX_UNSENT_BYTES is '1MiB'", "65536")


def test_an_occupied_port(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check_one_line(serve(home, "--port", str(port)), f"127.0.0.1:{port}", "--port")


def test_the_demo_is_for_this_machine(home: Path) -> None:
    check_one_line(serve(home, "--demo", "--host", "0.0.0.0", "--port", "0"), "--demo", "loopback")


def test_the_demo_needs_a_secret_of_our_own(home: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    ended = serve(home, "--demo", "--port", "0", JWT_PUBLIC_KEY=pem, JWT_ALGORITHMS="ES256")
    check_one_line(ended, "JWT_PUBLIC_KEY", "cannot sign")


def test_a_data_directory_that_cannot_be(home: Path) -> None:
    (home / "file").write_text("")
    ended = callboard("serve", "--port", "0", "--data-dir", str(home / "file" / "data"), cwd=home)
    check_one_line(ended, str(home / "file"))


def test_a_data_directory_that_cannot_be_beside_a_database_that_can(home: Path, dsn: str) -> None:
    (home / "file").write_text("")
    ended = callboard(
        *("serve", "--port", "0", "--data-dir", str(home / "file" / "data")),
        cwd=home,
        DATABASE_URL=dsn,
        JWT_SECRET="a secret of more than thirty-two bytes",
        LOG_LEVEL="error",
    )
    check_one_line(ended, str(home / "file"), "--data-dir")


def test_a_secret_that_others_may_read(home: Path) -> None:
    (home / "data").mkdir()
    secret = home / "data" / "jwt-secret"
    secret.write_text("x" * 80)
    os.chmod(secret, 0o644)
    ended = serve(home, "--port", "0")
    check_one_line(ended, str(secret))
    assert "x" * 80 not in ended.stderr
