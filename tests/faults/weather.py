"""A TCP line that slices, delays and resets, while messages flow.

    python -m tests.faults.weather --resets 1000

Clients on every transport go through it; whatever the line does, they come back and have everything, once, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.faults.client import PATIENCE, Transport
from tests.faults.load import Load, RestLoad
from tests.faults.proxy import Weather, proxied
from tests.faults.stage import TRANSPORTS, Report, background, command, crowd, judge, rooms_of, running_server

USERS = 5
CLIENTS = 15
FOUL = Weather(slice_bytes=300, delay=0.002, reset_after=60_000)


async def run(*, resets: int, seed: int, transports: Sequence[Transport] = TRANSPORTS) -> Report:
    """The scenario: until the line was reset so many times."""
    with running_server() as server:
        load = Load(server.dsn(), rooms_of(USERS), seed=seed)
        await load.prepare()
        rest = RestLoad(server.url, server.bearer("boss", "admin"), [f"u{number}" for number in range(USERS)])
        async with (
            proxied(server.port, weather=FOUL, seed=seed) as proxy,
            background(load, rest) as stop,
            crowd(
                server, CLIENTS, users=USERS, seed=seed, url=proxy.url, transports=transports, snapshots=True
            ) as clients,
        ):
            async with asyncio.timeout(PATIENCE + resets):
                await proxy.until_resets(resets)
            await stop()
            verdict = await judge(clients, server.dsn())
        recovered = [each for client in clients for each in client.recovered]
        return Report(
            seed=seed,
            verdict=verdict,
            facts={
                "lines reset": proxy.resets,
                "returns": len(recovered),
                "recovered": sum(recovered),
                "polls that were repeated": sum(client.repeats for client in clients),
                "upgrades": sum(client.upgraded for client in clients),
                "transactions by SQL": load.committed,
            },
        )


if __name__ == "__main__":
    command("A line that slices, delays and resets", run, resets=1000)
