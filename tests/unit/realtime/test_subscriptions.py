"""Rooms that clients ask for: who may, how many, and what is remembered for their return."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.clock import TurnedClock
from tests.loop import Pauses, settle
from tests.unit.realtime.log import FakeHead, FakeLog
from tests.unit.realtime.sessions import FakeSessions
from tests.unit.realtime.stage import JONAS, Peer, Stage

from callboard.auth.access import DefaultAccess, Verb
from callboard.auth.principal import Principal
from callboard.errors import Unavailable
from callboard.realtime.connection import Reason
from callboard.realtime.namespace import Member
from callboard.realtime.recovery import Recovery
from callboard.realtime.subscriptions import REFRESH, RETRY, SubscribeAcknowledgement, Subscriptions

E1, E2 = {"type": "episode", "id": "e1"}, {"type": "episode", "id": "e2"}
R1, R2 = "resource:episode:e1", "resource:episode:e2"


class Rules(DefaultAccess):
    """Lets users read all but what is `secret`. `asked` are the questions."""

    def __init__(self) -> None:
        self.secret: set[str] = set()
        self.asked: list[tuple[str, str, str, str]] = []

    def may(self, principal: Principal, verb: Verb, resource_type: str, resource_id: str, /) -> bool:
        self.asked.append((principal.id, verb, resource_type, resource_id))
        return super().may(principal, verb, resource_type, resource_id) and resource_id not in self.secret


class World:
    """A node whose `/feed` takes subscriptions, its log, and its sessions. `restart`: another process, same log."""

    def __init__(self, clock: TurnedClock) -> None:
        self.clock = clock
        self.log = FakeLog()
        self.sessions = FakeSessions()
        self.rules = Rules()
        self.pauses = Pauses(clock)
        self.restart()

    def restart(self) -> None:
        self.stage = Stage(self.clock)
        self.head = FakeHead(self.log.head)
        self.stage.node.recovery = Recovery(b"key", self.log, self.head)
        self.subscriptions = Subscriptions(self.rules, self.sessions, self.head, pause=self.pauses)
        self.stage.node.subscriptions = self.subscriptions
        self.subscriptions.serve(self.stage.feed)

    def deliver(self, *rooms: str) -> None:
        message = self.log.append(*rooms)
        self.head.set(self.log.head)
        self.stage.node.deliver(message)

    async def connect(self, token: str = "jonas", **auth: object) -> Tab:
        peer = self.stage.peer()
        texts = await peer.say(f"0/feed,{json.dumps({'token': token, **auth})}")
        return Tab(peer, texts, self.stage.joined[-1] if self.stage.joined else None)


class Tab:
    """A client that is in /feed. `numbers`: of the messages behind its CONNECT."""

    def __init__(self, peer: Peer, texts: list[str], member: Member | None) -> None:
        self.peer = peer
        self.texts = texts
        self.member = member
        self.pid: str = json.loads(texts[0].partition(",")[2])["pid"] if texts else ""
        self.numbers = [json.loads(text.partition(",")[2])[1]["n"] for text in texts[1:]]

    async def ask(self, name: str, data: object) -> dict[str, Any]:
        """A message's acknowledgement."""
        [text] = [text for text in await self.peer.say(f"2/feed,1{json.dumps([name, data])}") if text[0] == "3"]
        answer: dict[str, Any] = json.loads(text.removeprefix("3/feed,1"))[0]
        return answer

    async def subscribe(self, *resources: object) -> dict[str, Any]:
        return await self.ask("subscribe", {"resources": list(resources)})

    async def unsubscribe(self, *resources: object) -> dict[str, Any]:
        return await self.ask("unsubscribe", {"resources": list(resources)})

    async def heard(self) -> int:
        """How many messages `n` came live."""
        await settle()
        return sum('"n"' in text for text in self.peer.sink.texts)

    def leave(self) -> None:
        self.peer.connection.close(Reason.TRANSPORT)


@pytest.fixture
async def world(clock: TurnedClock) -> World:
    return World(clock)


