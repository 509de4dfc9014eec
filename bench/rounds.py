"""A run: PostgreSQL once, then round after round one peer at a time, each in a fresh process and database.

Only one server lives at a time, so that none pays for another's timers. Everything ends with the run, also on
Ctrl-C, SIGTERM and at the time limit.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.database import Postgres
from bench.driver import Requests, raise_open_files, token
from bench.peers import PEERS, Peer
from bench.processes import Cores, Cpu, Server, cpu_of_cores, machine
from bench.report import Row, publish
from bench.stored import Stored


@dataclass(frozen=True, kw_only=True)
class Usage:
    """CPU so far of the server, PostgreSQL, the driver and all that runs on these cores, at one moment."""

    at: float
    server: Cpu
    database: Cpu
    driver: Cpu
    everything: Cpu


@dataclass(frozen=True, kw_only=True)
class Spent:
    """CPU between two moments `elapsed` seconds apart, in which the work itself took `seconds`."""

    server: Cpu
    database: Cpu
    driver: Cpu
    everything: Cpu
    elapsed: float
    seconds: float

    def figures(self, prefix: str, count: int) -> dict[str, float]:
        """Microseconds per item, and how full the cores were."""
        load = self.driver.total + self.database.total
        others = self.everything.total - self.server.total - load
        return {
            f"{prefix}.cpu": self.server.total / count * 1e6,
            f"{prefix}.user": self.server.user / count * 1e6,
            f"{prefix}.system": self.server.system / count * 1e6,
            f"{prefix}.database": self.database.total / count * 1e6,
            f"{prefix}.driver": self.driver.total / count * 1e6,
            f"{prefix}.per_second": count / self.seconds,
            f"{prefix}.server_busy": self.server.total / self.elapsed * 100,
            f"{prefix}.load_busy": load / self.elapsed * 100,
            f"{prefix}.others_busy": max(0.0, others) / self.elapsed * 100,
        }


@dataclass(kw_only=True)
class Life:
    """One life of one server, with what the measurements need around it."""

    server: Server
    database: Postgres
    cores: Cores
    secret: str
    requests: Requests

    @property
    def admin(self) -> str:
        return token(self.secret, "admin", "admin")

    def usage(self) -> Usage:
        return Usage(
            at=time.perf_counter(),
            server=self.server.cpu(),
            database=self.database.cpu(),
            driver=cpu_of_driver(),
            everything=cpu_of_cores({self.cores.server, self.cores.driver, self.cores.database}),
        )

    def spent_since(self, before: Usage, seconds: float) -> Spent:
        now = self.usage()
        return Spent(
            server=now.server - before.server,
            database=now.database - before.database,
            driver=now.driver - before.driver,
            everything=now.everything - before.everything,
            elapsed=now.at - before.at,
            seconds=seconds,
        )


def cpu_of_driver() -> Cpu:
    """This process alone: its children are the servers."""
    times = os.times()
    return Cpu(times.user, times.system)


@dataclass(kw_only=True)
class Run:
    """The processes and options of one run of a benchmark."""

    options: argparse.Namespace
    cores: Cores
    folder: Path
    database: Postgres
    lives: int = 0
    filled: dict[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def life(self, peer: Peer, *, in_flight: int, stored: Stored | None = None) -> AsyncIterator[Life]:
        """Start the peer on a database of its own: an empty one, or one with what is `stored`.

        It is stopped, and its connections closed, at the end.
        """
        self.lives += 1
        template = None if stored is None else await self._filled(peer, stored)
        url = await self.database.fresh_database(f"bench_{peer.name}", template)
        secret = secrets.token_hex(24)
        folder = self.folder / f"{self.lives}-{peer.name}"
        with Server(peer, core=self.cores.server, folder=folder, secret=secret, database_url=url) as server:
            requests = await Requests.open(server.port, in_flight=in_flight)
            gc.collect()
            try:
                yield Life(
                    server=server,
                    database=self.database,
                    cores=self.cores,
                    secret=secret,
                    requests=requests,
                )
            finally:
                requests.close()

    async def _filled(self, peer: Peer, stored: Stored) -> str:
        """The name of the database that every round of this peer copies, made by the first."""
        if peer.name not in self.filled:
            name = f"filled_{peer.name}"
            url = await self.database.fresh_database(name)
            with Server(peer, core=self.cores.server, folder=self.folder / name, secret="none" * 8, database_url=url):
                pass  # its tables are there
            await stored.write(url, peer.schema)
            self.filled[peer.name] = name
        return self.filled[peer.name]


Measure = Callable[[Run, Peer], Awaitable[dict[str, float]]]


def arguments(doc: str | None, *, peers: Sequence[str], limit: float = 300) -> argparse.ArgumentParser:
    """The options that every benchmark has; `peers` are those measured unless `--only` names others."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each server, alternating (default 3)")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it runs")
    only = f"this server alone (repeatable; default: {', '.join(peers)})"
    parser.add_argument("--only", choices=sorted(PEERS), action="append", help=only)
    parser.add_argument("--limit", type=float, default=limit, help=f"stop after so many seconds (default {limit:g})")
    parser.set_defaults(peers=peers)
    return parser


