"""A broadcast's shortcut: past the queues when it is all there is in a turn, and in its place when it is not."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs
from tests.sinks import FakeSink
from tests.unit.realtime.conftest import OPTIONS, Rig

from callboard.realtime import turn as turns
from callboard.realtime import writer
from callboard.realtime.connection import Connection, Reason
from callboard.wire.engineio import Outgoing

Opened = tuple[Connection, FakeSink]


@pytest.fixture(params=[1, 1 << 30], ids=["ring", "each"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one system call, if this machine lets us, or with one for each."""
    monkeypatch.setattr(writer, "ENOUGH", request.param)


def message(text: str) -> Outgoing:
    return Outgoing(b"4" + text.encode())


async def turn() -> None:
    await asyncio.sleep(0)


@pytest.fixture(params=[True, False], ids=["sharing", "queues"])
async def pair(rig: Rig, request: pytest.FixtureRequest) -> tuple[Opened, Opened]:
    """Two connections on transports that have the short way, or not."""
    one, two = [(await rig.open(sharing=request.param))[:2] for _ in range(2)]
    return one, two


def broadcast(rig: Rig, text: str, *connections: Connection, key: str | None = None, volatile: bool = False) -> None:
    rig.engine.turn.broadcast(connections, message(text), key, volatile)


