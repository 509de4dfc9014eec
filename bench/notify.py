"""`python -m bench.notify`: what a notification costs from POST to receipt, a batch, and reading an inbox.

Everything is stored by PostgreSQL's default promise (on disk before it is acknowledged) and each receipt is
matched to its request: one lost, doubled or sent to another user ends the run.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence

import msgspec

from bench.driver import Countdown, SocketClient, close_all, connect_all, http_request, token
from bench.peers import Peer
from bench.report import Row, percentile
from bench.rounds import Life, Run, arguments, run, spend_rows
from bench.stored import Stored

IN_FLIGHT = 16
BATCH, MANY = 500, 10_000
PREFIX = b'42/feed,["notification:new",'
CONTENT = {
    "type": "episode:updated",
    "title": "Rough cut ready",
    "message": "Mira Okafor put the rough cut of episode 4 on the review board.",
}
READS = {"list": "/notifications?limit=20", "count": "/notifications/unread-count"}
_NUMBER = re.compile(rb'"n": ?(\d+)')

ROWS = [
    *spend_rows("create", "create, stored and received", at_most={"cpu": {"node": 0.5}}, digits=0),
    Row(key="create.p50", label="… POST to receipt, p50", unit="ms", digits=2),
    Row(key="create.p99", label="… POST to receipt, p99", unit="ms", digits=2, at_most={"node": 0.8}),
    Row(key="create.answer_p50", label="… POST to answer, p50", unit="ms", digits=2),
    Row(key="create.answer_p99", label="… POST to answer, p99", unit="ms", digits=2),
    *spend_rows("batch", "batch to 500 online, per delivery", at_most={"cpu": {"node": 0.5}}),
    Row(key="batch.last_p50", label="… POST to the last receipt, p50", unit="ms", digits=2),
    Row(key="batch.last_p99", label="… POST to the last receipt, p99", unit="ms", digits=2),
    *spend_rows("many", "batch to 10,000 of whom all connected are online, per recipient"),
    Row(key="many.answer_max", label="… POST to answer, the slowest", unit="ms", digits=0),
    Row(key="many.last_max", label="… POST to the last receipt, the slowest", unit="ms", digits=0, value_goal=2000),
    *spend_rows("list", "list of 20, per request", at_most={"cpu": {"node": 0.4}}, digits=0),
    Row(key="list.p99", label="… p99", unit="ms", digits=2),
    *spend_rows("count", "unread-count, per request", at_most={"cpu": {"node": 0.45}}, digits=0),
    Row(key="count.p99", label="… p99", unit="ms", digits=2),
]


class Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next_cursor: str | None


class Count(msgspec.Struct):
    count: int


class Inboxes:
    """Online users and what reached them, by the number that each notification carries in its data."""

    def __init__(self, life: Life, count: int) -> None:
        self.users = [f"u{n}" for n in range(count)]
        self.tokens = [token(life.secret, user) for user in self.users]
        self.clients = [
            SocketClient(user, bearer, self._receive) for user, bearer in zip(self.users, self.tokens, strict=True)
        ]
        self._receipts: list[tuple[int, str, float]] = []
        self._awaited = Countdown(0)

    def _receive(self, client: SocketClient, packet: bytes) -> None:
        if packet.startswith(PREFIX):
            number = _NUMBER.search(packet)
            assert number is not None, packet
            self._receipts.append((int(number[1]), client.user, time.perf_counter()))
            self._awaited.note()

    def expect(self, receipts: int) -> None:
        self._receipts = []
        self._awaited = Countdown(receipts)

    async def complete(self) -> None:
        await self._awaited.wait()

    def arrivals(self, recipients: Sequence[str]) -> list[float]:
        """When notification `n`, meant for `recipients[n]` alone, arrived; raises unless each did, once."""
        by_number = {number: at for number, user, at in self._receipts if user == recipients[number]}
        _same(len(by_number), len(self._receipts))
        _same(len(by_number), len(recipients))
        return [by_number[number] for number in range(len(recipients))]

    def last_arrival(self, recipients: set[str]) -> float:
        """When the last recipient of one notification had it; raises unless each had it, once."""
        _same({user for _, user, _ in self._receipts}, recipients)
        _same(len(self._receipts), len(recipients))
        return max(at for _, _, at in self._receipts)


def _same(found: object, wanted: object) -> None:
    if found != wanted:
        raise RuntimeError(f"lost, doubled or sent to another user: {found!r} instead of {wanted!r}")


async def creates(life: Life, inboxes: Inboxes, count: int) -> dict[str, float]:
    """16 requests in flight; each names the next user, round and round."""
    recipients = [inboxes.users[n % len(inboxes.users)] for n in range(count)]
    admin = life.admin
    requests = [
        http_request("POST", "/notifications", admin, {"user_id": user, **CONTENT, "data": {"n": n}})
        for n, user in enumerate(recipients)
    ]
    inboxes.expect(count)
    await life.requests.refresh()
    before, began = life.usage(), time.perf_counter()
    timings = await life.requests.run(requests, in_flight=IN_FLIGHT)
    await inboxes.complete()
    seconds = time.perf_counter() - began
    await asyncio.sleep(0.2)  # what the last ones still cause (counts, log) belongs to their cost
    spent = life.spent_since(before, seconds)
    received = [at - sent for at, sent in zip(inboxes.arrivals(recipients), timings.sent, strict=True)]
    return {
        **spent.figures("create", count),
        "create.p50": percentile(received, 0.5) * 1e3,
        "create.p99": percentile(received, 0.99) * 1e3,
        "create.answer_p50": percentile(timings.latencies, 0.5) * 1e3,
        "create.answer_p99": percentile(timings.latencies, 0.99) * 1e3,
    }


async def batches(life: Life, inboxes: Inboxes, count: int, name: str, size: int) -> dict[str, float]:
    """One batch to the first `size` users, and the next only when all of them who are online have it."""
    users = [f"u{n}" for n in range(size)]
    admin, online = life.admin, set(inboxes.users[:size])
    requests = [
        http_request("POST", "/notifications/batch", admin, {"user_ids": users, **CONTENT, "data": {"n": n}})
        for n in range(count)
    ]
    answered, last = [], []
    await life.requests.refresh()
    before, began = life.usage(), time.perf_counter()
    for request in requests:
        inboxes.expect(len(online))
        timings = await life.requests.run([request], in_flight=1)
        await inboxes.complete()
        answered += timings.latencies
        last.append(inboxes.last_arrival(online) - timings.sent[0])
    spent = life.spent_since(before, time.perf_counter() - began)
    return {
        **spent.figures(name, count * size),
        f"{name}.last_p50": percentile(last, 0.5) * 1e3,
        f"{name}.last_p99": percentile(last, 0.99) * 1e3,
        f"{name}.answer_max": max(answered) * 1e3,
        f"{name}.last_max": max(last) * 1e3,
    }


async def reads(life: Life, inboxes: Inboxes, count: int, name: str, path: str) -> dict[str, float]:
    """16 requests in flight by the users who have more than a page."""
    users = range(min(500, len(inboxes.users)))
    requests = [http_request("GET", path, inboxes.tokens[users[n % len(users)]]) for n in range(count)]
    await life.requests.refresh()
    before = life.usage()
    timings = await life.requests.run(requests, in_flight=IN_FLIGHT)
    spent = life.spent_since(before, timings.seconds)
    for body in timings.bodies:
        _check_read(name, body)
    return {**spent.figures(name, count), f"{name}.p99": percentile(timings.latencies, 0.99) * 1e3}


def _check_read(name: str, body: bytes) -> None:
    """A page must be full and not the last, a count over a page: the same work for every server."""
    if name == "list":
        page = msgspec.json.decode(body, type=Page)
        full = len(page.items) == 20 and page.next_cursor is not None
    else:
        full = msgspec.json.decode(body, type=Count).count > 20
    if not full:
        raise RuntimeError(f"not the {name} that was to be measured: {body[:500]!r}")


async def measure(context: Run, peer: Peer) -> dict[str, float]:
    options = context.options
    stored = Stored(users=MANY, each=options.stored // MANY)
    async with context.life(peer, in_flight=IN_FLIGHT, stored=stored) as life:
        inboxes = Inboxes(life, options.users)
        await connect_all(inboxes.clients, life.server.port)
        # Warm: every path as often as its compiler may want, and more than a page of unread ones for 500 users.
        await creates(life, inboxes, options.requests // 2)
        await batches(life, inboxes, 30, "batch", BATCH)
        for name, path in READS.items():
            await reads(life, inboxes, options.requests // 2, name, path)
        figures = await creates(life, inboxes, options.requests)
        figures |= await batches(life, inboxes, options.batches, "batch", BATCH)
        figures |= await batches(life, inboxes, options.many, "many", MANY)
        for name, path in READS.items():
            figures |= await reads(life, inboxes, options.requests, name, path)
        await close_all(inboxes.clients)
    return figures


def main() -> None:
    parser = arguments(__doc__, peers=("callboard", "node", "node-plain"))
    parser.add_argument("--users", type=int, default=1000, help="users online (500 to 10,000)")
    parser.add_argument("--requests", type=int, default=3000, help="creates, and reads of each kind, a round")
    parser.add_argument("--batches", type=int, default=120, help="batches to 500")
    parser.add_argument("--many", type=int, default=5, help="batches to 10,000")
    parser.add_argument("--stored", type=int, default=1_000_000, help="notifications stored before, 10,000 people's")
    parser.set_defaults(limit=900)
    options = parser.parse_args()
    if not BATCH <= options.users <= MANY:
        parser.error(f"--users: at least {BATCH}, at most {MANY}")
    if options.quick:
        options.requests, options.batches, options.many = 600, 10, 2
    run("notify", ROWS, measure, options)


if __name__ == "__main__":
    main()
