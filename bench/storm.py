"""`python -m bench.storm`: many connections in one process, and all of 10,000 clients coming back at once.

The clients are cut off in one moment and return without the pause and the jitter that the stock client makes. One
that is refused tries again after a second. Each is to be recovered, and to get the next broadcast once.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from bench.driver import SOURCES, SocketClient, close_all, connect_all, http_request
from bench.fanout import Audience, broadcasts
from bench.peers import CALLBOARD, Peer
from bench.report import Row
from bench.rounds import Life, Run, arguments, run

PATIENCE = 60.0
RETRY = 1.0

ROWS = [
    Row(key="storm.seconds", label="10,000 clients come back at once: until all are back", unit="s", value_goal=60),
    Row(key="storm.retries", label="… attempts that were refused and made again", unit="", digits=0),
    Row(key="storm.recovered", label="… recovered", unit="", digits=0),
    Row(key="storm.cpu", label="… server CPU a client", unit="µs", digits=0),
    Row(key="storm.lag_p99", label="… event-loop lag of that minute, p99", unit="ms", digits=0, value_goal=250),
    Row(key="storm.lag_worst", label="… the worst", unit="ms", digits=0),
    Row(key="storm.steady", label="memory with 10,000 clients, steady", unit="MB", digits=0),
    Row(key="storm.peak", label="… at its highest in the storm, of steady", unit="times", digits=2, value_goal=1.5),
    Row(key="storm.after", label="… afterwards, of steady", unit="times", digits=2),
    Row(key="many.resident", label="memory of the process with 15,000 clients", unit="MB", digits=0, value_goal=300),
]


def status_bytes(pid: int, field: str) -> int:
    """A size of /proc/PID/status: VmRSS, or VmHWM, the most since `forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the system does not tell {field}")


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


async def come_back(client: SocketClient, port: int, source: str) -> int:
    """Connect until it works; how many attempts did not."""
    retries = 0
    while True:
        try:
            await client.connect(port, source=source)
            return retries
        except OSError:
            retries += 1
            await asyncio.sleep(RETRY)


async def lag(life: Life) -> dict[str, float]:
    """The server's own measure of how late its loop was in the last minute."""
    timings = await life.requests.run([http_request("GET", "/socket/stats", life.admin)], in_flight=1)
    return {name: float(value) for name, value in msgspec.json.decode(timings.bodies[0])["loop_lag_seconds"].items()}


async def deliver(life: Life, *audiences: Audience) -> None:
    """One broadcast, which every client is to get once."""
    await life.requests.refresh()
    for audience in audiences:
        audience.expect(1)
    await life.requests.run(broadcasts(life, 1), in_flight=1)
    for audience in audiences:
        await audience.complete()


async def storm(life: Life, audience: Audience) -> dict[str, float]:
    """Cut everybody off and let them come back."""
    server, clients = life.server, audience.clients
    steady = server.settled_bytes()
    forget_peak(server.pid)
    resident = status_bytes(server.pid, "VmRSS")
    before, began = life.usage(), time.perf_counter()
    for client in clients:
        client.close()
    async with asyncio.timeout(PATIENCE + 30):
        retries = await asyncio.gather(
            *(come_back(each, server.port, f"127.0.1.{1 + n % SOURCES}") for n, each in enumerate(clients))
        )
    seconds = time.perf_counter() - began
    spent = life.spent_since(before, seconds)
    peak = status_bytes(server.pid, "VmHWM")
    await life.requests.refresh()
    late = await lag(life)
    await deliver(life, audience)
    return {
        "storm.seconds": seconds,
        "storm.retries": sum(retries),
        "storm.recovered": sum(client.recovered for client in clients),
        "storm.cpu": spent.server.total / len(clients) * 1e6,
        "storm.lag_p99": late["p99"] * 1e3,
        "storm.lag_worst": late["worst"] * 1e3,
        "storm.steady": steady / 1e6,
        "storm.peak": peak / resident,
        "storm.after": server.settled_bytes() / steady,
    }


async def measure(context: Run, peer: Peer) -> dict[str, float]:
    options = context.options
    async with context.life(peer, in_flight=1) as life:
        audience = Audience(life, options.clients, name="u")
        await connect_all(audience.clients, life.server.port)
        await deliver(life, audience)
        figures = await storm(life, audience)
        more = Audience(life, options.most - options.clients, name="more")
        await connect_all(more.clients, life.server.port)
        await deliver(life, audience, more)
        figures["many.resident"] = life.server.settled_bytes() / 1e6
        await close_all([*audience.clients, *more.clients])
    return figures


def main() -> None:
    parser = arguments(__doc__, peers=(CALLBOARD.name,))
    parser.add_argument("--clients", type=int, default=10_000, help="clients of the storm")
    parser.add_argument("--most", type=int, default=15_000, help="connections in the end")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.most = 1_000, 1_500
    run("storm", ROWS, measure, options)


if __name__ == "__main__":
    main()