async def test_alone_in_its_turn_it_passes_no_queue(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    (one, first, _), (two, second, _) = [await rig.open(sharing=True) for _ in range(2)]
    monkeypatch.setattr(Connection, "send", None)
    broadcast(rig, "a", one, two)
    assert first.texts == []
    await turn()
    broadcast(rig, "b", one, two, volatile=True)
    broadcast(rig, "c", one, two)
    await turn()
    assert first.writes[1:] == second.writes[1:] == [["4a"], ["4b", "4c"]]


async def several_at_a_time(
    rig: Rig, pair: tuple[Opened, Opened], monkeypatch: pytest.MonkeyPatch
) -> tuple[Opened, Opened]:
    """The pair is many, and has just been sent "a" and "b" together."""
    monkeypatch.setattr(turns, "MANY", 2)
    (one, _), (two, _) = pair
    for text in ("a", "b"):
        broadcast(rig, text, one, two)
    await turn()
    return pair


async def test_to_many_it_waits_for_others_while_there_are_several_at_a_time(
    rig: Rig, pair: tuple[Opened, Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, first), (two, second) = await several_at_a_time(rig, pair, monkeypatch)
    for text in ("c", "d", "e"):
        assert (first.texts[2:], second.texts[2:]) == ([], [])
        broadcast(rig, text, one, two)
        await turn()
    assert first.writes[1:] == second.writes[1:] == [["4a", "4b"], ["4c", "4d", "4e"]]

    broadcast(rig, "f", one)
    await turn()
    assert first.writes[3:] == [["4f"]], "to few it does not wait"

    broadcast(rig, "g", one, two)
    for _ in range(1 + turns.PATIENCE):
        assert second.writes[3:] == []
        await turn()
    broadcast(rig, "h", one, two)
    await turn()
    assert second.writes[3:] == [["4g"], ["4h"]], "the last one was alone"


async def test_what_is_sent_to_one_of_many_ends_the_waiting(
    rig: Rig, pair: tuple[Opened, Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, first), (two, second) = await several_at_a_time(rig, pair, monkeypatch)
    broadcast(rig, "c", one, two)
    await turn()
    two.send(message("d"))
    await turn()
    assert first.writes[2:] == [["4c"]]
    assert second.writes[2:] == [["4c", "4d"]]


async def test_some_have_the_short_way_and_some_have_not(rig: Rig) -> None:
    opened = [await rig.open(sharing=sharing) for sharing in (True, False, True)]
    audience = [connection for connection, _, _ in opened]
    broadcast(rig, "a", *audience)
    await turn()
    broadcast(rig, "b", *audience)
    broadcast(rig, "c", *audience)
    await turn()
    for _, sink, _ in opened:
        assert sink.writes[1:] == [["4a"], ["4b", "4c"]]


async def test_several_in_a_turn_leave_in_one_write(rig: Rig, pair: tuple[Opened, Opened]) -> None:
    (one, first), (two, second) = pair
    broadcast(rig, "a", one, two)
    broadcast(rig, "b", two, volatile=True)
    broadcast(rig, "c", one, two)
    await turn()
    assert first.writes[1:] == [["4a", "4c"]]
    assert second.writes[1:] == [["4a", "4b", "4c"]]
    await turn()
    assert len(first.writes) == 2


async def test_of_as_many_others_each_gets_its_own(rig: Rig, pair: tuple[Opened, Opened]) -> None:
    (one, first), (two, second) = pair
    broadcast(rig, "a", one)
    broadcast(rig, "b", two)
    await turn()
    assert first.writes[1:] == [["4a"]]
    assert second.writes[1:] == [["4b"]]


async def test_it_keeps_its_place_among_messages_to_one(rig: Rig, pair: tuple[Opened, Opened]) -> None:
    (one, first), (two, second) = pair
    one.send(message("before"))
    broadcast(rig, "a", one, two)
    one.send(message("after"))
    await turn()
    assert first.writes[1:] == [["4before", "4a", "4after"]]
    broadcast(rig, "b", one, two)
    one.send(message("after"))
    two.send(message("after"))
    await turn()
    assert first.writes[2:] == second.writes[2:] == [["4b", "4after"]]


async def test_who_does_not_take_it_now_gets_it_by_the_queues_rules(rig: Rig, pair: tuple[Opened, Opened]) -> None:
    (one, first), (two, second) = pair
    one.pause()
    broadcast(rig, "x1", one, two, key="x", volatile=True)
    await turn()
    assert (first.texts, second.texts) == ([], ["4x1"])
    broadcast(rig, "durable", one, two)
    await turn()
    assert (first.texts, second.texts) == (["4durable"], ["4x1", "4durable"])
    broadcast(rig, "x2", one, two, key="x", volatile=True)
    one.resume()
    await turn()
    assert first.texts == ["4durable", "4x2"]


async def test_who_cannot_take_it_any_more_when_it_is_written_gets_it_by_the_queues_rules(
    rig: Rig, pair: tuple[Opened, Opened]
) -> None:
    (one, first), (two, second) = pair
    broadcast(rig, "x1", one, two, key="x", volatile=True)
    one.pause()
    await turn()
    assert (first.texts, second.texts) == ([], ["4x1"])
    one.resume()
    broadcast(rig, "x2", one, two, key="x", volatile=True)
    await turn()
    assert first.texts == second.texts == ["4x1", "4x2"]


async def test_the_short_way_is_the_transports_while_it_takes_everything(rig: Rig) -> None:
    connection, _, _ = await rig.open("polling")
    websocket = FakeSink(sharing=True)
    own = websocket.descriptor
    assert own is not None
    known = [connection.descriptor]
    connection.probe(websocket, "2probe")
    connection.probe(websocket, "5")
    known.append(connection.descriptor)
    for change in (connection.pause, connection.resume, lambda: connection.close(Reason.ADMIN)):
        change()
        known.append(connection.descriptor)
    assert known == [None, own, None, own, None]


async def test_a_write_that_leaves_too_much_unsent_ends_the_connection(rig: Rig, pair: tuple[Opened, Opened]) -> None:
    (one, first), (two, second) = pair
    first.connection, first.full, first.waiting = one, True, OPTIONS.max_unsent + 1
    first.block()
    broadcast(rig, "a", one, two)
    await turn()
    assert one.closed
    assert first.reasons == [Reason.SLOW]
    assert first.texts == ["4a"]
    assert rig.engine.traffic.bytes_out == (0 if second.descriptor is None else 4), "the sinks count what they write"
    assert second.texts == ["4a"]


async def test_it_is_written_before_an_end_in_its_turn_and_not_after(rig: Rig, pair: tuple[Opened, Opened]) -> None:
    (one, first), (two, second) = pair
    broadcast(rig, "a", one, two)
    one.close(Reason.STOPPING)
    await turn()
    assert first.writes[1:] == second.writes[1:] == [["4a"]]
    broadcast(rig, "b", one, two)
    await turn()
    assert first.texts == ["4a"]
    assert second.texts == ["4a", "4b"]


async def test_a_client_that_leaves_in_its_turn_still_gets_it(rig: Rig, pair: tuple[Opened, Opened]) -> None:
    (one, first), (two, second) = pair
    broadcast(rig, "a", one, two)
    one.receive("1")
    await turn()
    assert first.texts == second.texts == ["4a"]


async def test_a_change_of_transport_in_its_turn_takes_it_along(rig: Rig) -> None:
    connection, polling, _ = await rig.open("polling")
    websocket = FakeSink()
    connection.probe(websocket, "2probe")
    broadcast(rig, "a", connection)
    connection.probe(websocket, "5")
    await turn()
    assert polling.texts == []
    assert websocket.texts == ["3probe", "4a"]


async def test_a_failing_transport_costs_the_others_nothing(rig: Rig, pair: tuple[Opened, Opened]) -> None:
    (one, first), (two, second) = pair
    first.failing = True
    first.block()
    with capture_logs() as logs:
        broadcast(rig, "a", one, two)
        await turn()
    assert second.texts == ["4a"]
    assert first.reasons == [Reason.FAILED]
    assert [entry["event"] for entry in logs] == ["task.failed"]


async def test_what_is_sent_while_it_is_written_comes_behind_it(rig: Rig, pair: tuple[Opened, Opened]) -> None:
    (one, first), (two, second) = pair

    def answer() -> None:
        two.send(message("late"))
        broadcast(rig, "later", two)

    first.at_write = answer
    first.block()
    broadcast(rig, "a", one, two)
    await turn()
    await turn()
    assert second.texts == ["4a", "4late", "4later"]


async def test_the_end_of_the_engine_is_the_end_of_its_ring(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[writer.Writer] = []
    monkeypatch.setattr(writer.Writer, "close", lambda self: closed.append(self))
    rig.engine.close(Reason.STOPPING)
    assert len(closed) == 1
