"""Settings: defaults, checks, and that no message repeats a secret."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from tests.settings_page import documented

from callboard import settings as settings_module
from callboard.bounds import Bounds
from callboard.errors import SettingsError
from callboard.settings import Settings, load

SECRET = "a secret of more than thirty-two bytes"

# The contract's table: what is true while nothing is set.
DEFAULTS = {
    "SOCKET_PORT": ("socket_port", 3002),
    "SOCKET_CORS_ORIGIN": ("cors_origins", frozenset({"http://localhost:5173"})),
    "SOCKET_CORS_CREDENTIALS": ("cors_credentials", True),
    "MAX_SOCKET_CONNECTIONS": ("max_socket_connections", 500),
    "SOCKET_IO_URING": ("io_uring", True),
    "SOCKET_RECONNECTION_DELAY": ("reconnection_delay_ms", 1000),
    "SOCKET_RECONNECTION_MAX_DELAY": ("reconnection_max_delay_ms", 5000),
    "TRUSTED_PROXIES": ("trusted_proxies", ()),
    "RECOVERY_WINDOW_HOURS": ("recovery_window_hours", 72),
    "NOTIFICATION_TYPES": ("notification_types", None),
    "NOTIFICATION_RATE_LIMIT": ("notification_rate_limit", 50),
    "NOTIFICATION_RATE_OVERFLOW": ("notification_rate_overflow", "suppress"),
    "NOTIFICATION_BATCH_SIZE": ("notification_batch_size", 100),
    "NOTIFICATION_BATCH_TIMEOUT": ("notification_batch_timeout_ms", 5000),
    "NOTIFICATION_RETENTION_DAYS": ("notification_retention_days", 30),
    "DATABASE_URL": ("database_url", None),
    "JWT_SECRET": ("jwt_secret", None),
    "JWT_PUBLIC_KEY": ("jwt_public_key", None),
    "JWT_JWKS_URL": ("jwt_jwks_url", None),
    "JWT_ALGORITHMS": ("jwt_algorithms", ("HS256",)),
    "JWT_ISSUER": ("jwt_issuer", None),
    "JWT_AUDIENCE": ("jwt_audience", None),
    "LOG_LEVEL": ("log_level", "info"),
    "LOG_FORMAT": ("log_format", "console"),
}


def read(**environ: str) -> Settings:
    return load(environ, data_dir=Path("/data"))


@pytest.mark.parametrize("name", DEFAULTS)
def test_default(name: str) -> None:
    attribute, value = DEFAULTS[name]
    assert getattr(read(), attribute) == value
    assert getattr(read(**{name: "  "}), attribute) == value


def test_no_field_is_left_out_of_the_table_of_defaults() -> None:
    assert {attribute for attribute, _ in DEFAULTS.values()} | {"data_dir", "bounds"} == set(
        Settings.__dataclass_fields__
    )


@pytest.mark.parametrize(
    ("name", "text", "attribute", "value"),
    [
        ("SOCKET_PORT", "0", "socket_port", 0),
        ("SOCKET_PORT", "65535", "socket_port", 65535),
        ("SOCKET_CORS_ORIGIN", "https://A.example, http://b:81", "cors_origins", {"https://a.example", "http://b:81"}),
        ("SOCKET_CORS_CREDENTIALS", "No", "cors_credentials", False),
        ("SOCKET_IO_URING", "false", "io_uring", False),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1", "trusted_proxies", ("10.0.0.0/8", "::1")),
        ("NOTIFICATION_RATE_OVERFLOW", "Fold", "notification_rate_overflow", "fold"),
        ("NOTIFICATION_BATCH_TIMEOUT", "0", "notification_batch_timeout_ms", 0),
        ("NOTIFICATION_TYPES", "a,b:c", "notification_types", {"a", "b:c"}),
        ("JWT_ALGORITHMS", "HS512,HS256", "jwt_algorithms", ("HS512", "HS256")),
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("DATABASE_URL", "postgres://u:p@a:1,[::1]:2/d", "database_url", "postgres://u:p@a:1,[::1]:2/d"),
        ("DATABASE_URL", "postgresql:///d?host=/run", "database_url", "postgresql:///d?host=/run"),
    ],
)
def test_accepts(name: str, text: str, attribute: str, value: object) -> None:
    assert getattr(read(**{name: text}), attribute) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SOCKET_PORT", "65536"),
        ("SOCKET_PORT", "-1"),
        ("SOCKET_PORT", "30 02"),
        ("MAX_SOCKET_CONNECTIONS", "0"),
        ("MAX_SOCKET_CONNECTIONS", "1e3"),
        ("SOCKET_RECONNECTION_DELAY", "0"),
        ("SOCKET_RECONNECTION_MAX_DELAY", "999"),
        ("RECOVERY_WINDOW_HOURS", "99999999999999"),
        ("SOCKET_CORS_ORIGIN", "*"),
        ("SOCKET_CORS_ORIGIN", "https://*.example.com"),
        ("SOCKET_CORS_ORIGIN", "https://app.example.com/"),
        ("SOCKET_CORS_ORIGIN", "app.example.com"),
        ("SOCKET_CORS_CREDENTIALS", "maybe"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,proxy.example"),
        ("NOTIFICATION_TYPES", "Episode Updated"),
        ("NOTIFICATION_RATE_LIMIT", "0"),
        ("NOTIFICATION_RATE_LIMIT", "many"),
        ("NOTIFICATION_RATE_OVERFLOW", "drop"),
        ("NOTIFICATION_BATCH_SIZE", "0"),
        ("NOTIFICATION_BATCH_TIMEOUT", "-1"),
        ("NOTIFICATION_BATCH_TIMEOUT", "86400001"),
        ("NOTIFICATION_RETENTION_DAYS", "0"),
        ("NOTIFICATION_RETENTION_DAYS", "36501"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("DATABASE_URL", "mysql://u:p@h/d"),
        ("JWT_SECRET", "short"),
        ("JWT_JWKS_URL", "http://issuer.example/jwks"),
        ("JWT_ALGORITHMS", "none"),
        ("JWT_ALGORITHMS", "RS256"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_the_setting(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(**{name: text})
    assert name in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@h/d",
        "postgresql://u:hun/hunter2@h:5432/d",
        "postgresql://u:hunter2#x@h/d",
        "postgresql://u:hunter2[@h/d",
        "postgresql://u:hunter2℀@h/d",  # urllib's own complaint would repeat it
        "postgresql://u:x@hunter2:/d:port",
    ],
)
def test_a_wrong_database_url_is_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match=r"\ADATABASE_URL: ") as refused:
        read(DATABASE_URL=url)
    assert "hunter2" not in refused.value.message


def test_a_short_secret_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        read(JWT_SECRET="hunter2")
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize(
    "two",
    [
        {"JWT_SECRET": SECRET, "JWT_PUBLIC_KEY": "key.pem"},
        {"JWT_SECRET": SECRET, "JWT_JWKS_URL": "https://issuer.example"},
        {"JWT_PUBLIC_KEY": "key.pem", "JWT_JWKS_URL": "https://issuer.example"},
    ],
)
def test_two_key_sources_are_refused(two: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="only one of JWT_SECRET, JWT_PUBLIC_KEY and JWT_JWKS_URL"):
        read(**two)


def test_algorithms_follow_the_kind_of_key() -> None:
    assert read(JWT_PUBLIC_KEY="key.pem").jwt_algorithms == ("RS256",)
    assert read(JWT_JWKS_URL="https://issuer.example", JWT_ALGORITHMS="ES256").jwt_algorithms == ("ES256",)
    with pytest.raises(SettingsError, match="JWT_ALGORITHMS"):
        read(JWT_PUBLIC_KEY="key.pem", JWT_ALGORITHMS="RS256,HS256")


def test_repr_holds_no_secret() -> None:
    text = repr(read(JWT_SECRET=SECRET, DATABASE_URL="postgresql://u:hunter2@h/d"))
    assert SECRET not in text
    assert "hunter2" not in text


def test_the_environment_wins_over_the_file_and_the_option_over_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SOCKET_PORT=1\nMAX_SOCKET_CONNECTIONS=2\nCALLBOARD_DATA_DIR=/from-file\n")
    monkeypatch.setenv("SOCKET_PORT", "3")
    monkeypatch.delenv("MAX_SOCKET_CONNECTIONS", raising=False)
    monkeypatch.setenv("CALLBOARD_DATA_DIR", "from-environment")
    settings = load()
    assert (settings.socket_port, settings.max_socket_connections) == (3, 2)
    assert settings.data_dir == tmp_path / "from-environment"
    assert load(data_dir=Path("option")).data_dir == tmp_path / "option"


def test_an_unreadable_file_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"\xff\xfe=1\n")
    with pytest.raises(SettingsError, match=r"\A\.env cannot be read"):
        load()


@pytest.mark.parametrize("root", [True, False])
def test_the_default_data_directory(monkeypatch: pytest.MonkeyPatch, root: bool) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0 if root else 1000)
    found = load({}).data_dir
    assert (found == Path("/var/lib/callboard")) is root
    assert found.name == "callboard"


def test_the_documented_table_names_every_setting_that_is_read() -> None:
    read_names = set(re.findall(r'"([A-Z]+_[A-Z_]+)"', Path(settings_module.__file__).read_text()))
    assert read_names == {*DEFAULTS, "CALLBOARD_DATA_DIR"}
    assert set(documented()) == read_names | {each.metadata["name"] for each in fields(Bounds)}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_documented_default_is_the_one_that_holds(name: str) -> None:
    attribute, value = DEFAULTS[name]
    cell = documented()[name][0]
    if value is None or value == ():
        assert not cell.startswith("`")
    else:
        first = str(next(iter(value)) if isinstance(value, frozenset | tuple) else value)
        assert cell.startswith(f"`{first.lower() if isinstance(value, bool) else first}`"), attribute