async def test_who_subscribes_is_in_the_room_and_told_from_where(world: World) -> None:
    world.deliver("user:u1")
    tab = await world.connect()
    answer = await tab.subscribe(E1, E2, E1)
    assert answer == {"ok": True, "position": "epoch.1"}
    msgspec.convert(answer, SubscribeAcknowledgement)
    assert world.rules.asked == [("u2", "read", "episode", "e1"), ("u2", "read", "episode", "e2")]
    for room in (R1, R2, "resource:episode:e3"):
        world.deliver(room)
    assert await tab.heard() == 2
    assert world.sessions.kept == {tab.pid: {R1, R2}}


async def test_who_unsubscribes_is_told_no_more(world: World) -> None:
    tab = await world.connect()
    await tab.subscribe(E1, E2)
    assert await tab.unsubscribe(E1, {"type": "episode", "id": "never"}) == {"ok": True}
    world.deliver(R1)
    world.deliver(R2)
    assert await tab.heard() == 1
    assert world.sessions.kept == {tab.pid: {R2}}


async def test_what_changes_nothing_writes_nothing(world: World) -> None:
    tab = await world.connect()
    await tab.subscribe(E1)
    await tab.subscribe(E1)
    await tab.unsubscribe(E2)
    assert world.sessions.changes == 1


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"resources": []},
        {"resources": None},
        {"resources": E1},
        {"resources": ["episode:e1"]},
        {"resources": [E1], "more": 1},
        {"resources": [{"type": "episode"}]},
        {"resources": [{**E1, "more": 1}]},
        {"resources": [{"type": "episode", "id": 1}]},
        {"resources": [{"type": "episode", "id": ""}]},
        {"resources": [{"type": "episode", "id": "x" * 201}]},
        {"resources": [{"type": "episode", "id": "a\0b"}]},
        {"resources": [{"type": "episode", "id": "a\n"}]},
        {"resources": [{"type": "a:b", "id": "c"}]},
        {"resources": [{"type": "", "id": "c"}]},
        {"resources": [{"type": "Episode", "id": "c"}]},
        {"resources": [{"type": "x" * 65, "id": "c"}]},
        {"resources": [{"type": "episode", "id": str(n)} for n in range(129)]},
    ],
)
@pytest.mark.parametrize("name", ["subscribe", "unsubscribe"])
async def test_what_is_no_list_of_resources_is_refused(world: World, name: str, data: object) -> None:
    tab = await world.connect()
    assert (await tab.ask(name, data))["error"]["code"] == "invalid"
    assert (world.rules.asked, world.sessions.kept) == ([], {})


async def test_a_list_may_be_as_long_as_a_connection_may_have_rooms(world: World) -> None:
    tab = await world.connect()
    many = [{"type": "episode", "id": str(n)} for n in range(128)]
    assert (await tab.subscribe(*many))["ok"] is True
    assert (await tab.subscribe(E1))["error"]["code"] == "too_many_rooms"
    assert len(world.sessions.kept[tab.pid]) == 128
    await tab.unsubscribe(many[0])
    assert (await tab.subscribe(E1))["ok"] is True


async def test_what_may_not_be_read_is_as_if_it_did_not_exist_and_none_of_the_list_is_joined(world: World) -> None:
    world.rules.secret = {"e2"}
    tab = await world.connect()
    assert (await tab.subscribe(E1, E2))["error"]["code"] == "not_found"
    world.deliver(R1)
    assert await tab.heard() == 0
    assert world.sessions.kept == {}


async def test_an_id_may_hold_colons_and_is_asked_as_it_is(world: World) -> None:
    world.rules.secret = {"a:b"}
    tab = await world.connect()
    assert "error" in await tab.subscribe({"type": "file", "id": "a:b"})
    assert (await tab.subscribe({"type": "file", "id": "a:c"}))["ok"] is True


