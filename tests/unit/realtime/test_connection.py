"""One connection: its writes, its bound, its end."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs
from tests.sinks import FakeSink
from tests.unit.realtime.conftest import OPTIONS, Rig

from callboard.errors import ProtocolError
from callboard.realtime.connection import Reason
from callboard.wire.engineio import Outgoing


def message(text: str) -> Outgoing:
    return Outgoing(b"4" + text.encode())


async def turn() -> None:
    """One turn of the event loop."""
    await asyncio.sleep(0)


async def test_what_is_sent_in_one_turn_is_one_write(rig: Rig) -> None:
    connection, sink, _ = await rig.open()
    other, other_sink, _ = await rig.open()
    for text in "abc":
        connection.send(message(text))
        other.send(message(text))
    assert sink.texts == []
    await turn()
    assert sink.writes[1:] == other_sink.writes[1:] == [["4a", "4b", "4c"]]
    await turn()
    assert len(sink.writes) == 2


async def test_each_turn_has_its_own_write_in_order(rig: Rig) -> None:
    connection, sink, _ = await rig.open()
    for text in "ab":
        connection.send(message(text))
        await turn()
    assert sink.writes[1:] == [["4a"], ["4b"]]


async def test_what_is_sent_while_others_are_written_goes_out_in_the_next_turn(rig: Rig) -> None:
    first, sink, _ = await rig.open()
    second, second_sink, _ = await rig.open()

    class Echo(FakeSink):
        def write(self, batch: list[Outgoing]) -> None:
            super().write(batch)
            second.send(message("late"))

    first.sink = Echo()
    first.send(message("a"))
    await turn()
    assert second_sink.texts == []
    await turn()
    assert second_sink.texts == ["4late"]
    assert sink.texts == []


async def test_a_failing_transport_costs_the_others_nothing(rig: Rig) -> None:
    first, sink, receiver = await rig.open()
    second, second_sink, _ = await rig.open()
    sink.failing = True
    first.send(message("a"))
    second.send(message("a"))
    with capture_logs() as logs:
        await turn()
    assert second_sink.texts == ["4a"]
    assert receiver.reasons == sink.reasons == [Reason.FAILED]
    assert [entry["event"] for entry in logs] == ["task.failed"]
    assert list(rig.engine.connections.values()) == [second]


async def test_a_peer_that_does_not_read_is_closed_though_it_answers_pings(rig: Rig) -> None:
    connection, sink, receiver = await rig.open()
    connection.pause()
    sink.waiting = OPTIONS.max_unsent
    for _ in range(5):
        rig.timers.turn(OPTIONS.ping_interval + 2)
        await turn()
        connection.receive("3")
        assert not connection.closed
    sink.waiting += 1
    connection.send(message("more"))
    await turn()
    assert receiver.reasons == sink.reasons == [Reason.SLOW]
    assert sink.texts[-1] == "4more"


async def test_a_ping_finds_a_peer_that_does_not_read(rig: Rig) -> None:
    connection, sink, receiver = await rig.open()
    connection.pause()
    sink.waiting = OPTIONS.max_unsent + 1
    rig.timers.turn(OPTIONS.ping_interval + 2)
    await turn()
    assert receiver.reasons == [Reason.SLOW]


async def test_much_at_once_is_no_fault_of_a_peer_that_reads(rig: Rig) -> None:
    connection, sink, _ = await rig.open()
    sink.waiting = OPTIONS.max_unsent + 1
    connection.send(message("a"))
    await turn()
    assert not connection.closed


async def test_while_paused_the_newest_of_each_key_is_kept_and_sent_on_resuming(rig: Rig) -> None:
    connection, sink, _ = await rig.open()
    connection.send_volatile(message("before"), "x")
    connection.pause()
    for text, key in [("x1", "x"), ("y1", "y"), ("x2", "x"), ("y2", "y"), ("x3", "x")]:
        connection.send_volatile(message(text), key)
    connection.send(message("durable"))
    await turn()
    assert sink.texts == ["4before", "4durable"]
    connection.resume()
    connection.send_volatile(message("after"), "x")
    await turn()
    assert sink.writes[-1] == ["4x3", "4y2", "4after"]
    connection.resume()
    await turn()
    assert sink.writes[-1] == ["4x3", "4y2", "4after"]


async def test_the_keys_that_are_held_are_bounded(rig: Rig) -> None:
    connection, sink, _ = await rig.open()
    connection.pause()
    for n in range(OPTIONS.max_held + 5):
        connection.send_volatile(message(f"{n}"), f"key{n}")
    connection.send_volatile(message("new"), "key0")
    connection.resume()
    await turn()
    assert sink.texts == ["4new", "41", "42"]
    assert connection.traffic.dropped == 5 + 1


async def test_without_a_key_little_waits_and_much_is_dropped(rig: Rig) -> None:
    connection, sink, _ = await rig.open()
    connection.pause()
    sink.waiting = OPTIONS.max_unsent_volatile - 1
    connection.send_volatile(message("little"), None)
    await turn()
    sink.waiting = OPTIONS.max_unsent_volatile
    connection.send_volatile(message("much"), None)
    assert connection.traffic.dropped == 1
    connection.resume()
    await turn()
    assert sink.texts == ["4little"]


async def test_messages_go_to_the_receiver_in_order(rig: Rig) -> None:
    connection, _, receiver = await rig.open()
    connection.receive("4a")
    connection.receive(b"\x01")
    connection.receive("6")
    connection.receive_payload(b"4b\x1ebAg==\x1e3\x1e4c")
    assert receiver.messages == ["a", b"\x01", "b", b"\x02", "c"]


@pytest.mark.parametrize("text", ["", "x", "0", "2", "2probe", "5"])
async def test_a_broken_rule_ends_the_connection_and_is_logged_once(rig: Rig, text: str) -> None:
    connection, sink, receiver = await rig.open()
    with capture_logs() as logs:
        connection.receive(text)
        connection.receive(text)
    assert receiver.reasons == sink.reasons == [Reason.PROTOCOL]
    assert [(entry["event"], entry["code"], entry["address"]) for entry in logs] == [
        ("socket.refused", "protocol_error", "192.0.2.1")
    ]


async def test_an_error_of_the_receiver_ends_the_connection(rig: Rig) -> None:
    connection, sink, receiver = await rig.open()
    receiver.error = ProtocolError("no")
    connection.receive("4a")
    assert receiver.reasons == sink.reasons == [Reason.PROTOCOL]


@pytest.mark.parametrize("body", [b"", b"4a\x1e", b"b!", b"2", b"4\xff"])
async def test_a_broken_payload_ends_the_connection_and_is_reported(rig: Rig, body: bytes) -> None:
    connection, _, receiver = await rig.open("polling")
    with pytest.raises(ProtocolError):
        connection.receive_payload(body)
    assert receiver.reasons == [Reason.PROTOCOL]
    assert receiver.messages == []


async def test_nothing_is_taken_after_close(rig: Rig) -> None:
    connection, sink, receiver = await rig.open()
    connection.receive_payload(b"4a\x1e1\x1e4b\x1e1\x1e3")
    for text in ("4c", "1", "3", "x", b""):
        connection.receive(text)
    assert receiver.messages == ["a"]
    assert receiver.reasons == sink.reasons == [Reason.CLIENT]


async def test_a_connection_closes_once_and_is_forgotten(rig: Rig) -> None:
    connection, sink, receiver = await rig.open()
    connection.send(message("last"))
    connection.close(Reason.ADMIN)
    connection.close(Reason.SLOW)
    connection.receive("1")
    connection.send(message("too late"))
    connection.send_volatile(message("too late"), "k")
    await turn()
    assert sink.texts == ["4last"]
    assert receiver.reasons == sink.reasons == [Reason.ADMIN]
    assert rig.engine.connections == {}
    assert connection.receiver is None
    assert connection._pending == []
    rig.timers.turn(100.0)
    assert rig.timers.pending == []


@pytest.mark.parametrize("reason", [Reason.SLOW, Reason.TRANSPORT])
async def test_nothing_is_written_to_a_peer_that_cannot_take_it(rig: Rig, reason: Reason) -> None:
    connection, sink, _ = await rig.open()
    connection.send(message("lost"))
    connection.close(reason)
    await turn()
    assert sink.texts == []
    assert sink.reasons == [reason]


async def test_closing_and_sending_from_within_the_end(rig: Rig) -> None:
    connection, sink, receiver = await rig.open()

    def at_end() -> None:
        connection.send(message("from the end"))
        connection.close(Reason.ADMIN)

    receiver.at_end = at_end
    connection.close(Reason.CLIENT)
    await turn()
    assert receiver.reasons == sink.reasons == [Reason.CLIENT]
    assert sink.texts == []


async def test_closing_from_within_a_write(rig: Rig) -> None:
    connection, _, receiver = await rig.open()

    class Closing(FakeSink):
        def write(self, batch: list[Outgoing]) -> None:
            super().write(batch)
            connection.close(Reason.TRANSPORT)

    sink = Closing()
    connection.sink = sink
    connection.send(message("a"))
    await turn()
    assert sink.texts == ["4a"]
    assert receiver.reasons == sink.reasons == [Reason.TRANSPORT]


async def test_pings_go_out_and_a_missing_pong_ends_the_connection(rig: Rig) -> None:
    connection, sink, receiver = await rig.open()
    rig.timers.turn(OPTIONS.ping_interval + 2)
    await turn()
    assert sink.texts == ["2"]
    connection.receive("3")
    rig.timers.turn(OPTIONS.ping_interval + 2)
    await turn()
    assert sink.texts == ["2", "2"]
    rig.timers.turn(OPTIONS.ping_timeout + 2)
    assert receiver.reasons == sink.reasons == [Reason.PING_TIMEOUT]
    rig.timers.turn(1000.0)
    assert rig.timers.pending == []


async def test_after_a_suspension_the_client_may_still_answer(rig: Rig) -> None:
    connection, sink, _ = await rig.open()
    rig.timers.clock.turn(3600.0)
    rig.timers.turn(0.0)
    await turn()
    assert sink.texts == ["2"]
    assert not connection.closed
    connection.receive("3")
    rig.timers.turn(OPTIONS.ping_interval - 1)
    assert not connection.closed


async def test_a_check_sends_the_ping_that_the_wheel_has_not_sent_yet(rig: Rig) -> None:
    connection, sink, _ = await rig.open()
    rig.timers.clock.turn(OPTIONS.ping_interval + 0.1)
    connection.check()
    connection.check()
    await turn()
    assert sink.texts == ["2"]
    rig.timers.turn(5.0)
    await turn()
    assert sink.texts == ["2"]
    connection.receive("3")
    rig.timers.turn(OPTIONS.ping_timeout + 2)
    assert not connection.closed


async def test_a_check_ends_a_connection_that_is_overdue(rig: Rig) -> None:
    connection, _, receiver = await rig.open()
    rig.timers.turn(OPTIONS.ping_interval + 2)
    rig.timers.clock.turn(OPTIONS.ping_timeout)
    connection.check()
    assert receiver.reasons == [Reason.PING_TIMEOUT]
    connection.check()
    assert receiver.reasons == [Reason.PING_TIMEOUT]


async def test_the_receivers_deadline_is_asked_for_in_time(rig: Rig) -> None:
    connection, _, receiver = await rig.open()
    calls: list[float] = []

    def on_due(now: float) -> float | None:
        calls.append(now)
        return now + 3.0 if len(calls) < 3 else None

    receiver.due = on_due
    rig.engine.reschedule(connection)
    rig.timers.turn(20.0)
    assert len(calls) == 3


async def test_a_receivers_deadline_may_end_the_connection(rig: Rig) -> None:
    connection, _, receiver = await rig.open()

    def on_due(now: float) -> float | None:
        connection.close(Reason.NO_CONNECT)
        return now

    receiver.due = on_due
    assert connection.on_due(rig.timers.clock.monotonic()) is None
    assert receiver.reasons == [Reason.NO_CONNECT]
