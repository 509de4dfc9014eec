"""`python -m bench.fanout`: what a broadcast to many connected clients costs, and what a connection costs.

Measures the socket server alone: nothing here is stored. Each delivery is counted at the client; a lost or a
doubled one ends the run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.driver import Countdown, SocketClient, close_all, connect_all, http_request, token
from bench.peers import Peer
from bench.report import Row, percentile
from bench.rounds import Life, Run, arguments, run, spend_rows

EVENT = "bench:tick"
PREFIX = f'42/feed,["{EVENT}"'.encode()
WARM_CONNECTS = 4  # times all clients, after which V8 has compiled what connecting needs
TEXT = "Episode 4 moved to the picture lock; the edit is frozen until the director has seen it."

ROWS = [
    *spend_rows(
        "single",
        "one broadcast at a time, per delivery",
        at_most={"cpu": {"node": 0.6}, "user": {"node": 0.25}},
        digits=2,
    ),
    Row(key="single.each_p50", label="… POST to each receipt, p50", unit="ms", digits=2),
    Row(key="single.each_p99", label="… POST to each receipt, p99", unit="ms", digits=2, at_most={"node": 1.0}),
    Row(key="single.last_p50", label="… POST to the last receipt, p50", unit="ms", digits=2),
    Row(key="single.last_p99", label="… POST to the last receipt, p99", unit="ms", digits=2),
    *spend_rows("burst", "16 requests in flight, per delivery", at_most={"cpu": {"node": 0.15, "bun": 0.25}}, digits=2),
    *spend_rows("connect", "connecting, per connection", at_least={"per_second": {"node": 3.0}}, digits=0),
    Row(key="again.cpu", label="connecting once more, warm: server CPU", unit="µs", digits=0),
    Row(key="again.per_second", label="… rate", unit="/s", digits=0),
    Row(key="memory.first", label="memory per connection, the first 1,000", unit="KB", value_goal=12),
    Row(key="memory.next", label="memory per connection, from 1,000 to all", unit="KB", value_goal=12),
    Row(key="memory.idle", label="the process, warm, without connections", unit="MB", digits=0),
]


class Audience:
    """Connected clients and a count of what they receive of the benchmark's message."""

    def __init__(self, life: Life, count: int, *, name: str) -> None:
        self.clients = [
            SocketClient(f"{name}{n}", token(life.secret, f"{name}{n}"), self._receive) for n in range(count)
        ]
        self.arrivals: list[float] = []
        self._counts: dict[SocketClient, int] = {}
        self._awaited = Countdown(0)

    def _receive(self, client: SocketClient, packet: bytes) -> None:
        if packet.startswith(PREFIX):
            self._counts[client] += 1
            self.arrivals.append(time.perf_counter())
            self._awaited.note()

    def expect(self, messages: int) -> None:
        """Begin a stretch in which each client is to receive so many."""
        self.arrivals = []
        self._counts = dict.fromkeys(self.clients, 0)
        self._awaited = Countdown(messages * len(self.clients))

    async def complete(self) -> None:
        """Wait for the last one; raises unless every client has exactly its share."""
        await self._awaited.wait()
        share = self._awaited.expected // len(self.clients)
        if any(count != share for count in self._counts.values()):
            raise RuntimeError("a delivery was lost and another doubled")


def broadcasts(life: Life, count: int) -> list[bytes]:
    admin = life.admin
    bodies = [{"namespace": "/feed", "event": EVENT, "data": {"n": n, "text": TEXT}} for n in range(count)]
    return [http_request("POST", "/socket/broadcast", admin, body) for body in bodies]


