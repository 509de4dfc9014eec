"""A poll that HTTP repeats because the line has swallowed its answer: nothing is lost, nothing comes twice."""

from __future__ import annotations

import json

import pytest
from tests.loop import settle
from tests.sinks import FakeSink
from tests.unit.transports.conftest import OPTIONS, Client, Server
from tests.unit.transports.drivers import Exchange

from callboard.realtime.connection import Reason
from callboard.transports.asgi_types import Message, Receive, Scope, Send
from callboard.transports.polling import PollingSink
from callboard.wire.engineio import Outgoing

OPENING = "EIO=4&transport=polling&t="


def message(text: str) -> Outgoing:
    return Outgoing(b"4" + text.encode())


async def opened(server: Server, stamp: str = "0") -> Client:
    """A session of a client that stamps its requests."""
    status, body = await Exchange(server.polling, query=OPENING + stamp).answer()
    assert status == 200
    return Client(server, json.loads(body[1:])["sid"])


def poll(client: Client, stamp: str) -> Exchange:
    return Exchange(client.server.polling, "GET", f"{client.query}&t={stamp}")


async def say(client: Client, *texts: str) -> None:
    for text in texts:
        client.connection.send(message(text))
    await settle()


async def test_a_repeated_poll_gets_the_same_answer_and_the_next_one_what_came_since(server: Server) -> None:
    client = await opened(server)
    await say(client, "a", "b")
    assert await poll(client, "1").answer() == (200, b"4a\x1e4b")
    await say(client, "c")
    for _ in range(2):
        assert await poll(client, "1").answer() == (200, b"4a\x1e4b")
    assert client.connection.paused, "nobody waits for what comes now"
    assert await poll(client, "2").answer() == (200, b"4c")
    assert not client.connection.closed


async def test_the_answer_to_a_poll_that_was_held_is_kept_too(server: Server) -> None:
    client = await opened(server)
    held = poll(client, "1")
    await settle()
    await say(client, "a")
    assert await held.answer() == await poll(client, "1").answer() == (200, b"4a")


async def test_what_answered_is_forgotten_once_the_next_poll_says_that_it_has_come(server: Server) -> None:
    client = await opened(server)
    await say(client, "a")
    await poll(client, "1").answer()
    sink = client.connection.sink
    assert isinstance(sink, PollingSink)
    assert sink.answer_again() == b"4a"
    held = poll(client, "2")
    await settle()
    assert sink.answer_again() is None
    await say(client, "b")
    assert await held.answer() == (200, b"4b")


@pytest.mark.parametrize("stamp", ["&t=same", ""])
async def test_a_client_whose_stamps_say_nothing_never_repeats(server: Server, stamp: str) -> None:
    _, body = await Exchange(server.polling, query="EIO=4&transport=polling" + stamp).answer()
    client = Client(server, json.loads(body[1:])["sid"])
    for text in ("a", "b", "c"):
        await say(client, text)
        got = await Exchange(server.polling, "GET", client.query + stamp).answer()
        assert got == (200, b"4" + text.encode())


async def test_an_answer_over_the_bound_is_not_kept_and_its_repetition_ends_the_session(server: Server) -> None:
    client = await opened(server)
    held = poll(client, "1")
    await settle()
    await say(client, "x" * OPTIONS.max_unsent)
    assert (await held.answer())[0] == 200
    status, body = await poll(client, "1").answer()
    assert (status, json.loads(body)["code"]) == (400, 1)
    assert client.receiver.reasons == [Reason.TRANSPORT], "its client comes back and recovers"


async def test_the_greatest_answer_that_is_kept(server: Server) -> None:
    client = await opened(server)
    held = poll(client, "1")
    await settle()
    await say(client, "x" * (OPTIONS.max_unsent - 1))
    assert await held.answer() == await poll(client, "1").answer()


async def test_a_poll_that_is_repeated_while_it_is_held_ends_the_session(server: Server) -> None:
    client = await opened(server)
    held = poll(client, "1")
    await settle()
    assert (await poll(client, "1").answer())[0] == 400
    await held.answer()
    assert client.receiver.reasons == [Reason.PROTOCOL]


async def test_a_repeated_poll_during_an_upgrade_brings_what_its_first_answer_held(server: Server) -> None:
    client = await opened(server)
    await say(client, "a")
    await poll(client, "1").answer()
    websocket = await client.upgrade()
    await websocket.say("2probe")
    assert await poll(client, "1").answer() == (200, b"4a")
    assert await poll(client, "2").answer() == (200, b"6")
    await websocket.say("5")
    await say(client, "b")
    assert websocket.heard == ["3probe", "4b"]
    await websocket.leave()


async def test_a_client_that_leaves_in_the_turn_of_its_answer_has_not_got_it(server: Server) -> None:
    client = await opened(server)
    held = poll(client, "1")
    await settle()
    client.connection.send(message("a"))
    client.connection.flush()
    held.leave()
    await held.task
    assert held.sent == []
    assert client.receiver.reasons == [Reason.TRANSPORT]


class Broken:
    """An ASGI server whose `send` says, the way the interface has it, that the client is gone."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def fail(message: Message) -> None:
            raise OSError("the client is gone")

        await self._server.polling(scope, receive, fail)


async def test_an_answer_that_cannot_be_written_ends_the_session(server: Server) -> None:
    client = await opened(server)
    await say(client, "a")
    await Exchange(Broken(server), "GET", f"{client.query}&t=1").task
    assert client.receiver.reasons == [Reason.TRANSPORT]


async def test_a_poll_of_before_an_upgrade_cannot_end_the_websocket(server: Server) -> None:
    client = await opened(server)
    held = Exchange(Broken(server), "GET", f"{client.query}&t=1")
    await settle()
    websocket = FakeSink()
    client.connection.probe(websocket, "2probe")
    client.connection.probe(websocket, "5")
    await held.task
    assert client.receiver.reasons == []
