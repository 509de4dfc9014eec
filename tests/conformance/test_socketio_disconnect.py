"""Socket.IO 5, "Disconnection from a namespace"."""

from __future__ import annotations

import pytest
from tests.conformance.client import Engine
from tests.conformance.socketio_client import event, expect_alive, join, joined, prefix, read_connect


async def test_leaving_the_only_namespace_keeps_the_connection(socketio: Engine) -> None:
    async with joined(socketio) as socket:
        await socket.send("41")
        assert await socket.receive_any() == "2"


@pytest.mark.parametrize("comma", ["", ","])
async def test_leaving_one_namespace_leaves_the_other_alone(socketio: Engine, comma: str) -> None:
    async with joined(socketio, "/", "/custom") as socket:
        await socket.send(f"41/custom{comma}")
        await expect_alive(socket)


async def test_the_main_namespace_can_be_left_while_another_stays(socketio: Engine) -> None:
    async with joined(socketio, "/", "/custom") as socket:
        await socket.send("41")
        await expect_alive(socket, "/custom")


@pytest.mark.parametrize("namespace", ["/", "/custom"])
async def test_a_namespace_can_be_joined_again_as_somebody_new(socketio: Engine, namespace: str) -> None:
    async with socketio.session() as socket:
        before = await join(socket, namespace)
        await socket.send(f"41{prefix(namespace)}")
        after = await join(socket, namespace)
        assert before != after
        await expect_alive(socket, namespace)


@pytest.mark.parametrize(("left", "stays"), [("/", "/custom"), ("/custom", "/")])
async def test_nothing_is_taken_for_a_namespace_that_was_left(socketio: Engine, left: str, stays: str) -> None:
    async with joined(socketio, left, stays) as socket:
        await socket.send(f"41{prefix(left)}", event("message-with-ack", "too late", namespace=left, ack="1"))
        await expect_alive(socket, stays)


async def test_what_was_sent_before_leaving_is_handled(socketio: Engine) -> None:
    async with joined(socketio, "/", "/custom") as socket:
        await socket.send(event("message-with-ack", 1, namespace="/custom", ack="5"))
        assert await socket.receive() == "43/custom,5[1]"
        await socket.send("41/custom,")
        await expect_alive(socket)


async def test_leaving_by_polling(socketio: Engine) -> None:
    session = await socketio.open_polling()
    await session.send("40", "40/custom,")
    await session.receive(4)
    await session.send("41/custom,", event("message", "still here"))
    assert await session.receive(1) == [event("message-back", "still here")]
    await session.send("40/custom,")
    read_connect((await session.receive(2))[0], "/custom")
