"""The ring on the real kernel: each socket gets what it is sent, and each answer is that of its own write."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from tests.unit.realtime.conftest import Pair

from callboard.realtime import ring as module
from callboard.realtime.ring import ENTRIES, Ring


@pytest.fixture
def ring() -> Ring:
    try:
        return Ring()
    except OSError as error:
        pytest.skip(f"this machine lets nobody have a ring: {error}")


def came(pair: Pair) -> bytes:
    try:
        return pair[1].recv(1 << 20)
    except BlockingIOError:
        return b""


def near(pairs: Sequence[Pair]) -> list[int]:
    return [pair[0].fileno() for pair in pairs]


def fill(end: socket.socket) -> None:
    with suppress(BlockingIOError):
        while end.send(b"x" * 4096):
            pass


# Whatever their sum, each begins somewhere else in the ring.
@pytest.mark.parametrize(
    "counts", [[1] * 50, [1000, 24, 1, 1023, ENTRIES, 3, ENTRIES + 1], [3 * ENTRIES + 5, 700, 700]]
)
def test_each_socket_gets_each_write_once(ring: Ring, pairs: list[Pair], counts: list[int]) -> None:
    for number, count in enumerate(counts):
        data = b"%04d" % number
        sockets = [near(pairs)[place % len(pairs)] for place in range(count)]
        assert ring.send(sockets, data) == [4] * count
        for place, pair in enumerate(pairs):
            assert came(pair) == data * len(range(place, count, len(pairs)))


def test_each_answer_is_that_of_its_own_write(ring: Ring, pairs: list[Pair]) -> None:
    full, gone, good = pairs[3], pairs[5], pairs[:3] + pairs[4:5] + pairs[6:]
    fill(full[0])
    gone[1].close()
    read_only = os.open(os.devnull, os.O_RDONLY)
    try:
        taken = ring.send([*near(pairs), -1, read_only, good[0][0].fileno()], b"data")
    finally:
        os.close(read_only)
    wrong = {3: errno.EAGAIN, 5: errno.EPIPE, 32: errno.EBADF, 33: errno.ENOTSOCK}
    assert taken == [-wrong[place] if place in wrong else 4 for place in range(35)]
    assert [came(pair) for pair in good] == [b"datadata", *[b"data"] * 29]
    assert ring.failure is None


def test_a_socket_takes_what_fits_and_keeps_nobody_waiting(ring: Ring, pairs: list[Pair]) -> None:
    data = os.urandom(1 << 22)
    (first, second) = ring.send(near(pairs[:2]), data)
    assert 0 < first < len(data)
    assert 0 < second < len(data)
    read = b""
    while part := came(pairs[0]):
        read += part
    assert read == data[:first]


class Calls:
    """`_system_call`, which may be changed for the next calls, in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *changes: Any) -> None:
        self._changes = list(changes)
        self._real = module._system_call
        monkeypatch.setattr(module, "_system_call", self)

    def __call__(self, number: int, *arguments: int) -> int:
        change = self._changes.pop(0) if self._changes else None
        if isinstance(change, OSError):
            raise change
        if change is not None:
            file, _, _, *rest = arguments
            return self._real(number, file, change, change, *rest)
        return self._real(number, *arguments)


def test_signals_and_a_kernel_that_takes_some_do_no_harm(
    ring: Ring, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    Calls(monkeypatch, InterruptedError(), 5, InterruptedError(), 1)
    assert ring.send(near(pairs), b"data") == [4] * 32
    assert [came(pair) for pair in pairs] == [b"data"] * 32


def test_a_ring_that_fails_says_what_was_taken_and_takes_nothing_more(
    ring: Ring, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    Calls(monkeypatch, 5, OSError(errno.ENOMEM, "no memory"))
    assert ring.send(near(pairs), b"data") == [4] * 5 + [0] * 27
    assert ring.failure is not None
    assert ring.send(near(pairs), b"more") == [0] * 32
    assert [came(pair) for pair in pairs] == [b"data"] * 5 + [b""] * 27


def test_answers_that_come_in_another_order_are_sorted(
    ring: Ring, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs[1][1].close()
    enter = Ring._enter

    def swapped(self: Ring, count: int) -> None:
        enter(self, count)
        for view in (self._numbers, self._results):
            view[0], view[1] = view[1], view[0]

    monkeypatch.setattr(Ring, "_enter", swapped)
    assert ring.send(near(pairs[:3]), b"data") == [4, -errno.EPIPE, 4]


def test_it_goes_with_its_object(ring: Ring) -> None:
    before = len(os.listdir("/proc/self/fd"))
    another = Ring()
    assert len(os.listdir("/proc/self/fd")) > before
    del another
    assert len(os.listdir("/proc/self/fd")) == before
