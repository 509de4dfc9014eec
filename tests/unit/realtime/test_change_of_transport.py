"""From long-polling to a WebSocket: one stands by at a time, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest
from tests.sinks import FakeSink
from tests.unit.realtime.conftest import OPTIONS, Rig

from callboard.errors import ProtocolError
from callboard.realtime.connection import Connection, Reason
from callboard.wire.engineio import Outgoing
from callboard.wire.session import State


def message(text: str) -> Outgoing:
    return Outgoing(b"4" + text.encode())


async def upgrading(rig: Rig) -> tuple[Connection, FakeSink, FakeSink]:
    connection, polling, _ = await rig.open("polling")
    websocket = FakeSink()
    assert connection.stand_by(websocket)
    connection.probe(websocket, "2probe")
    assert websocket.writes == [["3probe"]]
    websocket.batches.clear()
    return connection, polling, websocket


async def test_an_upgrade_loses_and_reorders_nothing(rig: Rig) -> None:
    connection, polling, websocket = await upgrading(rig)
    assert polling.writes[-1] == []
    connection.pause()
    polling.kept = [message("1"), message("2")]
    connection.send(message("3"))
    connection.send_volatile(message("4"), "k")
    connection.probe(websocket, "5")
    connection.send(message("5"))
    await asyncio.sleep(0)
    assert websocket.writes == [["41", "42", "43"], ["44", "45"]]
    assert polling.reasons == [Reason.CLIENT]
    assert polling.texts == []
    assert not connection.paused
    assert not connection.closed


async def test_an_upgrade_with_nothing_to_say_writes_nothing(rig: Rig) -> None:
    connection, _, websocket = await upgrading(rig)
    connection.probe(websocket, "5")
    await asyncio.sleep(0)
    assert websocket.writes == []


async def test_a_websocket_that_is_full_at_once_pauses_the_connection(rig: Rig) -> None:
    connection, polling, websocket = await upgrading(rig)
    polling.kept = [message("1")]
    websocket.full = True
    connection.probe(websocket, "5")
    assert connection.paused
    assert websocket.connection is connection


@pytest.mark.parametrize("packet", [b"2probe", "2other", "5", "4hello", ""])
async def test_what_is_no_probe_is_refused_and_the_session_stays(rig: Rig, packet: str | bytes) -> None:
    connection, polling, _ = await rig.open("polling")
    websocket = FakeSink()
    assert connection.stand_by(websocket)
    with pytest.raises(ProtocolError):
        connection.probe(websocket, packet)
    assert websocket.writes == []
    assert connection.session.state is State.POLLING
    assert (connection.sink, connection.closed) == (polling, False)


async def test_one_websocket_stands_by_at_a_time(rig: Rig) -> None:
    connection, _, websocket = await upgrading(rig)
    other = FakeSink()
    assert not connection.stand_by(other)
    states = []
    for sink in (other, websocket):
        connection.abandon(sink)
        states.append(connection.session.state)
    assert states == [State.PROBING, State.POLLING]
    assert connection.stand_by(other)


async def test_no_websocket_stands_by_a_session_that_has_one_or_is_over(rig: Rig) -> None:
    connection, _, _ = await rig.open("websocket")
    assert not connection.stand_by(FakeSink())
    connection, _, _ = await rig.open("polling")
    connection.close(Reason.CLIENT)
    assert not connection.stand_by(FakeSink())


async def test_an_upgrade_that_is_not_finished_in_time_is_given_up(rig: Rig) -> None:
    connection, _, websocket = await upgrading(rig)
    rig.timers.turn(OPTIONS.upgrade_timeout - 0.1)
    assert websocket.reasons == []
    rig.timers.turn(2.1)
    assert websocket.reasons == [Reason.PROTOCOL]
    assert connection.session.state is State.POLLING
    assert not connection.closed
    rig.timers.turn(OPTIONS.ping_interval)
    assert not connection.closed


async def test_the_end_of_a_session_is_the_end_of_what_stands_by(rig: Rig) -> None:
    connection, polling, websocket = await upgrading(rig)
    connection.close(Reason.STOPPING)
    assert websocket.reasons == polling.reasons == [Reason.STOPPING]
    connection.abandon(websocket)
    assert connection.session.state is State.CLOSED
    assert connection.stand_by(FakeSink()) is False
