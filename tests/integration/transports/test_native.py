"""The native WebSocket and its seam to uvicorn, on real sockets."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs
from tests.integration.transports.conftest import Server
from tests.integration.transports.native_client import (
    BINARY,
    PING,
    PONG,
    TEXT,
    frame,
    upgrade_request,
)
from tests.loop import settle
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from callboard.realtime import writer
from callboard.realtime.connection import Reason
from callboard.transports.http import HttpProtocol
from callboard.transports.native import WebSocket
from callboard.transports.turnstile import Turnstile
from callboard.wire.engineio import Outgoing


@pytest.fixture(params=[1, 1 << 30], ids=["ring", "each"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one system call, if this machine lets us, or with one for each."""
    monkeypatch.setattr(writer, "ENOUGH", request.param)


# The seam


def test_uvicorn_calls_the_protocol_class_as_expected() -> None:
    source = inspect.getsource(HttpToolsProtocol.handle_websocket_upgrade)
    for text in ("config=", "server_state=", "app_state=", ".connection_made(", ".data_received(", "set_protocol("):
        assert text in source


@pytest.mark.parametrize("size", [2_000, 12_000])
async def test_a_long_upgrade_request(server: Server, size: int) -> None:
    async with server.client() as client:
        _, receiver = await server.open(client, "&t=" + "x" * size)
        client.say("4a")
        assert await receiver.message() == "a"


async def test_cookies_of_many_kilobytes_and_firefox(server: Server) -> None:
    async with server.client() as client:
        _, receiver = await server.open(client, cookie="c=" + "x" * 30_000, connection="keep-alive, Upgrade")
        client.say("4a")
        assert await receiver.message() == "a"


async def test_the_answer_to_the_upgrade_and_the_first_packet_leave_in_one_write(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    original = WebSocket._send

    def send(websocket: WebSocket, data: bytes) -> None:
        writes.append(websocket._answer + data)
        original(websocket, data)

    monkeypatch.setattr(WebSocket, "_send", send)
    async with server.client() as client:
        await server.open(client)
    [opening] = writes
    head, _, first = opening.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert first[:1] == b"\x81"


async def test_an_upgrade_that_waits_for_its_turn_takes_what_came_meanwhile(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[Callable[[], None]] = []
    held = asyncio.Event()

    def hold(turnstile: Turnstile, work: Callable[[], None]) -> bool:
        waiting.append(work)
        held.set()
        return False

    monkeypatch.setattr(Turnstile, "enter", hold)
    async with server.client() as client, server.client() as gone:
        for each in (client, gone):
            held.clear()
            each.writer.write(upgrade_request("EIO=4&transport=websocket") + frame(TEXT, b"4a"))
            await held.wait()
        client.say("4b")
        assert not server.engine.connections
        gone.writer.transport.abort()
        await settle()
        for work in waiting:
            work()
        assert await client.answer_head() == 101
        assert [await server.receivers[0].message() for _ in range(2)] == ["a", "b"]


@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_upgrade_request_in_pieces_goes_through_http(
    server: Server, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    made = asyncio.Event()
    original = HttpProtocol.connection_made

    def note(protocol: HttpProtocol, transport: object) -> None:
        made.set()
        original(protocol, transport)

    monkeypatch.setattr(HttpProtocol, "connection_made", note)
    async with server.client() as client:
        request = upgrade_request("EIO=4&transport=websocket")
        if pieces == 2:
            client.writer.write(request[:40])
            await made.wait()
        client.writer.write(request[40 * (pieces - 1) :])
        assert await client.answer_head() == 101
        assert made.is_set() is (pieces == 2)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 99_999])
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


async def test_all_of_a_turn_leaves_in_one_write(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server.client() as client:
        connection, _ = await server.open(client)
        writes: list[bytes] = []
        monkeypatch.setattr(WebSocket, "_send", lambda websocket, data: writes.append(data))
        for text in ("4a", "4b", "4c"):
            connection.send(Outgoing(text.encode()))
        await asyncio.sleep(0)
        assert writes == [b"\x81\x024a\x81\x024b\x81\x024c"]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 300_000])
@pytest.mark.usefixtures("way")
async def test_a_broadcast_of_any_size_goes_to_each_socket(server: Server, size: int) -> None:
    async with server.client() as one, server.client() as two:
        connections = [(await server.open(client))[0] for client in (one, two)]
        written = server.engine.traffic.bytes_out
        texts = [b"x" * size, b"y" * size]
        for text in texts:
            server.engine.turn.broadcast(connections, Outgoing(text), None, volatile=False)
            await asyncio.sleep(0)
        heard = [await client.hear() for client in (one, two, one, two)]
        assert heard == [(TEXT, texts[0])] * 2 + [(TEXT, texts[1])] * 2
        head = 2 if size < 126 else 4 if size < 65_536 else 10
        assert server.engine.traffic.bytes_out == written + 4 * (head + size)


@pytest.mark.usefixtures("way")
async def test_a_broadcast_with_attachments_stays_together(server: Server) -> None:
    async with server.client() as client:
        connection, _ = await server.open(client)
        server.engine.turn.broadcast([connection], Outgoing(b"451-[0]", (b"\x01", b"\x02")), None, volatile=False)
        assert [await client.hear() for _ in range(3)] == [(TEXT, b"451-[0]"), (BINARY, b"\x01"), (BINARY, b"\x02")]


