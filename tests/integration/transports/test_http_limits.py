"""HTTP requests that come slowly, are too large or none, or whose answers nobody takes, on a real uvicorn."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from structlog.testing import capture_logs

from callboard.transports.http import HttpLimits, limited

PATIENCE = 10.0
LIMITS = HttpLimits(
    head_timeout=0.3, body_timeout=0.3, send_timeout=0.3, min_rate=10_000, max_head=2_000, max_pipelined=2
)
GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
LARGE = 8_000_000


class App:
    """Answers with the body's size; `/large` with many bytes, `/wait` when told to."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.begun = asyncio.Event()
        self.ended: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.set()
        if scope["path"] == "/wait":
            await self.let.wait()
        size = 0
        while (message := await receive())["type"] == "http.request":
            size += len(message["body"])
            if not message["more_body"]:
                break
        self.ended.append(message["type"])
        body = b"x" * LARGE if scope["path"] == "/large" else b"%d" % size
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class Stage:
    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.port = port

    @asynccontextmanager
    async def peer(self, *, receive_buffer: int | None = None) -> AsyncIterator[Peer]:
        plain = socket.socket()
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=plain, limit=1 << 12)
        try:
            yield Peer(reader, writer)
        finally:
            writer.transport.abort()


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, bytes]:
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            return int(head.split(" ")[1]), await self.reader.readexactly(length)

    async def refused(self, status: int, code: str) -> None:
        got, body = await self.answer()
        assert (got, json.loads(body)["code"]) == (status, code)
        await self.ended()

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(1 << 16):
                    pass
            except ConnectionResetError:
                return


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with serving(LIMITS) as stage:
        yield stage


@asynccontextmanager
async def serving(limits: HttpLimits) -> AsyncIterator[Stage]:
    app = App()
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, http=limited(limits), ws="none", lifespan="off", log_config=None
    )
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    await server.on_tick(0)
    try:
        yield Stage(app, server.servers[0].sockets[0].getsockname()[1])
    finally:
        app.let.set()
        await server.shutdown()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
async def test_a_head_that_does_not_come_ends_the_connection(stage: Stage, sent: bytes) -> None:
    async with stage.peer() as peer:
        with capture_logs() as logs:
            peer.say(sent)
            await peer.refused(408, "request_timeout")
    assert [(entry["event"], entry["code"], entry["address"]) for entry in logs] == [
        ("http.refused", "request_timeout", "127.0.0.1")
    ]
    assert not stage.app.begun.is_set()


async def test_a_head_that_trickles_is_not_waited_for(stage: Stage) -> None:
    async with stage.peer() as peer:
        peer.say(b"GET / HTTP/1.1\r\n")
        refused = asyncio.create_task(peer.refused(408, "request_timeout"))
        while not refused.done():
            peer.say(b"x: y\r\n")
            await asyncio.wait({refused}, timeout=0.05)
        await refused


async def test_a_further_request_has_as_long(stage: Stage) -> None:
    async with stage.peer() as peer:
        for _ in range(3):
            peer.say(GET % b"")
            assert await peer.answer() == (200, b"0")
        peer.say(b"GET")
        await peer.refused(408, "request_timeout")


async def test_empty_lines_between_requests_keep_no_connection(stage: Stage) -> None:
    async with stage.peer() as peer:
        peer.say(GET % b"")
        assert await peer.answer() == (200, b"0")
        peer.say(b"\r\n")
        await peer.refused(408, "request_timeout")


async def test_a_body_that_does_not_come_is_answered_and_the_application_is_told(stage: Stage) -> None:
    async with stage.peer() as peer:
        peer.say(POST % (b"", 10) + b"12345")
        await peer.refused(408, "request_timeout")
    assert stage.app.ended == ["http.disconnect"]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 2100,
        b"GET / HTTP/1.1\r\nHost: " + b"x" * 2100,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"x" * 2100 + b"\r\n\r\n",
    ],
)
async def test_a_head_that_is_too_large_ends_the_connection(stage: Stage, head: bytes) -> None:
    async with stage.peer() as peer:
        # More of a line without an end, in a segment of its own: the first is counted when it is complete.
        peer.say(head)
        refused = asyncio.create_task(peer.refused(431, "head_too_large"))
        while not refused.done() and not head.endswith(b"\r\n\r\n"):
            peer.say(b"x" * 100)
            await asyncio.wait({refused}, timeout=0.01)
        await refused
    assert not stage.app.begun.is_set()


