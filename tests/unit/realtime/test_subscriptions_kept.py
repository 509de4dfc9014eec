"""Rooms that clients asked for: what is remembered for their return, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs
from tests.loop import settle
from tests.unit.realtime.subscribed import E1, E2, R1, R2, World

from callboard.errors import CallboardError, StoreError, Unavailable
from callboard.realtime.connection import Reason
from callboard.realtime.subscriptions import REFRESH, RETRY


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


@pytest.mark.parametrize("error", [Unavailable("away"), StoreError("refused")])
async def test_a_database_that_does_not_answer_is_asked_again_sooner(kept: World, error: CallboardError) -> None:
    tab = await kept.connect()
    await tab.subscribe(E1)
    kept.sessions.error = error
    with capture_logs() as logs:
        await kept.pauses.over()
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("sessions.failed", error.message)]
    kept.sessions.error = None
    await kept.pauses.over()
    assert kept.pauses.asked == [REFRESH, RETRY, REFRESH]
    assert kept.sessions.touched == [tab.pid]
