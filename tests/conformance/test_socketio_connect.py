"""Socket.IO 5, "Connection to a namespace"."""

from __future__ import annotations

import pytest
from tests.conformance.client import Engine
from tests.conformance.socketio_client import event, expect_alive, join, joined, prefix, read_connect

NAMESPACES = ("/", "/custom")


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("auth", [None, {}, {"token": "123"}, {"deep": {"list": [1, None, "ü,["]}}], ids=repr)
async def test_a_namespace_is_joined(socketio: Engine, namespace: str, auth: dict[str, object] | None) -> None:
    async with socketio.session() as socket:
        sid = await join(socket, namespace, auth)
        assert sid != socket.handshake.sid
        await expect_alive(socket, namespace)


async def test_a_namespace_is_joined_by_polling(socketio: Engine) -> None:
    session = await socketio.open_polling()
    await session.send("40", '40/custom,{"token":"abc"}')
    packets = await session.receive(4)
    main, custom = ([packet for packet in packets if ("/custom" in packet) == wanted] for wanted in (False, True))
    read_connect(main[0])
    read_connect(custom[0], "/custom")
    assert [main[1], custom[1]] == [event("auth", {}), event("auth", {"token": "abc"}, namespace="/custom")]


async def test_the_comma_behind_a_namespace_may_be_missing(socketio: Engine) -> None:
    async with socketio.session() as socket:
        await socket.send("40/custom")
        read_connect(await socket.receive(), "/custom")
        assert await socket.receive() == event("auth", {}, namespace="/custom")


async def test_every_member_has_its_own_id(socketio: Engine) -> None:
    async with socketio.session() as first, socketio.session() as second:
        sids = {await join(socket, namespace) for socket in (first, second) for namespace in NAMESPACES}
    assert len(sids) == 4


@pytest.mark.parametrize("name", ["/random", "/custom2", "/Custom", "/custom/", "//", "/ü"])
@pytest.mark.parametrize("rest", ["", ",", ',{"token":"123"}'])
async def test_an_unknown_namespace_is_refused(socketio: Engine, name: str, rest: str) -> None:
    async with socketio.session() as socket:
        await socket.send(f"40{name}{rest}")
        assert await socket.receive() == f'44{name},{{"message":"Invalid namespace"}}'
        await join(socket)


@pytest.mark.parametrize("comma", ["", ","])
async def test_a_query_behind_the_name_is_cut_off_or_part_of_it(socketio: Engine, comma: str) -> None:
    # Clients of protocol 4 put a query there; protocol 5 has no word about it.
    async with socketio.session() as socket:
        await socket.send(f"40/custom?token=123{comma}")
        answer = await socket.receive()
        if answer != '44/custom?token=123,{"message":"Invalid namespace"}':
            read_connect(answer, "/custom")
            assert await socket.receive() == event("auth", {}, namespace="/custom")
    async with socketio.session() as socket:
        await socket.send(f"40/random?token=123{comma}")
        refusals = [f'44/random{query},{{"message":"Invalid namespace"}}' for query in ("", "?token=123")]
        assert await socket.receive() in refusals


@pytest.mark.parametrize(
    "packet",
    ['42["message","too early"]', '421["message-with-ack"]', "41", "43[]", '44{"message":"no"}', "45-", "4", "4abc"],
)
async def test_anything_before_connect_closes_the_connection(socketio: Engine, packet: str) -> None:
    async with socketio.session() as socket:
        await socket.send(packet)
        assert await socket.closed() == []


async def test_a_binary_message_before_connect_closes_the_connection(socketio: Engine) -> None:
    async with socketio.session() as socket:
        await socket.send(b"\x01\x02")
        assert await socket.closed() == []


async def test_a_client_that_never_connects_is_closed(socketio: Engine) -> None:
    async with socketio.session() as socket:
        assert await socket.closed() == []


@pytest.mark.parametrize(
    "payload",
    ["null", "[]", '["a"]', '"text"', "1", "true", "{", '{"a":1}x', '{"a":NaN}', "{'a':1}", "1{}"],
)
@pytest.mark.parametrize("namespace", NAMESPACES)
async def test_a_connect_payload_that_is_no_object_closes_the_connection(
    socketio: Engine, namespace: str, payload: str
) -> None:
    async with socketio.session() as socket:
        await socket.send(f"40{prefix(namespace)}{payload}")
        assert await socket.closed() == []


async def test_joining_twice_closes_the_connection(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        await socket.send("40")
        assert await socket.closed() == []


async def test_a_connect_error_from_a_client_closes_the_connection(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        await socket.send('44{"message":"no"}')
        assert await socket.closed() == []


@pytest.mark.parametrize(
    "packet",
    [
        '42/custom,["message"]',
        '42/custom,1["message-with-ack"]',
        '42/random,["message"]',
        "43/custom,1[]",
        "41/custom,",
    ],
)
async def test_a_packet_for_a_namespace_not_joined_is_not_handled(socketio: Engine, packet: str) -> None:
    # It may have crossed a DISCONNECT of the server's on its way, so the other namespaces stay.
    async with joined(socketio) as socket:
        await socket.send(packet)
        await expect_alive(socket)


async def test_joining_holds_over_an_upgrade(socketio: Engine) -> None:
    session = await socketio.open_polling()
    await session.send("40")
    read_connect((await session.receive(2))[0])
    async with socketio.websocket(sid=session.sid) as socket:
        await socket.send("2probe")
        assert await socket.receive() == "3probe"
        await socket.send("5")
        await expect_alive(socket)
        await join(socket, "/custom")
        await expect_alive(socket, "/custom")
