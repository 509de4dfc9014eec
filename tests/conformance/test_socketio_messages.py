"""Socket.IO 5, "Sending and receiving data": events, their order, and what is no event."""

from __future__ import annotations

import json

import pytest
from tests.conformance.client import Engine
from tests.conformance.socketio_client import BURST, event, expect_alive, joined, read_connect

RESERVED = ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
DEPTH = 64


@pytest.mark.parametrize("namespace", ["/", "/custom"])
@pytest.mark.parametrize(
    "args",
    [
        [],
        ["foo"],
        [1, "2", {"3": [True]}],
        [None, False, 0, -1, 1.5, 1e-7, 2**53 - 1],
        ["€ ü 漢字 \U0001f3ad \u2028", 'quote " backslash \\ comma , bracket [', "\n\t\x00\x1f"],
        [{"": {}, "a b": [[], [[]]], "_placeholder": False}],
        ["x" * 200_000],
        [{"_placeholder": True, "num": 0}],
        ["/custom,", "2-[", "40"],
    ],
    ids=["none", "text", "document", "numbers", "unicode", "nested", "large", "placeholder", "look-alikes"],
)
async def test_an_event_carries_its_arguments(socketio: Engine, namespace: str, args: list[object]) -> None:
    async with joined(socketio, namespace) as socket:
        await socket.send(event("message", *args, namespace=namespace))
        answer = await socket.receive()
        assert isinstance(answer, str)
        start, bracket, rest = answer.partition("[")
        assert start == ("42" if namespace == "/" else "42/custom,")
        assert json.loads(bracket + rest) == ["message-back", *args]


async def test_an_event_travels_by_polling(socketio: Engine) -> None:
    session = await socketio.open_polling()
    await session.send("40")
    read_connect((await session.receive(2))[0])
    await session.send(event("message", 1), event("message", "zwei €"), event("message"))
    backs = [event("message-back", *args) for args in ([1], ["zwei €"], [])]
    assert await session.receive(3) == backs


async def test_order_holds(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        for start in range(0, 10 * BURST, BURST):
            numbers = range(start, start + BURST)
            await socket.send(*(event("message", number) for number in numbers))
            assert await socket.receive_many(BURST) == [event("message-back", number) for number in numbers]


async def test_namespaces_share_a_connection_without_mixing(socketio: Engine) -> None:
    async with joined(socketio, "/", "/custom") as socket:
        for number in range(BURST // 3):
            await socket.send(
                event("message", number),
                event("message", number, namespace="/custom"),
                event("message-with-ack", number, namespace="/custom", ack=str(number)),
            )
        received = [str(packet) for packet in await socket.receive_many(BURST // 3 * 3)]
        main = [packet for packet in received if packet.startswith("42[")]
        custom = [packet for packet in received if packet.startswith("42/custom,")]
        acks = [packet for packet in received if packet.startswith("43/custom,")]
        assert main == [event("message-back", number) for number in range(BURST // 3)]
        assert custom == [event("message-back", number, namespace="/custom") for number in range(BURST // 3)]
        assert acks == [f"43/custom,{number}[{number}]" for number in range(BURST // 3)]


async def test_an_event_that_nobody_handles_changes_nothing(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        await socket.send(event("nobody", 1), event("", 2), event("__proto__", 3))
        await expect_alive(socket)


@pytest.mark.parametrize(
    "packet",
    [
        "4abc",
        "47",
        "49[]",
        "4-1[]",
        "42",
        "42{}",
        "42[]",
        "42null",
        '42"message"',
        "42[1",
        '42["message",]',
        '42["message"]]',
        '42["message"] x',
        '42["message",NaN]',
        '42["message",Infinity]',
        "42[\"message\",'a']",
        '42["message",undefined]',
        '42abc["message"]',
        '42-1["message"]',
        "42[null]",
        '42[{"name":"message"}]',
        '42[["message"]]',
        "42[true]",
    ],
    ids=repr,
)
async def test_what_is_no_event_closes_the_connection(socketio: Engine, packet: str) -> None:
    async with joined(socketio) as socket:
        await socket.send(packet)
        assert await socket.closed() == []


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("ack", ["", "1"])
async def test_a_reserved_name_closes_the_connection(socketio: Engine, name: str, ack: str) -> None:
    async with joined(socketio) as socket:
        await socket.send(event(name, "x", ack=ack))
        assert await socket.closed() == []


async def test_nesting_is_taken_up_to_its_limit(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        inner = "[" * (DEPTH - 1) + "]" * (DEPTH - 1)
        await socket.send(f'42["message",{inner}]')
        assert await socket.receive() == f'42["message-back",{inner}]'


@pytest.mark.parametrize("depth", [DEPTH + 1, 100_000])
@pytest.mark.parametrize("pair", ["[]", "{}"])
async def test_nesting_over_its_limit_closes_the_connection(socketio: Engine, depth: int, pair: str) -> None:
    opening, closing = ("[", "]") if pair == "[]" else ('{"a":', "}")
    inner = opening * (depth - 1) + "1" + closing * (depth - 1)
    async with joined(socketio) as good, joined(socketio) as bad:
        await bad.send(f'42["message",{inner}]')
        assert await bad.closed() == []
        await expect_alive(good)


async def test_an_invalid_packet_by_polling_closes_the_session(socketio: Engine) -> None:
    session = await socketio.open_polling()
    await session.send("40")
    await session.receive(2)
    await session.post("42{}")
    await session.expect_closed()
