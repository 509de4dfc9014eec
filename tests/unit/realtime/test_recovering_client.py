"""The connect step of a client that comes back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from prometheus_client import REGISTRY
from tests.clock import TurnedClock
from tests.loop import settle
from tests.unit.realtime.log import FakeHead, FakeLog
from tests.unit.realtime.stage import Peer, Stage

from callboard.errors import Unauthenticated, Unavailable
from callboard.realtime.broker import Envelope
from callboard.realtime.connection import Reason
from callboard.realtime.recovery import Recovery
from callboard.realtime.recovery_ids import Position


class World:
    """A log, and the node that was given it. `restart` begins a new process on the same log."""

    def __init__(self, clock: TurnedClock) -> None:
        self.log = FakeLog()
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        self.stage = Stage(self._clock)
        self.head = FakeHead(self.log.head)
        self.stage.node.recovery = Recovery(b"key", self.log, self.head)

    def deliver(self, *rooms: str, **fields: Any) -> None:
        message = self.log.append(*rooms, **fields)
        self.head.set(self.log.head)
        self.stage.node.deliver(message)

    async def connect(self, token: str = "jonas", namespace: str = "/feed", **auth: object) -> Came:
        return await connect(self.stage.peer(), token, namespace, **auth)


class Came:
    """What answered a CONNECT: its payload, and the messages behind it."""

    def __init__(self, texts: list[str]) -> None:
        assert texts[0].startswith("0/"), texts
        connect = json.loads(texts[0].partition(",")[2])
        self.sid: str = connect["sid"]
        self.pid: str = connect["pid"]
        self.events = [json.loads(text.partition(",")[2]) for text in texts[1:]]
        self.numbers = [event[1]["n"] for event in self.events if event[0] == "n"]


async def connect(peer: Peer, token: str = "jonas", namespace: str = "/feed", **auth: object) -> Came:
    return Came(await peer.say(f"0{namespace},{json.dumps({'token': token, **auth})}"))


def counted() -> list[float]:
    """How many came back and were recovered, and how many were not."""
    name = "callboard_recoveries_total"
    return [REGISTRY.get_sample_value(name, {"outcome": each}) or 0.0 for each in ("recovered", "refused")]


@pytest.fixture
async def world(clock: TurnedClock) -> World:
    return World(clock)


async def test_a_client_gets_a_pid_and_live_messages_with_their_positions(world: World) -> None:
    peer = world.stage.peer()
    came = await connect(peer)
    world.deliver("user:u2")
    await settle()
    assert came.sid != came.pid
    assert peer.sink.texts[-1] == '42/feed,["n",{"n":1},"epoch.1"]'


async def test_it_gets_what_it_missed_behind_its_connect_and_keeps_its_pid(world: World) -> None:
    before = counted()
    first = await world.connect()
    for rooms in (("user:u2",), ("user:u1",), ("user:u2", "team:art"), ("team:art",)):
        world.deliver(*rooms)
    again = await world.connect(pid=first.pid, offset="epoch.1")
    assert (again.pid, again.numbers) == (first.pid, [3])
    assert again.sid != first.sid
    assert again.events == [["n", {"n": 3}, "epoch.3"]]
    assert [now - was for now, was in zip(counted(), before, strict=True)] == [1, 0]


async def test_it_recovers_before_it_has_received_a_first_message(world: World) -> None:
    first = await world.connect()
    world.deliver("user:u2")
    for _ in range(3):  # the stock client still has no offset if the replay was cut off, too
        again = await world.connect(pid=first.pid)
        assert (again.pid, again.numbers) == (first.pid, [1])
    assert (await world.connect(pid=first.pid, offset="epoch.1")).numbers == []


async def test_it_recovers_in_another_process_from_the_log(world: World) -> None:
    first = await world.connect("mira")
    world.deliver("user:u1")
    world.restart()
    world.log.append("team:art")  # committed and numbered, and never delivered: the process was killed
    world.log.append("role:admin")
    world.restart()
    again = await world.connect("mira", pid=first.pid)
    assert (again.pid, again.numbers) == (first.pid, [1, 2, 3])


@pytest.mark.parametrize("namespace", ["/feed", "/admin"])
async def test_each_namespace_has_its_own_pid(world: World, namespace: str) -> None:
    first = await world.connect("mira", namespace)
    world.deliver("user:u1", namespace=namespace)
    world.deliver("user:u1", namespace="/feed" if namespace == "/admin" else "/admin")
    again = await world.connect("mira", namespace, pid=first.pid)
    assert (again.pid, again.numbers) == (first.pid, [1])
    other = await world.connect("mira", "/admin" if namespace == "/feed" else "/feed", pid=first.pid)
    assert (other.pid != first.pid, other.numbers) == (True, [])


async def test_anothers_pid_recovers_nothing_of_anybodys(world: World) -> None:
    before = counted()
    victim = await world.connect("mira")
    world.deliver("user:u1")
    world.deliver("user:u2")
    thief = await world.connect("jonas", pid=victim.pid, offset="epoch.0")
    assert (thief.pid != victim.pid, thief.events) == (True, [])
    assert [now - was for now, was in zip(counted(), before, strict=True)] == [0, 1]


async def test_the_token_is_verified_each_time(world: World) -> None:
    first = await world.connect()
    world.stage.door.error = Unauthenticated("the token has expired", code="token_expired")
    [answer] = await world.stage.peer().say(f'0/feed,{{"token":"old","pid":"{first.pid}","offset":"epoch.0"}}')
    assert json.loads(answer.removeprefix("4/feed,"))["data"] == {"code": "token_expired"}


async def test_a_log_that_does_not_reach_back_gives_a_new_pid_and_no_part_of_what_was_missed(world: World) -> None:
    first = await world.connect()
    for _ in range(3):
        world.deliver("user:u2")
    world.restart()
    world.log.floor = 1
    lost = await world.connect(pid=first.pid)
    assert (lost.pid != first.pid, lost.events) == (True, [])
    world.deliver("user:u2")
    # From the new pid on it recovers again, whatever offset it still has.
    again = await world.connect(pid=lost.pid, offset="epoch.1")
    assert (again.pid, again.numbers) == (lost.pid, [4])


async def test_a_snapshots_position_is_where_a_new_client_begins(world: World) -> None:
    before = counted()
    for _ in range(3):
        world.deliver("user:u2")
    came = await world.connect(position="epoch.1")
    assert came.numbers == [2, 3]
    assert (await world.connect(position="another.1")).numbers == []
    assert (await world.connect(position=["epoch.1"])).numbers == []
    assert counted() == before, "nobody has come back"


async def test_a_line_that_breaks_before_the_messages_since_a_snapshot_have_come_costs_none_of_them(
    world: World,
) -> None:
    for _ in range(4):
        world.deliver("user:u2")
    first = await world.connect(position="epoch.1")
    assert first.numbers == [2, 3, 4]
    # CONNECT has come, and nothing behind it, or some: the pid must not stand for what was only on its way.
    assert (await world.connect(pid=first.pid, position="epoch.1")).numbers == [2, 3, 4]
    again = await world.connect(pid=first.pid, offset="epoch.3", position="epoch.1")
    assert (again.pid, again.numbers) == (first.pid, [4])
    # With a snapshot that cannot be followed up there is nothing on its way: the pid stands for now.
    world.deliver("user:u2")
    fresh = await world.connect(position="another.1")
    assert (await world.connect(pid=fresh.pid)).numbers == []


async def test_another_log_while_it_waits_to_be_let_in_recovers_nothing(world: World) -> None:
    first = await world.connect()
    world.deliver("user:u2")
    peer = world.stage.peer()
    assert await peer.say(f'0/feed,{{"token":"jonas","pid":"{first.pid}","offset":"epoch.9"}}') == []
    world.log.epoch = "restored"
    for _ in range(10):
        world.deliver("user:u1")
    await settle()
    came = Came([text[1:] for text in peer.sink.texts])
    assert (came.pid != first.pid, came.events) == (True, [])


# What is sent while the log is read


async def held(world: World) -> tuple[asyncio.Event, str]:
    """A restarted process whose log answers when the event is set; the pid of a client that misses message 1."""
    first = await world.connect()
    world.deliver("user:u2")
    world.restart()
    answer = asyncio.Event()

    async def reading() -> None:
        await answer.wait()

    world.log.reading = reading
    return answer, first.pid


async def test_what_is_sent_meanwhile_follows_what_was_missed(world: World) -> None:
    answer, pid = await held(world)
    peer = world.stage.peer()
    assert await peer.say(f'0/feed,{{"token":"jonas","pid":"{pid}"}}') == []
    world.deliver("user:u2")
    for number in range(3):
        payload = b'{"count":%d}' % number
        world.stage.node.deliver(Envelope(namespace="/feed", rooms=(), name="v", payload=payload, key="k"))
    world.stage.node.deliver(Envelope(namespace="/feed", rooms=(), name="w", payload=b"{}"))
    world.deliver("user:u2")
    answer.set()
    await settle()
    came = Came([text[1:] for text in peer.sink.texts])
    assert (came.pid, came.numbers) == (pid, [1, 2, 3])
    # The newest of a key follows; what has no key is lost.
    assert came.events[-1] == ["v", {"count": 2}]
    assert len(came.events) == 4
    world.deliver("user:u2")
    await settle()
    assert peer.sink.texts[-1].endswith('"epoch.4"]')


async def test_keys_of_volatile_messages_are_bounded_meanwhile(world: World) -> None:
    answer, pid = await held(world)
    peer = world.stage.peer()
    await peer.say(f'0/feed,{{"token":"jonas","pid":"{pid}"}}')
    bound = world.stage.node.options.max_held
    for number in (*range(bound + 50), 0):
        payload = b'{"of":%d}' % number
        envelope = Envelope(namespace="/feed", rooms=(), name="v", payload=payload, key=f"k{number}")
        world.stage.node.deliver(envelope)
    answer.set()
    await settle()
    assert len(peer.sink.texts) == 2 + bound


async def test_a_client_to_whom_too_much_is_sent_meanwhile_ends_as_slow(world: World) -> None:
    answer, pid = await held(world)
    peer, others = world.stage.peer(), [world.stage.peer() for _ in range(5)]
    await peer.say(f'0/feed,{{"token":"jonas","pid":"{pid}"}}')
    for other in others:
        await connect(other)
    for _ in range(20):
        world.deliver("user:u2", size=60_000)
    await settle()
    assert peer.sink.reasons == [Reason.SLOW]
    answer.set()
    await settle()
    assert (peer.sink.texts, len(world.stage.joined)) == ([], 5)
    assert [len(other.sink.texts) for other in others] == [21] * 5, "its end costs nobody else a message"


async def test_a_client_that_is_slow_in_the_turn_in_which_it_would_be_let_in_gets_no_part(world: World) -> None:
    answer, pid = await held(world)
    peer = world.stage.peer()
    await peer.say(f'0/feed,{{"token":"jonas","pid":"{pid}"}}')
    answer.set()
    for _ in range(20):
        world.deliver("user:u2", size=60_000)
    await settle()
    assert peer.sink.reasons == [Reason.SLOW]
    assert peer.sink.texts == []


async def test_a_client_that_ends_meanwhile_leaves_nothing_behind(world: World) -> None:
    answer, pid = await held(world)
    peer = world.stage.peer()
    await peer.say(f'0/feed,{{"token":"jonas","pid":"{pid}"}}')
    peer.connection.close(Reason.TRANSPORT)
    answer.set()
    await settle()
    assert (peer.sink.texts, world.stage.joined) == ([], [])
    assert not world.stage.node.has_room("/feed", "user:u2")


async def test_a_database_that_is_away_ends_the_transport_so_that_the_client_comes_back(world: World) -> None:
    first = await world.connect()
    world.deliver("user:u2")
    world.restart()
    world.log.error = Unavailable("away")
    peer = world.stage.peer()
    assert await peer.say(f'0/feed,{{"token":"jonas","pid":"{first.pid}"}}') == []
    assert peer.sink.reasons == [Reason.UNAVAILABLE]
    assert not world.stage.node.has_room("/feed", "user:u2")
    world.log.error = None
    assert (await world.connect(pid=first.pid)).numbers == [1]


async def test_nobody_is_let_in_before_the_first_contact_with_the_log(world: World) -> None:
    world.head = FakeHead(None)
    world.stage.node.recovery = Recovery(b"key", world.log, world.head)
    peer = world.stage.peer()
    assert await peer.say('0/feed,{"token":"jonas"}') == []
    world.head.set(Position("epoch", 0))
    await settle()
    assert Came([text[1:] for text in peer.sink.texts]).pid


async def test_all_namespaces_of_a_connection_share_the_bound_of_a_replay(world: World) -> None:
    feed, admin = await world.connect("mira"), await world.connect("mira", "/admin")
    for namespace in ("/feed", "/admin"):
        for _ in range(5):
            world.deliver("user:u1", namespace=namespace, size=60_000)
    for namespace, first in (("/feed", feed), ("/admin", admin)):
        assert len((await world.connect("mira", namespace, pid=first.pid)).numbers) == 5
    peer = world.stage.peer()
    assert len((await connect(peer, "mira", pid=feed.pid)).numbers) == 5
    assert (await connect(peer, "mira", "/admin", pid=admin.pid)).numbers == []
