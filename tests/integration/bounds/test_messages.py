"""The settings that bound what a client asks for: messages in a second, messages that wait, rooms."""

from __future__ import annotations

import asyncio

from tests.integration.bounds.conftest import Serve, until

from callboard.realtime.namespace import Member


async def echo(member: Member, data: dict[str, object]) -> dict[str, object]:
    return {"n": data["n"]}


async def subscribe(member: Member, data: dict[str, object]) -> dict[str, object]:
    rooms = data["rooms"]
    assert isinstance(rooms, list)
    member.subscribe(*rooms)
    return {}


class Gate:
    """A handler that waits."""

    def __init__(self) -> None:
        self.begun = 0
        self.open = asyncio.Event()

    async def __call__(self, member: Member, data: dict[str, object]) -> dict[str, object]:
        self.begun += 1
        await self.open.wait()
        return {}


async def test_socket_messages_burst(serve: Serve) -> None:
    node = await serve(SOCKET_MESSAGES_BURST="6", SOCKET_MESSAGES_PER_SECOND="1")
    node.on("echo", echo)
    async with node.joined("u2") as other, node.joined() as client:
        client.say(*[f'42/feed,{n}["echo",{{"n":{n}}}]' for n in range(1, 10)])
        # CONNECT was one of the six. The errors go ahead of what still waits to be handled.
        answers = {n: await client.ack(n) for n in (*range(6, 10), *range(1, 6))}
        assert [answers[n] for n in range(1, 6)] == [{"ok": True, "n": n} for n in range(1, 6)]
        assert {answers[n]["error"]["code"] for n in range(6, 10)} == {"rate_limited"}
        client.say(*['42/feed,["echo",{"n":0}]'] * 3)
        assert await client.closed() == (1008, "too many messages")
        other.say('42/feed,1["echo",{"n":1}]')
        assert await other.ack(1) == {"ok": True, "n": 1}


async def test_socket_messages_per_second(serve: Serve) -> None:
    node = await serve(SOCKET_MESSAGES_BURST="10", SOCKET_MESSAGES_PER_SECOND="1000000")
    node.on("echo", echo)
    async with node.joined() as client:
        for n in range(1, 201):
            client.say(f'42/feed,{n}["echo",{{"n":{n}}}]')
        assert [await client.ack(n) for n in range(1, 201)] == [{"ok": True, "n": n} for n in range(1, 201)]


async def test_socket_max_waiting_messages(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_WAITING_MESSAGES="3")
    gate = Gate()
    node.on("wait", gate)
    async with node.joined() as client:
        client.say('42/feed,["wait"]')
        await until(lambda: gate.begun == 1)
        client.say(*['42/feed,["wait"]'] * 3)
        await until(lambda: node.node.depths().waiting == 3)
        client.say('42/feed,["wait"]')
        assert await client.closed() == (1008, "too many messages")
    gate.open.set()


async def test_socket_max_waiting_bytes(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_WAITING_BYTES="20000", SOCKET_MAX_PAYLOAD="20000")
    gate = Gate()
    node.on("wait", gate)
    large = f'42/feed,["wait",{{"fill":"{"x" * 9000}"}}]'
    async with node.joined() as client:
        client.say(large, large)
        await until(lambda: (gate.begun, node.node.depths().waiting) == (1, 1))
        client.say(large)
        assert await client.closed() == (1008, "too many messages")
    gate.open.set()


async def test_socket_max_rooms(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_ROOMS="2")
    node.on("subscribe", subscribe)
    async with node.joined() as client:
        client.say('42/feed,1["subscribe",{"rooms":["a","b"]}]', '42/feed,2["subscribe",{"rooms":["b","c"]}]')
        assert await client.ack(1) == {"ok": True}
        assert (await client.ack(2))["error"]["code"] == "too_many_rooms"
        assert [node.node.has_room("/feed", room) for room in "abc"] == [True, True, False]
        client.say('42/feed,3["subscribe",{"rooms":["a","user:u1"]}]')
        assert await client.ack(3) == {"ok": True}, "it is in those already"