async def singles(life: Life, audience: Audience, count: int) -> dict[str, float]:
    """One broadcast, and the next only when every client has it."""
    each: list[float] = []
    last: list[float] = []
    requests = broadcasts(life, count)
    await life.requests.refresh()
    before, began = life.usage(), time.perf_counter()
    for request in requests:
        audience.expect(1)
        sent = (await life.requests.run([request], in_flight=1)).sent[0]
        await audience.complete()
        each += [at - sent for at in audience.arrivals]
        last.append(audience.arrivals[-1] - sent)
    spent = life.spent_since(before, time.perf_counter() - began)
    return {
        **spent.figures("single", count * len(audience.clients)),
        "single.each_p50": percentile(each, 0.5) * 1e3,
        "single.each_p99": percentile(each, 0.99) * 1e3,
        "single.last_p50": percentile(last, 0.5) * 1e3,
        "single.last_p99": percentile(last, 0.99) * 1e3,
    }


async def burst(life: Life, audience: Audience, count: int) -> dict[str, float]:
    """All broadcasts with 16 requests in flight, until the last client has the last one."""
    requests = broadcasts(life, count)
    await life.requests.refresh()
    audience.expect(count)
    before, began = life.usage(), time.perf_counter()
    await life.requests.run(requests, in_flight=16)
    await audience.complete()
    spent = life.spent_since(before, time.perf_counter() - began)
    return spent.figures("burst", count * len(audience.clients))


async def connecting(life: Life, clients: Sequence[SocketClient], name: str) -> dict[str, float]:
    before = life.usage()
    seconds = await connect_all(clients, life.server.port)
    return life.spent_since(before, seconds).figures(name, len(clients))


async def speed(context: Run, peer: Peer) -> dict[str, float]:
    options = context.options
    async with context.life(peer, in_flight=16) as life:
        warm = Audience(life, options.clients, name="warm")
        await connect_all(warm.clients, life.server.port)
        await singles(life, warm, options.singles // 8)
        await close_all(warm.clients)
        audience = Audience(life, options.clients, name="u")
        figures = await connecting(life, audience.clients, "connect")
        figures |= await singles(life, audience, options.singles)
        figures |= await burst(life, audience, options.broadcasts)
        await close_all(audience.clients)
        again = [Audience(life, options.clients, name=f"again{n}.").clients for n in range(WARM_CONNECTS)]
        for clients in again:  # the last one counts
            figures |= await connecting(life, clients, "again")
            await close_all(clients)
    return figures


async def memory(context: Run, peer: Peer) -> dict[str, float]:
    """Resident memory by connections, in a process of its own.

    The warm-up is small: pages that many closed connections leave behind would hide what new ones cost.
    """
    first, every = 1_000, context.options.memory_clients
    async with context.life(peer, in_flight=1) as life:

        async def grown(count: int, name: str) -> Audience:
            audience = Audience(life, count, name=name)
            await connect_all(audience.clients, life.server.port)
            return audience

        async def message(*audiences: Audience) -> int:
            await life.requests.refresh()
            for request in broadcasts(life, 2):
                for audience in audiences:
                    audience.expect(1)
                await life.requests.run([request], in_flight=1)
                for audience in audiences:
                    await audience.complete()
            return life.server.settled_bytes()

        warm = await grown(100, "warm")
        await message(warm)
        await close_all(warm.clients)
        idle = life.server.settled_bytes()
        some = await grown(first, "first")
        with_first = await message(some)
        figures = {"memory.idle": idle / 1e6, "memory.first": (with_first - idle) / first / 1024}
        if every > first:
            more = await grown(every - first, "more")
            figures["memory.next"] = (await message(some, more) - with_first) / (every - first) / 1024
            await close_all(more.clients)
        await close_all(some.clients)
    return figures


async def measure(context: Run, peer: Peer) -> dict[str, float]:
    return await speed(context, peer) | await memory(context, peer)


def main() -> None:
    parser = arguments(__doc__, peers=("callboard", "node", "bun", "python-socketio"), limit=900)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--singles", type=int, default=400, help="broadcasts that are sent one at a time")
    parser.add_argument("--broadcasts", type=int, default=200, help="broadcasts that are sent 16 in flight")
    parser.add_argument("--memory-clients", type=int, default=5000)
    options = parser.parse_args()
    if options.quick:
        options.singles, options.broadcasts, options.memory_clients = 80, 40, 1000
    run("fanout", ROWS, measure, options)


if __name__ == "__main__":
    main()