async def test_a_head_of_the_size_allowed_passes(stage: Stage) -> None:
    async with stage.peer() as peer:
        peer.say(b"GET / HTTP/1.1\r\nHost: " + b"x" * 1900 + b"\r\n\r\n")
        assert await peer.answer() == (200, b"0")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"SSH-2.0-x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n" + GET % b"",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
        GET.replace(b"/%s", b"/" + b"x" * 2100) + b"no request",
    ],
)
async def test_what_is_no_request_is_refused_and_logged_once_by_us_alone(
    stage: Stage, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    status, code = (431, "head_too_large") if len(sent) > LIMITS.max_head else (400, "malformed")
    async with stage.peer() as peer:
        with capture_logs() as logs:
            peer.say(sent)
            await peer.refused(status, code)
    assert [(entry["event"], entry["code"], entry["address"]) for entry in logs] == [
        ("http.refused", code, "127.0.0.1")
    ]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "the header Host is missing: HTTP/1.1 needs it"),
        (b"GET / HTTP/1.1\r\nHosts: x\r\nX-Host: x\r\nHos: x\r\n", "the header Host is missing: HTTP/1.1 needs it"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nhOST: x\r\n", "the header Host is given more than once"),
        (b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n", "the header Host is given more than once"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\n", "the header Host is missing: HTTP/1.1 needs it"),
    ],
)
async def test_a_request_names_one_host(stage: Stage, head: bytes, reason: str) -> None:
    async with stage.peer() as peer:
        with capture_logs() as logs:
            peer.say(head + b"\r\n")
            await peer.refused(400, "malformed")
    assert [(entry["event"], entry["code"], entry["reason"]) for entry in logs] == [
        ("http.refused", "malformed", reason)
    ]
    assert not stage.app.begun.is_set()


@pytest.mark.parametrize("version", [b"2.0", b"0.9"])
async def test_other_versions_of_http_are_refused(stage: Stage, version: bytes) -> None:
    async with stage.peer() as peer:
        peer.say(b"GET / HTTP/%s\r\nHost: x\r\n\r\n" % version)
        await peer.refused(505, "http_version_not_supported")
    assert not stage.app.begun.is_set()


async def test_a_refusal_is_a_whole_problem_and_the_log_has_its_name(stage: Stage) -> None:
    async with stage.peer() as peer:
        with capture_logs() as logs:
            peer.say(b"GET / HTTP/1.1\r\n\r\n")
            _, body = await peer.answer()
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "the header Host is missing: HTTP/1.1 needs it",
        "code": "malformed",
        "instance": logs[0]["request"],
    }


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.0\r\n", b"GET / HTTP/1.0\r\nHOST: x\r\n", b"GET / HTTP/1.1\r\nhost:\r\n"]
)
async def test_http_1_0_names_a_host_or_none_and_a_host_may_be_empty(stage: Stage, head: bytes) -> None:
    async with stage.peer() as peer:
        peer.say(head + b"\r\n")
        assert await peer.answer() == (200, b"0")


async def test_each_request_of_a_connection_names_its_own_host(stage: Stage) -> None:
    trailer = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: y\r\n\r\n"
    async with stage.peer() as peer:
        for request in (GET % b"", trailer, GET % b""):
            peer.say(request)
            assert await peer.answer() == (200, b"0")
        peer.say(b"GET / HTTP/1.1\r\n\r\n")
        await peer.refused(400, "malformed")


async def test_what_is_no_request_gets_no_answer_in_place_of_another_ones(stage: Stage) -> None:
    async with stage.peer() as peer:
        peer.say(GET % b"wait" + b"no request\r\n")
        async with asyncio.timeout(PATIENCE):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await peer.reader.readexactly(1)


async def test_an_upgrade_that_there_is_not_is_served_without_and_logged_once_a_connection(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage.peer() as peer:
        with capture_logs() as logs:
            for _ in range(3):
                peer.say(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
                assert await peer.answer() == (200, b"0")
    assert logs == [{"event": "http.upgrade_ignored", "address": "127.0.0.1", "log_level": "info"}]
    assert caplog.records == []


async def test_requests_sent_ahead_are_bounded(stage: Stage) -> None:
    async with stage.peer() as peer:
        peer.say(GET % b"wait" * 1 + GET % b"" * 1)
        await stage.app.begun.wait()
        stage.app.let.set()
        assert [(await peer.answer())[0] for _ in range(2)] == [200, 200]
    stage.app.let.clear()
    async with stage.peer() as peer:
        with capture_logs() as logs:
            peer.say((GET % b"wait") * 100)
            await peer.ended()
    assert [entry["code"] for entry in logs] == ["too_many_requests"]


async def test_an_answer_that_is_not_taken_ends_the_connection(stage: Stage) -> None:
    async with stage.peer(receive_buffer=4096) as peer:
        # The stream stops reading at twice its limit.
        with capture_logs() as logs:
            peer.say(GET % b"large")
            async with asyncio.timeout(PATIENCE):
                while not logs:
                    await asyncio.sleep(0.02)
        assert [entry["code"] for entry in logs] == ["slow"]


async def test_an_answer_that_is_taken_slowly_but_steadily_arrives() -> None:
    """How slowly it may be is the unit tests', which turn the clock: with so small a window TCP itself may pause for
    longer than the other tests here wait."""
    patient = replace(LIMITS, send_timeout=PATIENCE)
    async with serving(patient) as stage, stage.peer(receive_buffer=4096) as peer:
        peer.say(GET % b"large")
        status, body = await peer.answer()
    assert (status, len(body)) == (200, LARGE)
