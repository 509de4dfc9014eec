"""An engine whose time is turned by tests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.clock import TurnedClock
from tests.loop import Timers
from tests.sinks import FakeReceiver, FakeSink
from tests.unit.realtime.stage import Stage
from tests.unit.realtime.subscribed import World

from callboard.realtime.connection import Connection
from callboard.realtime.engine import Engine, EngineOptions

Pair = tuple[socket.socket, socket.socket]

OPTIONS = EngineOptions(max_unsent=1000, max_unsent_volatile=100, max_held=3, max_connections=3)


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    timers = Timers(TurnedClock())
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", timers.call_later)
    return timers


@pytest.fixture
def clock(timers: Timers) -> TurnedClock:
    return timers.clock


class Rig:
    """An engine, and connections with fakes at both ends."""

    def __init__(self, timers: Timers) -> None:
        self.timers = timers
        self.receivers: list[FakeReceiver] = []
        self.engine = Engine(OPTIONS, timers.clock, self._receive)

    def _receive(self, connection: Connection) -> FakeReceiver:
        self.receivers.append(FakeReceiver())
        return self.receivers[-1]

    async def open(
        self, transport: str = "websocket", *, sharing: bool = False
    ) -> tuple[Connection, FakeSink, FakeReceiver]:
        """A connection whose OPEN packet has been written."""
        sink = FakeSink(transport, sharing=sharing)
        connection = self.engine.open(sink, "192.0.2.1")
        await asyncio.sleep(0)
        return connection, sink, self.receivers[-1]


@pytest.fixture
async def rig(timers: Timers) -> Rig:
    return Rig(timers)


@pytest.fixture
async def stage(clock: TurnedClock) -> Stage:
    return Stage(clock)


@pytest.fixture
async def world(clock: TurnedClock) -> World:
    return World(clock)


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Thirty-two lines, of which neither end waits."""
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(32)]
        for end in (end for pair in made for end in pair):
            end.setblocking(False)
            stack.enter_context(end)
        yield made
