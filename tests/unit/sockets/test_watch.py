"""sockets: what admins see live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.loop import Pauses, settle
from tests.rest_client import statistics_of
from tests.unit.realtime.stage import Peer
from tests.unit.sockets.conftest import Desk, heard

from callboard.realtime.connection import Reason
from callboard.realtime.namespace import Member
from callboard.sockets.payloads import ConnectionChanges, Statistics
from callboard.sockets.watch import MAX_CHANGES, TICK, TICKS_PER_STATS, Watch


class Watched(Desk):
    """A desk whose clients are watched."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses = Pauses(self.clock)
        self.statistics = statistics_of(self.stage.node)
        watch = Watch(self.stage.node, self.statistics, self.clock, pause=self.pauses)
        watch.attach()
        self.task = asyncio.create_task(watch.run())


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched()
    await settle()
    yield watched
    assert not watched.task.done()
    watched.task.cancel()
    await asyncio.wait([watched.task])


async def changes(peer: Peer) -> list[ConnectionChanges]:
    return [msgspec.convert(each, ConnectionChanges) for each in await heard(peer, "admin:connection")]


async def test_nobody_is_no_work(watched: Watched) -> None:
    await watched.joined()
    await settle()
    assert watched.pauses.asked == []


async def test_an_admin_gets_the_statistics_on_connecting_and_every_five_seconds(watched: Watched) -> None:
    admin = await watched.joined("/admin", "mira")
    (first,) = await heard(admin, "admin:stats")
    assert msgspec.convert(first, Statistics).namespaces[1].connections == 1
    await watched.pauses.over(TICKS_PER_STATS - 1)
    assert len(await heard(admin, "admin:stats")) == 1
    await watched.pauses.over()
    assert len(await heard(admin, "admin:stats")) == 2
    await watched.pauses.over(TICKS_PER_STATS)
    assert len(await heard(admin, "admin:stats")) == 3
    assert sum(watched.pauses.asked[: 2 * TICKS_PER_STATS]) == 10.0


async def test_a_slow_admin_gets_the_newest_statistics_only(watched: Watched) -> None:
    admin = await watched.joined("/admin", "mira")
    admin.connection.pause()
    await watched.pauses.over(3 * TICKS_PER_STATS)
    assert len(await heard(admin, "admin:stats")) == 1
    admin.connection.resume()
    assert len(await heard(admin, "admin:stats")) == 2


async def test_it_sleeps_once_the_last_admin_has_left_and_wakes_again(watched: Watched) -> None:
    admin = await watched.joined("/admin", "mira")
    await watched.pauses.over()
    admin.connection.close(Reason.TRANSPORT)
    await watched.pauses.over()
    asked = len(watched.pauses.asked)
    assert not watched.pauses.under_way
    again = await watched.joined("/admin", "mira")
    await watched.pauses.over(TICKS_PER_STATS)
    assert len(await heard(again, "admin:stats")) == 2
    assert len(watched.pauses.asked) > asked


async def test_an_admin_sees_who_comes_and_goes(watched: Watched) -> None:
    admin = await watched.joined("/admin", "mira")
    jonas = await watched.joined()
    sid = watched.sid(jonas)
    jonas.connection.close(Reason.TRANSPORT)
    assert await changes(admin) == []
    await watched.pauses.over()
    (told,) = await changes(admin)
    assert (told.node, told.connections, told.omitted) == (watched.stage.node.id, 1, 0)
    assert [(each.change, each.sid, each.namespace, each.user_id, each.transport) for each in told.changes] == [
        ("connected", sid, "/feed", "u2", "websocket"),
        ("disconnected", sid, "/feed", "u2", "websocket"),
    ]
    assert told.changes[0].at == "2026-03-01T12:00:00.000Z"
    await watched.pauses.over()
    assert len(await changes(admin)) == 1


async def test_changes_are_told_once_a_second_and_so_many_of_them(watched: Watched) -> None:
    admin = await watched.joined("/admin", "mira")
    for _ in range(MAX_CHANGES // 2 + 5):
        (await watched.joined()).connection.close(Reason.TRANSPORT)
    await watched.pauses.over()
    (told,) = await changes(admin)
    assert (len(told.changes), told.omitted) == (MAX_CHANGES, 10)
    await watched.joined()
    await watched.pauses.over()
    assert (await changes(admin))[1].omitted == 0
    assert set(watched.pauses.asked) == {TICK}


async def test_the_first_admin_does_not_see_itself_and_a_later_one_is_seen(watched: Watched) -> None:
    first = await watched.joined("/admin", "mira")
    await watched.pauses.over()
    assert await changes(first) == []
    second = await watched.joined("/admin", "mira")
    second.connection.close(Reason.TRANSPORT)
    await watched.pauses.over()
    (told,) = await changes(first)
    assert [(each.change, each.namespace) for each in told.changes] == [
        ("connected", "/admin"),
        ("disconnected", "/admin"),
    ]


async def test_what_nobody_saw_is_not_told_to_the_next(watched: Watched) -> None:
    first = await watched.joined("/admin", "mira")
    await watched.joined()
    first.connection.close(Reason.TRANSPORT)
    await watched.joined()
    second = await watched.joined("/admin", "mira")
    await watched.pauses.over(2)
    assert await changes(second) == []


async def test_what_happens_before_an_admin_is_let_in_is_not_told(watched: Watched) -> None:
    jonas = await watched.joined()
    (member,) = watched.stage.feed.hub.select(())
    entering = Member(member.connection, watched.stage.admin, "entering", member.principal, member.holder)
    watched.stage.admin.hub.add(entering)  # as one is in its rooms while what it missed is being read
    (await watched.joined()).connection.close(Reason.TRANSPORT)
    admin = await watched.joined("/admin", "mira")
    await watched.pauses.over()
    assert await changes(admin) == []
    assert not jonas.connection.closed


async def test_changes_reach_admins_only(watched: Watched) -> None:
    await watched.joined("/admin", "mira")
    jonas = await watched.joined()
    await watched.joined()
    await watched.pauses.over(TICKS_PER_STATS)
    assert await heard(jonas, "admin:connection") == await heard(jonas, "admin:stats") == []
