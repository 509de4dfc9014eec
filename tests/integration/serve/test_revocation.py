"""Tokens that end while they are in use: by their time, renewed in place, and by revocation on every node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import jwt
from tests.integration.serve.kit import Server, database, tab, until

Launch = Callable[..., Server]
SECRET = "a secret of more than thirty-two bytes"


def token(user: str, seconds: float = 3600.0, *roles: str) -> str:
    """A token that says to the microsecond when it was issued."""
    now = time.time()
    claims = {"sub": user, "iat": now, "exp": now + seconds, "roles": roles}
    return jwt.encode(claims, SECRET, algorithm="HS256")


async def test_a_revocation_reaches_every_node_within_two_seconds(launch: Launch, dsn: str) -> None:
    first = launch(data="first", DATABASE_URL=dsn, JWT_SECRET=SECRET)
    second = launch(data="second", DATABASE_URL=dsn, JWT_SECRET=SECRET)
    old = token("u1")
    headers = {"authorization": f"Bearer {old}"}
    async with (
        tab(first, "u1", token=old) as here,
        tab(second, "u1", token=old, transports=("polling",)) as there,
        tab(second, "u2") as other,
        first.rest() as at_first,
        second.rest() as at_second,
    ):
        for client in (at_first, at_second):
            assert (await client.get("/api/v1/notifications", headers=headers)).status_code == 200
        async with database(first, dsn) as connection:
            async with connection.transaction():
                await connection.execute("select callboard.revoke('u1')")
            async with asyncio.timeout(2.0):
                await here.ended.wait()
                await there.ended.wait()
        for client in (at_first, at_second):
            answer = await client.get("/api/v1/notifications", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
        assert not other.ended.is_set()
        async with tab(second, "u1", token=token("u1")) as again:
            assert (await again.call("token", {"token": old}))["error"]["code"] == "token_invalid"
    for server in (first, second):
        assert [line["connections"] for line in server.log_lines("user.revoked", user="u1")] == [1]
    third = launch(data="third", DATABASE_URL=dsn, JWT_SECRET=SECRET)
    async with third.rest() as client:
        assert (await client.get("/api/v1/notifications", headers=headers)).status_code == 401


async def test_a_connection_ends_with_its_token_unless_it_is_renewed(launch: Launch, dsn: str) -> None:
    server = launch(DATABASE_URL=dsn, JWT_SECRET=SECRET)
    ends = time.time() + 3
    async with (
        tab(server, "u1", token=token("u1", 3)) as here,
        tab(server, "u2", "admin", namespaces=("/feed", "/admin"), token=token("u2", 3, "admin")) as renewed,
    ):
        answer = await renewed.call("token", {"token": token("u2")})
        assert answer["ok"] is True
        assert answer["expires_at"].endswith("Z")
        await until(lambda: "/admin" not in renewed.client.namespaces)
        assert (await renewed.call("token", {"token": token("u1")}))["error"]["code"] == "forbidden"
        async with asyncio.timeout(8.0):
            await here.ended.wait()
        assert ends - 0.1 <= time.time() <= ends + 5
        await server.notify("u2", title="still here")
        await renewed.until_title("still here")
    assert [line["reason"] for line in server.log_lines("socket.closed")] == ["token expired"]
