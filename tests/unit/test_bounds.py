"""The bounds of what a client may cost: defaults, ranges, what holds between them, and where they are explained."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import pytest
from tests.settings_page import REFERENCE, documented

from callboard.bounds import Bounds
from callboard.errors import SettingsError
from callboard.settings import load

# Name: field, default, least, most.
BOUNDS = {
    "SOCKET_PING_INTERVAL": ("ping_interval_ms", 25_000, 1_000, 3_600_000),
    "SOCKET_PING_TIMEOUT": ("ping_timeout_ms", 20_000, 1_000, 3_600_000),
    "SOCKET_CONNECT_TIMEOUT": ("connect_timeout_ms", 10_000, 100, 3_600_000),
    "SOCKET_UPGRADE_TIMEOUT": ("upgrade_timeout_ms", 10_000, 100, 3_600_000),
    "SOCKET_MAX_PAYLOAD": ("max_payload", 1_000_000, 16_384, 1 << 30),
    "SOCKET_MAX_FRAGMENTS": ("max_fragments", 1_024, 1, 1_000_000),
    "SOCKET_MAX_PACKETS_PER_PAYLOAD": ("max_packets_per_payload", 1_000, 1, 1_000_000),
    "SOCKET_MAX_ATTACHMENTS": ("max_attachments", 10, 0, 1_000),
    "SOCKET_MAX_JSON_DEPTH": ("max_json_depth", 64, 4, 200),
    "SOCKET_MAX_NAME_LENGTH": ("max_name_length", 128, 32, 512),
    "SOCKET_MAX_UNSENT_BYTES": ("max_unsent_bytes", 1_048_576, 65_536, 1 << 30),
    "SOCKET_MAX_UNSENT_VOLATILE_BYTES": ("max_unsent_volatile_bytes", 65_536, 0, 1 << 30),
    "SOCKET_MAX_HELD_VOLATILE": ("max_held_volatile", 256, 0, 1_000_000),
    "SOCKET_MAX_WAITING_MESSAGES": ("max_waiting_messages", 1_000, 1, 1_000_000),
    "SOCKET_MAX_WAITING_BYTES": ("max_waiting_bytes", 4_000_000, 16_384, 1 << 30),
    "SOCKET_MESSAGES_PER_SECOND": ("messages_per_second", 100, 1, 1_000_000),
    "SOCKET_MESSAGES_BURST": ("messages_burst", 200, 4, 1_000_000),
    "SOCKET_MAX_ROOMS": ("max_rooms", 128, 0, 1_000_000),
    "SOCKET_MAX_CONNECTIONS_PER_USER": ("max_connections_per_user", 20, 1, 1_000_000),
    "SOCKET_MAX_UNAUTHENTICATED_PER_ADDRESS": ("max_unauthenticated_per_address", 100, 1, 1_000_000),
    "HTTP_HEAD_TIMEOUT": ("head_timeout_ms", 10_000, 100, 3_600_000),
    "HTTP_BODY_TIMEOUT": ("body_timeout_ms", 20_000, 100, 3_600_000),
    "HTTP_SEND_TIMEOUT": ("send_timeout_ms", 30_000, 100, 3_600_000),
    "HTTP_KEEP_ALIVE": ("keep_alive_ms", 75_000, 1_000, 3_600_000),
    "HTTP_MIN_RATE": ("min_rate", 1_000, 1, 1 << 30),
    "HTTP_MAX_HEAD_BYTES": ("max_head_bytes", 32_768, 12_288, 1 << 20),
    "HTTP_MAX_BODY_BYTES": ("max_body_bytes", 1_048_576, 131_072, 1 << 30),
    "HTTP_MAX_PIPELINED": ("max_pipelined", 16, 1, 1_000),
}
# What else must be set for a value at the end of a range.
WITH = {
    ("SOCKET_MAX_PAYLOAD", 1 << 30): {"SOCKET_MAX_WAITING_BYTES": str(1 << 30)},
    ("SOCKET_MAX_WAITING_BYTES", 16_384): {"SOCKET_MAX_PAYLOAD": "16384"},
    ("SOCKET_MAX_UNSENT_VOLATILE_BYTES", 1 << 30): {"SOCKET_MAX_UNSENT_BYTES": str(1 << 30)},
}


def read(environ: dict[str, str]) -> Bounds:
    return load(environ, data_dir=Path("/data")).bounds


def test_the_table_is_whole() -> None:
    assert {name: field for name, (field, *_) in BOUNDS.items()} == {
        each.metadata["name"]: each.name for each in fields(Bounds)
    }


@pytest.mark.parametrize("name", BOUNDS)
def test_default_and_range(name: str) -> None:
    field, default, least, most = BOUNDS[name]
    assert getattr(read({}), field) == default
    assert getattr(read({name: " "}), field) == default
    for value in (least, most):
        found = read({name: str(value), **WITH.get((name, value), {})})
        assert getattr(found, field) == value
        others = {other for other, at in asdict(found).items() if at != asdict(Bounds())[other]} - {field}
        assert len(others) == len(WITH.get((name, value), {})), "one setting moves one bound"


@pytest.mark.parametrize("name", BOUNDS)
def test_what_is_out_of_range_is_refused_in_one_line_that_names_the_setting(name: str) -> None:
    _, _, least, most = BOUNDS[name]
    for text in (str(least - 1), str(most + 1), "1e6", "10 s"):
        with pytest.raises(SettingsError) as refused:
            read({name: text})
        assert refused.value.message == f"{name} is {text!r}: give a whole number from {least} to {most}"


@pytest.mark.parametrize(
    ("environ", "smaller", "larger"),
    [
        ({"SOCKET_MAX_PAYLOAD": "4000001"}, "SOCKET_MAX_PAYLOAD", "SOCKET_MAX_WAITING_BYTES"),
        ({"SOCKET_MAX_WAITING_BYTES": "999999"}, "SOCKET_MAX_PAYLOAD", "SOCKET_MAX_WAITING_BYTES"),
        (
            {"SOCKET_MAX_UNSENT_BYTES": "70000", "SOCKET_MAX_UNSENT_VOLATILE_BYTES": "70001"},
            "SOCKET_MAX_UNSENT_VOLATILE_BYTES",
            "SOCKET_MAX_UNSENT_BYTES",
        ),
    ],
)
def test_what_contradicts_is_refused_and_both_are_named(environ: dict[str, str], smaller: str, larger: str) -> None:
    with pytest.raises(SettingsError, match=rf"\A{smaller} is over {larger}: "):
        read(environ)


@pytest.mark.parametrize("name", BOUNDS)
def test_the_documented_default_and_range_are_those_that_hold(name: str) -> None:
    _, default, least, most = BOUNDS[name]
    assert documented()[name][:2] == [f"`{default}`", f"{least} to {most}"]


@pytest.mark.parametrize("name", BOUNDS)
def test_it_is_told_what_a_client_sees(name: str) -> None:
    page = "sockets.md" if name.startswith("SOCKET_") else "rest.intro.md"
    assert f"`{name}`" in (REFERENCE / page).read_text()
