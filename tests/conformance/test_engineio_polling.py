"""Engine.IO 4, "HTTP long-polling": payloads both ways, one request of each kind at a time, limits."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from tests.conformance.client import DEADLINE, MAX_PAYLOAD, SEPARATOR, Engine, Polling
from tests.conformance.server import PATIENT

HEARTBEAT = PATIENT  # a ping would answer a poll that a test holds


@pytest.fixture
async def session(engine: Engine) -> Polling:
    return await engine.open_polling()


@pytest.mark.parametrize(
    "packets",
    [
        ["4hello"],
        ["4"],
        ["4test1", "4test2", "4test3"],
        ["4hello", "bAQIDBA=="],
        ["bAQIDBA=="],
        ["bAA==", "4 text between ", "b" + base64.b64encode(bytes(range(256))).decode()],
        ["4€ ü 漢字 \U0001f3ad \u2028 \t\n\r\x00\x1f\x7f"],
        ["4" + str(number) for number in range(1000)],
    ],
    ids=["text", "empty", "several", "text and binary", "binary", "mixed", "unicode", "thousand"],
)
async def test_packets_come_back_as_they_were_sent(session: Polling, packets: list[str]) -> None:
    await session.send(*packets)
    assert await session.receive(len(packets)) == packets


async def test_several_posts_are_answered_by_one_poll(session: Polling) -> None:
    for number in range(5):
        await session.send(f"4{number}")
    packets = [packet for packet in await session.packets() if packet != "2"]
    assert packets == ["40", "41", "42", "43", "44"]


async def test_a_held_poll_is_answered_when_there_is_something(session: Polling) -> None:
    async with session.held_poll() as poll:
        assert not poll.done()
        await session.send("4now")
        async with asyncio.timeout(DEADLINE):
            response = await poll
    assert response.text.split(SEPARATOR)[-1] == "4now"


async def test_answers_are_plain_text_that_nobody_may_store(session: Polling) -> None:
    posted = await session.post("4€")
    polled = await session.poll()
    for response in (posted, polled):
        assert response.headers["content-type"].lower() == "text/plain; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert int(response.headers["content-length"]) == len(response.content)
    assert polled.content == "4€".encode()


@pytest.mark.parametrize("content_type", ["text/plain", "text/plain;charset=UTF-8", "TEXT/PLAIN"])
async def test_the_content_type_may_be_named(session: Polling, content_type: str) -> None:
    response = await session.request("POST", "4ü", **{"Content-Type": content_type})
    assert (response.status_code, response.text) == (200, "ok")
    assert await session.receive(1) == ["4ü"]


async def test_raw_bytes_are_taken_as_a_payload_or_refused(session: Polling) -> None:
    # The document names the type for binary data and says that a payload is always text with base64 in it.
    response = await session.request("POST", "bAQID", **{"Content-Type": "application/octet-stream"})
    if response.status_code == 200:
        assert await session.receive(1) == ["bAQID"]
    else:
        assert response.status_code == 400
        await session.expect_closed()


async def test_a_chunked_post_is_read_whole(engine: Engine, session: Polling) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"4he", b"llo \xe2", b"\x82\xac\x1e4wor", b"ld"):
            yield chunk

    address = engine.url(EIO="4", transport="polling", sid=session.sid)
    response = await engine.http.post(address, content=chunks())
    assert (response.status_code, response.text) == (200, "ok")
    assert await session.receive(2) == ["4hello €", "4world"]


@pytest.mark.parametrize(
    "payload",
    [b"abc", b"", b"7", b"9x", b"4ok\x1eabc", b"4ok\x1e", b"\x1e", b"\x1e4ok", b"4\xff\xfe", b"4\xc3", b"{}"],
    ids=repr,
)
async def test_an_invalid_payload_closes_the_session(session: Polling, payload: bytes) -> None:
    response = await session.post(payload)
    assert response.status_code == 400
    await session.expect_closed()


@pytest.mark.parametrize("packet", ["2", "2probe"])
async def test_a_ping_from_the_client_closes_the_session(session: Polling, packet: str) -> None:
    await session.post(packet)
    await session.expect_closed()


@pytest.mark.parametrize("packet", ["3", "6"])
async def test_an_unasked_pong_and_a_noop_change_nothing(session: Polling, packet: str) -> None:
    await session.send(packet, "4still here")
    assert await session.receive(1) == ["4still here"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused(session: Polling, method: str) -> None:
    response = await session.request(method, "4hello")
    assert response.status_code in (400, 405)
    await session.send("4still here")
    assert await session.receive(1) == ["4still here"]


async def test_a_second_poll_at_the_same_time_closes_the_session(session: Polling) -> None:
    async with session.held_poll() as first:
        second = await session.poll()
        async with asyncio.timeout(DEADLINE):
            answered = await first
    assert (answered.status_code, answered.text) == (200, "1")
    assert second.status_code == 400
    await session.expect_closed()


async def test_a_second_post_at_the_same_time_closes_the_session(engine: Engine, session: Polling) -> None:
    address = urlsplit(engine.url(EIO="4", transport="polling", sid=session.sid))
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        head = f"POST {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        writer.write(f"{head}Content-Length: 10\r\nExpect: 100-continue\r\n\r\n".encode())
        async with asyncio.timeout(DEADLINE):
            assert (await reader.readline()).startswith(b"HTTP/1.1 100 ")  # now the first one is active
        second = await session.post("4second")
        assert second.status_code == 400
        await session.expect_closed()
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_posts_one_after_the_other_are_welcome(session: Polling) -> None:
    async with session.held_poll():
        for _ in range(20):
            await session.send("3")


async def test_a_cancelled_poll_closes_the_session(session: Polling) -> None:
    async with session.held_poll() as poll:
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
    response = await session.poll()
    assert response.status_code == 400
    await session.expect_closed()


async def test_the_largest_payload_is_taken(session: Polling) -> None:
    packet = "4" + "x" * (MAX_PAYLOAD - 1)
    await session.send(packet)
    assert await session.receive(1) == [packet]


async def test_a_payload_over_the_limit_is_refused_and_closes_the_session(session: Polling) -> None:
    response = await session.post("4" + "x" * MAX_PAYLOAD)
    assert response.status_code in (400, 413)
    await session.expect_closed()


async def test_a_chunked_payload_over_the_limit_is_refused_and_closes_the_session(
    engine: Engine, session: Polling
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"4"
        for _ in range(MAX_PAYLOAD // 50_000):
            yield b"x" * 50_000

    address = engine.url(EIO="4", transport="polling", sid=session.sid)
    response = await engine.http.post(address, content=chunks())
    assert response.status_code in (400, 413)
    await session.expect_closed()


async def test_the_limit_counts_bytes(session: Polling) -> None:
    response = await session.post("4" + "€" * (MAX_PAYLOAD // 3 + 1))
    assert response.status_code in (400, 413)
    await session.expect_closed()


async def test_sessions_do_not_touch_each_other(engine: Engine) -> None:
    first, second = await engine.open_polling(), await engine.open_polling()
    await first.send("4for the first")
    await second.send("4for the second")
    assert (await first.post("abc")).status_code == 400
    await first.expect_closed()
    assert await second.receive(1) == ["4for the second"]


async def test_order_holds_over_many_posts_and_polls(session: Polling) -> None:
    received: list[str] = []
    expected = [f"4{number}" for number in range(300)]

    async def post_all() -> None:
        for start in range(0, 300, 3):
            await session.send("3", *expected[start : start + 3])

    posting = asyncio.create_task(post_all())
    async with asyncio.timeout(DEADLINE):
        while len(received) < 300:
            # The task sends the pongs: from here they would be a second POST at the same time.
            received += [packet for packet in await session.packets() if packet != "2"]
    await posting
    assert received == expected
