"""Socket.IO 5, "Acknowledgement"."""

from __future__ import annotations

import pytest
from tests.conformance.client import Engine
from tests.conformance.socketio_client import BURST, event, expect_alive, joined, prefix, read_connect
from websockets.exceptions import ConnectionClosed


@pytest.mark.parametrize("namespace", ["/", "/custom"])
@pytest.mark.parametrize("number", ["0", "1", "456", "2147483648", str(2**53 - 1)])
async def test_an_event_is_acknowledged_with_its_number(socketio: Engine, namespace: str, number: str) -> None:
    async with joined(socketio, namespace) as socket:
        await socket.send(event("message-with-ack", 1, "2", {"3": [False]}, namespace=namespace, ack=number))
        assert await socket.receive() == f'43{prefix(namespace)}{number}[1,"2",{{"3":[false]}}]'


async def test_an_acknowledgement_may_be_empty(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        await socket.send(event("message-with-ack", ack="12"))
        assert await socket.receive() == "4312[]"


async def test_acknowledgements_travel_by_polling(socketio: Engine) -> None:
    session = await socketio.open_polling()
    await session.send("40")
    read_connect((await session.receive(2))[0])
    await session.send(event("message-with-ack", "a", ack="1"), event("message-with-ack", "b", ack="2"))
    assert sorted(await session.receive(2)) == ['431["a"]', '432["b"]']


async def test_numbers_may_be_used_again_and_in_any_order(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        for number in ("7", "3", "7", "0"):
            await socket.send(event("message-with-ack", number, ack=number))
            assert await socket.receive() == f'43{number}["{number}"]'


async def test_every_one_of_many_is_acknowledged_once(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        await socket.send(*(event("message-with-ack", number, ack=str(number)) for number in range(BURST)))
        received = await socket.receive_many(BURST)
        assert sorted(map(str, received)) == sorted(f"43{number}[{number}]" for number in range(BURST))


@pytest.mark.parametrize("number", [str(2**53), str(2**53 + 1), "9" * 30, "9" * 5000], ids=lambda number: number[:20])
async def test_a_number_beyond_exact_integers_is_answered_exactly_or_refused(socketio: Engine, number: str) -> None:
    async with joined(socketio) as good, joined(socketio) as socket:
        await socket.send(event("message-with-ack", ack=number))
        try:
            assert await socket.receive() == f"43{number}[]"
        except ConnectionClosed:
            assert socket.connection.close_code is not None
        await expect_alive(good)


@pytest.mark.parametrize("number", ["abc", "-1", "1.5", "1e3", " 1", "1,", "٣"])
async def test_a_wrong_number_closes_the_connection(socketio: Engine, number: str) -> None:
    async with joined(socketio) as socket:
        await socket.send(event("message-with-ack", ack=number))
        assert await socket.closed() == []


@pytest.mark.parametrize("packet", ["431[]", '439["never asked"]', "430[1,2,3]"])
async def test_an_acknowledgement_that_nobody_waits_for_changes_nothing(socketio: Engine, packet: str) -> None:
    async with joined(socketio) as socket:
        await socket.send(packet)
        await expect_alive(socket)


@pytest.mark.parametrize("packet", ["431{}", "431", '431"x"', "431null", "43abc[]", "431[", "43-1[]"])
async def test_a_malformed_acknowledgement_closes_the_connection(socketio: Engine, packet: str) -> None:
    async with joined(socketio) as socket:
        await socket.send(packet)
        assert await socket.closed() == []
