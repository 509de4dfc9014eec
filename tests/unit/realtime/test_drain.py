"""A node that stops: its connections end one after another, and no new one begins."""

from __future__ import annotations

import asyncio

import pytest
from tests.loop import Timers, settle
from tests.unit.realtime.stage import Stage

from callboard.errors import Unavailable
from callboard.realtime.connection import Reason


async def test_connections_end_spread_over_the_window(stage: Stage, timers: Timers) -> None:
    peers = [stage.peer() for _ in range(100)]
    await peers[0].join()
    ended = 0
    drain = asyncio.create_task(stage.node.drain(4.0))
    await settle()
    with pytest.raises(Unavailable):
        stage.node.engine.admit("192.0.2.9")
    steps = []
    for _ in range(40):
        timers.turn(0.1)
        await settle()
        before, ended = ended, sum(bool(peer.sink.reasons) for peer in peers)
        steps.append(ended - before)
    await settle()
    timers.turn(0.1)
    await drain
    assert max(steps) <= 4, "not more than a fortieth and a little in a tenth of a second"
    assert ended >= 97
    assert all(peer.sink.reasons == [Reason.STOPPING] for peer in peers)
    assert stage.node.engine.connections == {}


async def test_without_a_window_all_end_at_once(stage: Stage) -> None:
    peers = [stage.peer() for _ in range(3)]
    await stage.node.drain(0.0)
    assert [peer.sink.reasons for peer in peers] == [[Reason.STOPPING]] * 3
    await stage.node.drain(5.0)  # nobody is left to wait for


async def test_while_others_wait_for_their_end_messages_are_handled(stage: Stage, timers: Timers) -> None:
    peers = [stage.peer(), stage.peer()]
    for peer in peers:
        await peer.join()
    drain = asyncio.create_task(stage.node.drain(4.0))
    await settle()
    timers.turn(2.1)
    await settle()
    [left] = [peer for peer in peers if not peer.sink.reasons]
    assert await left.say('2/feed,1["unknown"]') != []
    drain.cancel()