@pytest.mark.usefixtures("way")
async def test_broadcasts_to_a_peer_that_does_not_read_keep_their_order(server: Server) -> None:
    async with server.client() as client:
        connection, _ = await server.open(client)
        assert connection.sink.unsent() == 0
        count = 0
        while not connection.paused:
            server.engine.turn.broadcast([connection], Outgoing(b"%7d" % count + b"x" * 5_000), None, volatile=False)
            await asyncio.sleep(0)
            connection.send(Outgoing(b"%7d" % (count + 1)))
            await asyncio.sleep(0)
            count += 2
        assert [int((await client.hear())[1][:7]) for _ in range(count)] == list(range(count))


@pytest.mark.parametrize("taken", [0, 1, 5_000])
async def test_what_the_socket_does_not_take_follows_in_order(
    server: Server, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    """`taken`: bytes of a write; 0: it fails."""
    write = os.write

    def some(descriptor: int, data: bytes) -> int:
        if not taken:
            raise BlockingIOError
        return write(descriptor, data[:taken])

    async with server.client() as one, server.client() as two:
        connections = [(await server.open(client))[0] for client in (one, two)]
        written = server.engine.traffic.bytes_out
        monkeypatch.setattr(os, "write", some)
        for number in range(20):
            server.engine.turn.broadcast(connections, Outgoing(b"%3d" % number + b"x" * 7_000), None, volatile=False)
            await asyncio.sleep(0)
            connections[0].send(Outgoing(b"own"))
            await asyncio.sleep(0)
        for client in (one, two):
            for number in range(20):
                assert await client.hear() == (TEXT, b"%3d" % number + b"x" * 7_000)
                if client is one:
                    assert await client.hear() == (TEXT, b"own")
        assert server.engine.traffic.bytes_out == written + 2 * 20 * (4 + 7_003) + 20 * 5


async def test_behind_tls_nothing_goes_past_it(secure: Server) -> None:
    async with secure.client() as client:
        connection, receiver = await secure.open(client)
        assert connection.descriptor is None
        secure.engine.turn.broadcast([connection], Outgoing(b"4to all"), None, volatile=False)
        assert await client.hear() == (TEXT, b"4to all")
        client.say("4a")
        assert await receiver.message() == "a"


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


WEBSOCKET = "EIO=4&transport=websocket"


@pytest.mark.parametrize(
    ("request_", "status", "reason", "code"),
    [
        (upgrade_request(WEBSOCKET).replace(b"GET", b"POST", 1), 400, "begins with GET", "bad_method"),
        (upgrade_request(WEBSOCKET, sec_websocket_version="8"), 426, "version 13", "bad_request"),
        (upgrade_request(WEBSOCKET, sec_websocket_key="short"), 400, "16 bytes", "bad_request"),
        (upgrade_request(f"/elsewhere/?{WEBSOCKET}"), 404, "no WebSocket here", "bad_request"),
        (upgrade_request(WEBSOCKET).replace(b"HTTP/1.1", b"HTTP/1.0", 1), 400, "needs HTTP/1.1", "bad_upgrade"),
        (upgrade_request(WEBSOCKET, host=""), 400, "Host is missing", "malformed"),
        (upgrade_request(WEBSOCKET, Host="y"), 400, "more than once", "malformed"),
        (upgrade_request(WEBSOCKET, content_length="5") + b"hello", 400, "has no body", "bad_upgrade"),
        (upgrade_request(WEBSOCKET, transfer_encoding="chunked") + b"0\r\n\r\n", 400, "has no body", "bad_upgrade"),
    ],
)
async def test_what_is_no_upgrade_to_websocket_is_refused_and_logged_once(
    server: Server, request_: bytes, status: int, reason: str, code: str
) -> None:
    async with server.client() as client:
        with capture_logs() as logs:
            client.send(request_)
            assert await client.answer_head() == status
            assert reason in (await client.end()).decode()
    assert [(entry["code"], reason in entry["reason"]) for entry in logs] == [(code, True)]
    assert server.engine.connections == {}


async def test_an_upgrade_does_not_overtake_the_answer_to_a_request_before_it(server: Server) -> None:
    before = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"
    async with server.client() as client:
        with capture_logs() as logs:
            client.send(before + upgrade_request(WEBSOCKET))
            assert b" 101 " not in await client.end()
    assert [entry["code"] for entry in logs] == ["bad_upgrade"]


async def test_a_defect_while_it_opens_is_logged_and_ends_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.engine, "open", None)
    async with server.client() as client:
        with capture_logs() as logs:
            client.send(upgrade_request("EIO=4&transport=websocket"))
            assert await client.end() == b""
    assert [entry["event"] for entry in logs] == ["task.failed"]


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


async def test_bytes_are_counted_as_they_go_in_and_out(server: Server) -> None:
    async with server.client() as client:
        connection, receiver = await server.open(client)
        traffic = server.engine.traffic
        read, written = traffic.bytes_in, traffic.bytes_out
        client.say("4" + "x" * 200)
        await receiver.message()
        assert traffic.bytes_in == read + 201
        for size in (10, 200):
            connection.send(Outgoing(b"4" + b"x" * size))
        await settle()
        # Two frames in one write: 2 and 4 bytes of head.
        assert traffic.bytes_out == written + (2 + 11) + (4 + 201)
