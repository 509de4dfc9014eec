"""HTTP long-polling, by an ASGI server without sockets."""

from __future__ import annotations

import gc
import json

import pytest
from tests.loop import settle
from tests.sinks import FakeSink
from tests.unit.transports.conftest import OPTIONS, Server
from tests.unit.transports.drivers import Exchange

from callboard.realtime.connection import Connection, Reason
from callboard.transports.polling import OVERTAKEN, PollingSink
from callboard.wire.engineio import Outgoing
from callboard.wire.session import State


def message(text: str) -> Outgoing:
    return Outgoing(b"4" + text.encode())


async def test_a_session_opens_with_its_handshake_and_no_more(server: Server) -> None:
    exchange = Exchange(server.polling)
    status, body = await exchange.answer()
    assert (status, body[:1]) == (200, b"0")
    assert json.loads(body[1:])["upgrades"] == ["websocket"]
    assert exchange.headers == {
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "content-type": "text/plain; charset=UTF-8",
    }
    [connection] = server.engine.connections.values()
    assert connection.address == "192.0.2.1"
    assert connection.paused


async def test_a_poll_is_held_until_there_is_something_to_say(server: Server) -> None:
    client = await server.open()
    poll = await client.held()
    client.connection.send(message("a"))
    client.connection.send(Outgoing(b"4b", (b"\x01",)))
    assert await poll.answer() == (200, b"4a\x1e4b\x1ebAQ==")


async def test_what_is_said_between_two_polls_waits_for_the_next(server: Server) -> None:
    client = await server.open()
    for text in "ab":
        client.connection.send(message(text))
        await settle()
    client.connection.send_volatile(message("x1"), "x")
    client.connection.send_volatile(message("x2"), "x")
    client.connection.send_volatile(message("c"), None)
    await settle()
    assert await client.get().answer() == (200, b"4a\x1e4b\x1e4c")
    assert await client.get().answer() == (200, b"4x2")


async def test_a_client_that_does_not_poll_is_closed(server: Server) -> None:
    client = await server.open()
    client.connection.send(message("x" * OPTIONS.max_unsent))
    await settle()
    assert client.receiver.reasons == [Reason.SLOW]
    assert (await client.get().answer())[0] == 400


async def test_a_post_brings_packets(server: Server) -> None:
    client = await server.open()
    post = client.post(b"4a\x1e", b"bAQ==\x1e", b"4\xc3", b"\x9f")
    assert await post.answer() == (200, b"ok")
    assert client.receiver.messages == ["a", b"\x01", "ß"]


@pytest.mark.parametrize("body", [b"", b"x", b"4a\x1e", b"4\xff", b"4a\x1e2"])
async def test_a_broken_payload_is_refused_and_ends_the_session(server: Server, body: bytes) -> None:
    client = await server.open()
    status, answer = await client.post(body).answer()
    assert (status, json.loads(answer)["code"]) == (400, 3)
    assert client.receiver.reasons == [Reason.PROTOCOL]


async def test_a_payload_over_the_bound_is_refused_before_it_is_read_whole(server: Server) -> None:
    client = await server.open()
    post = Exchange(server.polling, "POST", client.query, body=())
    post.feed(b"4" * OPTIONS.max_payload, more=True)
    await settle()
    assert not post.task.done()
    post.feed(b"4", more=True)
    status, _ = await post.answer()
    assert status == 413
    assert client.receiver.reasons == [Reason.TOO_LARGE]


async def test_the_greatest_payload(server: Server) -> None:
    client = await server.open()
    assert await client.post(b"4" + b"x" * (OPTIONS.max_payload - 1)).answer() == (200, b"ok")
    assert client.receiver.messages == ["x" * (OPTIONS.max_payload - 1)]


async def test_a_client_that_leaves_in_the_middle_of_a_post_ends_the_session(server: Server) -> None:
    client = await server.open()
    post = Exchange(server.polling, "POST", client.query, body=())
    post.feed(b"4a", more=True)
    post.leave()
    await post.task
    assert client.connection.closed
    assert client.receiver.messages == []


