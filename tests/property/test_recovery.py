"""Clients that come and go, processes that crash: each durable message once and in order, as a plain list has it."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.clock import TurnedClock
from tests.loop import settle
from tests.sinks import FakeSink
from tests.unit.realtime.log import FakeHead, FakeLog

from callboard.auth.principal import Principal
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.engine import EngineOptions
from callboard.realtime.namespace import Namespace
from callboard.realtime.node import Node
from callboard.realtime.recovery import Recovery, Tail

ROOMS = ("user:u0", "user:u1", "user:u2", "team:art", "team:cut", "role:lead", "user:nobody")
TEAMS = {"u0": {"art"}, "u1": {"art", "cut"}, "u2": set[str]()}
ROLES = {"u2": {"lead"}}
CLIENTS = (("u0", "/feed"), ("u1", "/feed"), ("u1", "/jobs"), ("u2", "/feed"))


class Door:
    async def authenticate(self, auth: dict[str, Any]) -> Principal:
        user = auth["token"]
        return Principal(id=user, teams=frozenset(TEAMS[user]), roles=frozenset(ROLES.get(user, ())))


class StockClient:
    """What socket.io-client does for recovery: keeps the pid, and the last string that ended a message."""

    def __init__(self, user: str, namespace: str) -> None:
        self.user, self.namespace = user, namespace
        principal = Principal(id=user, teams=frozenset(TEAMS[user]), roles=frozenset(ROLES.get(user, ())))
        self.rooms = set(Namespace(namespace).rooms_of(principal))
        self.pid: str | None = None
        self.offset: str | None = None
        self.recovered = False
        self.got: list[int] = []
        self.connection: Connection | None = None

    def connect(self, node: Node) -> None:
        self._sink = FakeSink()
        self._read = 0
        self.connection = node.engine.open(self._sink, "192.0.2.1")
        auth: dict[str, Any] = {"token": self.user}
        if self.pid is not None:
            auth |= {"pid": self.pid} | ({} if self.offset is None else {"offset": self.offset})
        self.connection.receive(f"40{self.namespace},{json.dumps(auth)}")

    def read(self, most: int) -> None:
        """Take in as many as `most` packets of those that have arrived; the others may be lost with the line."""
        texts = self._sink.texts[self._read : self._read + most] if self.connection is not None else []
        self._read += len(texts)
        for text in texts:
            payload = json.loads(text.partition(",")[2])
            if text.startswith("40"):
                self.recovered = self.pid == payload["pid"]
                assert self.pid is None or self.recovered, "the log reaches back, so every return is a recovery"
                self.pid = payload["pid"]
            else:
                self.got.append(payload[1]["n"])
                self.offset = payload[-1]

    def cut(self) -> None:
        if self.connection is not None:
            self.connection.close(Reason.TRANSPORT)
            self.connection = None


class World:
    """`most` messages are in the tail; the rest is only in the log, which answers after others had their turn."""

    def __init__(self, most: int, choices: random.Random) -> None:
        self.log = FakeLog()
        self.log.reading = self._while_the_log_is_read
        self._most, self._choices = most, choices
        self.clients = [StockClient(user, namespace) for user, namespace in CLIENTS]
        self.begin()

    def begin(self) -> None:
        self.node = Node(Door(), TurnedClock(), EngineOptions())
        for name in ("/feed", "/jobs"):
            self.node.add(Namespace(name))
        self.head = FakeHead(self.log.head)
        self.recovery = self.node.recovery = Recovery(b"key", self.log, self.head, tail=Tail(most=self._most))

    def deliver(self) -> None:
        rooms = self._choices.sample(ROOMS, self._choices.randint(1, 3))
        message = self.log.append(*rooms, namespace=self._choices.choice(["/feed", "/feed", "/jobs"]))
        self.head.set(self.log.head)
        self.node.deliver(message)

    async def _while_the_log_is_read(self) -> None:
        for _ in range(self._choices.randint(0, 3)):
            await asyncio.sleep(0)
            if self._choices.random() < 0.6:
                self.deliver()

    async def crash(self) -> None:
        for client in self.clients:
            client.cut()
        await self.node.stop()
        for _ in range(self._choices.randint(0, 2)):  # committed and numbered, but never sent
            self.log.append(self._choices.choice(ROOMS))
        self.begin()
        if self._choices.random() < 0.5:
            await self.recovery.start()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(1, 4)),
        st.tuples(st.sampled_from(["connect", "cut", "read"]), st.integers(0, len(CLIENTS) - 1)),
        st.tuples(st.sampled_from(["crash", "settle"]), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=500, deadline=None)
@given(STEPS, st.sampled_from([1, 3, 20_000]), st.integers(0, 2**32 - 1))
async def test_every_durable_message_reaches_its_clients_once_and_in_order(
    steps: list[tuple[str, int]], most: int, seed: int
) -> None:
    # Not Hypothesis's own choices: they end a test by an exception, which in a task of the node would end that instead.
    with capture_logs() as logs:
        await live_through(World(most, random.Random(seed)), steps)
    assert [entry for entry in logs if entry["event"] == "task.failed"] == []


async def live_through(world: World, steps: list[tuple[str, int]]) -> None:
    """Have all that happens happen, and everybody back at the end with what is theirs."""
    # What a first CONNECT is told to begin with is not missed by anybody: everybody has been here once.
    for client in world.clients:
        client.connect(world.node)
    await settle()
    for client in world.clients:
        client.read(1)
    for step, value in steps:
        await take(world, step, value)
    for client in world.clients:
        if client.connection is None or client.connection.closed:
            client.connect(world.node)
    for _ in range(4):
        await settle()
    for client in world.clients:
        client.read(10_000)
        expected = [
            seq
            for seq, message in enumerate(world.log.messages, 1)
            if message.namespace == client.namespace and client.rooms & set(message.rooms)
        ]
        assert client.got == expected
    assert world.recovery._waiting == []
    await world.node.stop()


async def take(world: World, step: str, value: int) -> None:
    client = world.clients[value] if step in ("connect", "cut", "read") else None
    if client is None:
        if step == "crash":
            await world.crash()
        elif step == "settle":
            await settle()
        for _ in range(value):
            world.deliver()
    elif step == "connect" and client.connection is None:
        client.connect(world.node)
    elif step == "read":
        client.read(world._choices.randint(1, 5))
    elif step == "cut":
        client.read(world._choices.randint(0, 5))
        client.cut()
