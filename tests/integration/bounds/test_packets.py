"""The settings that bound one message: bytes, frames, packets, attachments, depth, names."""

from __future__ import annotations

import json

import pytest
from tests.integration.bounds.conftest import POLLING, Running, Serve
from tests.integration.transports.native_client import BINARY, TEXT, frame

CONTINUATION = 0
PROTOCOL_ERROR = (1002, "protocol error")


async def is_taken(node: Running, *frames: bytes) -> None:
    """The last of the frames completes a packet that asks for acknowledgement 1, and it comes."""
    async with node.joined() as client:
        client.send(*frames)
        assert (await client.ack(1))["error"]["code"] == "unknown_event"


async def is_closed(node: Running, *frames: bytes) -> tuple[int, str]:
    """The close frame that these frames are answered with."""
    async with node.joined() as client:
        client.send(*frames)
        return await client.closed()


def event(*args: object, name: str = "x") -> bytes:
    return frame(TEXT, f"42/feed,1{json.dumps([name, *args])}".encode())


def with_attachments(*sizes: int) -> list[bytes]:
    """A packet and its attachments."""
    places = [{"_placeholder": True, "num": number} for number in range(len(sizes))]
    head = f"45{len(sizes)}-/feed,1{json.dumps(['x', *places])}"
    return [frame(TEXT, head.encode()), *(frame(BINARY, b"x" * size) for size in sizes)]


async def post(node: Running, body: bytes) -> int:
    """The status of a long-polling POST in a session of its own."""
    async with node.http() as http:
        sid = json.loads((await http.get(POLLING)).text[1:])["sid"]
        return (await http.post(f"{POLLING}&sid={sid}", content=body)).status_code


async def test_socket_max_payload(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_PAYLOAD="20000")
    async with node.client() as client:
        assert client.handshake["maxPayload"] == 20_000
    fill = b" " * (20_000 - len('42/feed,1["x"]'))
    await is_taken(node, frame(TEXT, b'42/feed,1["x"' + fill + b"]"))
    assert (await is_closed(node, frame(TEXT, b'42/feed,1["x"' + fill + b" ]")))[0] == 1009
    halves = frame(TEXT, b'42/feed,1["x"' + fill[:10_000], fin=False), frame(CONTINUATION, fill[:10_001] + b"]")
    assert (await is_closed(node, *halves))[0] == 1009
    connect = f'40/feed,{{"token":"{node.token()}"'.encode()
    assert await post(node, connect + b" " * (20_000 - len(connect) - 1) + b"}") == 200
    assert await post(node, connect + b" " * (20_000 - len(connect)) + b"}") == 413
    await is_taken(node, *with_attachments(12_000, 8_000))
    assert await is_closed(node, *with_attachments(12_000, 8_001)) == PROTOCOL_ERROR


async def test_socket_max_fragments(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_FRAGMENTS="3")
    first, more, last = frame(TEXT, b'42/feed,1["x"', fin=False), frame(0, b" ", fin=False), frame(0, b"]")
    await is_taken(node, first, more, last)
    assert await is_closed(node, first, more, more, last) == (1008, "more than 3 fragments in one message")


async def test_socket_max_packets_per_payload(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_PACKETS_PER_PAYLOAD="3")
    connect = f'40/feed,{{"token":"{node.token()}"}}'.encode()
    assert await post(node, b"\x1e".join([connect, b"6", b"6"])) == 200
    assert await post(node, b"\x1e".join([connect, b"6", b"6", b"6"])) == 400


async def test_socket_max_attachments(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_ATTACHMENTS="2")
    await is_taken(node, *with_attachments(1, 1))
    assert await is_closed(node, *with_attachments(1, 1, 1)) == PROTOCOL_ERROR


async def test_more_attachments_than_by_default(serve: Serve) -> None:
    node = await serve(SOCKET_MAX_ATTACHMENTS="11")
    await is_taken(node, *with_attachments(*[1] * 11))


@pytest.mark.parametrize("depth", [4, 200])
async def test_socket_max_json_depth(serve: Serve, depth: int) -> None:
    node = await serve(SOCKET_MAX_JSON_DEPTH=str(depth))

    def nested(levels: int) -> bytes:
        return frame(TEXT, b'42/feed,1["x",' + b"[" * (levels - 1) + b"]" * levels)

    await is_taken(node, nested(depth))
    assert await is_closed(node, nested(depth + 1)) == PROTOCOL_ERROR


@pytest.mark.parametrize("length", [32, 512])
async def test_socket_max_name_length(serve: Serve, length: int) -> None:
    node = await serve(SOCKET_MAX_NAME_LENGTH=str(length))
    await is_taken(node, event(name="n" * length))
    assert await is_closed(node, event(name="n" * (length + 1))) == PROTOCOL_ERROR
    namespace = "/" + "n" * (length - 1)
    async with node.client() as client:
        client.say(f"40{namespace},")
        assert await client.text() == f'44{namespace},{{"message":"Invalid namespace"}}'
    assert await is_closed(node, frame(TEXT, f"40{namespace}n,".encode())) == PROTOCOL_ERROR


async def test_an_acknowledgements_id_is_one_that_javascript_can_hold(serve: Serve) -> None:
    node = await serve()
    async with node.joined() as client:
        client.say(f'42/feed,{2**53 - 1}["x"]')
        await client.ack(2**53 - 1)
        client.say(f'42/feed,{2**53}["x"]')
        assert await client.closed() == PROTOCOL_ERROR