async def test_a_database_that_is_away_refuses_a_change_and_leaves_all_as_it_was(world: World) -> None:
    tab = await world.connect()
    await tab.subscribe(E1)
    world.sessions.error = Unavailable("away")
    assert (await tab.subscribe(E2))["error"]["code"] == "unavailable"
    assert (await tab.unsubscribe(E1))["error"]["code"] == "unavailable"
    world.deliver(R1)
    world.deliver(R2)
    assert await tab.heard() == 1
    assert not tab.peer.connection.closed
    world.sessions.error = None
    assert (await tab.subscribe(E2))["ok"] is True


async def test_who_leaves_while_it_is_written_leaves_nothing_behind(world: World) -> None:
    tab = await world.connect()
    world.sessions.open.clear()
    await tab.peer.say(f"2/feed,1{json.dumps(['subscribe', {'resources': [E1]}])}")
    tab.leave()
    world.sessions.open.set()
    await settle()
    assert not world.stage.node.has_room("/feed", R1)


async def test_a_node_without_recovery_remembers_nothing(clock: TurnedClock) -> None:
    stage = Stage(clock)
    Subscriptions(Rules()).serve(stage.feed)
    peer = stage.peer()
    await peer.join()
    [answer] = await peer.say(f"2/feed,1{json.dumps(['subscribe', {'resources': [E1]}])}")
    assert answer == '3/feed,1[{"ok":true,"position":null}]'
    assert stage.joined[0].subscriptions == {R1}
    await Subscriptions(Rules()).refresh()


async def test_a_slice_may_have_rooms_of_its_own_kind(world: World) -> None:
    world.subscriptions.allow(world.stage.feed, "friends", lambda principal, of: of == principal.id)
    tab = await world.connect()
    assert tab.member is not None
    await world.subscriptions.subscribe(tab.member, ["friends:u2"])
    assert tab.member.subscriptions == {"friends:u2"}
    for room in ("friends:u1", "strange:u2", "u2"):
        assert not world.stage.feed.may_join(JONAS, room)


# Coming back


async def test_who_comes_back_is_in_its_rooms_and_gets_what_it_missed_there(world: World) -> None:
    tab = await world.connect()
    await tab.subscribe(E1, E2)
    await tab.unsubscribe(E2)
    tab.leave()
    for room in (R1, R2, "user:u2", R1):
        world.deliver(room)
    again = await world.connect(pid=tab.pid)
    assert (again.pid, again.numbers) == (tab.pid, [1, 3, 4])
    world.deliver(R1)
    assert await again.heard() == 4
    assert world.sessions.asked == [(tab.pid, 0, int(world.clock.now().timestamp()))]


async def test_in_another_process_too_and_again_and_again(world: World) -> None:
    tab = await world.connect()
    await tab.subscribe(E1)
    for number in range(1, 4):
        world.log.append(R1)
        world.restart()
        again = await world.connect(pid=tab.pid, offset=f"epoch.{number - 1}")
        assert (again.pid, again.numbers) == (tab.pid, [number])
    await again.subscribe(E2)
    world.restart()
    assert (await world.connect(pid=tab.pid, offset="epoch.3")).member is not None
    assert world.stage.node.has_room("/feed", R2)


async def test_what_comes_while_the_rooms_are_read_comes_once(world: World) -> None:
    tab = await world.connect()
    await tab.subscribe(E1)
    tab.leave()
    world.sessions.open.clear()
    peer = world.stage.peer()
    await peer.say(f'0/feed,{{"token":"jonas","pid":"{tab.pid}"}}')
    world.deliver(R1)
    world.sessions.open.set()
    await settle()
    world.deliver(R1)
    await settle()
    positions = [text.rpartition(",")[2] for text in peer.sink.texts[1:]]
    assert positions == ['"epoch.1"]', '"epoch.2"]']


async def test_a_recovery_that_fails_forgets_them(world: World) -> None:
    tab = await world.connect()
    await tab.subscribe(E1)
    world.deliver(R1)
    world.log.append(R1)
    world.restart()
    world.log.floor = 1
    again = await world.connect(pid=tab.pid)
    assert again.pid != tab.pid
    assert not world.stage.node.has_room("/feed", R1)
    assert again.member is not None
    assert again.member.holder.subscribed == 0
    assert (await again.subscribe(E1))["ok"] is True


