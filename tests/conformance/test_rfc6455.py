"""RFC 6455, byte by byte: the opening handshake, framing, fragmentation, control frames.

The server is the Engine.IO echo: a text message that begins with "4" and every binary message come back.
"""

from __future__ import annotations

import pytest
from tests.conformance.client import MAX_PAYLOAD
from tests.conformance.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    close_payload,
    expect_echo,
    expect_open_packet,
    frame,
    tcp,
    upgrade_request,
    websocket,
)
from tests.conformance.server import Server

PROTOCOL_ERROR, TOO_BIG = 1002, 1009

# Behind ASGI the frames are the ASGI server's affair: these rules are ours where the transport is ours.
native_only = pytest.mark.parametrize("transport", ["native"], indirect=True)


# Opening handshake, section 4.2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "upgrade", "Upgrade": "WebSocket"},
        {"Connection": "Keep-Alive,UPGRADE"},
        {"Cookie": "; ".join(f"name{number}={'v' * 1000}" for number in range(7))},
        {"Sec_WebSocket_Protocol": "chat, superchat"},
        {"Sec_WebSocket_Extensions": "x-unknown; parameter=1"},
    ],
    ids=["plain", "firefox", "case", "list", "cookies", "subprotocols", "extension"],
)
async def test_an_opening_request_is_accepted(server: Server, headers: dict[str, str]) -> None:
    async with tcp(server.port) as wire:
        request, accept = upgrade_request(server.port, **headers)
        await wire.send(request)
        status, answer = await wire.response()
        assert status == 101
        assert answer["upgrade"].lower() == "websocket"
        assert answer["connection"].lower() == "upgrade"
        assert answer["sec-websocket-accept"] == accept.decode()
        assert "sec-websocket-protocol" not in answer
        assert "sec-websocket-extensions" not in answer
        await expect_open_packet(wire)
        await expect_echo(wire)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Key": "short"},
        {"Sec_WebSocket_Version": "8"},
        {"Sec_WebSocket_Version": None},
        {"Upgrade": "h2c"},
        {"Upgrade": None, "Connection": None},
    ],
    ids=["no key", "short key", "old version", "no version", "other protocol", "no upgrade"],
)
async def test_a_wrong_opening_request_is_refused(server: Server, headers: dict[str, str | None]) -> None:
    async with tcp(server.port) as wire:
        await wire.send(upgrade_request(server.port, **headers)[0])
        status, _ = await wire.response()
        assert status in (400, 426)


async def test_an_opening_request_may_come_in_pieces(server: Server) -> None:
    async with tcp(server.port) as wire:
        request, _ = upgrade_request(server.port)
        for start in range(0, len(request), 7):
            await wire.send(request[start : start + 7])
        assert (await wire.response())[0] == 101
        await expect_open_packet(wire)


@native_only
async def test_an_opening_request_may_carry_many_cookies(server: Server) -> None:
    async with tcp(server.port) as wire:
        await wire.send(upgrade_request(server.port, Cookie="c" * 30_000)[0])
        assert (await wire.response())[0] == 101
        await expect_open_packet(wire)
        await expect_echo(wire)


@native_only
async def test_frames_directly_behind_the_opening_request_are_read(server: Server) -> None:
    async with tcp(server.port) as wire:
        request, _ = upgrade_request(server.port)
        await wire.send(request, frame(TEXT, b"4first"), frame(BINARY, b"x" * 3000), frame(TEXT, b"4last"))
        assert (await wire.response())[0] == 101
        await expect_open_packet(wire)
        assert await wire.receive() == Frame(opcode=TEXT, payload=b"4first")
        assert await wire.receive() == Frame(opcode=BINARY, payload=b"x" * 3000)
        assert await wire.receive() == Frame(opcode=TEXT, payload=b"4last")


@native_only
async def test_half_a_frame_behind_the_opening_request_waits_for_its_rest(server: Server) -> None:
    async with tcp(server.port) as wire:
        request, _ = upgrade_request(server.port, Cookie="c" * 10_000)
        message = frame(TEXT, b"4in two parts")
        await wire.send(request, message[:5])
        assert (await wire.response())[0] == 101
        await expect_open_packet(wire)
        await wire.send(message[5:])
        assert await wire.receive() == Frame(opcode=TEXT, payload=b"4in two parts")


# Framing, section 5.2