def chosen(options: argparse.Namespace) -> list[Peer]:
    return [peer for name, peer in PEERS.items() if name in (options.only or options.peers)]


def run(bench: str, rows: Sequence[Row], measure: Measure, options: argparse.Namespace) -> None:
    """Install the peers, measure them in turn (A B A B …), print and write the result."""
    peers = chosen(options)
    for peer in peers:
        peer.install()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    cores = Cores.choose()
    open_files = raise_open_files(40_000)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callboard-bench-")))
        folder.chmod(0o755)  # PostgreSQL runs as another user where we are root
        database = stack.enter_context(Postgres(core=cores.database, folder=folder / "postgres"))
        os.sched_setaffinity(0, {cores.driver})
        gc.disable()  # a collection in the driver would look like the server's slowness
        context = Run(options=options, cores=cores, folder=folder, database=database)
        rounds = uvloop.run(_alternate(context, peers, measure))
    about: dict[str, object] = {
        "machine": machine(),
        "cores": f"server {cores.server}, driver {cores.driver}, PostgreSQL {cores.database}",
        "open files": open_files,
        **{peer.name: peer.versions() for peer in peers},
        "options": " ".join(f"{n}={v}" for n, v in sorted(vars(options).items()) if n not in ("only", "peers")),
    }
    publish(bench, about, rows, rounds)


async def _alternate(context: Run, peers: Sequence[Peer], measure: Measure) -> dict[str, list[dict[str, float]]]:
    rounds: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in peers}
    try:
        async with asyncio.timeout(context.options.limit):
            for number in range(1 if context.options.quick else context.options.rounds):
                for peer in peers:
                    print(f"round {number + 1}: {peer.name}", file=sys.stderr)
                    rounds[peer.name].append(await measure(context, peer))
    except TimeoutError:
        print("The time limit: what follows are the rounds that were done.", file=sys.stderr)
    return rounds


Goals = Mapping[str, Mapping[str, float]]


def spend_rows(
    prefix: str, label: str, *, at_most: Goals | None = None, at_least: Goals | None = None, digits: int = 1
) -> list[Row]:
    """The rows of `Spent.figures`. Goals by figure (`cpu`, `user`, `per_second`) and peer."""
    at_most, at_least = at_most or {}, at_least or {}
    spent = {
        "cpu": f"{label}: server CPU",
        "user": "… user",
        "system": "… system",
        "database": "… PostgreSQL's CPU beside it",
        "driver": "… the driver's",
    }
    busy = {
        "server_busy": "… the server's core busy",
        "load_busy": "… driver and PostgreSQL busy",
        "others_busy": "… other processes on these cores",
    }
    rows = [
        Row(
            key=f"{prefix}.{key}",
            label=text,
            unit="µs",
            digits=digits,
            at_most=at_most.get(key, {}),
            compared=key != "driver",
        )
        for key, text in spent.items()
    ]
    rate = Row(key=f"{prefix}.per_second", label="… rate", unit="/s", digits=0, at_least=at_least.get("per_second", {}))
    rows.append(rate)
    for key, text in busy.items():
        rows.append(Row(key=f"{prefix}.{key}", label=text, unit="%", digits=0, compared=False))
    return rows
