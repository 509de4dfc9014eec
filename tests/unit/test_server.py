"""The pieces of `callboard serve` that need no process: port, URLs, host application."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from callboard import server
from callboard.errors import SettingsError, StartError
from callboard.server import ServeOptions
from callboard.settings import Settings
from callboard.transports.http import HttpProtocol


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter2@db.example:5432/stage", "postgresql://me@db.example:5432/stage"),
        ("postgresql://me@db.example/stage?password=hunter2", "postgresql://me@db.example/stage"),
        ("postgres://a:1,b:2/stage", "postgres://a:1,b:2/stage"),
        ("postgresql:///stage?host=/run&password=hunter2", "postgresql:///stage"),
        ("postgresql://me:hunter2%40@[::1]:1/s", "postgresql://me@[::1]:1/s"),
    ],
)
def test_a_database_is_named_without_its_password(url: str, shown: str) -> None:
    assert server._without_secrets(url) == shown


async def test_the_demo_is_refused_on_an_address_that_others_reach(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--demo"):
        await server.serve(Settings(data_dir=tmp_path), ServeOptions(host="0.0.0.0", port=0, demo=True))


def test_an_occupied_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = rf"127\.0\.0\.1:{port}: Address already in use"
        with pytest.raises(StartError, match=said), server._bind("127.0.0.1", port):
            raise AssertionError("it was bound twice")


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(StartError, match=r"192\.0\.2\.1:0"), server._bind("192.0.2.1", 0):
        raise AssertionError("it was bound")


@pytest.mark.parametrize(
    ("listen", "host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1", "http://127.0.0.1:{}"),
        ("127.0.0.1", "localhost", "http://localhost:{}"),
        ("0.0.0.0", "0.0.0.0", "http://127.0.0.1:{}"),
        ("127.0.0.1", "::", "http://127.0.0.1:{}"),
        ("127.0.0.1", "::1", "http://[::1]:{}"),
    ],
)
def test_the_url_is_one_to_go_to(listen: str, host: str, shown: str) -> None:
    with server._bind(listen, 0) as listener:
        assert server._url(host, listener) == shown.format(listener.getsockname()[1])


def test_a_host_application_is_found_in_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    (tmp_path / "hosted_here.py").write_text("async def app(scope, receive, send): ...\nnumber = 7\n")
    try:
        assert callable(server._load("hosted_here:app"))
        for target, word in (
            ("hosted_here:missing", "missing"),
            ("hosted_here:number", "cannot be called"),
            ("hosted_here", "module:attribute"),
            ("hosted_nowhere:app", "hosted_nowhere"),
            (":app", "module:attribute"),
        ):
            with pytest.raises(SettingsError, match="--app") as refused:
                server._load(target)
            assert word in refused.value.message
    finally:
        sys.modules.pop("hosted_here", None)


class Answering:
    """A host application whose answer is larger than what fits between it and a client that does not read."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.begun.set()
        while True:
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})


async def test_no_connection_outlives_the_end_though_its_client_takes_nothing() -> None:
    host, done = Answering(), asyncio.Event()
    config = uvicorn.Config(host, http=HttpProtocol, ws="none", lifespan="off", log_config=None)
    config.timeout_graceful_shutdown = 1
    node: Any = SimpleNamespace(engine=SimpleNamespace(connections={}), stop=done.wait)
    callboard: Any = SimpleNamespace(node=node, drain=done.wait)
    stop: Any = SimpleNamespace(again=asyncio.Event())
    done.set()
    with server._bind("127.0.0.1", 0) as listener, socket.socket() as client:
        uvicorn_server = server._Uvicorn(config)
        running = asyncio.ensure_future(uvicorn_server.serve(sockets=[listener]))
        await uvicorn_server.up.wait()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
        await asyncio.get_running_loop().sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await host.begun.wait()
        await server._end(callboard, uvicorn_server, running, stop)
        async with asyncio.timeout(5):
            while uvicorn_server.server_state.connections:
                await asyncio.sleep(0)


async def test_the_end_is_not_waited_for_and_the_date_is_kept() -> None:
    uvicorn_server = server._Uvicorn(uvicorn.Config(Answering(), log_config=None))
    uvicorn_server.config.load()
    looping = asyncio.ensure_future(uvicorn_server.main_loop())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not looping.done()
    assert b"date" in dict(uvicorn_server.server_state.default_headers)
    uvicorn_server.end()
    for _ in range(5):
        await asyncio.sleep(0)
    assert looping.done(), "uvicorn's own loop looks ten times a second whether it is to end"