@pytest.mark.parametrize("length", [0, 1, 124, 125, 126, 127, 65_535, 65_536, MAX_PAYLOAD - 1, MAX_PAYLOAD])
async def test_every_length_comes_back(server: Server, length: int) -> None:
    async with websocket(server.port) as wire:
        payload = (bytes(range(251)) * (length // 251 + 1))[:length]
        await expect_echo(wire, payload, BINARY)


@pytest.mark.parametrize("mask", [b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"])
async def test_every_mask_is_removed(server: Server, mask: bytes) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(BINARY, bytes(range(256)), mask=mask))
        assert await wire.receive() == Frame(opcode=BINARY, payload=bytes(range(256)))


async def test_a_frame_may_come_byte_by_byte(server: Server) -> None:
    async with websocket(server.port) as wire:
        for byte in frame(TEXT, b"4" + b"x" * 130):
            await wire.send(bytes([byte]))
        assert await wire.receive() == Frame(opcode=TEXT, payload=b"4" + b"x" * 130)


async def test_many_frames_may_come_at_once(server: Server) -> None:
    async with websocket(server.port) as wire:
        payloads = [b"4%d" % number for number in range(2000)]
        await wire.send(*(frame(TEXT, payload) for payload in payloads))
        assert [(await wire.receive()).payload for _ in payloads] == payloads


@pytest.mark.parametrize(
    "sent",
    [
        frame(TEXT, b"4hello", mask=None),
        frame(PING, b"hello", mask=None),
        frame(TEXT, b"4hello", rsv=1),
        frame(TEXT, b"4hello", rsv=2),
        frame(TEXT, b"4hello", rsv=4),
        frame(PING, b"hello", rsv=4),
        *(frame(opcode, b"4hello") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    ],
    ids=[
        *("unmasked text", "unmasked ping", "rsv3", "rsv2", "rsv1", "rsv1 on ping"),
        *(f"opcode {opcode:#x}" for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    ],
)
async def test_a_wrong_frame_fails_the_connection(server: Server, sent: bytes) -> None:
    async with websocket(server.port) as wire:
        await wire.send(sent)
        assert await wire.failed() == PROTOCOL_ERROR


@native_only
@pytest.mark.parametrize(("length", "size"), [(6, 2), (125, 2), (6, 8), (126, 8), (65_535, 8)])
async def test_a_length_in_more_bytes_than_it_needs_fails_the_connection(
    server: Server, length: int, size: int
) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(TEXT, b"4" + b"x" * (length - 1), length_size=size))
        assert await wire.failed() == PROTOCOL_ERROR


async def test_a_length_with_its_highest_bit_set_fails_the_connection(server: Server) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(BINARY, b"hello", length=1 << 63, length_size=8))
        assert await wire.failed() in (PROTOCOL_ERROR, TOO_BIG)


# Fragmentation, section 5.4


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [1, 2, 5, 126])
async def test_fragments_make_one_message(server: Server, opcode: int, size: int) -> None:
    payload = b"4" + bytes(range(32, 127)) * 4
    pieces = [payload[start : start + size] for start in range(0, len(payload), size)]
    async with websocket(server.port) as wire:
        await wire.send(frame(opcode, pieces[0], fin=False))
        await wire.send(*(frame(CONTINUATION, piece, fin=False) for piece in pieces[1:-1]))
        await wire.send(frame(CONTINUATION, pieces[-1]))
        assert await wire.receive() == Frame(opcode=opcode, payload=payload)


async def test_fragments_may_be_empty(server: Server) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(TEXT, fin=False), frame(CONTINUATION, b"4empty ends", fin=False))
        await wire.send(frame(CONTINUATION, fin=False), frame(CONTINUATION))
        assert await wire.receive() == Frame(opcode=TEXT, payload=b"4empty ends")


async def test_control_frames_between_fragments_are_answered_at_once(server: Server) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(TEXT, b"4one ", fin=False), frame(PING, b"first"))
        assert await wire.frame() == Frame(opcode=PONG, payload=b"first")
        await wire.send(frame(CONTINUATION, b"two ", fin=False), frame(PONG, b"unasked"), frame(PING, b"second"))
        assert await wire.frame() == Frame(opcode=PONG, payload=b"second")
        await wire.send(frame(CONTINUATION, b"three"))
        assert await wire.receive() == Frame(opcode=TEXT, payload=b"4one two three")
        await expect_echo(wire)


@pytest.mark.parametrize(
    "sent",
    [
        [frame(CONTINUATION, b"4alone")],
        [frame(CONTINUATION, b"4alone", fin=False)],
        [frame(TEXT, b"4one", fin=False), frame(TEXT, b"4two")],
        [frame(TEXT, b"4one", fin=False), frame(BINARY, b"two", fin=False)],
        [frame(PING, b"half", fin=False), frame(CONTINUATION, b"rest")],
        [frame(CLOSE, close_payload(1000), fin=False)],
    ],
    ids=["continuation", "open continuation", "text in text", "binary in text", "ping", "close"],
)
async def test_wrong_fragments_fail_the_connection(server: Server, sent: list[bytes]) -> None:
    async with websocket(server.port) as wire:
        await wire.send(*sent)
        assert await wire.failed() == PROTOCOL_ERROR


# Control frames, section 5.5


@pytest.mark.parametrize("payload", [b"", b"hello", b"\x00\xff\xfe\x80", b"x" * 125])
async def test_a_ping_is_answered_with_its_payload(server: Server, payload: bytes) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(PING, payload))
        assert await wire.frame() == Frame(opcode=PONG, payload=payload)
        await expect_echo(wire)


async def test_the_latest_of_many_pings_is_answered(server: Server) -> None:
    async with websocket(server.port) as wire:
        await wire.send(*(frame(PING, b"%d" % number) for number in range(100)))
        while (received := await wire.receive()).payload != b"99":
            assert received.opcode == PONG
        await expect_echo(wire)


async def test_an_unasked_pong_is_ignored(server: Server) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(PONG, b"unasked"), frame(PONG))
        await expect_echo(wire)


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
async def test_a_control_frame_over_125_bytes_fails_the_connection(server: Server, opcode: int) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(opcode, close_payload(1000, b"x" * 124)))
        assert await wire.failed() == PROTOCOL_ERROR
