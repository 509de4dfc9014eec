"""Random operations over several clients of several users, and whether each shows what the database holds.

    python -m tests.convergence.course --courses 200 --steps 200 --seed 1

A course is one server and one seed. Its operations are the seed's; how they and the clients' messages overtake each
other is the machine's, so a seed that fails once need not fail again. Exit status 1 if a client shows anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import asyncpg
import structlog
from tests.convergence.client import LISTS, Inbox
from tests.convergence.operations import Operations
from tests.convergence.stage import Stage, Truth, running
from tests.convergence.tab import MARK, Tab, tab

from callboard.notifications import store
from callboard.store.embedded import EmbeddedPostgres
from callboard.store.migrate import migrate

USERS = 3
TABS_EACH = 2
# Steps between two comparisons.
STRETCH = 25
# Some courses meet the hourly limit, and fold or lose what is over it.
RATE_LIMITS = ((1_000_000, "suppress"), (15, "fold"), (15, "suppress"))


class Diverged(AssertionError):
    """A client shows something else than the database holds."""


async def run(dsn: str, *, seed: int, steps: int) -> int:
    """One course on a migrated database; how many comparisons there were. Raises Diverged."""
    rng = random.Random(seed)
    limit, overflow = RATE_LIMITS[seed % len(RATE_LIMITS)]
    async with (
        few_messages_for_reading_all(),
        running(dsn, notification_rate_limit=limit, notification_rate_overflow=overflow) as stage,
        opened(stage, [f"u{number}" for number in range(USERS)] * TABS_EACH) as tabs,
    ):
        operations = Operations(stage, tabs, rng)
        compared = 0
        for step in range(1, steps + 1):
            async with asyncio.TaskGroup() as together:
                for operation in operations.some():
                    together.create_task(operation())
            if step % STRETCH == 0 or step == steps:
                compared += 1
                await agree(stage, tabs, compared)
        return compared


@asynccontextmanager
async def few_messages_for_reading_all() -> AsyncIterator[None]:
    """Inboxes of a course are small: most of what is read at once is still told of by the messages about others."""
    with patch.multiple(store, READ_ALL_MESSAGES=1, READ_ALL_NAMED=3):
        yield


@asynccontextmanager
async def opened(stage: Stage, users: list[str]) -> AsyncIterator[list[Tab]]:
    """A tab for each of the users, who may be named several times, open."""
    async with AsyncExitStack() as stack:
        tabs = [await stack.enter_async_context(tab(stage, user)) for user in users]
        for each in tabs:
            await each.open()
        yield tabs


async def agree(stage: Stage, tabs: list[Tab], mark: int) -> None:
    """Bring everybody back, wait until each has what was sent, load all pages, and compare. Raises Diverged."""
    for each in tabs:
        if not each.online:
            await each.come_back()
    await stage.settle()
    await stage.database.execute(
        "select callboard.publish($1, $2, jsonb_build_object('n', $3::int))",
        [f"user:{user}" for user in sorted({each.user for each in tabs})],
        MARK,
        mark,
    )
    truths = {user: await stage.truth(user) for user in {each.user for each in tabs}}
    for each in tabs:
        await each.until_marked(mark)
        await _compare(each, truths[each.user])
        for name in LISTS:
            while await each.load_more(name):
                pass
        await _compare(each, truths[each.user])


async def _compare(tab: Tab, truth: Truth) -> None:
    inbox = tab.inbox
    try:
        # What was stored and had no number yet when a count was taken is in it, and counts itself again when it comes.
        await tab.until(lambda: truth.unread <= inbox.unread <= truth.unread + len(inbox.since_count))
        await tab.ask_count()
        await tab.until(lambda: inbox.unread == truth.unread)
    except TimeoutError:
        count = f"{inbox.counted} at {inbox.counted_at} and {inbox.since_count} since"
        raise Diverged(f"{tab.user}: it counts {count}, not {truth.unread}") from None
    found = differences(inbox, truth)
    if found:
        raise Diverged(f"{tab.user}: " + "; ".join(found))


def differences(inbox: Inbox, truth: Truth) -> list[str]:
    """What the loaded part of the lists shows that is not so, and what it lacks."""
    found = []
    for name in LISTS:
        shown, floor = inbox.listed(name), inbox.loaded[name].floor
        expected = [item for item in truth.lists[name] if floor is None or (item["arrived_at"], item["id"]) >= floor]
        ids, expected_ids = [copy.payload["id"] for copy in shown], [item["id"] for item in expected]
        if ids != expected_ids:
            surplus = [copy for copy in shown if copy.payload["id"] not in expected_ids]
            lacking = [item for item in expected if item["id"] not in ids]
            found.append(f"{name} shows {surplus}, lacks {lacking}, in the order {ids}, not {expected_ids}")
            continue
        for copy, item in zip(shown, expected, strict=True):
            if copy.payload != item:
                found.append(f"{name} shows {copy}, not {item}")
    return found


async def run_many(*, courses: int, steps: int, seed: int) -> None:
    """Courses of the seeds from `seed` on, each on a new database of an embedded server. Prints each."""
    with tempfile.TemporaryDirectory(prefix="callboard-convergence-") as directory:
        server = EmbeddedPostgres(Path(directory), settings={"fsync": "off"})
        await server.start()
        try:
            for each in range(seed, seed + courses):
                begun = time.monotonic()
                async with new_database(server, f"course_{each}") as dsn:
                    compared = await run(dsn, seed=each, steps=steps)
                print(f"seed {each}: {compared} comparisons agree, {time.monotonic() - begun:.1f} s", flush=True)
        finally:
            await server.stop()


@asynccontextmanager
async def new_database(server: EmbeddedPostgres, name: str) -> AsyncIterator[str]:
    """The DSN of a migrated database, which is dropped afterwards."""
    owner = await asyncpg.connect(server.dsn("postgres", role="postgres"))
    try:
        await owner.execute(f"create database {name} owner callboard")
        await migrate(server.dsn(name))
        yield server.dsn(name)
        await owner.execute(f"drop database {name} with (force)")
    finally:
        await owner.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether all clients show what the database holds")
    for name, default in {"courses": 200, "steps": 200, "seed": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(run_many(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
