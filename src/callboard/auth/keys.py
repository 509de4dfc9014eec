"""Verification keys that the settings hold: a shared secret, a kept secret or a public key.

Owns: the `Keys` seam, which key fits which algorithm, and the file `<data_dir>/jwt-secret`. Never: a key in a
message, a log line or a `repr`; an algorithm that the settings did not pin.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from callboard.errors import SettingsError, StartError
from callboard.settings import MINIMUM_SECRET_BYTES, Settings

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
Key = bytes | PublicKey

SECRET_FILE = "jwt-secret"  # noqa: S105 - a file's name
MINIMUM_RSA_BITS = 2048
# RFC 7518: an HMAC key is at least as long as its hash (section 3.2), an ES algorithm has one curve (3.4).
_HMAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}


class Keys(Protocol):
    """Where a verifier finds the key for a token."""

    @property
    def revision(self) -> int:
        """Grows whenever a key that was valid before may be so no more."""

    async def current(self) -> int:
        """The revision, after any refresh that is due and must be waited for."""

    async def find(self, algorithm: str, kid: str | None) -> Key | None:
        """A key that fits `algorithm` (already checked against the pinned ones), or None."""

    async def aclose(self) -> None:
        """Give back what the keys hold open."""


class StaticKeys:
    """One key, read at the start, whatever `kid` says."""

    revision = 0

    def __init__(self, key: Key) -> None:
        self._key = key

    async def current(self) -> int:
        return self.revision

    async def find(self, algorithm: str, kid: str | None) -> Key | None:
        return self._key if key_fits(self._key, algorithm) else None

    async def aclose(self) -> None:
        return None


def key_fits(key: Key, algorithm: str) -> bool:
    """Whether `key` is of the kind and the strength that `algorithm` asks for."""
    family = algorithm[:2]
    if isinstance(key, bytes):
        return len(key) >= _HMAC_BYTES.get(algorithm, MINIMUM_SECRET_BYTES) and family == "HS"
    if isinstance(key, RSAPublicKey):
        return family in ("RS", "PS") and key.key_size >= MINIMUM_RSA_BITS
    if isinstance(key, EllipticCurvePublicKey):
        return key.curve.name == _CURVES.get(algorithm)
    return algorithm == "EdDSA"


def secret_key(settings: Settings) -> bytes:
    """The HMAC key: JWT_SECRET, else the kept one, which is made if there is none.

    Raises SettingsError for a secret too short for a pinned algorithm, StartError for an unusable file.
    """
    if settings.jwt_secret is None:
        return kept_secret(settings.data_dir)
    key = settings.jwt_secret.encode()
    for algorithm in settings.jwt_algorithms:
        needed = _HMAC_BYTES.get(algorithm, MINIMUM_SECRET_BYTES)
        if len(key) < needed:
            raise SettingsError(f"JWT_SECRET is too short for {algorithm}: give at least {needed} bytes")
    try:
        jwt.get_algorithm_by_name(settings.jwt_algorithms[0]).prepare_key(key)
    except jwt.InvalidKeyError:
        raise SettingsError("JWT_SECRET holds a public key, which is no secret: set it as JWT_PUBLIC_KEY") from None
    return key


def public_key(settings: Settings) -> PublicKey:
    """JWT_PUBLIC_KEY: PEM text, in which `\\n` may stand for a line end, or the path of a PEM file.

    Raises SettingsError when there is no such file, no public key in it, or it does not fit the algorithms.
    """
    key = _load_pem(_pem(settings.jwt_public_key or ""))
    for algorithm in settings.jwt_algorithms:
        if not key_fits(key, algorithm):
            raise SettingsError(
                f"JWT_PUBLIC_KEY does not fit {algorithm}: name the algorithm it is for in JWT_ALGORITHMS "
                f"(RSA keys need {MINIMUM_RSA_BITS} bits)"
            )
    return key


def kept_secret(data_dir: Path) -> bytes:
    """The secret in `<data_dir>/jwt-secret`, made with mode 0600 if it is not there.

    Atomic: of several processes that start at once, each returns the same secret, and none reads half a file.
    """
    path = data_dir / SECRET_FILE
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        # As embedded.py makes it: another user's PostgreSQL may have to pass through, and only we may look around.
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)
        if not path.exists():
            _make_secret(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        secret = path.read_bytes().strip()
    except OSError as problem:
        raise StartError(f"Cannot keep the signing secret in {path}: {problem.strerror}") from None
    if os.name == "posix" and mode & 0o077:
        raise StartError(f"{path} can be read by others: delete it, and a new secret is made (old tokens end)")
    if len(secret) < max(_HMAC_BYTES.values()):
        raise StartError(f"{path} holds no whole secret: delete it, and a new one is made (old tokens end)")
    return secret


def _make_secret(path: Path) -> None:
    """Write a secret beside `path`, then link it into place: the first process to link wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(64).encode())
            file.flush()
            os.fsync(file.fileno())
        _link(draft, path)
    finally:
        draft.unlink()


def _link(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        return  # another process was first: its secret is the one


def _pem(value: str) -> bytes:
    if "-----BEGIN" in value:
        return value.replace("\\n", "\n").encode()
    try:
        return Path(value).read_bytes()
    except (OSError, ValueError):
        raise SettingsError("JWT_PUBLIC_KEY is neither PEM text nor the path of a readable PEM file") from None


def _load_pem(pem: bytes) -> PublicKey:
    if b"PRIVATE KEY-----" in pem:
        raise SettingsError("JWT_PUBLIC_KEY holds a private key: give the public one, and keep that one away")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError("JWT_PUBLIC_KEY is not a public key in PEM (BEGIN PUBLIC KEY)") from None
    if not isinstance(key, PublicKey):
        raise SettingsError("JWT_PUBLIC_KEY must be an RSA, EC or Ed25519/Ed448 key")
    return key


def pinned(algorithms: Sequence[str], algorithm: object) -> str | None:
    """`algorithm` if it is one of the pinned ones, else None."""
    return algorithm if isinstance(algorithm, str) and algorithm in algorithms else None
