"""The look at a database that took a statement: who is given up, and who is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs
from tests.loop import settle

from callboard.clock import SystemClock
from callboard.store import pulse
from callboard.store.pulse import Pulse


class Statement:
    """Somebody waits on it."""

    def __init__(self) -> None:
        self.given_up = asyncio.Event()

    def give_up(self) -> None:
        self.given_up.set()


class Prober:
    """The probe's connection. `heard`: cleared, it answers nothing until it is set. `error`: what it answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.heard = asyncio.Event()
        self.heard.set()
        self.blocking = 0.0
        self.error: Exception | None = None
        self.connects = self.answers = self.ends = 0

    async def connect(self) -> Prober:
        self.connects += 1
        return self

    async def execute(self, query: str) -> None:
        self.asked.set()
        if self.blocking:
            time.sleep(self.blocking)
            for _ in range(10):
                await asyncio.sleep(0)
        await self.heard.wait()
        if self.error is not None:
            raise self.error
        self.answers += 1

    def is_closed(self) -> bool:
        return False

    def terminate(self) -> None:
        self.ends += 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "LOOK", 0.001)
    monkeypatch.setattr(pulse, "ANSWER_TIME", 0.02)


@pytest.fixture
def prober() -> Prober:
    return Prober()


@pytest.fixture
async def watched(prober: Prober) -> AsyncIterator[Pulse]:
    watched = Pulse(prober.connect, SystemClock())
    task = asyncio.create_task(watched.run())
    yield watched
    task.cancel()
    await asyncio.wait({task})
    assert prober.ends == prober.connects, "a connection was left open"


async def test_a_slow_statement_may_take_its_time_while_the_database_answers(watched: Pulse, prober: Prober) -> None:
    slow = Statement()
    watched.begin(slow)
    await until(lambda: prober.answers >= 3)
    assert not slow.given_up.is_set()
    assert not watched.frozen
    assert prober.connects == 1


async def test_who_waits_for_a_silent_database_is_given_up_and_it_is_asked_until_it_answers(
    watched: Pulse, prober: Prober
) -> None:
    prober.heard.clear()
    waiting = [Statement(), Statement()]
    for each in waiting:
        watched.begin(each)
    with capture_logs() as lines:
        await until(lambda: all(each.given_up.is_set() for each in waiting))
        for each in waiting:
            watched.end(each)
        asked_while_frozen = prober.connects
        await until(lambda: prober.connects > asked_while_frozen)
        prober.heard.set()
        await until(lambda: lines[-1]["event"] == "database.answers")
    assert not watched.frozen
    assert [line["event"] for line in lines] == ["database.frozen", "database.answers"]
    assert lines[0]["waiting"] == 2


async def test_a_refusal_is_an_answer(watched: Pulse, prober: Prober) -> None:
    prober.error = ConnectionRefusedError("it is stopped")
    refused = Statement()
    watched.begin(refused)
    await until(lambda: prober.connects >= 3)  # anew each time
    assert not refused.given_up.is_set()
    assert not watched.frozen


class Looks:
    """asyncio, whose naps are counted and take no time."""

    def __init__(self) -> None:
        self.count = 0

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        self.count += 1
        await asyncio.sleep(0)


async def test_it_sleeps_while_nobody_waits(monkeypatch: pytest.MonkeyPatch, watched: Pulse) -> None:
    looks = Looks()
    monkeypatch.setattr(pulse, "asyncio", looks)
    await settle()
    assert looks.count == 0
    statement = Statement()
    watched.begin(statement)
    await until(lambda: looks.count >= 3)
    watched.end(statement)
    before = looks.count
    await settle()
    assert looks.count == before


async def test_nothing_is_asked_while_nobody_waits_long(watched: Pulse, prober: Prober) -> None:
    for _ in range(20):
        quick = Statement()
        watched.begin(quick)
        await asyncio.sleep(0)
        watched.end(quick)
    assert prober.connects == 0


async def test_a_pause_of_our_own_is_not_taken_for_the_databases(
    watched: Pulse, prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "LATE", 0.01)
    prober.blocking = 0.05
    waiting = Statement()
    watched.begin(waiting)
    await until(lambda: prober.answers >= 2)
    assert not waiting.given_up.is_set()
