"""kill -9 between a commit and what it sends, again and again, under load.

    python -m tests.faults.kills --kills 200

Three moments by turns, the first two met exactly because the server is stopped (SIGSTOP) there before it is killed:
`unnumbered`, a message is committed and not yet in the log; `unsent`, it is in the log, by the server's own hand, and
on no socket; `anywhere`, a moment that the seed says, while messages are numbered, sent and read back.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any

import asyncpg
from tests.faults.client import PATIENCE, FaultClient
from tests.faults.load import Load, RestLoad
from tests.faults.stage import (
    Report,
    background,
    command,
    crowd,
    judge,
    rooms_of,
    running_server,
)
from tests.integration.serve.kit import Server

USERS = 5
CLIENTS = 15
RELAY_WAITS = """
select count(*) from pg_stat_activity where application_name = 'callboard relay' and wait_event_type = 'Lock'
"""


class Kills:
    """The ways to end a server."""

    def __init__(self, server: Server, load: Load, rng: random.Random, connection: Any) -> None:
        self._server = server
        self._load = load
        self._rng = rng
        self._connection = connection
        self._writer: Any = None

    async def unnumbered(self) -> None:
        self._server.send(signal.SIGSTOP)
        await self._load.write(self._connection, commit=True)
        assert await self._connection.fetchval("select count(*) from callboard.outbox") > 0
        await asyncio.to_thread(self._server.kill)

    async def unsent(self) -> None:
        """The server's statement that numbers is held by a lock; it goes on once the server itself has been stopped."""
        holder = await asyncpg.connect(self._load.dsn)
        held = holder.transaction()
        await held.start()
        await holder.fetchrow("select * from callboard.log_head for update")
        await self._load.write(self._connection, commit=True)
        await self._until(RELAY_WAITS, 1)
        head = await self._connection.fetchval("select seq from callboard.log_head")
        self._server.send(signal.SIGSTOP)
        await held.rollback()
        await holder.close()
        async with asyncio.timeout(PATIENCE):
            while await self._connection.fetchval("select seq from callboard.log_head") == head:
                await asyncio.sleep(0.005)
        await asyncio.to_thread(self._server.kill)

    async def anywhere(self) -> None:
        await asyncio.sleep(self._rng.uniform(0.0, 0.3))
        await asyncio.to_thread(self._server.kill)

    async def _until(self, query: str, value: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self._connection.fetchval(query) != value:
                await asyncio.sleep(0.005)


async def run(*, kills: int, seed: int) -> Report:
    """The scenario."""
    rng = random.Random(seed)
    with running_server() as server:
        load = Load(server.dsn(), rooms_of(USERS), seed=seed)
        await load.prepare()
        users = [f"u{number}" for number in range(USERS)]
        rest = RestLoad(server.url, server.bearer("boss", "admin"), users)
        connection = await asyncpg.connect(server.dsn())
        done: Counter[str] = Counter()
        async with crowd(server, CLIENTS, users=USERS, seed=seed) as clients:
            async with background(load, rest):
                ways = Kills(server, load, rng, connection)
                for number in range(kills):
                    way = (ways.unnumbered, ways.unsent, ways.anywhere)[number % 3]
                    await way()
                    done[way.__name__] += 1
                    await asyncio.to_thread(server.start)
                    for client in clients:
                        await client.until_returned(number + 1)
            verdict = await judge(clients, server.dsn())
        await connection.close()
        return Report(seed=seed, verdict=verdict, facts=_facts(clients, load, rest, done))


def _facts(clients: Sequence[FaultClient], load: Load, rest: RestLoad, done: Counter[str]) -> dict[str, object]:
    recovered = [each for client in clients for each in client.recovered]
    return {
        "kills": dict(done),
        "transactions by SQL": load.committed,
        "answers by REST": dict(sorted(rest.answers.items())),
        "returns": len(recovered),
        "recovered": sum(recovered),
        "ends of connections": sum(client.ends for client in clients),
    }


if __name__ == "__main__":
    command("kill -9 between commit and emit", run, kills=200)
