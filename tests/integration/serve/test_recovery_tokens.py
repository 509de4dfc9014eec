"""Recovery asks for the token each time: the official wire format on a plain WebSocket, and what a thief gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from tests.integration.serve.kit import WAIT_SECONDS, Server, raw
from tests.integration.serve.returning import publisher, returning


class Plain:
    """A WebSocket in /feed; volatile messages are left out of what it returns."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def connect(self, token: str, namespace: str = "/feed", **auth: object) -> dict[str, Any]:
        """Send CONNECT; the payload that answers it."""
        await self._socket.send_str(f"40{namespace},{json.dumps({'token': token, **auth})}")
        kind, payload = await self._next()
        assert kind in ("0", "4")
        return dict(payload)

    async def receive(self) -> list[Any]:
        """The next durable message: name, payload, position."""
        while True:
            kind, payload = await self._next()
            if kind == "2" and len(payload) == 3:
                return list(payload)

    async def _next(self) -> tuple[str, Any]:
        text = await self._socket.receive_str(timeout=WAIT_SECONDS)
        head, _, payload = text.partition(",")
        return head[1], json.loads(payload)


@asynccontextmanager
async def plain(server: Server) -> AsyncIterator[Plain]:
    async with raw(server) as socket:
        yield Plain(socket)


async def test_on_the_wire(server: Server, user: str) -> None:
    token = server.token(user)
    async with publisher(server) as sender:
        async with plain(server) as client:
            first = await client.connect(token)
            assert set(first) == {"sid", "pid"}
            await sender.publish(f"user:{user}", times=2)
            name, payload, offset = await client.receive()
            assert (name, payload) == ("n", {"n": 1})
            epoch, seq = offset.split(".")
            assert await client.receive() == ["n", {"n": 2}, f"{epoch}.{int(seq) + 1}"]
        await sender.publish(f"user:{user}")
        await sender.numbered()
        for _ in range(2):  # as often as it asks
            async with plain(server) as client:
                again = await client.connect(token, pid=first["pid"], offset=offset)
                assert again["pid"] == first["pid"]
                assert again["sid"] != first["sid"]
                assert [(await client.receive())[1]["n"] for _ in range(2)] == [2, 3]


async def test_a_snapshots_position_begins_a_session_without_a_gap(server: Server, user: str) -> None:
    async with server.rest(user) as rest, plain(server) as client:
        position = (await rest.get("/api/v1/notifications")).json()["position"]
        await server.notify(user, title="between")
        async with publisher(server) as sender:
            await sender.numbered()
        await client.connect(server.token(user), position=position)
        assert (await client.receive())[1]["title"] == "between"


async def test_a_stolen_pid_gives_nothing_of_its_owner_to_another_user(server: Server, user: str) -> None:
    thief = f"thief-of-{user}"
    async with publisher(server) as sender:
        async with plain(server) as victim:
            owned = await victim.connect(server.token(user))
            await sender.publish(f"user:{user}")
            offset = (await victim.receive())[2]
        await sender.publish(f"user:{user}", times=3)
        await sender.numbered()
        for stolen in ({"pid": owned["pid"]}, {"pid": owned["pid"], "offset": offset}):
            async with plain(server) as client:
                answer = await client.connect(server.token(thief), **stolen)
                assert answer["pid"] != owned["pid"]
                [number] = await sender.publish(f"user:{thief}")
                assert (await client.receive())[1] == {"n": number}, "its own message is the first that it gets"
        async with plain(server) as client:
            assert (await client.connect("no token", pid=owned["pid"]))["data"] == {"code": "token_invalid"}
            assert (await client.connect(server.token(user), pid=owned["pid"], offset=offset))["pid"] == owned["pid"]


async def test_a_forged_or_foreign_pid_is_a_first_connect(server: Server, user: str) -> None:
    async with plain(server) as client:
        pid = (await client.connect(server.token(user)))["pid"]
    forged: list[object] = ["", "x", pid[:-4], pid + "AAAA", "A" * 44, 7, None, {"pid": pid}]
    for each in forged:
        async with plain(server) as client:
            answer = await client.connect(server.token(user), pid=each)
            assert answer["pid"] not in (pid, each)
    async with plain(server) as client:
        assert (await client.connect(server.token(user), "/jobs", pid=pid))["pid"] != pid


async def test_an_offset_far_ahead_costs_its_sender_time_and_nobody_else(server: Server, user: str) -> None:
    async with plain(server) as client:
        pid = (await client.connect(server.token(user)))["pid"]
    async with plain(server) as liar, plain(server) as other, publisher(server) as sender:
        epoch = str(await sender.connection.fetchval("select epoch from callboard.log_head"))
        waiting = asyncio.create_task(liar.connect(server.token(user), pid=pid, offset=f"{epoch}.{2**62}"))
        await other.connect(server.token(user))
        [number] = await sender.publish(f"user:{user}")
        assert (await other.receive())[1] == {"n": number}
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_token_that_expired_meanwhile_is_refused_and_a_new_one_recovers(server: Server, user: str) -> None:
    async with returning(server) as client, publisher(server) as sender:
        await client.open(server.token(user))
        await client.proxy.cut(stay_down=True)
        await client.leaves(1)
        client.tell("token", token=server.token(user, seconds=-60))
        expected = await sender.publish(f"user:{user}", times=3)
        await sender.numbered()
        client.proxy.down = False
        await client.until(lambda: client.refusals() == ["token_expired"])
        assert client.numbers() == []
        client.tell("token", token=server.token(user))
        client.tell("connect")
        await client.got(expected[-1])
        assert client.recovered() == [False, True]
        assert client.numbers() == expected


async def test_anothers_token_on_the_same_client_recovers_nothing(server: Server, user: str) -> None:
    async with returning(server) as client, publisher(server) as sender:
        await client.open(server.token(user))
        await sender.publish(f"user:{user}")
        await client.got(1)
        async with client.away():
            client.tell("token", token=server.token(f"other-{user}"))
            await sender.publish(f"user:{user}", times=3)
            await sender.numbered()
        [own] = await sender.publish(f"user:other-{user}")
        await client.got(own)
        assert client.recovered() == [False, False]
        assert client.numbers() == [1, own]
