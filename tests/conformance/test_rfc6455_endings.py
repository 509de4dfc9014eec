"""RFC 6455, byte by byte: closing, text that is not UTF-8, and messages that are too large.

The server is the Engine.IO echo: a text message that begins with "4" and every binary message come back.
"""

from __future__ import annotations

import pytest
from tests.conformance.client import MAX_PAYLOAD
from tests.conformance.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    TEXT,
    Frame,
    close_payload,
    expect_echo,
    frame,
    websocket,
)
from tests.conformance.server import Server

PROTOCOL_ERROR, INVALID_DATA, TOO_BIG = 1002, 1007, 1009

# Behind ASGI the frames are the ASGI server's affair: these rules are ours where the transport is ours.
native_only = pytest.mark.parametrize("transport", ["native"], indirect=True)

# Closing, sections 5.5.1 and 7.4

VALID_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
INVALID_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)


@pytest.mark.parametrize("code", VALID_CODES)
async def test_a_close_is_answered_and_the_connection_ended(server: Server, code: int) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(CLOSE, close_payload(code, "adiós".encode())))
        answer = await wire.receive()
        assert answer.opcode == CLOSE
        assert int.from_bytes(answer.payload[:2], "big") in (code, 1000)
        await wire.ended()


async def test_a_close_without_a_code_is_answered(server: Server) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(CLOSE))
        answer = await wire.receive()
        assert answer.opcode == CLOSE
        assert answer.payload in (b"", close_payload(1000))
        await wire.ended()


@pytest.mark.parametrize("code", INVALID_CODES)
async def test_an_invalid_close_code_is_a_protocol_error(server: Server, code: int) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(CLOSE, close_payload(code)))
        assert await wire.failed() == PROTOCOL_ERROR


async def test_half_a_close_code_is_a_protocol_error(server: Server) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(CLOSE, b"\x03"))
        assert await wire.failed() == PROTOCOL_ERROR


async def test_a_close_reason_must_be_text(server: Server) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(CLOSE, close_payload(1000, b"\xff\xfe")))
        assert await wire.failed() in (PROTOCOL_ERROR, INVALID_DATA)


async def test_frames_after_a_close_are_ignored(server: Server) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(CLOSE, close_payload(1000)), frame(TEXT, b"4too late"))
        assert (await wire.receive()).opcode == CLOSE
        await wire.ended()


@native_only
@pytest.mark.parametrize(
    ("payload", "code"), [(close_payload(1000), 1000), (close_payload(3000, b"x"), 3000), (b"", 1000)]
)
async def test_a_second_close_in_one_segment_is_ignored(server: Server, payload: bytes, code: int) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(CLOSE, payload) + frame(CLOSE, close_payload(1001)))
        answer = await wire.receive()
        assert (answer.opcode, answer.payload[:2]) == (CLOSE, close_payload(code))
        await wire.ended()


async def test_a_close_amid_a_fragmented_message_is_answered(server: Server) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(TEXT, b"4never ", fin=False), frame(CLOSE, close_payload(1001)))
        assert (await wire.receive()).opcode == CLOSE
        await wire.ended()


# Text is UTF-8, section 8.1


@pytest.mark.parametrize("text", ["κόσμε", "\U0001f3ad", "\u0000", "\ud7ff\ue000", "\U0010ffff", "\ufffe"], ids=ascii)
async def test_text_may_be_cut_anywhere(server: Server, text: str) -> None:
    payload = b"4" + text.encode()
    async with websocket(server.port) as wire:
        for cut in range(1, len(payload) + 1):
            await wire.send(frame(TEXT, payload[:cut], fin=False), frame(CONTINUATION, payload[cut:]))
            assert await wire.receive() == Frame(opcode=TEXT, payload=payload)


INVALID_TEXT = {
    "lone continuation": b"\x80",
    "impossible byte": b"\xff",
    "overlong slash": b"\xc0\xaf",
    "overlong nul": b"\xe0\x80\x80",
    "surrogate": b"\xed\xa0\x80",
    "surrogate pair": b"\xed\xa0\x81\xed\xb0\x80",
    "above U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "cut off": b"\xe2\x82",
    "cut off in four": b"\xf0\x9f\x8e",
}


@pytest.mark.parametrize("invalid", INVALID_TEXT.values(), ids=INVALID_TEXT.keys())
async def test_text_that_is_not_utf8_fails_the_connection(server: Server, invalid: bytes) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(TEXT, b"4ok" + invalid))
        assert await wire.failed() == INVALID_DATA


@pytest.mark.parametrize("invalid", INVALID_TEXT.values(), ids=INVALID_TEXT.keys())
async def test_fragmented_text_that_is_not_utf8_fails_the_connection(server: Server, invalid: bytes) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(TEXT, b"4ok" + invalid[:1], fin=False), frame(CONTINUATION, invalid[1:]))
        assert await wire.failed() == INVALID_DATA


# Limits


async def test_a_message_of_fragments_may_be_as_large_as_one_frame(server: Server) -> None:
    async with websocket(server.port) as wire:
        piece = b"x" * (MAX_PAYLOAD // 10)
        await wire.send(frame(BINARY, piece, fin=False), *[frame(CONTINUATION, piece, fin=False)] * 8)
        await wire.send(frame(CONTINUATION, piece))
        assert await wire.receive() == Frame(opcode=BINARY, payload=b"x" * MAX_PAYLOAD)


@pytest.mark.parametrize("length", [MAX_PAYLOAD + 1, 1 << 31, (1 << 62) + 5])
async def test_a_frame_over_the_limit_is_refused_by_its_header(server: Server, length: int) -> None:
    async with websocket(server.port) as wire:
        await wire.send(frame(BINARY, b"only the beginning", length=length, length_size=8))
        assert await wire.failed() == TOO_BIG


async def test_fragments_over_the_limit_together_are_refused(server: Server) -> None:
    async with websocket(server.port) as wire:
        half = b"x" * (MAX_PAYLOAD // 2)
        await wire.send(frame(BINARY, half, fin=False), frame(CONTINUATION, half, fin=False))
        await wire.send(frame(CONTINUATION, b"x", fin=False))
        assert await wire.failed() == TOO_BIG


async def test_a_failed_connection_costs_nobody_else_anything(server: Server) -> None:
    async with websocket(server.port) as good, websocket(server.port) as bad:
        await bad.send(frame(TEXT, b"4\xff"))
        assert await bad.failed() == INVALID_DATA
        await expect_echo(good)
