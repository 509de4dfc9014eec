"""Engine.IO 4, "WebSocket": each packet in its own message, text with its type before it, binary as it is."""

from __future__ import annotations

from contextlib import suppress

import pytest
from tests.conformance.client import DEADLINE, MAX_PAYLOAD, Engine
from websockets.exceptions import ConnectionClosed


@pytest.mark.parametrize(
    "packet",
    [
        "4hello",
        "4",
        "4€ ü 漢字 \U0001f3ad \u2028 \t\n\r\x00\x1e\x7f",
        "4" + "x" * 70_000,
        b"\x01\x02\x03\x04",
        b"4hello",
        bytes(range(256)) * 300,
    ],
    ids=["text", "empty", "unicode", "long text", "binary", "binary like text", "long binary"],
)
async def test_a_packet_comes_back_as_it_was_sent(engine: Engine, packet: str | bytes) -> None:
    async with engine.session() as socket:
        await socket.send(packet)
        assert await socket.receive() == packet


async def test_order_holds_between_text_and_binary(engine: Engine) -> None:
    packets = [f"4{number}" if number % 3 else number.to_bytes(2, "big") for number in range(1000)]
    async with engine.session() as socket:
        await socket.send(*packets)
        assert await socket.receive_many(1000) == packets


@pytest.mark.parametrize("size", [MAX_PAYLOAD - 1, MAX_PAYLOAD])
async def test_packets_up_to_the_limit_are_taken(engine: Engine, size: int) -> None:
    async with engine.session() as socket:
        await socket.send("4" + "x" * (size - 1))
        assert await socket.receive() == "4" + "x" * (size - 1)
        await socket.send(b"\xfe" * size)
        assert await socket.receive() == b"\xfe" * size


@pytest.mark.parametrize("packet", ["4" + "x" * MAX_PAYLOAD, b"x" * (MAX_PAYLOAD + 1)], ids=["text", "binary"])
async def test_a_packet_over_the_limit_closes_the_session(engine: Engine, packet: str | bytes) -> None:
    async with engine.session() as socket:
        # The server may close before it has read the whole packet.
        with suppress(ConnectionClosed):
            await socket.send(packet)
        assert await socket.closed() == []
        assert socket.connection.close_code in (1006, 1009)
        sid = socket.handshake.sid
    assert await engine.websocket_refused(EIO="4", transport="websocket", sid=sid) in (None, 400)


@pytest.mark.parametrize("packet", ["abc", "", "7", "9x", "{}", " 4", "\x1e"], ids=repr)
async def test_an_invalid_packet_closes_the_session(engine: Engine, packet: str) -> None:
    async with engine.session() as socket:
        await socket.send(packet)
        assert await socket.closed() == []


@pytest.mark.parametrize("packet", ["2", "2probe"])
async def test_a_ping_from_the_client_closes_the_session(engine: Engine, packet: str) -> None:
    async with engine.session() as socket:
        await socket.send(packet)
        assert await socket.closed() == []


@pytest.mark.parametrize("packet", ["3", "6"])
async def test_an_unasked_pong_and_a_noop_change_nothing(engine: Engine, packet: str) -> None:
    async with engine.session() as socket:
        await socket.send(packet)
        await socket.expect_alive("4still here", "4still here")


async def test_sessions_do_not_touch_each_other(engine: Engine) -> None:
    async with engine.session() as first, engine.session() as second:
        await second.send("4for the second")
        await first.send("abc")
        assert await first.closed() == []
        assert await second.receive() == "4for the second"


async def test_a_second_websocket_for_a_session_is_closed(engine: Engine) -> None:
    async with engine.session() as socket:
        refused = await engine.websocket_refused(EIO="4", transport="websocket", sid=socket.handshake.sid)
        assert refused in (None, 400)
        await socket.expect_alive("4still here", "4still here")


async def test_the_control_ping_of_websocket_is_answered_beside_the_packets(engine: Engine) -> None:
    async with engine.session() as socket:
        pong = await socket.connection.ping(b"are you there")
        assert await pong < DEADLINE
        await socket.expect_alive("4still here", "4still here")
