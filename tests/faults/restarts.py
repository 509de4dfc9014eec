"""PostgreSQL restarted in immediate mode, as after a crash, again and again, under load.

    python -m tests.faults.restarts --restarts 20

Each time: the sockets stay, requests answer 503 while it is away, and messages flow again by themselves.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.client import PATIENCE, FaultClient
from tests.faults.load import Load, RestLoad
from tests.faults.stage import Report, background, command, crowd, judge, rooms_of, running_server
from tests.integration.serve.kit import Server, lives

from callboard.store.embedded import EmbeddedPostgres

USERS = 5
CLIENTS = 15
REQUESTS = ("/api/v1/notifications", "/api/v1/notifications/unread-count")


class Postgres:
    """A PostgreSQL of the scenario's own."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._server = EmbeddedPostgres(data_dir)

    async def start(self) -> str:
        return await self._server.start()

    async def end_immediately(self) -> None:
        """`pg_ctl stop -m immediate`: no checkpoint, every session cut off; it recovers at the next start."""
        pid = int((self._data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(pid, signal.SIGQUIT)
        async with asyncio.timeout(PATIENCE):
            while lives(pid):
                await asyncio.sleep(0.01)
        await self._server.stop()
        self._server = EmbeddedPostgres(self._data_dir)

    async def stop(self) -> None:
        await self._server.stop()


class Outages:
    """What the outages took. Seconds."""

    def __init__(self, server: Server, clients: Sequence[FaultClient]) -> None:
        self._server = server
        self._clients = clients
        self.refusals: list[float] = []
        self.resumptions: list[float] = []

    async def ask(self, times: int) -> None:
        """Requests while it is away: each answers 503."""
        async with self._server.rest("u0") as client:
            for number in range(times):
                begun = time.monotonic()
                answer = await client.get(REQUESTS[number % len(REQUESTS)])
                self.refusals.append(time.monotonic() - begun)
                assert answer.status_code == 503, answer.text
                assert "retry-after" in answer.headers

    async def resume(self) -> float:
        """It answers: wait until every client has got something new; the seconds that it took."""
        begun = time.monotonic()
        for client, last in [(client, client.last) for client in self._clients]:
            await client.until_after(last)
        return time.monotonic() - begun


async def run(*, restarts: int, seed: int) -> Report:
    """The scenario."""
    with tempfile.TemporaryDirectory(prefix="callboard-faults-") as directory:
        postgres = Postgres(Path(directory) / "postgres")
        dsn = await postgres.start()
        try:
            with running_server(DATABASE_URL=dsn) as server:
                return await _restart(restarts, seed, postgres, dsn, server)
        finally:
            await postgres.stop()


async def _restart(restarts: int, seed: int, postgres: Postgres, dsn: str, server: Server) -> Report:
    rng = random.Random(seed)
    load = Load(dsn, rooms_of(USERS), seed=seed)
    await load.prepare()
    rest = RestLoad(server.url, server.bearer("boss", "admin"), [f"u{number}" for number in range(USERS)])
    async with crowd(server, CLIENTS, users=USERS, seed=seed) as clients:
        outages = Outages(server, clients)
        async with background(load, rest):
            for _ in range(restarts):
                await outages.resume()
                await asyncio.sleep(rng.uniform(0.0, 0.5))  # the moment of the crash is the seed's
                await postgres.end_immediately()
                await outages.ask(rng.randint(3, 20))
                await postgres.start()
                outages.resumptions.append(await outages.resume())
        verdict = await judge(clients, dsn)
        ended = sum(client.ends for client in clients)
    return Report(
        seed=seed,
        verdict=verdict,
        facts={
            "restarts": restarts,
            "transactions by SQL": load.committed,
            "answers by REST": dict(sorted(rest.answers.items())),
            "sockets that ended": ended,
            "slowest 503, seconds": round(max([*outages.refusals, rest.slowest_refusal]), 3),
            "slowest resumption, seconds": round(max(outages.resumptions), 3),
        },
    )


if __name__ == "__main__":
    command("PostgreSQL restarted in immediate mode under load", run, restarts=20)
