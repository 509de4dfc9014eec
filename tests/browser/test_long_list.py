"""A page that is left open: its list does not grow for ever, and loses nothing that a person looks at or works in."""

from __future__ import annotations

from playwright.async_api import Page, expect
from tests.browser.stage import Server, Windows, bell, live, row, rows, titles

KEPT = 200  # `KEPT` and `ROOM` of web/src/elements/trim.ts
ROOM = 100
MANY = KEPT + ROOM + 50
TOP_OF_ROW = "row => row.getBoundingClientRect().top"


def notes(count: int) -> list[str]:
    return [f"Note {number:03}" for number in reversed(range(count))]


async def left_open(server: Server, windows: Windows) -> Page:
    """A page at its top, once many have arrived and what is too many is gone."""
    page = await live(await windows.open(server, "u2"))
    await server.notify_each("u2", list(reversed(notes(MANY))))
    await expect(titles(page).first).to_have_text(notes(MANY)[0])
    await expect(rows(page).nth(KEPT + ROOM)).to_have_count(0)
    await expect(bell(page, MANY)).to_be_visible()
    return page


async def show_all(page: Page, count: int) -> None:
    """Show older ones until there are none."""
    older = page.get_by_role("button", name="Show older")
    while (shown := await rows(page).count()) < count:
        await older.click()
        await expect(rows(page)).not_to_have_count(shown)
    await expect(older).to_have_count(0)


async def arrive(server: Server, page: Page, *names: str) -> None:
    """Each is shown before the next is sent: so of all but the last is shown, too, what followed from it."""
    for name in names:
        await server.notify("u2", title=name)
        await expect(titles(page).first).to_have_text(name)


async def test_a_list_at_its_top_stays_short_and_can_be_shown_to_its_end(server: Server, windows: Windows) -> None:
    jonas = await left_open(server, windows)
    shown = await titles(jonas).all_text_contents()
    assert len(shown) >= KEPT
    assert shown == notes(MANY)[: len(shown)]

    await show_all(jonas, MANY)
    assert await titles(jonas).all_text_contents() == notes(MANY)
    await expect(bell(jonas, MANY)).to_be_visible()

    await jonas.evaluate("scrollTo(0, 0)")
    await arrive(server, jonas, "One more")
    await expect(rows(jonas)).to_have_count(KEPT)
    await expect(jonas.get_by_role("button", name="Show older")).to_be_visible()
    await expect(bell(jonas, MANY + 1)).to_be_visible()
    await row(jonas, "One more").get_by_role("button", name="Archive").click()
    await expect(rows(jonas)).to_have_count(KEPT - 1)
    assert await titles(jonas).all_text_contents() == notes(MANY)[: KEPT - 1]


async def test_a_long_list_keeps_what_is_in_view_and_what_has_the_focus(server: Server, windows: Windows) -> None:
    jonas = await left_open(server, windows)
    await show_all(jonas, MANY)

    last = row(jonas, "Note 000")
    await last.scroll_into_view_if_needed()
    before = await last.evaluate(TOP_OF_ROW)
    await arrive(server, jonas, "While one reads", "And again")
    await expect(rows(jonas)).to_have_count(MANY + 2)
    await expect(last).to_be_in_viewport()
    assert abs(await last.evaluate(TOP_OF_ROW) - before) < 1, "it stays where it is, but for the part of a pixel"

    button = last.get_by_role("button", name="Mark read")
    await button.focus()
    await jonas.evaluate("scrollTo(0, 0)")
    await arrive(server, jonas, "While one works", "And again")
    await expect(rows(jonas)).to_have_count(MANY + 4)
    await expect(button).to_be_focused()

    await button.press("Enter")
    await expect(last.get_by_role("button", name="Mark unread")).to_be_focused()
    await jonas.evaluate("scrollTo(0, 0)")
    await jonas.get_by_role("button", name="Mark all read").focus()
    await arrive(server, jonas, "Nobody is there now")
    await expect(rows(jonas)).to_have_count(KEPT)
