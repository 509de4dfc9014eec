"""Positions as clients send them, and recovery ids: good for one user, one namespace and one log."""

from __future__ import annotations

import base64

import pytest

from callboard.realtime.recovery_ids import Issue, Pids, Position, parse_position

KEY = b"k" * 32
HERE = Position("epoch", 41)
NOW = 1_800_000_000


def made(namespace: str = "/feed", user: str = "u1", position: Position = HERE) -> str:
    return Pids(KEY).make(position, namespace, user, at=NOW)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("epoch.0", Position("epoch", 0)),
        ("epoch.41", Position("epoch", 41)),
        ("a.b.7", Position("a.b", 7)),
        (f"epoch.{2**63 - 1}", Position("epoch", 2**63 - 1)),
    ],
)
def test_a_position_is_an_epoch_and_a_number(text: str, position: Position) -> None:
    assert parse_position(text) == position
    assert str(position) == text


@pytest.mark.parametrize(
    "text",
    [
        None, 7, b"epoch.1", ["epoch.1"], "", ".", "epoch", "epoch.", ".1", "41", "epoch.-1", "epoch.+1", "epoch.1 ",
        "epoch.1_0", "epoch.x", "epoch.1e3", "epoch.\N{ARABIC-INDIC DIGIT ONE}", "epoch.\N{SUPERSCRIPT TWO}",
        f"epoch.{2**63}", "epoch." + "9" * 95, "e" * 100 + ".1",
    ],
)  # fmt: skip
def test_what_is_no_position(text: object) -> None:
    assert parse_position(text) is None


def test_a_pid_carries_its_position_and_its_time_to_any_process_with_the_key() -> None:
    assert Pids(KEY).check(made(), "epoch", "/feed", "u1") == Issue(41, NOW)
    for seq in (0, 2**63 - 1):
        assert Pids(KEY).check(made(position=Position("epoch", seq)), "epoch", "/feed", "u1") == Issue(seq, NOW)


def test_two_pids_of_one_client_differ_and_tell_nothing_of_whose_they_are() -> None:
    first, second = made(user="the-user"), made(user="the-user")
    assert first != second
    assert b"the-user" not in base64.urlsafe_b64decode(first)


@pytest.mark.parametrize(
    ("epoch", "namespace", "user"),
    [
        ("another", "/feed", "u1"),
        ("epoch", "/jobs", "u1"),
        ("epoch", "/feed", "u2"),
        ("epoch", "/fee", "du1"),
        ("epoch/feed", "", "u1"),
        ("epoc", "h/feed", "u1"),
        ("epoch", "/feed", ""),
    ],
)
def test_a_pid_is_not_anothers(epoch: str, namespace: str, user: str) -> None:
    assert Pids(KEY).check(made(), epoch, namespace, user) is None


def test_a_pid_of_another_key_is_none() -> None:
    assert Pids(b"another key").check(made(), "epoch", "/feed", "u1") is None


def test_every_bit_of_a_pid_is_signed() -> None:
    raw = base64.urlsafe_b64decode(made())
    for place in range(len(raw) * 8):
        turned = bytearray(raw)
        turned[place // 8] ^= 1 << place % 8
        forged = base64.urlsafe_b64encode(turned).decode()
        assert Pids(KEY).check(forged, "epoch", "/feed", "u1") is None


def test_a_truncated_or_lengthened_pid_is_none() -> None:
    pid, raw = made(), base64.urlsafe_b64decode(made())
    cut = [pid[:end] for end in range(len(pid))]
    cut += [base64.urlsafe_b64encode(raw[:end]).decode() for end in range(len(raw))]
    cut += [pid + "A", pid + "=", "A" + pid, base64.urlsafe_b64encode(raw + b"\0").decode()]
    assert [text for text in cut if Pids(KEY).check(text, "epoch", "/feed", "u1") is not None] == []


@pytest.mark.parametrize(
    "pid",
    [None, 7, True, b"x" * 56, [], {"pid": "x"}, "", "x", "=" * 56, "é" * 56, "\ud800" * 56, "A" * 56, "A" * 9999],
)
def test_garbage_is_no_pid(pid: object) -> None:
    assert Pids(KEY).check(pid, "epoch", "/feed", "u1") is None
