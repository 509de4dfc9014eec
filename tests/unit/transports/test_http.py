"""How slowly a request may come and an answer may be taken, by a clock that tests turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import structlog
import uvicorn
from tests.loop import Timer, Timers, settle
from uvicorn.server import ServerState

from callboard.transports.http import HttpLimits, HttpProtocol, limited

LIMITS = HttpLimits(head_timeout=10, body_timeout=20, send_timeout=30, min_rate=1000, max_head=1000)
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"


class Loop:
    """What a protocol asks of its loop."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers

    def time(self) -> float:
        return self._timers.clock.monotonic()

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> asyncio.Handle:
        return asyncio.get_running_loop().call_soon(callback, *args)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        return self._timers.call_later(delay, callback, *args)

    def create_task(self, work: Coroutine[Any, Any, None], **_: Any) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)


class Transport:
    """Keeps what is written; `unsent` is what the peer has not taken."""

    def __init__(self) -> None:
        self.protocol: HttpProtocol | None = None
        self.written = b""
        self.writes = 0
        self.unsent = 0
        self.ends: list[str] = []

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1

    def close(self) -> None:
        self.ends.append("closed")

    def abort(self) -> None:
        self.ends.append("aborted")

    def is_closing(self) -> bool:
        return bool(self.ends)

    def get_protocol(self) -> HttpProtocol | None:
        return self.protocol

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str) -> object:
        return ("192.0.2.1", 4711) if name == "peername" else None

    def pause_reading(self) -> None:
        """Reading is the test's."""

    def resume_reading(self) -> None:
        """Likewise."""


class Stage:
    """A connection to an application that reads the whole body, once `let` is set."""

    def __init__(self, timers: Timers) -> None:
        self.let = asyncio.Event()
        self.transport = Transport()
        config = uvicorn.Config(self._app, interface="asgi3", ws="none", lifespan="off", log_config=None)
        config.load()
        self.protocol = limited(LIMITS)(config=config, server_state=ServerState(), app_state={}, _loop=Loop(timers))
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.let.wait()
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass

    async def say(self, data: bytes) -> None:
        self.protocol.data_received(data)
        await settle()

    def status(self) -> int | None:
        return int(self.transport.written.split(b" ")[1]) if self.transport.written else None


@pytest.fixture
async def stage(timers: Timers) -> AsyncIterator[Stage]:
    stage = Stage(timers)
    yield stage
    stage.let.set()
    stage.protocol.connection_lost(None)
    await settle()


async def test_a_head_has_its_time_from_the_connection_on(stage: Stage, timers: Timers) -> None:
    timers.turn(6)
    await stage.say(b"GET / HTTP/1.1\r\n")
    timers.turn(3.9)
    assert stage.transport.ends == []
    timers.turn(0.2)
    assert (stage.status(), stage.transport.ends) == (408, ["closed"])


async def test_a_body_may_take_longer_the_more_of_it_comes(stage: Stage, timers: Timers) -> None:
    stage.let.set()
    await stage.say(POST)
    for _ in range(60):
        timers.turn(1)
        await stage.say(b"x" * 1100)
    assert stage.transport.ends == []
    timers.turn(20)
    assert stage.transport.ends == []
    timers.turn(7)
    await settle()
    assert (stage.status(), stage.transport.ends) == (408, ["closed"])


async def test_a_body_that_comes_too_slowly_is_refused(stage: Stage, timers: Timers) -> None:
    stage.let.set()
    await stage.say(POST)
    for _ in range(42):
        timers.turn(1)
        await stage.say(b"x" * 500)
    assert (stage.status(), stage.transport.ends) == (408, ["closed"])


async def test_while_the_application_does_not_read_a_body_no_time_passes(stage: Stage, timers: Timers) -> None:
    await stage.say(POST)
    await stage.say(b"x" * 70_000)  # over what uvicorn keeps: it has stopped reading
    timers.turn(500)
    assert stage.transport.ends == []
    stage.let.set()
    await settle()
    timers.turn(41)
    assert stage.status() == 408


async def test_a_line_without_an_end_is_counted(stage: Stage) -> None:
    await stage.say(b"GET / HTTP/1.1\r\nHost: ")
    await stage.say(b"x" * 970)
    assert stage.transport.ends == []
    await stage.say(b"x" * 20)
    assert (stage.status(), stage.transport.ends) == (431, ["closed"])


async def test_a_head_in_several_segments_is_counted_once(stage: Stage) -> None:
    await stage.say(b"GET / HTTP/1.1\r\nHost: x\r\n")
    for _ in range(9):
        await stage.say(b"x: " + b"y" * 95 + b"\r\n")
    await stage.say(b"\r\n")
    assert stage.transport.ends == []


async def test_an_answer_must_be_taken_at_the_least_rate(stage: Stage, timers: Timers) -> None:
    await stage.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    stage.transport.unsent = 100_000
    stage.protocol.pause_writing()
    for left in (70_000, 40_000):
        stage.transport.unsent = left
        timers.turn(30)
        assert stage.transport.ends == []
    stage.transport.unsent = 10_001
    timers.turn(30)
    assert stage.transport.ends == ["aborted"]


async def test_an_answer_that_was_taken_is_not_asked_about(stage: Stage, timers: Timers) -> None:
    await stage.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    stage.transport.unsent = 100_000
    stage.protocol.pause_writing()
    stage.protocol.resume_writing()
    timers.turn(100)
    assert stage.transport.ends == []


@pytest.mark.parametrize(("unsent", "end"), [(0, "closed"), (1000, "aborted")])
async def test_an_idle_connections_end_waits_for_nobody(stage: Stage, unsent: int, end: str) -> None:
    stage.transport.unsent = unsent
    stage.protocol.timeout_keep_alive_handler()
    assert stage.transport.ends == [end]


async def test_no_timer_outlives_its_connection(stage: Stage, timers: Timers) -> None:
    await stage.say(POST)
    stage.protocol.pause_writing()
    stage.protocol.connection_lost(ConnectionResetError())
    timers.turn(1000)
    assert stage.status() is None
    assert all(timer.cancelled for timer in timers.pending)


async def test_an_answer_leaves_in_one_write(stage: Stage) -> None:
    stage.let.set()
    await stage.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await settle()
    head, _, body = stage.transport.written.partition(b"\r\n\r\n")
    assert (head[:12], body) == (b"HTTP/1.1 500", b"Internal Server Error"), "the application answers nothing"
    assert stage.transport.writes == 1
    assert stage.transport.ends == ["closed"]


@pytest.mark.parametrize("target", [b"/caf\xe9", b"http://["])
async def test_a_path_that_cannot_be_read_is_the_clients_fault(stage: Stage, target: bytes) -> None:
    with structlog.testing.capture_logs() as logs:
        await stage.say(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (stage.status(), stage.transport.ends) == (400, ["closed"])
    assert [line["event"] for line in logs] == ["http.refused"]


async def test_a_defect_of_ours_is_told_as_one(timers: Timers, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: HttpProtocol, url: bytes) -> None:
        raise LookupError("a defect")

    monkeypatch.setattr(HttpProtocol, "on_url", fail)
    stage = Stage(timers)
    with structlog.testing.capture_logs() as logs:
        await stage.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (stage.status(), stage.transport.ends) == (500, ["closed"])
    assert [(line["event"], line.get("reason")) for line in logs] == [
        ("task.failed", "LookupError('a defect')"),
        ("http.refused", "the server failed; its log says why"),
    ]
