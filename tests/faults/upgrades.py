"""Many clients change from long-polling to WebSocket while messages flow.

    python -m tests.faults.upgrades --upgrades 1000

Each connects by polling and upgrades at once; its messages come over both, once and in order.
"""

from __future__ import annotations

from tests.faults.load import Load
from tests.faults.stage import Report, background, command, crowd, judge, running_server

PER_USER = 10


async def run(*, upgrades: int, seed: int) -> Report:
    """The scenario."""
    users = max(1, upgrades // PER_USER)
    with running_server(MAX_SOCKET_CONNECTIONS=str(upgrades + 50)) as server:
        rooms = [*(f"user:u{number}" for number in range(users)), "team:art", "team:cut", "team:sound"]
        load = Load(server.dsn(), rooms, seed=seed, pace=0.01)
        await load.prepare()
        async with (
            background(load) as stop,
            crowd(server, upgrades, users=users, seed=seed, transports=("upgrade",), snapshots=True) as clients,
        ):
            for client in clients:
                await client.until_upgraded()
            await stop()
            verdict = await judge(clients, server.dsn())
            ended = sum(client.ends for client in clients)
        return Report(
            seed=seed,
            verdict=verdict,
            facts={
                "upgrades": sum(client.upgraded for client in clients),
                "connections that ended": ended,
                "transactions by SQL": load.committed,
                "messages that came by polling": sum(client.polled for client in clients),
            },
        )


if __name__ == "__main__":
    command("Upgrades while messages flow", run, upgrades=1000)
