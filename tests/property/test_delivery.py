"""What a node delivers, against a plain list of what each client is owed.

Clients come and go, enter and leave rooms, stop reading and go on, on transports with the short way and without, while
messages go to one, to rooms and to everybody, several in a turn of the event loop or one.
"""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from tests.clock import TurnedClock
from tests.loop import Timers
from tests.sinks import FakeSink
from tests.unit.realtime.stage import Stage

from callboard.realtime.broker import Envelope
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.namespace import Member
from callboard.wire.engineio import Outgoing

ROOMS = ["red", "blue"]
DELIVER = st.tuples(st.just("deliver"), st.sampled_from([(), ("red",), ("blue",), ("red", "blue"), ("none",)]))
ACTION = st.one_of(
    DELIVER,
    DELIVER,
    st.tuples(st.just("open"), st.booleans()),
    st.tuples(st.sampled_from(["close", "pause", "resume", "send", *ROOMS]), st.integers(0, 5)),
)
TURNS = st.lists(st.lists(ACTION, min_size=1, max_size=5), min_size=1, max_size=15)


class Owed:
    """A client in `/feed`, and what it is owed, in order."""

    def __init__(self, stage: Stage, sharing: bool) -> None:
        self.sink = FakeSink(sharing=sharing)
        self.connection: Connection = stage.node.engine.open(self.sink, "192.0.2.1")
        self.connection.receive('40/feed,{"token":"jonas"}')
        self.member: Member = stage.joined[-1]
        self.texts: list[str] = []

    def moves(self, room: str) -> None:
        """Enter a room or leave it."""
        if room in self.member.rooms:
            self.member.leave(room)
        else:
            self.member.join(room)

    def is_in(self, rooms: tuple[str, ...]) -> bool:
        return not self.connection.closed and (not rooms or not self.member.rooms.isdisjoint(rooms))


class Run:
    """Does the actions, and keeps the account."""

    def __init__(self, clock: TurnedClock) -> None:
        self.stage = Stage(clock, max_connections_per_user=1_000)
        self.clients: list[Owed] = []
        self.number = 0

    def deliver(self, rooms: tuple[str, ...]) -> None:
        self.number += 1
        receivers = [client for client in self.clients if client.is_in(rooms)]
        payload = b'{"n":%d}' % self.number
        envelope = Envelope(namespace="/feed", rooms=rooms, name="n", payload=payload, position=f"e.{self.number}")
        assert self.stage.node.deliver(envelope) == len(receivers)
        for client in receivers:
            client.texts.append(f'42/feed,["n",{payload.decode()},"e.{self.number}"]')

    def act(self, action: str, value: object) -> None:
        if action == "open":
            self.clients.append(Owed(self.stage, bool(value)))
        elif isinstance(value, tuple):
            self.deliver(value)
        elif isinstance(value, int) and value < len(self.clients):
            self._act(action, self.clients[value])

    def _act(self, action: str, client: Owed) -> None:
        if action == "close":
            client.connection.close(Reason.ADMIN)
        elif action in ROOMS:
            client.moves(action)
        elif client.connection.closed:
            return
        elif action == "send":
            self.number += 1
            client.connection.send(Outgoing(b"4%d" % self.number))
            client.texts.append(f"4{self.number}")
        elif action == "pause":
            client.connection.pause()
        else:
            client.connection.resume()

    def check(self) -> None:
        for client in self.clients:
            assert [text for text in client.sink.texts if not text.startswith("40/feed,")] == client.texts


@given(TURNS)
async def test_each_gets_all_that_it_is_owed_in_order(turns: list[list[tuple[str, object]]]) -> None:
    timers = Timers(TurnedClock())
    run = Run(timers.clock)
    with patch.object(asyncio.get_running_loop(), "call_later", timers.call_later):
        run.clients += [Owed(run.stage, number % 2 == 0) for number in range(4)]
        for number, client in enumerate(run.clients):
            client.moves(ROOMS[number // 2])
        await asyncio.sleep(0)
        for actions in turns:
            for action, value in actions:
                run.act(action, value)
            await asyncio.sleep(0)
            run.check()
