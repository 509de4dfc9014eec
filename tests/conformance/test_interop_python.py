"""The unmodified python-socketio client against the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import socketio
from tests.conformance.server import PATIENT, Server, run_server

DEADLINE = 20.0
NAMESPACES = ["/", "/custom"]

HEARTBEAT = PATIENT  # large messages between two busy processes take as long as they take


class Recorder:
    """A client and what it was told, one queue for each kind of event."""

    def __init__(self) -> None:
        self.client = socketio.AsyncClient(reconnection_delay=0.02, reconnection_delay_max=0.1, randomization_factor=0)
        self._queues: dict[tuple[str, str], asyncio.Queue[Any]] = {}
        for namespace in NAMESPACES:
            for event in ("connect", "disconnect", "auth", "message-back"):
                self._record(namespace, event)

    def _record(self, namespace: str, event: str) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._queues[namespace, event] = queue

        async def handle(*args: Any) -> None:
            queue.put_nowait(args)

        self.client.on(event, handle, namespace=namespace)

    async def next(self, event: str, namespace: str = "/") -> tuple[Any, ...]:
        async with asyncio.timeout(DEADLINE):
            return tuple(await self._queues[namespace, event].get())

    async def connect(self, server: Server, **options: Any) -> None:
        options = {"namespaces": NAMESPACES, "auth": {"token": "abc"}, **options}
        await self.client.connect(server.origin, wait_timeout=DEADLINE, **options)

    async def exchange(self, *args: Any, namespace: str = "/") -> tuple[Any, Any]:
        """What comes back for a message with these arguments, and what acknowledges one."""
        await self.client.emit("message", args, namespace=namespace)
        back = await self.next("message-back", namespace)
        acknowledged = await self.client.call("message-with-ack", args, namespace=namespace, timeout=DEADLINE)
        return back, acknowledged


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    try:
        yield recorder
    finally:
        await recorder.client.shutdown()


async def test_it_connects_upgrades_and_joins_several_namespaces(server: Server, recorder: Recorder) -> None:
    await recorder.connect(server)
    assert recorder.client.transport() == "websocket"
    sids = {recorder.client.get_sid(namespace) for namespace in NAMESPACES}
    assert len(sids) == 2
    for namespace in NAMESPACES:
        assert await recorder.next("auth", namespace) == ({"token": "abc"},)
        args = (1, "zwei €", {"three": [True, None], "where": namespace})
        back, acknowledged = await recorder.exchange(*args, namespace=namespace)
        assert back == tuple(acknowledged) == args


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]], ids="-".join)
async def test_it_works_on_every_choice_of_transports(
    server: Server, recorder: Recorder, transports: list[str]
) -> None:
    await recorder.connect(server, transports=transports)
    assert recorder.client.transport() == transports[-1]
    back, acknowledged = await recorder.exchange(b"\x00\x01\xfe\xff", {"nested": [b"", "text"]})
    assert back == tuple(acknowledged) == (b"\x00\x01\xfe\xff", {"nested": [b"", "text"]})


@pytest.mark.parametrize("transports", [["polling"], ["websocket"]], ids="-".join)
async def test_it_sends_and_receives_large_messages(server: Server, recorder: Recorder, transports: list[str]) -> None:
    await recorder.connect(server, transports=transports)
    for large in ("x" * 400_000, b"\x07" * 400_000):
        assert await recorder.client.call("message-with-ack", large, timeout=DEADLINE) == large


async def test_it_is_told_that_a_namespace_is_unknown(server: Server, recorder: Recorder) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError):
        await recorder.connect(server, namespaces=["/random"])


async def test_it_leaves_one_namespace_and_stays_in_the_other(server: Server, recorder: Recorder) -> None:
    await recorder.connect(server)
    await recorder.client.send("left", namespace="/custom")
    assert await recorder.next("message-back", "/custom") == ("left",)
    await recorder.client.eio.send("1/custom,")  # the library itself only leaves all at once
    back, _ = await recorder.exchange("still here")
    assert back == ("still here",)


async def test_it_comes_back_after_the_server_drops_it(server: Server, recorder: Recorder) -> None:
    await recorder.connect(server)
    for namespace in NAMESPACES:
        await recorder.next("connect", namespace)
    before = {recorder.client.get_sid(namespace) for namespace in NAMESPACES}
    await recorder.client.eio.send("no Socket.IO packet")
    for namespace in NAMESPACES:
        await recorder.next("disconnect", namespace)
        await recorder.next("connect", namespace)
    after = {recorder.client.get_sid(namespace) for namespace in NAMESPACES}
    assert len(before | after) == 4
    back, _ = await recorder.exchange("back again", namespace="/custom")
    assert back == ("back again",)


async def test_it_comes_back_after_the_server_was_killed(transport: str, recorder: Recorder) -> None:
    with run_server(transport) as first:
        await recorder.connect(first)
        await recorder.next("connect")
        first.process.kill()
        first.process.wait()
        await recorder.next("disconnect")
        with run_server(transport, first.port):
            await recorder.next("connect")
            await recorder.next("connect", "/custom")
            back, _ = await recorder.exchange("back again")
            assert back == ("back again",)
            await recorder.client.disconnect()
