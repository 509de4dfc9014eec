"""How a native WebSocket ends, moves, and bounds what a peer can cost: on real sockets."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest
from structlog.testing import capture_logs
from tests.integration.transports.conftest import OPTIONS, Server
from tests.integration.transports.native_client import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    NativeClient,
    frame,
)

from callboard.realtime.connection import Connection, Reason
from callboard.telemetry import CLOSED, totals
from callboard.transports.native import MAX_UNSENT_PONGS, WebSocket
from callboard.wire.engineio import Outgoing
from callboard.wire.session import State


def unsent(connection: Connection) -> int:
    return connection.sink.unsent()


# The end


async def test_a_close_frame_is_answered(server: Server) -> None:
    async with server.client() as client:
        _, receiver = await server.open(client)
        client.send(frame(CLOSE, (1000).to_bytes(2, "big")), frame(TEXT, b"4late"))
        assert await client.hear() == (CLOSE, (1000).to_bytes(2, "big"))
        assert await client.end() == b""
        assert await receiver.reason() is Reason.TRANSPORT
        assert receiver.messages.empty()


async def test_a_connection_that_drops(server: Server) -> None:
    async with server.client() as client:
        _, receiver = await server.open(client)
    assert await receiver.reason() is Reason.TRANSPORT
    assert server.engine.connections == {}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"4a", rsv=0x40), 1002),
        (frame(TEXT, b"4\xff"), 1007),
        (frame(0, b"4a"), 1002),
        (frame(TEXT, b"4a", fin=False) + frame(TEXT, b"4b"), 1002),
        (frame(3, b""), 1002),
        (frame(CLOSE, (5000).to_bytes(2, "big")), 1002),
        (frame(CLOSE, (1005).to_bytes(2, "big")), 1002),
        (frame(TEXT, b"x"), 1002),
    ],
)
async def test_a_broken_frame_is_closed_with_its_code_logged_once_and_nothing_more_is_taken(
    server: Server, data: bytes, code: int
) -> None:
    async with server.client() as client:
        _, receiver = await server.open(client)
        with capture_logs() as logs:
            client.send(data, frame(TEXT, b"4late"))
            kind, reason = await client.hear()
            await client.end()
            await receiver.reason()
        assert (kind, int.from_bytes(reason[:2], "big")) == (CLOSE, code)
        assert receiver.messages.empty()
        assert [(entry["event"], entry["code"]) for entry in logs] == [("socket.refused", "protocol_error")]


async def test_a_frame_over_the_bound_is_refused_by_its_head(server: Server) -> None:
    async with server.client() as client:
        _, receiver = await server.open(client)
        client.send(frame(TEXT, b"4" * (OPTIONS.max_payload + 1))[:14])
        kind, reason = await client.hear()
        assert (kind, int.from_bytes(reason[:2], "big")) == (CLOSE, 1009)
        assert await receiver.reason() is Reason.TOO_LARGE


async def test_a_message_over_the_bound_is_logged_and_counted_as_too_large(server: Server) -> None:
    before = totals(CLOSED).get("too large", 0)
    async with server.client() as client:
        _, receiver = await server.open(client)
        with capture_logs() as logs:
            client.send(frame(TEXT, b"4" * 60_000, fin=False) + frame(0, b"x" * 60_000), frame(TEXT, b"4late"))
            kind, reason = await client.hear()
            await client.end()
            assert await receiver.reason() is Reason.TOO_LARGE
        assert (kind, int.from_bytes(reason[:2], "big")) == (CLOSE, 1009)
        assert receiver.messages.empty()
        assert [(entry["event"], entry["code"]) for entry in logs] == [("socket.refused", "too_large")]
    assert totals(CLOSED)["too large"] == before + 1


async def test_a_defect_is_logged_and_costs_one_connection(server: Server) -> None:
    async with server.client() as client, server.client() as other:
        _, receiver = await server.open(client)
        _, second = await server.open(other)
        receiver.error = RuntimeError("defect")
        with capture_logs() as logs:
            client.say("4a")
            kind, reason = await client.hear()
            await receiver.reason()
        assert (kind, int.from_bytes(reason[:2], "big")) == (CLOSE, 1011)
        assert [entry["event"] for entry in logs] == ["task.failed"]
        other.say("4b")
        assert await second.message() == "b"


@pytest.mark.parametrize(
    ("reason", "code"),
    [(Reason.CLIENT, 1000), (Reason.STOPPING, 1001), (Reason.ADMIN, 1008), (Reason.UNAVAILABLE, 1013)],
)
async def test_the_servers_close_has_a_code_and_follows_the_last_words(
    server: Server, reason: Reason, code: int
) -> None:
    async with server.client() as client:
        connection, _ = await server.open(client)
        connection.send(Outgoing(b"4bye"))
        connection.close(reason)
        assert await client.hear() == (TEXT, b"4bye")
        assert await client.hear() == (CLOSE, code.to_bytes(2, "big") + reason.value.encode())
        assert await client.end() == b""


async def test_a_peer_that_does_not_read_is_let_go_at_once(server: Server) -> None:
    async with server.client() as client:
        connection, receiver = await server.open(client)
        while not connection.closed:
            connection.send(Outgoing(b"4" + b"x" * 50_000))
            await asyncio.sleep(0)
        assert await receiver.reason() is Reason.SLOW
        assert server.engine.connections == {}
        await client.end()


async def test_while_the_peer_does_not_read_volatile_messages_are_held(server: Server) -> None:
    async with server.client() as client:
        connection, _ = await server.open(client)
        sent = 0
        while not connection.paused:
            connection.send(Outgoing(b"4" + b"x" * 20_000))
            sent += 1
            await asyncio.sleep(0)
        connection.send_volatile(Outgoing(b"4old"), "k")
        connection.send_volatile(Outgoing(b"4new"), "k")
        for _ in range(sent):
            await client.hear()
        assert await client.hear() == (TEXT, b"4new")
        assert not connection.paused


async def test_pings_of_a_peer_that_does_not_read_are_answered_within_a_bound(server: Server) -> None:
    async with server.client() as client:
        connection, receiver = await server.open(client)
        pings = frame(PING, b"p" * 125) * 1000
        for _ in range(100):
            client.send(pings)
            await client.writer.drain()
        client.say("4done")
        assert await receiver.message() == "done"
        assert unsent(connection) <= MAX_UNSENT_PONGS + 127


async def test_nothing_is_left_for_the_garbage_collector(server: Server) -> None:
    def count() -> int:
        return sum(isinstance(thing, Connection | WebSocket) for thing in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = count()
        async with server.client() as client:
            connection, receiver = await server.open(client)
            assert count() == before + 2
            client.say("4a")
            await receiver.message()
            del connection
        await receiver.reason()
        async with server.client() as again:  # by now the first one's protocol is out of the loop's hands
            await server.open(again)
            assert count() == before + 2
    finally:
        gc.enable()


# The upgrade


async def polling_session(server: Server) -> Connection:
    async with server.client() as client:
        status, headers = await client.request("EIO=4&transport=polling", upgrade="", connection="")
        assert status == 200
        body = await client.body(headers)
    return server.engine.connections[json.loads(body[1:])["sid"]]


async def stand_by(client: NativeClient, connection: Connection) -> None:
    status, _ = await client.request(f"EIO=4&transport=websocket&sid={connection.session.sid}")
    assert status == 101


async def test_a_session_moves_to_the_websocket(server: Server) -> None:
    connection = await polling_session(server)
    connection.send(Outgoing(b"4a"))
    async with server.client() as client:
        await stand_by(client, connection)
        client.say("2probe")
        assert await client.hear() == (TEXT, b"3probe")
        client.say("5", "4b")
        assert await client.hear() == (TEXT, b"4a")
        assert await server.receivers[0].message() == "b"
        assert connection.session.state is State.WEBSOCKET
        async with server.client() as second:
            await stand_by(second, connection)
            kind, reason = await second.hear()
            assert (kind, int.from_bytes(reason[:2], "big")) == (CLOSE, 1008)
    assert await server.receivers[0].reason() is Reason.TRANSPORT


@pytest.mark.parametrize("data", [frame(TEXT, b"5"), frame(BINARY, b"2probe"), frame(TEXT, b"\xff"), frame(TEXT, b"")])
async def test_a_websocket_that_does_not_probe_is_closed_and_the_session_lives(server: Server, data: bytes) -> None:
    connection = await polling_session(server)
    async with server.client() as client:
        await stand_by(client, connection)
        with capture_logs() as logs:
            client.send(data, frame(TEXT, b"2probe"), frame(TEXT, b"5"))
            kind, _ = await client.hear()
            assert kind == CLOSE
            await client.end()
        assert [(entry["event"], entry["code"]) for entry in logs] == [("socket.refused", "protocol_error")]
    assert connection.session.state is State.POLLING
    async with server.client() as again:
        await stand_by(again, connection)
        again.say("2probe")
        assert await again.hear() == (TEXT, b"3probe")


async def test_a_websocket_that_stands_by_ends_with_its_session(server: Server) -> None:
    connection = await polling_session(server)
    async with server.client() as client:
        await stand_by(client, connection)
        connection.close(Reason.STOPPING)
        kind, reason = await client.hear()
        assert (kind, int.from_bytes(reason[:2], "big")) == (CLOSE, 1001)
        assert await client.end() == b""
