"""The server dies and comes back: the page reconnects by itself and misses nothing."""

from __future__ import annotations

from pathlib import Path

import asyncpg
from playwright.async_api import expect
from tests.browser.stage import Server, Windows, bell, live, row, rows

from callboard.store.embedded import EmbeddedPostgres

NOTIFY = "select callboard.notify(array['u2'], 'episode:updated', $1, '')"


async def test_the_page_comes_back_with_what_was_committed_while_the_server_was_dead(
    server: Server, windows: Windows
) -> None:
    await server.notify("u2", title="Before the crash")
    jonas = await live(await windows.open(server, "u2"))
    await expect(row(jonas, "Before the crash")).to_be_visible()

    server.kill()
    await expect(jonas.get_by_text("it catches up by itself")).to_be_visible()
    await expect(row(jonas, "Before the crash")).to_be_visible()
    await commit_one_and_roll_one_back(server.data_dir)

    await server.start()
    await expect(row(jonas, "Committed meanwhile")).to_be_visible()
    await live(jonas)
    await expect(jonas.get_by_text("it catches up by itself")).to_have_count(0)
    await expect(bell(jonas, 2)).to_be_visible()
    await expect(rows(jonas).get_by_role("heading")).to_have_text(["Committed meanwhile", "Before the crash"])

    # And it is live again, not only up to date.
    await server.notify("u2", title="After the crash")
    await expect(row(jonas, "After the crash")).to_be_visible()
    await expect(rows(jonas)).to_have_count(3)


async def commit_one_and_roll_one_back(data_dir: Path) -> None:
    """What a host application would do in its own transactions while no Callboard runs."""
    database = EmbeddedPostgres(data_dir)
    dsn = await database.start()
    try:
        connection = await asyncpg.connect(dsn)
        async with connection.transaction():
            await connection.execute("create table cuts (name text)")
            await connection.execute("insert into cuts values ('rough')")
            await connection.execute(NOTIFY, "Committed meanwhile")
        undone = connection.transaction()
        await undone.start()
        await connection.execute(NOTIFY, "Rolled back")
        await undone.rollback()
        await connection.close()
    finally:
        await database.stop()
