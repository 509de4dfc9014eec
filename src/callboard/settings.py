"""Settings: the only reader of the environment.

Owns: every setting's name, default and check; those that only bound what clients may cost are listed in `bounds.py`,
and the forms of values are `setting_values.py`'s. Values come from the process environment, then from a `.env` file in
the working directory. Never: a value read later than the start, a secret in `repr`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
from dotenv import dotenv_values

from callboard.bounds import Bounds, read_bounds
from callboard.errors import SettingsError
from callboard.setting_values import Reader, boolean, database_url, networks, notification_types, origins, words

SYMMETRIC_ALGORITHMS = frozenset({"HS256", "HS384", "HS512"})
ASYMMETRIC_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
MINIMUM_SECRET_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, checked. Durations carry their unit in the name."""

    data_dir: Path
    database_url: str | None = field(default=None, repr=False)

    socket_port: int = 3002
    cors_origins: frozenset[str] = frozenset({"http://localhost:5173"})
    cors_credentials: bool = True
    max_socket_connections: int = 500
    io_uring: bool = True
    reconnection_delay_ms: int = 1000
    reconnection_max_delay_ms: int = 5000
    trusted_proxies: tuple[str, ...] = ()

    jwt_secret: str | None = field(default=None, repr=False)
    jwt_public_key: str | None = field(default=None, repr=False)
    jwt_jwks_url: str | None = None
    jwt_algorithms: tuple[str, ...] = ("HS256",)
    jwt_issuer: str | None = None
    jwt_audience: str | None = None

    notification_types: frozenset[str] | None = None
    notification_rate_limit: int = 50
    notification_rate_overflow: str = "suppress"
    notification_batch_size: int = 100
    notification_batch_timeout_ms: int = 5000
    notification_retention_days: int = 30
    recovery_window_hours: int = 72

    log_level: str = "info"
    log_format: str = "console"

    bounds: Bounds = field(default_factory=Bounds)


def default_data_dir() -> Path:
    """`/var/lib/callboard` for root, the platform's user data directory for anybody else."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/callboard")
    return Path(platformdirs.user_data_dir("callboard", appauthor=False))


def load(environ: Mapping[str, str] | None = None, *, data_dir: Path | None = None) -> Settings:
    """Read and check every setting.

    `environ` replaces the process environment and `.env` (tests); `data_dir`, a command-line option, wins
    over `CALLBOARD_DATA_DIR`. An empty value counts as unset. Raises SettingsError naming the first wrong
    setting.
    """
    if environ is None:
        environ = {**_dotenv(), **os.environ}
    read = Reader(environ)
    secret, public_key, jwks_url = (
        read.text("JWT_SECRET"),
        read.text("JWT_PUBLIC_KEY"),
        read.text("JWT_JWKS_URL"),
    )
    _check_key_source(secret, public_key, jwks_url)
    delay = read.integer("SOCKET_RECONNECTION_DELAY", 1000, 1, 3_600_000)
    max_delay = read.integer("SOCKET_RECONNECTION_MAX_DELAY", 5000, 1, 3_600_000)
    if max_delay < delay:
        raise SettingsError("SOCKET_RECONNECTION_MAX_DELAY is smaller than SOCKET_RECONNECTION_DELAY")
    return Settings(
        data_dir=(data_dir or Path(read.text("CALLBOARD_DATA_DIR") or default_data_dir())).absolute(),
        database_url=read.parsed("DATABASE_URL", None, database_url),
        socket_port=read.integer("SOCKET_PORT", 3002, 0, 65535),
        cors_origins=read.parsed("SOCKET_CORS_ORIGIN", frozenset({"http://localhost:5173"}), origins),
        cors_credentials=read.parsed("SOCKET_CORS_CREDENTIALS", True, boolean),
        max_socket_connections=read.integer("MAX_SOCKET_CONNECTIONS", 500, 1, 1_000_000),
        io_uring=read.parsed("SOCKET_IO_URING", True, boolean),
        reconnection_delay_ms=delay,
        reconnection_max_delay_ms=max_delay,
        trusted_proxies=read.parsed("TRUSTED_PROXIES", (), networks),
        jwt_secret=secret,
        jwt_public_key=public_key,
        jwt_jwks_url=jwks_url,
        jwt_algorithms=_algorithms(read.parsed("JWT_ALGORITHMS", (), words), bool(public_key or jwks_url)),
        jwt_issuer=read.text("JWT_ISSUER"),
        jwt_audience=read.text("JWT_AUDIENCE"),
        notification_types=read.parsed("NOTIFICATION_TYPES", None, notification_types),
        notification_rate_limit=read.integer("NOTIFICATION_RATE_LIMIT", 50, 1, 1_000_000_000),
        notification_rate_overflow=read.choice("NOTIFICATION_RATE_OVERFLOW", "suppress", ("suppress", "fold")),
        notification_batch_size=read.integer("NOTIFICATION_BATCH_SIZE", 100, 1, 1_000_000),
        notification_batch_timeout_ms=read.integer("NOTIFICATION_BATCH_TIMEOUT", 5000, 0, 86_400_000),
        notification_retention_days=read.integer("NOTIFICATION_RETENTION_DAYS", 30, 1, 36_500),
        recovery_window_hours=read.integer("RECOVERY_WINDOW_HOURS", 72, 1, 24 * 90),
        log_level=read.choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        log_format=read.choice("LOG_FORMAT", "console", ("console", "json")),
        bounds=read_bounds(read),
    )


def _dotenv() -> dict[str, str]:
    try:
        return {name: value for name, value in dotenv_values(".env").items() if value is not None}
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(f".env cannot be read: {problem}") from None


def _check_key_source(secret: str | None, public_key: str | None, jwks_url: str | None) -> None:
    if sum(map(bool, (secret, public_key, jwks_url))) > 1:
        raise SettingsError("set only one of JWT_SECRET, JWT_PUBLIC_KEY and JWT_JWKS_URL")
    if secret is not None and len(secret.encode()) < MINIMUM_SECRET_BYTES:
        raise SettingsError(f"JWT_SECRET is too short: give at least {MINIMUM_SECRET_BYTES} bytes")
    if jwks_url is not None and not jwks_url.startswith("https://"):
        raise SettingsError("JWT_JWKS_URL must begin with https://")


def _algorithms(named: tuple[str, ...], asymmetric: bool) -> tuple[str, ...]:
    """The pinned algorithms: never a mix of both kinds, or a public key could be taken for a secret."""
    allowed = ASYMMETRIC_ALGORITHMS if asymmetric else SYMMETRIC_ALGORITHMS
    for name in named:
        if name not in allowed:
            choices = ", ".join(sorted(allowed))
            raise SettingsError(f"JWT_ALGORITHMS: {name!r} does not fit the configured key; use {choices}")
    return named or (("RS256",) if asymmetric else ("HS256",))
