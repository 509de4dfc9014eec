"""Autobahn's own cases of RFC 6455, by the runner `kosoku`, against the plain echo: framing, pings, reserved bits,
opcodes, fragmentation, UTF-8, closing, and frames of many fragments.

Behind ASGI the frames are the ASGI server's affair: only the native transport is held to all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import kosoku
import pytest
from tests.conformance.client import DEADLINE
from tests.conformance.server import Server, run_server

PATH = "/echo/?EIO=4&transport=websocket"
CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")


async def test_none_of_autobahns_cases_fails() -> None:
    with run_server("native") as server:
        async with asyncio.timeout(8 * DEADLINE):
            try:
                results = await kosoku.run_fuzzingclient(f"ws://127.0.0.1:{server.port}{PATH}", CASES, None, 4)
            except kosoku.FailureError as failure:
                failed = [f"{each.case_id}: {each.result_close}" for each in failure.results if not each.passed]
                raise AssertionError(failed) from failure
    assert len(results) == 247
    assert all(result.passed for result in results)


@pytest.fixture
async def echo(server: Server) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(server.origin + PATH) as socket:
        yield socket


async def test_the_echo_sends_back_whatever_comes(echo: aiohttp.ClientWebSocketResponse) -> None:
    for text in ("", "1", "4a", "ß" * 1000):
        await echo.send_str(text)
        assert await echo.receive_str(timeout=DEADLINE) == text
    for data in (b"", b"\x00\xff"):
        await echo.send_bytes(data)
        assert await echo.receive_bytes(timeout=DEADLINE) == data
