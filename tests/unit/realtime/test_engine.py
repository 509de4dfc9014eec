"""The sessions of one path."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.sinks import FakeSink
from tests.unit.realtime.conftest import OPTIONS, Rig

from callboard.errors import Unavailable
from callboard.realtime.connection import Reason
from callboard.wire.session import State


@pytest.mark.parametrize(("transport", "state"), [("polling", State.POLLING), ("websocket", State.WEBSOCKET)])
async def test_a_session_opens_with_its_handshake(rig: Rig, transport: str, state: State) -> None:
    sink = FakeSink(transport)
    connection = rig.engine.open(sink, "192.0.2.1", upgrades=("websocket",))
    assert rig.engine.connections == {connection.session.sid: connection}
    assert connection.session.state is state
    await asyncio.sleep(0)
    [[text]] = sink.writes
    assert json.loads(text[1:]) == {
        "sid": connection.session.sid,
        "upgrades": ["websocket"],
        "pingInterval": 25000,
        "pingTimeout": 20000,
        "maxPayload": 1000000,
    }


async def test_session_ids_are_long_and_differ(rig: Rig) -> None:
    sids = [rig.engine.open(FakeSink(), "").session.sid for _ in range(3)]
    assert len(set(sids)) == 3
    assert all(len(sid) == 20 for sid in sids)


async def test_the_number_of_sessions_is_bounded(rig: Rig) -> None:
    connections = [(await rig.open())[0] for _ in range(OPTIONS.max_connections)]
    with pytest.raises(Unavailable) as refusal:
        rig.engine.admit("192.0.2.1")
    assert refusal.value.retry_after == 5
    connections[0].close(Reason.CLIENT)
    rig.engine.admit("192.0.2.1")


async def test_a_stopping_engine_ends_all_and_admits_none(rig: Rig) -> None:
    opened = [await rig.open() for _ in range(2)]
    rig.engine.close(Reason.STOPPING)
    assert [receiver.reasons for _, _, receiver in opened] == [[Reason.STOPPING]] * 2
    assert rig.engine.connections == {}
    with pytest.raises(Unavailable):
        rig.engine.admit("192.0.2.1")
    rig.engine.close(Reason.STOPPING)
    assert [sink.reasons for _, sink, _ in opened] == [[Reason.STOPPING]] * 2


async def test_connections_are_counted_by_transport(rig: Rig) -> None:
    assert rig.engine.by_transport == {"polling": 0, "websocket": 0}
    connection, _, _ = await rig.open("polling")
    other, _, _ = await rig.open("websocket")
    assert rig.engine.by_transport == {"polling": 1, "websocket": 1}
    for packet in ("2probe", "5"):
        connection.probe(FakeSink(), packet)
    assert rig.engine.by_transport == {"polling": 0, "websocket": 2}
    for each in (connection, other):
        each.close(Reason.CLIENT)
        each.close(Reason.CLIENT)
    assert rig.engine.by_transport == {"polling": 0, "websocket": 0}


async def test_there_is_one_timer_for_all_connections(rig: Rig) -> None:
    for _ in range(3):
        await rig.open()
    assert rig.timers.made == 1


async def test_rescheduling_a_connection_that_ends_by_it_leaves_nothing(rig: Rig) -> None:
    connection, _, _ = await rig.open()
    rig.timers.turn(OPTIONS.ping_interval + 2)
    rig.timers.clock.turn(OPTIONS.ping_timeout)
    rig.engine.reschedule(connection)
    assert connection.closed
    rig.timers.turn(5.0)
    assert rig.timers.pending == []
