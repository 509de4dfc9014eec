"""Two people in two windows: what one sends moves the other's bell and list, and nobody else's."""

from __future__ import annotations

from playwright.async_api import Page, expect
from tests.browser.stage import Server, Windows, bell, live, row, rows, titles

COUNT_RENDERS = """list => {
    const render = list.performUpdate
    window.renders = 0
    list.performUpdate = function () { window.renders += 1; render.call(this) }
}"""


async def send(page: Page, title: str, to: str) -> None:
    for name in ("Jonas Weber", "Aiko Tan", "Myself"):
        await page.get_by_role("checkbox", name=name).set_checked(name == to)
    await page.get_by_label("Title").fill(title)
    await page.get_by_role("button", name="Send", exact=True).click()


async def test_a_notification_reaches_its_recipient_at_once_and_nobody_else(server: Server, windows: Windows) -> None:
    mira = await live(await windows.open(server, "u1"))
    jonas = await live(await windows.open(server, "u2"))
    await expect(jonas.get_by_text("Nothing on the board")).to_be_visible()

    await send(mira, "Rough cut ready", to="Jonas Weber")
    await expect(row(jonas, "Rough cut ready")).to_be_visible()
    await expect(bell(jonas, 1)).to_be_visible()
    await expect(jonas).to_have_title("(1) Callboard")
    await expect(mira.get_by_text("Sent to Jonas Weber.")).to_be_visible()

    # Messages come in order: had the first been hers too, it would be there before this one.
    await send(mira, "A note to myself", to="Myself")
    await expect(row(mira, "A note to myself")).to_be_visible()
    await expect(bell(mira, 1)).to_be_visible()
    await expect(rows(mira)).to_have_count(1)


async def test_reading_in_one_tab_moves_the_other_tab(server: Server, windows: Windows) -> None:
    for title in ("First", "Second", "Third"):
        await server.notify("u2", title=title)
    one = await live(await windows.open(server, "u2"))
    two = await live(await windows.open(server, "u2"))
    await expect(bell(two, 3)).to_be_visible()

    await row(one, "Second").get_by_role("button", name="Mark read").click()
    for page in (one, two):
        await expect(bell(page, 2)).to_be_visible()
        await expect(row(page, "Second").get_by_role("button", name="Mark read")).to_have_count(0)
        await expect(row(page, "First").get_by_role("button", name="Mark read")).to_be_visible()

    await two.get_by_role("button", name="Mark all read").click()
    for page in (one, two):
        await expect(bell(page, 0)).to_be_visible()
        await expect(page.get_by_role("button", name="Mark read")).to_have_count(0)
        await expect(rows(page)).to_have_count(3)
    # Who cannot see it is told, and whoever works by keyboard goes on where they were.
    await expect(two.get_by_text("All marked read")).to_have_count(1)
    await expect(two.get_by_role("button", name="Mark all read")).to_be_focused()
    await expect(two.get_by_role("button", name="Mark all read")).to_be_disabled()
    await expect(one.get_by_text("All marked read")).to_have_count(0)


async def test_a_deleted_one_leaves_every_tab_and_stays_away(server: Server, windows: Windows) -> None:
    await server.notify("u2", title="Stays")
    await server.notify("u2", title="Goes")
    one = await live(await windows.open(server, "u2"))
    two = await live(await windows.open(server, "u2"))
    await expect(rows(two)).to_have_count(2)

    await row(one, "Goes").get_by_role("button", name="Delete").press("Enter")
    for page in (one, two):
        await expect(row(page, "Goes")).to_have_count(0)
        await expect(bell(page, 1)).to_be_visible()
    # Whoever works by keyboard goes on where they were.
    await expect(row(one, "Stays").get_by_role("button", name="Mark read")).to_be_focused()

    await two.reload()
    await expect(row(two, "Stays")).to_be_visible()
    await expect(rows(two)).to_have_count(1)


async def test_older_ones_come_on_demand_in_order(server: Server, windows: Windows) -> None:
    for number in range(35):
        await server.notify("u2", title=f"Note {number:02}")
    jonas = await live(await windows.open(server, "u2"))
    await expect(rows(jonas)).to_have_count(30)
    await jonas.get_by_role("button", name="Show older").click()
    await expect(titles(jonas)).to_have_text([f"Note {n:02}" for n in reversed(range(35))])
    await expect(jonas.get_by_role("button", name="Show older")).to_have_count(0)


async def test_all_are_read_at_once_and_stay_where_they_are(server: Server, windows: Windows) -> None:
    many = 200
    await server.notify_each("u2", [f"Note {number:03}" for number in range(many)])
    one = await live(await windows.open(server, "u2", viewport={"width": 1000, "height": 600}))
    two = await live(await windows.open(server, "u2"))
    for shown in range(30, many, 30):
        await expect(rows(one)).to_have_count(shown)
        await one.get_by_role("button", name="Show older").click()
    await expect(rows(one)).to_have_count(many)
    await row(one, "Note 100").scroll_into_view_if_needed()
    scrolled = await one.evaluate("scrollY")
    await one.locator("cb-inbox").evaluate(COUNT_RENDERS)

    await two.get_by_role("button", name="Mark all read").click()
    await expect(bell(one, 0)).to_be_visible()
    await expect(one.get_by_role("button", name="Mark read")).to_have_count(0)
    assert await one.evaluate("window.renders") < many / 2, "each message is not shown by itself"

    await row(one, "Note 100").get_by_role("button", name="Mark unread").click()
    await expect(bell(one, 1)).to_be_visible()
    # Without scrolling to it.
    await one.get_by_role("button", name="Mark all read").evaluate("button => button.click()")
    await expect(bell(one, 0)).to_be_visible()
    await expect(one.get_by_role("button", name="Mark read")).to_have_count(0)
    await expect(rows(one)).to_have_count(many)
    assert await one.evaluate("scrollY") == scrolled