async def test_a_server_may_leave_out_what_asgi_lets_it(server: Server) -> None:
    client = await server.open()
    post = Exchange(server.polling, "POST", client.query, body=())
    post._received.put_nowait({"type": "http.request", "body": b"4a", "more_body": True})
    post._received.put_nowait({"type": "http.request"})
    assert await post.answer() == (200, b"ok")
    assert client.receiver.messages == ["a"]


async def test_a_second_post_at_the_same_time_ends_the_session(server: Server) -> None:
    client = await server.open()
    first = Exchange(server.polling, "POST", client.query, body=())
    first.feed(b"4a", more=True)
    await settle()
    status, _ = await client.post(b"4b").answer()
    assert status == 400
    first.feed(b"")
    assert await first.answer() == (200, b"ok")
    assert client.receiver.messages == []
    assert client.receiver.reasons == [Reason.PROTOCOL]


async def test_posts_one_after_another(server: Server) -> None:
    client = await server.open()
    for text in (b"4a", b"4b"):
        assert await client.post(text).answer() == (200, b"ok")
    assert client.receiver.messages == ["a", "b"]


async def test_a_client_that_leaves_its_poll_ends_the_session(server: Server) -> None:
    client = await server.open()
    poll = await client.held()
    poll.leave()
    await poll.task
    assert poll.sent == []
    assert client.receiver.reasons == [Reason.TRANSPORT]


async def test_a_second_poll_ends_the_session_and_the_first_one(server: Server) -> None:
    client = await server.open()
    first = await client.held()
    status, body = await client.get().answer()
    assert (status, json.loads(body)["code"]) == (400, 3)
    assert await first.answer() == (200, b"1")
    assert client.receiver.reasons == [Reason.PROTOCOL]


async def test_a_client_that_closes_gets_noop_to_its_poll(server: Server) -> None:
    client = await server.open()
    poll = await client.held()
    assert await client.post(b"1").answer() == (200, b"ok")
    assert await poll.answer() == (200, b"6")
    assert client.receiver.reasons == [Reason.CLIENT]


async def test_the_post_of_a_leaving_client_may_overtake_its_poll(server: Server) -> None:
    client = await server.open()
    post = client.post(b"1")
    await settle()
    assert client.receiver.reasons == [Reason.CLIENT]
    assert await client.get().answer() == (200, b"6")
    assert await post.answer() == (200, b"ok")
    assert (await client.get().answer())[0] == 400


async def test_a_leaving_client_is_not_kept_waiting_for_a_poll_that_it_never_sent(server: Server) -> None:
    client = await server.open()
    post = client.post(b"1")
    await settle()
    assert post.sent == []
    server.timers.turn(OVERTAKEN)
    assert await post.answer() == (200, b"ok")
    assert (await client.get().answer())[0] == 400


async def test_only_one_poll_can_have_been_overtaken_and_only_this_session_s(server: Server) -> None:
    client, other = await server.open(), await server.open()
    client.post(b"1")
    await settle()
    stranger = Exchange(server.polling, "GET", client.query, headers={"Origin": "https://evil.example"})
    assert (await stranger.answer())[0] == 403
    assert (await Exchange(server.polling, "GET", "EIO=4&transport=polling&sid=x").answer())[0] == 400
    assert not (await other.held()).task.done()
    assert [(await client.get().answer())[0] for _ in range(2)] == [200, 400]


@pytest.mark.parametrize("last", [[], ["bye"]])
async def test_a_server_that_closes_says_so_behind_its_last_words(server: Server, last: list[str]) -> None:
    client = await server.open()
    poll = await client.held()
    for text in last:
        client.connection.send(message(text))
    client.connection.close(Reason.STOPPING)
    assert await poll.answer() == (200, b"\x1e".join([*(b"4" + text.encode() for text in last), b"1"]))