async def test_who_may_no_longer_read_one_of_them_does_not_recover(world: World) -> None:
    tab = await world.connect()
    await tab.subscribe(E1, E2)
    tab.leave()
    world.rules.secret = {"e2"}
    world.deliver(R2)
    again = await world.connect(pid=tab.pid)
    assert (again.pid != tab.pid, again.numbers) == (True, [])
    assert not world.stage.node.has_room("/feed", R1)


async def test_who_may_have_had_rooms_that_are_forgotten_does_not_recover(world: World) -> None:
    tab = await world.connect()
    world.sessions.forgotten = {tab.pid}
    again = await world.connect(pid=tab.pid)
    assert again.pid != tab.pid


async def test_more_rooms_than_a_connection_may_have_are_not_recovered(world: World) -> None:
    tab = await world.connect()
    await tab.subscribe(E1)
    world.sessions.kept[tab.pid] |= {f"resource:episode:x{n}" for n in range(128)}
    again = await world.connect(pid=tab.pid)
    assert again.pid != tab.pid


async def test_a_database_that_is_away_ends_the_transport_of_who_comes_back(world: World) -> None:
    tab = await world.connect()
    await tab.subscribe(E1)
    world.sessions.error = Unavailable("away")
    peer = world.stage.peer()
    assert await peer.say(f'0/feed,{{"token":"jonas","pid":"{tab.pid}"}}') == []
    assert peer.sink.reasons == [Reason.UNAVAILABLE]


async def test_nobody_is_asked_where_nobody_can_subscribe_and_who_is_new(world: World) -> None:
    peer = world.stage.peer()
    [first] = await peer.say('0/admin,{"token":"mira"}')
    pid = json.loads(first.partition(",")[2])["pid"]
    await world.stage.peer().say(f'0/admin,{{"token":"mira","pid":"{pid}"}}')
    await world.connect()
    assert world.sessions.asked == []


async def test_a_new_token_leaves_rooms_that_it_does_not_let_its_user_into(world: World) -> None:
    tab = await world.connect()
    await tab.subscribe(E1, E2)
    world.rules.secret = {"e1"}
    await tab.ask("token", {"token": "jonas"})
    assert tab.member is not None
    assert tab.member.subscriptions == {R2}


# Not forgotten while it is here


@pytest.fixture
async def kept(world: World) -> AsyncIterator[World]:
    task = asyncio.create_task(world.subscriptions.run())
    await settle()
    yield world
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


async def test_who_is_connected_is_touched_from_time_to_time(kept: World) -> None:
    tab, gone, other = await kept.connect(), await kept.connect("mira"), await kept.connect()
    for each in (tab, gone):
        await each.subscribe(E1)
    gone.leave()
    await kept.pauses.over()
    assert kept.sessions.touched == [tab.pid]
    assert other.pid not in kept.sessions.touched
    await kept.pauses.over()
    assert kept.pauses.asked == [REFRESH] * 3
    assert kept.sessions.touched == [tab.pid] * 2


async def test_what_was_forgotten_all_the_same_is_written_anew(kept: World) -> None:
    tab = await kept.connect()
    await tab.subscribe(E1, E2)
    kept.sessions.kept.clear()
    await kept.pauses.over()
    assert kept.sessions.kept == {tab.pid: {R1, R2}}


async def test_a_database_that_is_away_is_asked_again_sooner(kept: World) -> None:
    tab = await kept.connect()
    await tab.subscribe(E1)
    kept.sessions.error = Unavailable("away")
    with capture_logs() as logs:
        await kept.pauses.over()
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("sessions.failed", "away")]
    kept.sessions.error = None
    await kept.pauses.over()
    assert kept.pauses.asked == [REFRESH, RETRY, REFRESH]
    assert kept.sessions.touched == [tab.pid]
