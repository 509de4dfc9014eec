"""Socket.IO 5, "Format": BINARY_EVENT and BINARY_ACK, their placeholders and their attachments."""

from __future__ import annotations

import base64

import pytest
from tests.conformance.client import Engine
from tests.conformance.socketio_client import (
    BURST,
    compact,
    event,
    joined,
    placeholder,
    prefix,
    read_connect,
)

ONE, TWO, THREE = b"\x01\x02\x03", b"\x04\x05\x06", bytes(range(256))


def binary(kind: int, count: object, args: list[object], namespace: str = "/", ack: str = "") -> str:
    return f"4{kind}{count}-{prefix(namespace)}{ack}{compact(args)}"


@pytest.mark.parametrize("namespace", ["/", "/custom"])
@pytest.mark.parametrize(
    ("args", "attachments"),
    [
        ([placeholder(0)], [ONE]),
        ([placeholder(0), placeholder(1)], [ONE, TWO]),
        (["text", {"deep": [{"file": placeholder(0)}, 1, placeholder(1)]}, placeholder(2)], [ONE, TWO, THREE]),
        ([placeholder(0)], [b""]),
        ([placeholder(0)], [b"4looks like text"]),
        ([placeholder(0)], [bytes(range(256)) * 1000]),
    ],
    ids=["one", "two", "nested", "empty", "look-alike", "large"],
)
async def test_a_binary_event_carries_its_attachments(
    socketio: Engine, namespace: str, args: list[object], attachments: list[bytes]
) -> None:
    count = len(attachments)
    async with joined(socketio, namespace) as socket:
        await socket.send(binary(5, count, ["message", *args], namespace), *attachments)
        received = await socket.receive_many(1 + count)
        assert received == [binary(5, count, ["message-back", *args], namespace), *attachments]


async def test_placeholders_are_numbered_by_their_attachments(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        await socket.send(binary(5, 2, ["message", placeholder(1), placeholder(0)]), ONE, TWO)
        received = await socket.receive_many(3)
        assert received == [binary(5, 2, ["message-back", placeholder(0), placeholder(1)]), TWO, ONE]


@pytest.mark.parametrize("namespace", ["/", "/custom"])
async def test_a_binary_event_is_acknowledged_with_its_attachments(socketio: Engine, namespace: str) -> None:
    args: list[object] = [placeholder(0), {"b": placeholder(1)}]
    async with joined(socketio, namespace) as socket:
        await socket.send(binary(5, 2, ["message-with-ack", *args], namespace, "789"), ONE, TWO)
        assert await socket.receive_many(3) == [binary(6, 2, args, namespace, "789"), ONE, TWO]


async def test_attachments_are_base64_by_polling(socketio: Engine) -> None:
    session = await socketio.open_polling()
    await session.send("40")
    read_connect((await session.receive(2))[0])
    attachment = "b" + base64.b64encode(THREE).decode()
    await session.send(binary(5, 1, ["message", placeholder(0)]), attachment)
    assert await session.receive(2) == [binary(5, 1, ["message-back", placeholder(0)]), attachment]


async def test_attachments_may_come_in_later_posts(socketio: Engine) -> None:
    session = await socketio.open_polling()
    await session.send("40")
    read_connect((await session.receive(2))[0])
    await session.send(binary(5, 2, ["message", placeholder(0), placeholder(1)]))
    await session.send("bAQID")
    await session.send("bBAUG")
    expected = [binary(5, 2, ["message-back", placeholder(0), placeholder(1)]), "bAQID", "bBAUG"]
    assert await session.receive(3) == expected


async def test_attachments_may_be_spread_over_an_upgrade(socketio: Engine) -> None:
    session = await socketio.open_polling()
    await session.send("40")
    read_connect((await session.receive(2))[0])
    await session.send(binary(5, 2, ["message", placeholder(0), placeholder(1)]), "bAQID")
    async with socketio.websocket(sid=session.sid) as socket:
        await socket.send("2probe")
        assert await socket.receive() == "3probe"
        await socket.send("5", TWO)
        expected = [binary(5, 2, ["message-back", placeholder(0), placeholder(1)]), ONE, TWO]
        assert await socket.receive_many(3) == expected


async def test_heartbeats_may_come_between_attachments(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        await socket.send(binary(5, 2, ["message", placeholder(0), placeholder(1)]), ONE)
        assert await socket.receive_any() == "2"
        await socket.send("3", TWO)
        expected = [binary(5, 2, ["message-back", placeholder(0), placeholder(1)]), ONE, TWO]
        assert await socket.receive_many(3) == expected


async def test_binary_and_text_events_keep_their_order(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        expected: list[str | bytes] = []
        for number in range(BURST // 2):
            attachment = bytes([number])
            await socket.send(event("message", number))
            await socket.send(binary(5, 1, ["message", placeholder(0)]), attachment)
            expected += [event("message-back", number)]
            expected += [binary(5, 1, ["message-back", placeholder(0)]), attachment]
        assert await socket.receive_many(BURST // 2 * 3) == expected


@pytest.mark.parametrize("packet", [event("message", 1), event("message", namespace="/custom"), "41", "40/custom,"])
async def test_a_text_packet_amid_expected_attachments_closes_the_connection(socketio: Engine, packet: str) -> None:
    async with joined(socketio, "/") as socket:
        await socket.send(binary(5, 2, ["message", placeholder(0), placeholder(1)]), ONE, packet)
        assert await socket.closed() == []


async def test_an_attachment_too_many_closes_the_connection(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        await socket.send(binary(5, 1, ["message", placeholder(0)]), ONE, TWO)
        await socket.closed()


async def test_an_attachment_that_nobody_announced_closes_the_connection(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        await socket.send(ONE)
        assert await socket.closed() == []


@pytest.mark.parametrize("number", [1, 2, -1, 2**53, "0", None, [0], 0.5, True], ids=repr)
@pytest.mark.parametrize("name", ["message", "message-with-ack"])
async def test_a_wrong_placeholder_closes_the_connection(socketio: Engine, number: object, name: str) -> None:
    async with joined(socketio) as socket:
        await socket.send(binary(5, 1, [name, placeholder(number)]), ONE)
        assert await socket.closed() == []


@pytest.mark.parametrize(
    "count",
    ["", "abc", "-1", "1.5", "0x1", " 1", "1e1", "9999999999", "9" * 400, "99999"],
    ids=lambda count: count[:12],
)
async def test_a_wrong_or_huge_attachment_count_closes_the_connection(socketio: Engine, count: str) -> None:
    async with joined(socketio) as socket:
        await socket.send(binary(5, count, ["message", placeholder(0)]))
        assert await socket.closed() == []


@pytest.mark.parametrize("packet", ['451["message"]', "451-", "451-{}", "451-[]", '45["message"]', "461-[]"])
async def test_a_malformed_binary_packet_closes_the_connection(socketio: Engine, packet: str) -> None:
    async with joined(socketio) as socket:
        await socket.send(packet, ONE)
        assert await socket.closed() == []