async def test_the_end_without_a_held_poll_is_an_unknown_session(server: Server) -> None:
    client = await server.open()
    client.connection.close(Reason.STOPPING)
    status, body = await client.get().answer()
    assert (status, json.loads(body)["code"]) == (400, 1)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_other_methods_are_refused(server: Server, method: str) -> None:
    client = await server.open()
    status, body = await Exchange(server.polling, method, client.query).answer()
    assert (status, json.loads(body)["code"]) == (400, 2)
    assert not client.connection.closed


async def test_a_full_server_says_when_to_come_back(server: Server) -> None:
    for _ in range(OPTIONS.max_connections):
        await server.open()
    exchange = Exchange(server.polling)
    status, _ = await exchange.answer()
    assert status == 503
    assert exchange.headers["retry-after"] == "5"
    assert exchange.headers["content-type"] == "application/json"


async def test_the_ping_goes_out_by_the_held_poll(server: Server) -> None:
    client = await server.open()
    poll = await client.held()
    server.timers.turn(OPTIONS.ping_interval + 2)
    assert await poll.answer() == (200, b"2")
    assert await client.post(b"3").answer() == (200, b"ok")
    server.timers.turn(OPTIONS.ping_timeout + 2)
    assert not client.connection.closed


async def test_a_poll_during_the_probe_is_answered_at_once(server: Server) -> None:
    client = await server.open()
    poll = await client.held()
    client.connection.probe(FakeSink(), "2probe")
    assert await poll.answer() == (200, b"6")
    assert await client.get().answer() == (200, b"6")


async def test_a_poll_that_is_held_over_an_upgrade_does_not_pause_the_websocket(server: Server) -> None:
    client = await server.open()
    poll = await client.held()
    websocket = await client.upgrade()
    await websocket.say("2probe", "5")
    assert await poll.answer() == (200, b"6")
    assert client.connection.session.state is State.WEBSOCKET
    assert not client.connection.paused
    status, _ = await client.get().answer()
    assert status == 400
    await websocket.leave()


async def test_polling_a_session_that_is_not_on_polling_is_refused(server: Server) -> None:
    client = await server.open()
    websocket = await client.upgrade()
    await websocket.say("2probe", "5")
    client.connection.session.state = State.PROBING
    for exchange in (client.get(), client.post(b"4a")):
        status, body = await exchange.answer()
        assert (status, json.loads(body)["code"]) == (400, 3)
    client.connection.session.state = State.WEBSOCKET
    await websocket.leave()


def connections() -> int:
    return sum(isinstance(thing, Connection) for thing in gc.get_objects())


async def test_a_closed_session_leaves_nothing_for_the_garbage_collector(server: Server) -> None:
    gc.collect()
    gc.disable()
    try:
        before = connections()
        client = await server.open()
        assert connections() == before + 1
        client.connection.close(Reason.CLIENT)
        del client
        await settle()
        assert connections() == before
    finally:
        gc.enable()


async def test_the_sink_alone(server: Server) -> None:
    sink = PollingSink()
    sink.close(Reason.SLOW)
    sink.write([message("a")])
    assert sink.unsent() == 2
    waiter = sink.begin_poll()
    assert sink.polled
    assert waiter.done()
    sink.close(Reason.SLOW)
    assert sink.end_poll() == b"4a"
    assert sink.unsent() == 0
    assert sink.drain() == []


async def test_bytes_are_counted_as_they_go_in_and_out(server: Server) -> None:
    client = await server.open()
    traffic = server.engine.traffic
    read, written = traffic.bytes_in, traffic.bytes_out
    assert (read, written > 100) == (0, True)
    client.connection.send(message("ß"))
    client.connection.send(message("a"))
    _, body = await client.get().answer()
    assert traffic.bytes_out == written + len(body)
    await client.post("4ß".encode()).answer()
    assert traffic.bytes_in == 3
