"""Settings: the only reader of the environment.

Owns: every setting's name, default, meaning and check. Values come from the process environment, then from a
`.env` file in the working directory. Never: a value read later than the start, a secret in `repr`.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import platformdirs
from dotenv import dotenv_values

from callboard.errors import SettingsError

SYMMETRIC_ALGORITHMS = frozenset({"HS256", "HS384", "HS512"})
ASYMMETRIC_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
MINIMUM_SECRET_BYTES = 32

T = TypeVar("T")

_ORIGIN = re.compile(r"https?://[^/\s?#@*]+\Z")
# host, host:port or [IPv6]:port; several are separated by commas.
_DATABASE_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]*)(:[0-9]{1,5})?\Z")
_TYPE = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}\Z")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, checked. Durations carry their unit in the name."""

    data_dir: Path
    database_url: str | None = field(default=None, repr=False)

    socket_port: int = 3002
    cors_origins: frozenset[str] = frozenset({"http://localhost:5173"})
    cors_credentials: bool = True
    max_socket_connections: int = 500
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
    read = _Reader(environ)
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
        database_url=read.parsed("DATABASE_URL", None, _database_url),
        socket_port=read.integer("SOCKET_PORT", 3002, 0, 65535),
        cors_origins=read.parsed("SOCKET_CORS_ORIGIN", frozenset({"http://localhost:5173"}), _origins),
        cors_credentials=read.parsed("SOCKET_CORS_CREDENTIALS", True, _boolean),
        max_socket_connections=read.integer("MAX_SOCKET_CONNECTIONS", 500, 1, 1_000_000),
        reconnection_delay_ms=delay,
        reconnection_max_delay_ms=max_delay,
        trusted_proxies=read.parsed("TRUSTED_PROXIES", (), _networks),
        jwt_secret=secret,
        jwt_public_key=public_key,
        jwt_jwks_url=jwks_url,
        jwt_algorithms=_algorithms(read.parsed("JWT_ALGORITHMS", (), _words), bool(public_key or jwks_url)),
        jwt_issuer=read.text("JWT_ISSUER"),
        jwt_audience=read.text("JWT_AUDIENCE"),
        notification_types=read.parsed("NOTIFICATION_TYPES", None, _types),
        notification_rate_limit=read.integer("NOTIFICATION_RATE_LIMIT", 50, 1, 1_000_000_000),
        notification_rate_overflow=read.choice("NOTIFICATION_RATE_OVERFLOW", "suppress", ("suppress", "fold")),
        notification_batch_size=read.integer("NOTIFICATION_BATCH_SIZE", 100, 1, 1_000_000),
        notification_batch_timeout_ms=read.integer("NOTIFICATION_BATCH_TIMEOUT", 5000, 0, 86_400_000),
        notification_retention_days=read.integer("NOTIFICATION_RETENTION_DAYS", 30, 1, 36_500),
        recovery_window_hours=read.integer("RECOVERY_WINDOW_HOURS", 72, 1, 24 * 90),
        log_level=read.choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        log_format=read.choice("LOG_FORMAT", "console", ("console", "json")),
    )


def _dotenv() -> dict[str, str]:
    try:
        return {name: value for name, value in dotenv_values(".env").items() if value is not None}
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(f".env cannot be read: {problem}") from None


class _Reader:
    """Typed access to the environment; every error names the setting."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"-?[0-9]{1,12}", value) or not low <= int(value) <= high:
            raise SettingsError(f"{name} is {value!r}: give a whole number from {low} to {high}")
        return int(value)

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = (self.text(name) or default).lower()
        if value not in allowed:
            raise SettingsError(f"{name} is {value!r}: give one of {', '.join(allowed)}")
        return value

    def parsed(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        value = self.text(name)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as problem:
            raise SettingsError(f"{name}: {problem}") from None


def _boolean(value: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if value.lower() not in known:
        raise ValueError(f"{value!r} is neither true nor false")
    return known[value.lower()]


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _origins(value: str) -> frozenset[str]:
    for origin in _words(value):
        if not _ORIGIN.match(origin):
            raise ValueError(f"{origin!r} is not an origin such as https://app.example.com (no path, no *)")
    # Browsers send scheme and host in lower case.
    return frozenset(origin.lower() for origin in _words(value))


def _networks(value: str) -> tuple[str, ...]:
    for network in _words(value):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise ValueError(f"{network!r} is neither an address nor a network such as 10.0.0.0/8") from None
    return _words(value)


def _types(value: str) -> frozenset[str]:
    for name in _words(value):
        if not _TYPE.match(name):
            raise ValueError(f"{name!r} is not a notification type: it must match [a-z0-9][a-z0-9_.:-]{{0,63}}")
    return frozenset(_words(value))


def _database_url(value: str) -> str:
    if not value.startswith(("postgresql://", "postgres://")):
        # The value is not repeated: it may hold a password.
        raise ValueError("it must begin with postgresql://")
    try:
        hosts = urlsplit(value).netloc.rpartition("@")[2].split(",")
    except ValueError:  # its text repeats a part of the value
        hosts = ["[]"]
    if not all(_DATABASE_HOST.match(host) for host in hosts):
        raise ValueError("its host and port cannot be read: in a password write / ? # [ ] @ % as %2F %3F %23 …")
    return value


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
