"""The process takes its bounds from its environment: those of sockets, and those of HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.integration.serve.kit import Server

Launch = Callable[..., Server]


async def test_bounds_are_read_from_the_environment(launch: Launch, dsn: str) -> None:
    server = launch(DATABASE_URL=dsn, SOCKET_PING_INTERVAL="7000", HTTP_MAX_HEAD_BYTES="13000")
    async with server.rest() as client:
        answer = await client.get("/socket.io/?EIO=4&transport=polling")
        assert json.loads(answer.text[1:])["pingInterval"] == 7000
        answer = await client.get("/healthz", headers={"x": "x" * 13_000})
        assert (answer.status_code, answer.json()["code"]) == (431, "head_too_large")
