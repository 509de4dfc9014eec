"""The server dies and comes back: the page reconnects by itself and misses nothing."""

from __future__ import annotations

from pathlib import Path

import asyncpg
from playwright.async_api import Request, expect
from tests.browser.stage import Server, Windows, bell, live, row, rows, titles

from callboard.store.embedded import EmbeddedPostgres
from callboard.store.outbox import MOVE

NOTIFY = "select callboard.notify(array['u2'], 'episode:updated', $1, '')"


async def test_the_page_comes_back_with_what_was_committed_while_the_server_was_dead(
    embedded_server: Server, windows: Windows
) -> None:
    await embedded_server.notify("u2", title="Before the crash")
    jonas = await live(await windows.open(embedded_server, "u2"))
    await expect(row(jonas, "Before the crash")).to_be_visible()

    embedded_server.kill()
    await expect(jonas.get_by_text("it catches up by itself")).to_be_visible()
    await expect(row(jonas, "Before the crash")).to_be_visible()
    await commit_one_and_roll_one_back(embedded_server.data_dir)

    await embedded_server.start()
    await expect(row(jonas, "Committed meanwhile")).to_be_visible()
    await live(jonas)
    await expect(jonas.get_by_text("it catches up by itself")).to_have_count(0)
    await expect(bell(jonas, 2)).to_be_visible()
    await expect(titles(jonas)).to_have_text(["Committed meanwhile", "Before the crash"])

    # And it is live again, not only up to date.
    await embedded_server.notify("u2", title="After the crash")
    await expect(row(jonas, "After the crash")).to_be_visible()
    await expect(rows(jonas)).to_have_count(3)


async def test_what_is_asked_of_a_dead_server_is_told_and_changes_nothing(server: Server, windows: Windows) -> None:
    for title in ("First", "Second"):
        await server.notify("u2", title=title)
    jonas = await live(await windows.open(server, "u2"))
    await expect(bell(jonas, 2)).to_be_visible()
    await expect(rows(jonas)).to_have_count(2)
    server.kill()
    await expect(jonas.get_by_text("it catches up by itself")).to_be_visible()

    failure = jonas.get_by_role("alert")
    for button, words in (
        (row(jonas, "First").get_by_role("button", name="Mark read"), "Could not mark it read."),
        (jonas.get_by_role("button", name="Mark all read"), "Could not mark all read."),
        (row(jonas, "First").get_by_role("button", name="Delete"), "Could not delete it."),
    ):
        await button.click()
        await expect(failure).to_contain_text(f"{words} The server cannot be reached.")
        await expect(rows(jonas)).to_have_count(2)
        await expect(bell(jonas, 2)).to_be_visible()
        await expect(row(jonas, "First").get_by_role("button", name="Mark read")).to_be_visible()

    await server.start()
    await live(jonas)
    await expect(failure).to_contain_text("Could not delete it.")  # it was not, and is not tried again unasked
    await row(jonas, "First").get_by_role("button", name="Mark read").click()
    await expect(bell(jonas, 1)).to_be_visible()
    await expect(failure).to_have_count(0)


async def test_a_page_that_recovered_fetches_nothing_again_and_is_right(
    embedded_server: Server, windows: Windows
) -> None:
    await embedded_server.notify("u2", title="Before the crash")
    jonas = await live(await windows.open(embedded_server, "u2"))
    # What it asks for at its beginning must have come: it would ask again.
    async with (
        jonas.expect_request_finished(lambda request: is_fetch(request) and "limit=" in request.url),
        jonas.expect_request_finished(lambda request: is_fetch(request) and request.url.endswith("/unread-count")),
    ):
        await jonas.reload()
    await live(jonas)
    await expect(row(jonas, "Before the crash")).to_be_visible()
    await expect(bell(jonas, 1)).to_be_visible()
    fetched: list[str] = []
    jonas.on("request", lambda request: fetched.append(request.url) if is_fetch(request) else None)
    # A count it may ask for: whenever the server's, which follows what is new, is later than a second.

    for number in (1, 2):  # the second time after messages that were replayed
        embedded_server.kill()
        await expect(jonas.get_by_text("it catches up by itself")).to_be_visible()
        await commit(embedded_server.data_dir, f"Meanwhile {number}")
        await embedded_server.start()
        await expect(row(jonas, f"Meanwhile {number}")).to_be_visible()
        await live(jonas)
        await expect(bell(jonas, number + 1)).to_be_visible()
    assert [url for url in fetched if not url.endswith("/unread-count")] == []
    await expect(titles(jonas)).to_have_text(["Meanwhile 2", "Meanwhile 1", "Before the crash"])

    await jonas.reload()
    await live(jonas)
    await expect(rows(jonas)).to_have_count(3)
    await expect(titles(jonas)).to_have_text(["Meanwhile 2", "Meanwhile 1", "Before the crash"])  # as it was


async def test_a_page_that_missed_too_much_fetches_its_list_anew(embedded_server: Server, windows: Windows) -> None:
    jonas = await live(await windows.open(embedded_server, "u2"))
    await expect(rows(jonas)).to_have_count(0)
    embedded_server.kill()
    await expect(jonas.get_by_text("it catches up by itself")).to_be_visible()
    await commit(embedded_server.data_dir, "Meanwhile", times=1_001)
    await embedded_server.start()
    await expect(row(jonas, "Meanwhile 1001")).to_be_visible()
    await expect(bell(jonas, 1_001)).to_be_visible()
    await expect(rows(jonas)).to_have_count(30)  # a page of the list, and not what was missed


def is_fetch(request: Request) -> bool:
    return "/api/v1/" in request.url and request.method == "GET"


async def commit(data_dir: Path, title: str, *, times: int | None = None) -> None:
    """Notify u2 by SQL while no Callboard runs."""
    database = EmbeddedPostgres(data_dir)
    dsn = await database.start()
    try:
        connection = await asyncpg.connect(dsn)
        if times is None:
            await connection.execute(NOTIFY, title)
        else:
            several = (
                "select callboard.notify(array['u2'], 'note', $1 || ' ' || n, '') from generate_series(1, $2::int) n"
            )
            await connection.execute(several, title, times)
            while await connection.fetch(MOVE, 500):  # all are in the log before the page is back
                pass
        await connection.close()
    finally:
        await database.stop()


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
