"""The same to many: with a ring where there may be one, and without, as if there had never been any."""

from __future__ import annotations

import errno
import os

import pytest
from structlog.testing import capture_logs
from tests.unit.realtime.conftest import Pair

from callboard.realtime import writer as module
from callboard.realtime.ring import Ring
from callboard.realtime.writer import ENOUGH, Writer


class Denied(Ring):
    """As in a container whose profile has no io_uring."""

    def __init__(self) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")


@pytest.fixture(params=["ring", "denied", "off"])
def writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Writer:
    if request.param == "denied":
        monkeypatch.setattr(module, "Ring", Denied)
    return Writer(ring=request.param != "off")


@pytest.mark.parametrize("count", [0, 1, ENOUGH - 1, ENOUGH, 2 * ENOUGH])
def test_each_gets_it_and_says_what_it_took(writer: Writer, pairs: list[Pair], count: int) -> None:
    for data in (b"one", b"three"):
        assert writer.write([near.fileno() for near, _ in pairs[:count]], data) == [len(data)] * count
    assert [far.recv(100) for _, far in pairs[:count]] == [b"onethree"] * count


def test_an_error_is_nothing_taken(writer: Writer, pairs: list[Pair]) -> None:
    pairs[1][1].close()
    taken = writer.write([-1, *(near.fileno() for near, _ in pairs)], b"data")
    assert taken == [0, 4, 0, *[4] * (2 * ENOUGH - 2)]


def test_where_there_may_be_none_that_is_told_once(monkeypatch: pytest.MonkeyPatch, pairs: list[Pair]) -> None:
    monkeypatch.setattr(module, "Ring", Denied)
    writer, sockets = Writer(), [near.fileno() for near, _ in pairs]
    with capture_logs() as lines:
        writer.write(sockets[: ENOUGH - 1], b"few")
        assert lines == []
        writer.write(sockets, b"many")
        writer.write(sockets, b"many")
    assert [(line["event"], line["reason"]) for line in lines] == [
        ("socket.no_ring", "[Errno 1] Operation not permitted")
    ]


def test_a_ring_that_fails_is_given_up(monkeypatch: pytest.MonkeyPatch, pairs: list[Pair]) -> None:
    class Failing(Ring):
        def __init__(self) -> None:
            self.failure = None

        def send(self, sockets: object, data: bytes) -> list[int]:
            self.failure = OSError(errno.ENOMEM, "no memory")
            return [4, *[0] * (2 * ENOUGH - 1)]

    monkeypatch.setattr(module, "Ring", Failing)
    writer, sockets = Writer(), [near.fileno() for near, _ in pairs]
    with capture_logs() as lines:
        assert writer.write(sockets, b"data") == [4, *[0] * (2 * ENOUGH - 1)]
        assert writer.write(sockets, b"data") == [4] * (2 * ENOUGH)
    assert [line["reason"] for line in lines] == ["[Errno 12] no memory"]


def test_a_closed_one_gives_its_ring_back_and_writes_without(
    pairs: list[Pair],
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    writer, sockets = Writer(), [near.fileno() for near, _ in pairs]
    writer.write(sockets, b"data")
    writer.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert writer.write(sockets, b"data") == [4] * (2 * ENOUGH)
