"""`python -m bench.pages`: the plan and the time of a user's first page with 10,000,000 copies stored.

Fails if the page is not an index scan of the user's own newest copies. No other server is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from bench.database import Postgres
from bench.processes import Cores, machine
from bench.report import percentile
from bench.stored import Stored
from callboard.notifications.store import pages_statement
from callboard.store.migrate import migrate
from callboard.store.pool import SESSION_SETTINGS

USERS, SHARE = 100_000, 100
INDEX = "notification_recipients_list"
PAGE = "'{{{user}}}', '{{NULL}}', '{{NULL}}', '{{20}}', '{{NULL}}'"


async def explain(connection: asyncpg.Connection, user: str) -> list[str]:
    """The plan that Callboard's statement has for any user, as it ran for this one."""
    await connection.execute(
        "prepare page (text[], timestamptz[], uuid[], integer[], text[]) as " + pages_statement(None, False)
    )
    rows = await connection.fetch(f"explain (analyze, buffers) execute page({PAGE.format(user=user)})")
    return [row[0] for row in rows]


async def times(connection: asyncpg.Connection, users: list[str]) -> list[float]:
    """Seconds of a round trip for each user's first page. Raises unless each is full."""
    statement = await connection.prepare(pages_statement(None, False))
    taken = []
    for user in users:
        began = time.perf_counter()
        row = await statement.fetchrow([user], [None], [None], [20], [None])
        taken.append(time.perf_counter() - began)
        if row is None or row["last_id"] is None:
            raise SystemExit(f"{user} has no full page")
    return taken


async def measure(database: Postgres, stored: Stored) -> bool:
    url = await database.fresh_database("bench_pages")
    await migrate(url)
    began = time.perf_counter()
    await stored.write(url, "callboard")
    print(f"- {stored.copies:,} copies of {stored.contents:,} notifications, {stored.users:,} people's")
    print(f"- written in {time.perf_counter() - began:.0f} s")
    connection = await asyncpg.connect(url, server_settings=SESSION_SETTINGS)
    try:
        sizes = "select pg_size_pretty(pg_total_relation_size('callboard.notification_recipients'))"
        print(f"- table and indexes of the copies: {await connection.fetchval(sizes)}")
        users = [f"u{n}" for n in random.Random(0).sample(range(stored.users), 1000)]
        first = await times(connection, users)
        again = await times(connection, users)
        plan = await explain(connection, users[0])
    finally:
        await connection.close()
    for label, taken in (("the first time", first), ("again", again)):
        p50, p99 = percentile(taken, 0.5) * 1e3, percentile(taken, 0.99) * 1e3
        print(f"- first page of {len(users)} users, {label}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    print("\n```\n" + "\n".join(plan) + "\n```\n")
    return any(f"Index Scan using {INDEX} on notification_recipients" in line for line in plan) and not any(
        "Seq Scan on notification_recipients" in line or "Sort Key: r.arrived_at" in line for line in plan
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--copies", type=int, default=10_000_000, help="copies stored (100,000 people's)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    cores = Cores.choose()
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user where we are root
        with Postgres(core=cores.database, folder=folder / "postgres") as database:
            os.sched_setaffinity(0, {cores.driver})
            print(f"\n## pages\n\n- machine: {machine()}")
            stored = Stored(users=USERS, each=options.copies // USERS, share=SHARE)
            met = asyncio.run(measure(database, stored))
    print("The first page is an index scan." if met else "MISSED: the first page is not an index scan of its own rows.")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
