"""What a person does with an inbox: groups that grow, the archive, what was seen, why one came; in all tabs alike."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, Response, expect
from tests.browser.stage import Server, Windows, bell, live, row, rows, titles

HIDDEN = "text => text.scrollHeight - text.clientHeight"  # pixels of it that are not shown


async def two_tabs(server: Server, windows: Windows, user: str) -> tuple[Page, Page]:
    return await live(await windows.open(server, user)), await live(await windows.open(server, user))


async def show(page: Page, name: str) -> None:
    await page.get_by_role("group", name="Show").get_by_role("button", name=name, exact=True).click()


async def test_a_group_folds_before_ones_eyes_and_comes_to_the_top(server: Server, windows: Windows) -> None:
    group = {"type": "episode:updated", "group_key": "episode-4"}
    await server.notify("u2", title="Scene 12 changed", actor="u3", **group)
    await server.notify("u2", title="Call sheet")
    tabs = await two_tabs(server, windows, "u2")
    for page in tabs:
        await expect(titles(page)).to_have_text(["Call sheet", "Scene 12 changed"])

    await server.notify("u2", title="Scene 13 changed", actor="u1", **group)
    for page in tabs:
        await expect(titles(page)).to_have_text(["Mira Okafor and 1 other: Scene 13 changed", "Call sheet"])
        await expect(row(page, "Scene 13")).to_contain_text("2 in one")
        await expect(bell(page, 2)).to_be_visible()

    # What was read is not added to: the next one begins a group of its own.
    await row(tabs[0], "Scene 13").get_by_role("button", name="Mark read").click()
    await expect(bell(tabs[1], 1)).to_be_visible()
    await server.notify("u2", title="Scene 14 changed", actor="u1", **group)
    for page in tabs:
        await expect(titles(page)).to_have_text(
            ["Scene 14 changed", "Mira Okafor and 1 other: Scene 13 changed", "Call sheet"]
        )
        await expect(bell(page, 2)).to_be_visible()


async def test_a_group_comes_to_the_top_from_below_what_is_loaded(server: Server, windows: Windows) -> None:
    await server.notify("u2", title="Old", actor="u3", group_key="old")
    for number in range(30):
        await server.notify("u2", title=f"Note {number:02}")
    jonas = await live(await windows.open(server, "u2"))
    await expect(rows(jonas)).to_have_count(30)
    await expect(row(jonas, "Old")).to_have_count(0)
    await server.notify("u2", title="Old again", actor="u3", group_key="old")
    await expect(titles(jonas).first).to_have_text("Aiko Tan: Old again")
    await expect(rows(jonas)).to_have_count(31)
    await jonas.get_by_role("button", name="Show older").click()
    await expect(jonas.get_by_role("button", name="Show older")).to_have_count(0)
    await expect(rows(jonas)).to_have_count(31)


async def test_what_is_archived_in_one_tab_leaves_the_other_and_comes_back(server: Server, windows: Windows) -> None:
    for title in ("First", "Second", "Third"):
        await server.notify("u2", title=title)
    one, two = await two_tabs(server, windows, "u2")
    await expect(bell(two, 3)).to_be_visible()

    await row(one, "Second").get_by_role("button", name="Archive").press("Enter")
    for page in (one, two):
        await expect(titles(page)).to_have_text(["Third", "First"])
        await expect(bell(page, 2)).to_be_visible()
    await expect(one.get_by_text("Archived: Second")).to_have_count(1)  # said to who cannot see it
    await expect(row(one, "First").get_by_role("button", name="Mark read")).to_be_focused()

    await show(two, "Archived")
    await expect(titles(two)).to_have_text(["Second"])
    await row(one, "Third").get_by_role("button", name="Archive").click()
    await expect(titles(two)).to_have_text(["Third", "Second"])
    await two.reload()  # the archive is loaded anew with what came while it was not shown
    await show(two, "Archived")
    await expect(titles(two)).to_have_text(["Third", "Second"])

    await row(two, "Second").get_by_role("button", name="Move to inbox").click()
    await expect(titles(two)).to_have_text(["Third"])
    await expect(titles(one)).to_have_text(["Second", "First"])
    await row(two, "Third").get_by_role("button", name="Delete").click()
    await expect(two.get_by_text("Nothing archived")).to_be_visible()
    await show(two, "Inbox")
    for page in (one, two):
        await expect(titles(page)).to_have_text(["Second", "First"])
        await expect(bell(page, 2)).to_be_visible()


async def test_counts_agree_in_two_tabs(server: Server, windows: Windows) -> None:
    one, two = await two_tabs(server, windows, "u2")

    async def agree(unread: int) -> None:
        for page in (one, two):
            await expect(bell(page, unread)).to_be_visible()

    await server.notify("u2", "u3", title="To both")  # a batch, which is told without a count
    await agree(1)
    await server.notify("u2", "u3", title="To both again")
    await agree(2)
    await server.notify("u2", title="To one")
    await agree(3)
    await row(one, "To one").get_by_role("button", name="Mark read").click()
    await agree(2)
    await row(two, "To one").get_by_role("button", name="Mark unread").click()
    await agree(3)
    await row(two, "To one").get_by_role("button", name="Archive").click()
    await agree(2)
    await show(one, "Archived")
    await row(one, "To one").get_by_role("button", name="Move to inbox").click()
    await agree(3)
    await two.get_by_role("button", name="Mark all read").click()
    await agree(0)
    await server.notify("u2", "u3", title="A last one to both")
    await agree(1)
    await row(two, "A last one").get_by_role("button", name="Delete").click()
    await agree(0)


async def test_what_is_shown_is_told_as_seen_once(server: Server, windows: Windows) -> None:
    def is_seen(answer: Response) -> bool:
        return answer.url.endswith("/notifications/seen")

    for title in ("First", "Second"):
        await server.notify("u2", title=title)
    jonas = await windows.open(server)
    async with jonas.expect_response(is_seen) as told:
        await jonas.get_by_role("button", name="Jonas Weber").click()
    assert await (await told.value).json() == {"updated": 2}
    await expect(bell(jonas, 2)).to_be_visible()  # seen is not read

    await jonas.reload()
    await live(jonas)
    await expect(rows(jonas)).to_have_count(2)
    async with jonas.expect_response(is_seen) as told:
        await server.notify("u2", title="Third")
    assert await (await told.value).json() == {"updated": 1}, "and no other is told of again"


async def test_one_asks_why_and_mutes_the_type(server: Server, windows: Windows) -> None:
    await server.notify("u2", title="Too many of these", type="job:progress")
    jonas = await live(await windows.open(server, "u2"))
    why = row(jonas, "Too many").get_by_role("button", name="Why?")
    await why.click()
    await expect(why).to_have_attribute("aria-expanded", "true")
    await expect(row(jonas, "Too many").get_by_role("status")).to_have_text("It arrived at once.")

    await row(jonas, "Too many").get_by_role("button", name="Mute job:progress", exact=True).click()
    unmute = row(jonas, "Too many").get_by_role("button", name="Unmute job:progress")
    await expect(unmute).to_be_visible()
    assert (await server.notify("u2", title="Muted", type="job:progress"))["suppressed"]["muted"] == 1
    await unmute.click()
    await expect(row(jonas, "Too many").get_by_role("button", name="Mute job:progress", exact=True)).to_be_visible()
    await server.notify("u2", title="Wanted again", type="job:progress")
    await expect(titles(jonas)).to_have_text(["Wanted again", "Too many of these"])
    await why.click()
    await expect(row(jonas, "Too many").get_by_role("status")).to_have_count(0)


@pytest.mark.parametrize("width", [1180, 390])
async def test_a_long_text_unfolds_and_a_short_one_has_nothing_to_unfold(
    server: Server, windows: Windows, width: int
) -> None:
    lines = "\n".join(f"Line {number}" for number in range(1, 21))
    await server.notify("u2", title="Long", message=lines)
    await server.notify("u2", title="Six lines", message="\n".join(lines.splitlines()[:6]))
    jonas = await live(await windows.open(server, "u2", viewport={"width": width, "height": 800}))
    text = row(jonas, "Long").locator(".message")
    more = row(jonas, "Long").get_by_role("button", name="Show more: Long")
    await expect(more).to_have_attribute("aria-expanded", "false")
    await expect(row(jonas, "Six lines").get_by_role("button", name="Show more")).to_have_count(0)
    assert await text.evaluate(HIDDEN) > 0

    await more.press("Enter")
    less = row(jonas, "Long").get_by_role("button", name="Show less: Long")
    await expect(less).to_have_attribute("aria-expanded", "true")
    await expect(less).to_be_focused()
    assert await text.evaluate(HIDDEN) == 0
    await less.press("Space")
    await expect(more).to_be_focused()
    assert await text.evaluate(HIDDEN) > 0


async def test_a_text_that_grows_or_has_less_room_can_be_unfolded(server: Server, windows: Windows) -> None:
    group = {"group_key": "growing", "actor": "u3"}
    await server.notify("u2", title="Growing", message="1\n2\n3\n4\n5\n6", **group)
    await server.notify("u2", title="Wide", message="words " * 60)
    jonas = await live(await windows.open(server, "u2", viewport={"width": 1180, "height": 800}))
    more = rows(jonas).get_by_role("button", name="Show more")
    await expect(rows(jonas)).to_have_count(2)
    await expect(more).to_have_count(0)
    await server.notify("u2", title="Growing", message="1\n2\n3\n4\n5\n6\n7", **group)  # as high as before
    await expect(row(jonas, "Growing").get_by_role("button", name="Show more")).to_be_visible()
    await jonas.set_viewport_size({"width": 390, "height": 800})
    await expect(more).to_have_count(2)
    await jonas.set_viewport_size({"width": 1180, "height": 800})
    await expect(more).to_have_count(1)
