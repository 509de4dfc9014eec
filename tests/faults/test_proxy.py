"""The proxy itself: what it breaks is broken for its client, whenever that happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.faults.proxy import Proxy, Weather, proxied

DEADLINE = 5.0


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of an echo."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@asynccontextmanager
async def line(proxy: Proxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        async with asyncio.timeout(DEADLINE):
            yield reader, writer
    finally:
        writer.transport.abort()


async def test_bytes_pass_both_ways_whatever_the_slices(echo: int) -> None:
    sent = bytes(range(256)) * 40
    async with proxied(echo, weather=Weather(slice_bytes=7), seed=1) as proxy, line(proxy) as (reader, writer):
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent


async def test_a_cut_resets_every_line_and_while_down_every_new_one(echo: int) -> None:
    async with proxied(echo) as proxy:
        async with line(proxy) as (reader, writer):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await proxy.cut(stay_down=True)
            with pytest.raises(ConnectionResetError):
                await reader.read()
        async with line(proxy) as (reader, _):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        proxy.down = False
        async with line(proxy) as (reader, writer):
            writer.write(b"y")
            assert await reader.readexactly(1) == b"y"


async def test_a_line_that_is_cut_in_the_turn_in_which_it_was_accepted_is_reset_too(
    echo: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = Proxy._accept

    def accept_and_cut(self: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accept(self, reader, writer)
        for each in self._lines:
            each.cancel()

    monkeypatch.setattr(Proxy, "_accept", accept_and_cut)
    async with proxied(echo) as proxy, line(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_the_weather_resets_lines_and_counts_them(echo: int) -> None:
    weather = Weather(reset_after=10)
    async with proxied(echo, weather=weather, seed=1) as proxy, line(proxy) as (reader, writer):
        writer.write(b"x" * 100)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await proxy.until_resets(1)
        assert proxy.resets == 1
