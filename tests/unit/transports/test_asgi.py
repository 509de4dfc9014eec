"""WebSocket by ASGI, by a server without sockets."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs
from tests.loop import settle
from tests.sinks import FakeReceiver
from tests.unit.transports.conftest import OPTIONS, Server
from tests.unit.transports.drivers import WebSocket

from callboard.realtime.connection import Reason
from callboard.wire.engineio import BinaryMessage, Outgoing
from callboard.wire.session import State


def message(text: str) -> Outgoing:
    return Outgoing(b"4" + text.encode())


async def opened(server: Server) -> tuple[WebSocket, FakeReceiver]:
    websocket = WebSocket(server.websocket)
    await settle()
    return websocket, server.receivers[-1]


async def test_a_session_opens_on_the_websocket(server: Server) -> None:
    websocket, _ = await opened(server)
    assert websocket.sent[0] == {"type": "websocket.accept"}
    [text] = websocket.heard
    assert isinstance(text, str)
    assert json.loads(text[1:])["upgrades"] == []
    [connection] = server.engine.connections.values()
    assert connection.session.state is State.WEBSOCKET
    assert not connection.paused
    await websocket.leave()
    assert server.engine.connections == {}


async def test_messages_go_in_and_out_in_order(server: Server) -> None:
    websocket, receiver = await opened(server)
    await websocket.say("4a", b"\x01", "4ß")
    assert receiver.messages == ["a", b"\x01", "ß"]
    [connection] = server.engine.connections.values()
    connection.send(message("ß"))
    connection.send(Outgoing(b"451-[]", (b"\x01", b"\x02")))
    connection.send(BinaryMessage(b""))
    await settle()
    assert websocket.heard[1:] == ["4ß", "451-[]", b"\x01", b"\x02", b""]
    await websocket.leave()
    assert receiver.reasons == [Reason.TRANSPORT]
    assert websocket.task.done()


async def test_a_broken_rule_closes_it(server: Server) -> None:
    websocket, receiver = await opened(server)
    await websocket.say("x", "4late")
    assert websocket.close_code == 1008
    assert receiver.reasons == [Reason.PROTOCOL]
    assert receiver.messages == []
    assert websocket.task.done()


async def test_a_client_that_closes_gets_a_normal_close(server: Server) -> None:
    websocket, receiver = await opened(server)
    await websocket.say("1")
    assert websocket.close_code == 1000
    assert receiver.reasons == [Reason.CLIENT]


@pytest.mark.parametrize("data", ["4" + "x" * OPTIONS.max_payload, b"x" * (OPTIONS.max_payload + 1)])
async def test_a_message_over_the_bound_closes_it(server: Server, data: str | bytes) -> None:
    websocket, receiver = await opened(server)
    with capture_logs() as logs:
        await websocket.say(data)
    assert [(entry["event"], entry["code"]) for entry in logs] == [("socket.refused", "too_large")]
    assert websocket.close_code == 1009
    assert receiver.reasons == [Reason.TOO_LARGE]
    assert receiver.messages == []


async def test_while_the_server_waits_the_connection_is_paused(server: Server) -> None:
    websocket, _ = await opened(server)
    [connection] = server.engine.connections.values()
    websocket.flowing.clear()
    connection.send(message("a"))
    await settle()
    paused = [connection.paused]
    connection.send(message("b"))
    connection.send_volatile(message("x1"), "x")
    connection.send_volatile(message("x2"), "x")
    await settle()
    assert connection.sink.unsent() == 4
    websocket.flowing.set()
    await settle()
    assert websocket.heard[1:] == ["4a", "4b", "4x2"]
    assert connection.sink.unsent() == 0
    assert [*paused, connection.paused] == [True, False]
    await websocket.leave()


async def test_a_peer_that_does_not_read_is_let_go(server: Server) -> None:
    websocket, receiver = await opened(server)
    [connection] = server.engine.connections.values()
    websocket.flowing.clear()
    for _ in range(3):
        connection.send(message("x" * (OPTIONS.max_unsent // 2)))
        await settle()
    assert receiver.reasons == [Reason.SLOW]
    assert websocket.task.done()
    assert server.engine.connections == {}


async def test_a_peer_that_does_not_answer_pings_is_let_go(server: Server) -> None:
    websocket, receiver = await opened(server)
    websocket.flowing.clear()
    server.timers.turn(OPTIONS.ping_interval + OPTIONS.ping_timeout + 5)
    await settle()
    assert receiver.reasons == [Reason.PING_TIMEOUT]
    assert websocket.task.done()


async def test_the_last_words_leave_before_the_close(server: Server) -> None:
    websocket, _ = await opened(server)
    [connection] = server.engine.connections.values()
    connection.send(message("bye"))
    connection.close(Reason.STOPPING)
    await settle()
    assert websocket.heard[1:] == ["4bye"]
    assert websocket.close_code == 1008


async def test_a_client_that_is_gone_while_it_is_written_to(server: Server) -> None:
    websocket, receiver = await opened(server)
    [connection] = server.engine.connections.values()
    websocket.gone = True
    connection.send(message("a"))
    with capture_logs() as logs:
        await settle()
    assert receiver.reasons == [Reason.TRANSPORT]
    assert websocket.task.done()
    assert logs == []


async def test_a_defect_is_logged_and_ends_this_websocket(server: Server) -> None:
    websocket, receiver = await opened(server)
    receiver.error = RuntimeError("defect")
    with capture_logs() as logs:
        await websocket.say("4a")
    assert [entry["event"] for entry in logs] == ["task.failed"]
    assert receiver.reasons == [Reason.TRANSPORT]
    assert websocket.task.done()


# Refusals


async def test_a_refusal_is_an_http_answer_where_the_server_can(server: Server) -> None:
    websocket = WebSocket(server.websocket, "EIO=3&transport=websocket", extensions={"websocket.http.response": {}})
    await websocket.task
    assert websocket.sent[0]["status"] == 400
    assert json.loads(websocket.sent[1]["body"])["code"] == 5


async def test_a_refusal_is_a_plain_close_where_it_cannot(server: Server) -> None:
    websocket = WebSocket(server.websocket, headers={"origin": "https://evil.example"})
    await websocket.task
    assert websocket.sent == [{"type": "websocket.close"}]
    assert server.engine.connections == {}


async def test_who_comes_while_the_last_place_is_taken_is_closed(server: Server) -> None:
    websockets = [WebSocket(server.websocket) for _ in range(OPTIONS.max_connections + 2)]
    await settle()
    assert len(server.engine.connections) == OPTIONS.max_connections
    assert all(websocket.task.done() for websocket in websockets[OPTIONS.max_connections :])
    for websocket in websockets:
        await websocket.leave()


async def test_who_was_being_accepted_when_the_server_stopped_is_closed(server: Server) -> None:
    websocket = WebSocket(server.websocket)
    websocket.flowing.clear()
    await settle()
    server.engine.close(Reason.STOPPING)
    websocket.flowing.set()
    await settle()
    assert websocket.close_code == 1013
    assert server.engine.connections == {}


# The upgrade


async def test_the_upgrade(server: Server) -> None:
    client = await server.open()
    poll = await client.held()
    websocket = await client.upgrade()
    assert websocket.heard == []
    await websocket.say("2probe")
    assert websocket.heard == ["3probe"]
    assert await poll.answer() == (200, b"6")
    client.connection.send(message("a"))
    await settle()
    await websocket.say("5", "4b")
    client.connection.send(message("c"))
    await settle()
    assert websocket.heard == ["3probe", "4a", "4c"]
    assert client.receiver.messages == ["b"]
    assert client.connection.session.state is State.WEBSOCKET
    await websocket.leave()
    assert client.receiver.reasons == [Reason.TRANSPORT]


@pytest.mark.parametrize("data", ["5", "4a", b"2probe", "x", "3"])
async def test_a_websocket_that_does_not_probe_is_closed_and_the_session_lives(
    server: Server, data: str | bytes
) -> None:
    client = await server.open()
    websocket = await client.upgrade()
    with capture_logs() as logs:
        await websocket.say(data, "2probe", "5")
    assert [(entry["event"], entry["code"]) for entry in logs] == [("socket.refused", "protocol_error")]
    assert websocket.close_code == 1008
    assert websocket.task.done()
    assert client.connection.session.state is State.POLLING
    assert client.receiver.messages == []
    assert client.connection.stand_by(client.connection.sink)


async def test_a_probe_that_is_too_large_is_closed_and_the_session_lives(server: Server) -> None:
    client = await server.open()
    websocket = await client.upgrade()
    with capture_logs() as logs:
        await websocket.say("2" * (OPTIONS.max_payload + 1))
    assert [(entry["event"], entry["code"]) for entry in logs] == [("socket.refused", "too_large")]
    assert websocket.close_code == 1009
    assert not client.connection.closed


async def test_a_websocket_that_leaves_in_the_middle_of_its_probe(server: Server) -> None:
    client = await server.open()
    websocket = await client.upgrade()
    await websocket.say("2probe")
    await websocket.leave()
    states = [client.connection.session.state]
    websocket = await client.upgrade()
    await websocket.say("2probe", "5")
    states.append(client.connection.session.state)
    assert states == [State.POLLING, State.WEBSOCKET]
    await websocket.leave()


async def test_a_second_websocket_for_the_session_is_closed(server: Server) -> None:
    client = await server.open()
    first = await client.upgrade()
    second = await client.upgrade()
    assert second.close_code == 1008
    await second.leave()
    await first.say("2probe", "5")
    third = await client.upgrade()
    assert third.close_code == 1008
    assert client.connection.session.state is State.WEBSOCKET
    await first.leave()


async def test_a_websocket_that_only_stands_by_is_closed_in_time(server: Server) -> None:
    client = await server.open()
    websocket = await client.upgrade()
    server.timers.turn(OPTIONS.upgrade_timeout + 2)
    await settle()
    assert websocket.task.done()
    assert not client.connection.closed


async def test_a_websocket_that_stands_by_ends_with_its_session(server: Server) -> None:
    client = await server.open()
    websocket = await client.upgrade()
    client.connection.close(Reason.STOPPING)
    await settle()
    assert websocket.task.done()
    assert websocket.close_code == 1008


async def test_bytes_are_counted_as_they_go_in_and_out(server: Server) -> None:
    websocket, _ = await opened(server)
    traffic = server.engine.traffic
    written = traffic.bytes_out
    await websocket.say("4ß", b"\x01\x02")
    assert traffic.bytes_in == 5
    [connection] = server.engine.connections.values()
    connection.send(message("ß"))
    connection.send(BinaryMessage(b"xyz"))
    await settle()
    assert traffic.bytes_out == written + 6
