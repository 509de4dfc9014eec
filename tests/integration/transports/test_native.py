"""The seam to picows and uvicorn: real sockets, and picows' private API as `native.py` uses it."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
from collections.abc import AsyncIterator

import picows
import pytest
import uvicorn
from picows.picows import WSProtocol
from structlog.testing import capture_logs
from tests.integration.transports.native_client import (
    BINARY,
    CLOSE,
    PATIENCE,
    PING,
    PONG,
    TEXT,
    NativeClient,
    frame,
    upgrade_request,
)
from tests.loop import settle
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from callboard.clock import SystemClock
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.engine import Engine, EngineOptions
from callboard.transports.handshake import Policy
from callboard.transports.http import HttpProtocol
from callboard.transports.native import MAX_UNSENT_PONGS, READ_BUFFER, NativeSink, protocol_class
from callboard.transports.polling import Polling
from callboard.wire.engineio import Outgoing
from callboard.wire.session import State

OPTIONS = EngineOptions(max_payload=100_000, max_unsent=1 << 18, max_connections=2)


class Receiver:
    """What came, to be waited for."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.ended: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self.error: Exception | None = None

    def on_message(self, data: str | bytes) -> None:
        if self.error is not None:
            raise self.error
        self.messages.put_nowait(data)

    def on_close(self, reason: Reason) -> None:
        self.ended.set_result(reason)

    def on_due(self, now: float) -> float | None:
        return None

    async def message(self) -> str | bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.messages.get()

    async def reason(self) -> Reason:
        async with asyncio.timeout(PATIENCE):
            return await self.ended


class Server:
    """uvicorn with the native protocol class, in the test's own loop."""

    def __init__(self) -> None:
        self.receivers: list[Receiver] = []
        self.engine = Engine(OPTIONS, SystemClock(), self._receive)
        policy = Policy(frozenset({"https://app.example"}))
        config = uvicorn.Config(
            Polling(self.engine, policy),
            port=0,
            ws=protocol_class({"/socket.io/": self.engine}, policy),
            http=HttpProtocol,
            lifespan="off",
            log_config=None,  # logging is the whole process's: other tests look at it
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)

    def _receive(self, connection: Connection) -> Receiver:
        self.receivers.append(Receiver())
        return self.receivers[-1]

    async def start(self) -> None:
        await self._server.startup()
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.engine.close(Reason.STOPPING)
        await self._server.shutdown()

    def client(self) -> NativeClient:
        return NativeClient(self.port)

    async def open(self, client: NativeClient, query: str = "", **headers: str) -> tuple[Connection, Receiver]:
        """A session on the client's WebSocket."""
        status, _ = await client.request(f"EIO=4&transport=websocket{query}", **headers)
        assert status == 101
        kind, data = await client.hear()
        assert (kind, data[:1]) == (TEXT, b"0")
        return self.engine.connections[json.loads(data[1:])["sid"]], self.receivers[-1]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


def unsent(connection: Connection) -> int:
    return connection.sink.unsent()


# The seam


def test_picows_is_the_version_that_was_read() -> None:
    assert picows.__version__ == "2.3.1"


async def test_the_private_protocol_class_has_what_is_used() -> None:
    made = protocol_class({"/socket.io/": Engine(OPTIONS, SystemClock(), lambda connection: Receiver())}, Policy())
    protocol = made(config=None, server_state=None, app_state=None)
    assert isinstance(protocol, WSProtocol)
    assert isinstance(protocol, asyncio.BufferedProtocol)
    assert callable(WSProtocol.get_buffer)
    assert callable(WSProtocol.buffer_updated)
    assert 0 < memoryview(protocol.get_buffer(-1)).nbytes <= READ_BUFFER
    for name in ("on_ws_connected", "on_ws_frame", "on_ws_disconnected", "pause_writing", "resume_writing"):
        assert callable(getattr(picows.WSListener, name))
        assert name in vars(NativeSink)


def test_uvicorn_calls_the_protocol_class_as_expected() -> None:
    source = inspect.getsource(HttpToolsProtocol.handle_websocket_upgrade)
    for text in ("config=", "server_state=", "app_state=", ".connection_made(", ".data_received(", "set_protocol("):
        assert text in source


@pytest.mark.parametrize("size", [READ_BUFFER - 200, READ_BUFFER, 4 * READ_BUFFER, 12_000])
async def test_an_upgrade_request_larger_than_the_buffer(server: Server, size: int) -> None:
    async with server.client() as client:
        _, receiver = await server.open(client, "&t=" + "x" * size)
        client.say("4a")
        assert await receiver.message() == "a"


async def test_cookies_of_many_kilobytes_and_firefox(server: Server) -> None:
    async with server.client() as client:
        _, receiver = await server.open(client, cookie="c=" + "x" * 30_000, connection="keep-alive, Upgrade")
        client.say("4a")
        assert await receiver.message() == "a"


