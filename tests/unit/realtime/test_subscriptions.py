"""Rooms that clients ask for: who may, and how many."""

from __future__ import annotations

import json

import msgspec
import pytest
from tests.clock import TurnedClock
from tests.loop import settle
from tests.unit.realtime.stage import JONAS, Stage
from tests.unit.realtime.subscribed import E1, E2, R1, R2, Rules, World

from callboard.errors import Unavailable
from callboard.realtime.subscriptions import SubscribeAcknowledgement, Subscriptions


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
