"""`--app`: a host application gets what Callboard does not serve, and its lifespan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.serve.kit import Server, tab

Launch = Callable[..., Server]

HOST = '''
"""A host application that notes its lifespan in files and says which path it got."""
import os
from pathlib import Path

import asyncpg

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            Path(message["type"]).touch()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = f"host: {scope['method']} {scope['path']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-host", b"1")]})
    await send({"type": "http.response.body", "body": body})

async def plain(scope, receive, send):
    assert scope["type"] == "http", "this host knows of no lifespan"
    await app(scope, receive, send)

async def notifying(scope, receive, send):
    if scope["type"] != "http":
        return
    notifications = scope["callboard"].notifications
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    try:
        transaction = connection.transaction()
        await transaction.start()
        if scope["path"] == "/with-mine":
            await notifications.notify("u1", type="a", title="in a transaction", connection=connection)
        else:
            await notifications.notify(["u1"], type="a", title="by itself")
        await (transaction.rollback() if b"rollback" in scope["query_string"] else transaction.commit())
    finally:
        await connection.close()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})

async def broken(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no disk for the host"})
'''

OURS = (
    "/api/v1/notifications",
    "/api/v1/notifications/unread-count",
    "/api/v1/socket/broadcast",
    "/healthz",
    "/readyz",
    "/metrics",
    "/config.json",
    "/openapi.json",
    "/docs",
    "/socket.io/?EIO=4&transport=polling",
)
THEIRS = (
    "/api/v1/episodes",
    "/api/v1/notificationsx",
    "/login",
    "/healthz2",
    "/socket.iox",
    "/%00",
    "/" + "x" * 300,
    "/../../etc/passwd",
    "/demo/users",
)


@pytest.fixture
def host_launch(home: Path, launch: Launch, dsn: str) -> Launch:
    """Starts a server with an application of the module above, which lies in its working directory."""
    (home / "hosted.py").write_text(HOST)

    def start(attribute: str, ready: bool = True) -> Server:
        return launch("--app", f"hosted:{attribute}", ready=ready, DATABASE_URL=dsn)

    return start


async def test_a_host_gets_the_rest_and_its_lifespan(host_launch: Launch) -> None:
    server = host_launch("app")
    place = server.data_dir.parent
    assert (place / "lifespan.startup").exists()
    assert not (place / "lifespan.shutdown").exists()
    async with server.rest("u1") as client, tab(server, "u1") as here:
        for path in OURS:
            assert "x-host" not in (await client.get(path)).headers, path
        for path in THEIRS:
            answer = await client.get(path)
            assert answer.headers.get("x-host") == "1", path
        assert (await client.post("/api/v1/episodes")).text == "host: POST /api/v1/episodes"
        await server.notify("u1", title="beside a host")
        await here.until_title("beside a host")
    assert server.stop() == 0
    assert (place / "lifespan.shutdown").exists()
    assert "Traceback" not in server.log_text()


async def test_a_host_need_not_know_of_lifespans(host_launch: Launch) -> None:
    server = host_launch("plain")
    async with server.rest() as client:
        assert (await client.get("/x")).text == "host: GET /x"
    assert server.stop() == 0


async def test_a_host_notifies_in_a_transaction_of_its_own(host_launch: Launch) -> None:
    server = host_launch("notifying")
    async with server.rest("u1") as client, tab(server, "u1") as here:
        assert (await client.get("/with-mine?rollback")).status_code == 204
        assert (await client.get("/with-mine")).status_code == 204
        assert (await client.get("/alone")).status_code == 204
        await here.until_title("by itself")
        listed = (await client.get("/api/v1/notifications")).json()["items"]
    assert [item["title"] for item in listed] == ["by itself", "in a transaction"]
    assert here.titles() == ["in a transaction", "by itself"]


def test_a_host_that_fails_to_start_ends_the_start(host_launch: Launch) -> None:
    server = host_launch("broken", ready=False)
    assert server.wait() == 1
    assert "no disk for the host" in server.log_text()
    assert server.log_text().splitlines()[-1].startswith("Error: the host application (--app) failed to start")
    assert "Traceback" not in server.log_text()
    assert server.log_lines("server.started") == []
