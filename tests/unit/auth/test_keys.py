from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from callboard.auth.keys import StaticKeys, kept_secret, key_fits, public_key, secret_key
from callboard.errors import SettingsError, StartError
from callboard.settings import Settings

Configure = Callable[..., Settings]
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey


def pem(key: Private) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def test_the_kept_secret_is_made_once_with_mode_0600(tmp_path: Path) -> None:
    data_dir = tmp_path / "not yet" / "there"
    secret = kept_secret(data_dir)
    assert len(secret) >= 64
    assert kept_secret(data_dir) == secret
    assert stat.S_IMODE((data_dir / "jwt-secret").stat().st_mode) == 0o600
    assert [path.name for path in data_dir.iterdir()] == ["jwt-secret"]


def test_processes_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from callboard.auth.keys import kept_secret;"
        "print('ready', flush=True); sys.stdin.readline();"
        "print(kept_secret(Path(sys.argv[1])).decode())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert answers == {(tmp_path / "data" / "jwt-secret").read_text() + "\n"}


def test_the_process_that_links_second_takes_the_first_ones_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jwt-secret"
    exists = Path.exists

    def overtaken(self: Path) -> bool:
        if self == path and not exists(self):
            path.write_text("w" * 64)
            path.chmod(0o600)
            return False
        return exists(self)

    monkeypatch.setattr(Path, "exists", overtaken)
    assert kept_secret(tmp_path) == b"w" * 64
    assert [found.name for found in tmp_path.iterdir()] == ["jwt-secret"]


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    kept_secret(tmp_path)
    (tmp_path / "jwt-secret").chmod(0o640)
    with pytest.raises(StartError, match="can be read by others: delete it"):
        kept_secret(tmp_path)


def test_a_cut_secret_is_refused(tmp_path: Path) -> None:
    kept_secret(tmp_path)
    (tmp_path / "jwt-secret").write_text("short\n")
    with pytest.raises(StartError, match="no whole secret") as caught:
        kept_secret(tmp_path)
    assert "short" not in caught.value.message


def test_a_data_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"Cannot keep the signing secret in .*jwt-secret: "):
        kept_secret(tmp_path / "file" / "data")


def test_the_configured_secret_leaves_the_data_directory_alone(
    configure: Configure, tmp_path: Path, secret: str
) -> None:
    assert secret_key(configure(JWT_SECRET=secret)) == secret.encode()
    assert list(tmp_path.iterdir()) == []


def test_a_secret_shorter_than_its_hash_is_refused(configure: Configure) -> None:
    with pytest.raises(SettingsError, match="JWT_SECRET is too short for HS512: give at least 64 bytes"):
        secret_key(configure(JWT_SECRET="s" * 48, JWT_ALGORITHMS="HS384,HS512"))


def test_a_public_key_is_no_secret(configure: Configure, ec_key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(SettingsError, match="JWT_SECRET holds a public key"):
        secret_key(configure(JWT_SECRET=pem(ec_key)))


def test_a_public_key_comes_as_text_or_as_a_path(
    configure: Configure, rsa_key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    text = pem(rsa_key)
    path = tmp_path / "key of the issuer.pem"
    path.write_text(text)
    for value in (text, text.replace("\n", "\\n"), str(path)):
        assert public_key(configure(JWT_PUBLIC_KEY=value)) == rsa_key.public_key()


def test_an_unusable_public_key_is_said(
    configure: Configure, tmp_path: Path, rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    private = rsa_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    for value, said in {
        str(tmp_path / "absent.pem"): "neither PEM text nor the path",
        "a\x00b": "neither PEM text nor the path",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----": "is not a public key in PEM",
        private: "holds a private key",
        pem(x25519.X25519PrivateKey.generate()): "must be an RSA, EC or",
        pem(ec_key): "does not fit RS256",
        pem(weak): "RSA keys need 2048 bits",
    }.items():
        with pytest.raises(SettingsError, match=f"JWT_PUBLIC_KEY.*{said}"):
            public_key(configure(JWT_PUBLIC_KEY=value))


def test_a_key_fits_only_its_own_algorithms(
    rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey, ed_key: ed25519.Ed25519PrivateKey
) -> None:
    every = ("HS256", "HS512", "RS256", "PS512", "ES256", "ES384", "EdDSA")
    for key, fitting in (
        (b"s" * 32, {"HS256"}),
        (b"s" * 64, {"HS256", "HS512"}),
        (rsa_key.public_key(), {"RS256", "PS512"}),
        (ec_key.public_key(), {"ES256"}),
        (ed_key.public_key(), {"EdDSA"}),
    ):
        assert {name for name in every if key_fits(key, name)} == fitting


async def test_a_static_key_answers_for_every_kid_but_not_for_every_algorithm() -> None:
    keys = StaticKeys(b"s" * 64)
    assert await keys.find("HS256", None) == await keys.find("HS256", "any") == b"s" * 64
    assert await keys.find("RS256", None) is None
    assert await keys.current() == keys.revision
    await keys.aclose()
