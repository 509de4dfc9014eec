"""A server, many clients, and the end of a scenario.

Owns: who the clients are, their tasks, the wait for the last message, and the report. Never: a fault.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp
import asyncpg
from tests.faults.checker import Verdict, check, total
from tests.faults.client import PATIENCE, FaultClient, Message, Transport
from tests.faults.load import Truth, read_truth
from tests.integration.serve.kit import Server

TEAMS = ("art", "cut", "sound")
TRANSPORTS: tuple[Transport, ...] = ("websocket", "upgrade", "polling")
# Connections under way at once: as many as a server takes from one address before they have signed in.
AT_ONCE = 50


@dataclass(kw_only=True)
class Report:
    """What a scenario came to. `facts` are measurements, in words."""

    seed: int
    verdict: Verdict
    facts: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        facts = "".join(f"\n  {name}: {value}" for name, value in self.facts.items())
        return f"seed {self.seed}\n  {self.verdict}{facts}"


class Runnable(Protocol):
    """Runs until `stopping` is set."""

    stopping: bool

    async def run(self) -> None: ...


def team_of(number: int) -> str:
    return TEAMS[number % len(TEAMS)]


def rooms_of(users: int) -> list[str]:
    """The rooms that messages go to: each user's, the teams', and one that nobody is in."""
    return [*(f"user:u{number}" for number in range(users)), *(f"team:{team}" for team in TEAMS), "user:nobody"]


@contextmanager
def running_server(*options: str, **settings: str) -> Iterator[Server]:
    """A server of its own on a fresh data directory."""
    with tempfile.TemporaryDirectory(prefix="callboard-faults-") as directory:
        server = Server(Path(directory) / "data", *options, log=None, traced=False, **settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@asynccontextmanager
async def crowd(
    server: Server,
    count: int,
    *,
    users: int,
    seed: int,
    url: str | None = None,
    transports: Sequence[Transport] = TRANSPORTS,
    name: str = "u",
    snapshots: bool = False,
) -> AsyncIterator[list[FaultClient]]:
    """`count` clients of users u0, u1, … by turns, connected.

    With `snapshots` each wants all messages from the position of one that it takes by REST before.
    """
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        clients = [
            _client(server, session, url or server.url, f"{name}{number % users}", team_of(number % users))
            for number in range(count)
        ]
        for number, client in enumerate(clients):
            client.prepare(transports[number % len(transports)], seed + number, snapshot=snapshots)
        tasks: list[asyncio.Task[None]] = []
        try:
            for begin in range(0, count, AT_ONCE):
                batch = clients[begin : begin + AT_ONCE]
                tasks += [asyncio.create_task(client.run()) for client in batch]
                for client in batch:
                    await client.until_connected()
            yield clients
            for task in tasks:
                if task.done():
                    await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _client(server: Server, session: aiohttp.ClientSession, url: str, user: str, team: str) -> FaultClient:
    return FaultClient(session, url, server.token(user, teams=(team,)), frozenset({f"user:{user}", f"team:{team}"}))


@asynccontextmanager
async def background(*loads: Runnable) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Run these within the block, or until the function that it gives is called.

    They stop by themselves: nothing of theirs commits after that.
    """
    tasks = [asyncio.create_task(load.run()) for load in loads]

    async def stop() -> None:
        for load in loads:
            load.stopping = True
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*tasks)

    try:
        yield stop
        await stop()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def judge(clients: Sequence[FaultClient], dsn: str) -> Verdict:
    """Send everybody a last message, wait until each client has it, and check what they got."""
    truth = await finish(clients, dsn)
    return total(check(truth.expected(client), client.received, truth.committed) for client in clients)


async def finish(clients: Sequence[FaultClient], dsn: str) -> Truth:
    """Send everybody a last message and wait until each client has it; what was committed."""
    connection = await asyncpg.connect(dsn)
    try:
        rooms = sorted(set().union(*(client.rooms for client in clients)))
        await connection.execute("select callboard.publish($1, 'last', '{\"n\": -1}')", rooms)
    finally:
        await connection.close()
    truth = await read_truth(dsn)
    for client in clients:
        await _until_last(client, truth.expected(client)[-1])
    return truth


async def _until_last(client: FaultClient, last: Message) -> None:
    try:
        await client.until(lambda: client.received[-1:] == [last])
    except TimeoutError:
        return  # it is the checker that says what is missing


def command(about: str, run: Callable[..., Awaitable[Report]], **numbers: int) -> None:
    """The command line of a scenario: its numbers and `--seed`. Prints the report; exit status 1 unless it is clean."""
    parser = argparse.ArgumentParser(description=about)
    for name, default in {**numbers, "seed": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = vars(parser.parse_args())
    report = asyncio.run(run_all(run, options))
    print(report)
    sys.exit(0 if report.verdict.clean else 1)


async def run_all(run: Callable[..., Awaitable[Report]], options: dict[str, int]) -> Report:
    return await run(**options)
