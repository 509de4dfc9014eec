"""One client that does not read is sent many megabytes among many that do.

    python -m tests.faults.slow_reader --good 1000 --megabytes 50

The good ones get everything, the slow one is ended as slow and comes back, and the server's memory keeps its bound.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from pathlib import Path

import asyncpg
from tests.faults.checker import Verdict, check, total
from tests.faults.client import PATIENCE, FaultClient
from tests.faults.load import Load, Truth
from tests.faults.stage import Report, background, command, crowd, finish, running_server
from tests.integration.serve.kit import Server

PER_USER = 10
FILL = 60_000
FLOOD = "select callboard.publish('{user:slow0}', 'flood', jsonb_build_object('n', $1::bigint, 'fill', $2::text))"
CLOSED = re.compile(r'connections_closed_total\{reason="slow"\} 1\.0')


async def run(*, good: int, megabytes: int, seed: int) -> Report:
    """The scenario."""
    users = max(1, good // PER_USER)
    with running_server(MAX_SOCKET_CONNECTIONS=str(good + 50)) as server:
        load = Load(server.dsn(), [*(f"user:u{number}" for number in range(users)), "team:art"], seed=seed, pace=0.05)
        await load.prepare()
        async with (
            crowd(server, good, users=users, seed=seed, transports=("websocket",)) as clients,
            crowd(server, 1, users=1, seed=seed, transports=("websocket",), name="slow") as [slow],
        ):
            before = resident(server)
            slow.reading.clear()
            async with background(load):
                await flood(server.dsn(), megabytes * 1_000_000 // FILL)
                await closed_as_slow(server)
            grown = resident(server) - before
            slow.reading.set()
            await slow.until_returned(1)
            truth = await finish([*clients, slow], server.dsn())
            verdict = total([*(_verdict(client, truth) for client in clients), _of_the_slow(slow, truth)])
            ended = sum(client.ends for client in clients)
        return Report(
            seed=seed,
            verdict=verdict,
            facts={
                "good clients": good,
                "good clients that ended": ended,
                "megabytes to the slow one": megabytes,
                "the slow one came back and was told that it missed too much": slow.recovered == [False],
                "resident memory, megabytes": round(before / 1e6),
                "its growth, megabytes": round(grown / 1e6),
            },
        )


async def flood(dsn: str, messages: int) -> None:
    """Send the slow client messages, each committed by itself."""
    connection = await asyncpg.connect(dsn)
    try:
        for number in range(messages):
            await connection.execute(FLOOD, number, "x" * FILL)
    finally:
        await connection.close()


async def closed_as_slow(server: Server) -> None:
    """Wait until the server says that it has closed one connection as slow."""
    async with server.rest() as client, asyncio.timeout(PATIENCE):
        while not CLOSED.search((await client.get("/metrics")).text):
            await asyncio.sleep(0.05)


def resident(server: Server) -> int:
    """The server's resident memory in bytes."""
    found = re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{server.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def _verdict(client: FaultClient, truth: Truth) -> Verdict:
    return check(truth.expected(client), client.received, truth.committed)


def _of_the_slow(client: FaultClient, truth: Truth) -> Verdict:
    """It was told that it missed some; what it did get must be right all the same."""
    return dataclasses.replace(_verdict(client, truth), expected=0, lost=0)


if __name__ == "__main__":
    command("A slow reader among good ones", run, good=1000, megabytes=50)