@pytest.mark.parametrize("size", [0, 125, 126, READ_BUFFER, 65535, 65536, 99_999])
async def test_messages_of_every_length_go_in_and_out(server: Server, size: int) -> None:
    async with server.client() as client:
        connection, receiver = await server.open(client)
        client.say("4" + "x" * size)
        client.send(frame(BINARY, b"y" * size))
        assert await receiver.message() == "x" * size
        assert await receiver.message() == b"y" * size
        connection.send(Outgoing(b"4" + b"x" * size, (b"y" * size,)))
        assert await client.hear() == (TEXT, b"4" + b"x" * size)
        assert await client.hear() == (BINARY, b"y" * size)


async def test_frames_that_come_in_pieces_and_together(server: Server) -> None:
    async with server.client() as client:
        _, receiver = await server.open(client)
        data = frame(TEXT, b"4a", fin=False) + frame(PING, b"p") + frame(0, b"b") + frame(TEXT, b"4c")
        for n in range(len(data)):
            client.send(data[n : n + 1])
            await client.writer.drain()
        assert await client.hear() == (PONG, b"p")
        assert [await receiver.message() for _ in range(2)] == ["ab", "c"]
        client.say(*[f"4{n}" for n in range(100)])
        assert [await receiver.message() for _ in range(100)] == [str(n) for n in range(100)]


@pytest.mark.parametrize("before", [False, True])
async def test_frames_directly_behind_the_upgrade_request_are_taken_however_it_is_split(
    server: Server, before: bool
) -> None:
    """`before`: a whole request and its answer on the same TCP connection come first."""
    request = upgrade_request("EIO=4&transport=websocket") + frame(TEXT, b"4" + b"a\r\n\r\nb" * 1000)
    for cut in (0, len(request) // 20, request.index(b"\r\n\r\n") + 2, len(request) - 2000):
        async with server.client() as client:
            if before:
                await client.poll()
            client.send(request[:cut])
            await client.writer.drain()
            if cut:
                await settle()
            client.send(request[cut:])
            assert await client.answer_head() == 101
            assert await server.receivers[-1].message() == "a\r\n\r\nb" * 1000
        await server.receivers[-1].reason()
        for connection in list(server.engine.connections.values()):
            connection.close(Reason.CLIENT)


async def test_all_of_a_turn_leaves_in_one_write(server: Server) -> None:
    async with server.client() as client:
        connection, _ = await server.open(client)
        assert isinstance(connection.sink, NativeSink)
        writes: list[bytes] = []
        connection.sink._write = writes.append
        for text in ("4a", "4b", "4c"):
            connection.send(Outgoing(text.encode()))
        await asyncio.sleep(0)
        assert writes == [b"\x81\x024a\x81\x024b\x81\x024c"]


# Refusals


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("EIO=3&transport=websocket", {}, 400),
        ("EIO=4&transport=polling", {}, 400),
        ("EIO=4&transport=websocket&sid=none", {}, 400),
        ("EIO=4&transport=websocket" + "&a=1" * 40, {}, 400),
        ("EIO=4&transport=websocket", {"origin": "https://evil.example"}, 403),
        ("EIO=4&transport=websocket", {"sec_websocket_version": "8"}, 426),
        ("EIO=4&transport=websocket", {"sec_websocket_key": "short"}, 400),
        ("EIO=4&transport=websocket", {"sec_websocket_key": ""}, 400),
        ("/elsewhere/?EIO=4&transport=websocket", {}, 404),
    ],
)
async def test_a_refused_handshake_is_answered_and_leaves_no_trace(
    server: Server, query: str, headers: dict[str, str], status: int
) -> None:
    async with server.client() as client:
        answer, answered = await client.request(query, **headers)
        assert answer == status
        assert ("sec-websocket-version" in answered) is (status == 426)
        await client.end()
    assert server.engine.connections == {}
    assert server.receivers == []


async def test_a_full_server_says_when_to_come_back(server: Server) -> None:
    async with server.client() as first, server.client() as second, server.client() as third:
        await server.open(first)
        await server.open(second)
        status, headers = await third.request()
        assert (status, headers["retry-after"]) == (503, "5")
        assert json.loads(await third.body(headers))["code"] == 4


async def test_the_forwarded_address_is_taken_with_its_request(server: Server) -> None:
    async with server.client() as client:
        connection, _ = await server.open(client, x_forwarded_for="198.51.100.7")
        assert connection.address == "127.0.0.1"


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
        (frame(TEXT, b"4" * 60_000, fin=False) + frame(0, b"x" * 60_000), 1009),
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
        assert await receiver.reason() is Reason.TRANSPORT


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
        return sum(type(thing) in (Connection, NativeSink) for thing in gc.get_objects())

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
        client.send(data, frame(TEXT, b"2probe"), frame(TEXT, b"5"))
        kind, _ = await client.hear()
        assert kind == CLOSE
        await client.end()
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
