"""The page itself: signing in, refusals in the server's words, and how it looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.browser.stage import Server, Windows, bell, live, row, rows

# What one can touch for each control, in CSS pixels: a checkbox's label is pressed for it.
TARGETS = """controls => controls.map(control => {
    const target = control.type === 'checkbox' ? control.closest('label') : control
    const { width, height } = target.getBoundingClientRect()
    return { name: control.outerHTML.slice(0, 90), width, height }
})"""


async def test_one_picks_an_example_user_and_the_address_keeps_the_choice(server: Server, windows: Windows) -> None:
    await server.notify("u3", title="For Aiko")
    page = await windows.open(server)
    await page.get_by_role("button", name="Jonas Weber").click()
    await live(page)
    assert page.url.endswith("/#u2")
    await expect(page.get_by_text("Nothing on the board")).to_be_visible()
    # Only an admin can send.
    await expect(page.get_by_role("button", name="Send", exact=True)).to_have_count(0)

    await page.get_by_label("You are").select_option("u3")
    await expect(row(page, "For Aiko")).to_be_visible()
    await page.reload()
    await expect(row(page, "For Aiko")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_text("Nothing on the board")).to_be_visible()


async def test_a_refusal_is_shown_in_the_servers_words_and_the_text_stays(server: Server, windows: Windows) -> None:
    mira = await live(await windows.open(server, "u1"))
    await mira.get_by_label("Title").fill("Kept")
    await mira.get_by_label("Type", exact=True).fill("No Such Type!")
    await mira.get_by_role("button", name="Send", exact=True).click()
    await expect(mira.get_by_role("alert")).to_contain_text("type")
    await expect(mira.get_by_label("Title")).to_have_value("Kept")

    await mira.get_by_label("Type", exact=True).fill("note")
    await mira.get_by_label("Title").press("Control+Enter")
    await expect(mira.get_by_text("Sent to Jonas Weber.")).to_be_visible()
    await expect(mira.get_by_role("alert")).to_have_count(0)
    await expect(mira.get_by_label("Title")).to_have_value("")


async def test_without_demo_one_pastes_a_token(plain_server: Server, windows: Windows) -> None:
    page = await windows.open(plain_server)
    token = page.get_by_label("Token")
    await token.fill("not a token")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("not a token")

    good = plain_server.token("u9", name="Ines Marsh")
    head, claims, signature = good.split(".")
    await token.fill(f"{head}.{claims}.{'A' * len(signature)}")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("The server refused this token")

    await token.fill(good)
    await page.get_by_role("button", name="Sign in").click()
    await live(page)
    await expect(page.get_by_text("Ines Marsh")).to_be_visible()
    assert good not in page.url
    await plain_server.notify("u9", title="For Ines")
    await expect(row(page, "For Ines")).to_be_visible()

    await page.reload()
    await expect(row(page, "For Ines")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await page.reload()
    await expect(page.get_by_label("Token")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "scheme", "width", "height"),
    [("light", "light", 1180, 820), ("dark", "dark", 1180, 820), ("narrow", "light", 360, 780)],
)
async def test_it_fits_light_dark_and_narrow_windows(
    server: Server, windows: Windows, shots: Path, name: str, scheme: str, width: int, height: int
) -> None:
    await server.notify("u1", title="Call sheet for Thursday is final", priority="low")
    await server.notify("u1", title="Rough cut ready", message="Please look at the cold open first.", priority="high")
    await server.notify("u1", title="Shots_18_to_22_stopped_" * 6, type="job:failed", priority="urgent")
    mira = await live(
        await windows.open(server, "u1", color_scheme=scheme, viewport={"width": width, "height": height})
    )
    await expect(rows(mira)).to_have_count(3)
    await expect(bell(mira, 3)).to_be_visible()
    await mira.screenshot(path=shots / f"test-{name}.png", full_page=True, animations="disabled")
    assert await mira.evaluate("document.documentElement.scrollWidth") <= width

    await mira.get_by_role("button", name="Preferences").click()
    await mira.get_by_label("Hold notifications").check()
    await mira.get_by_label("Type to mute").fill("a" * 64)
    await mira.get_by_label("Resource type").fill("episode")
    await mira.get_by_label("Resource id").fill("4" * 200)
    await mira.get_by_label("Type to set apart").fill("job:failed")
    for what in ("muted type", "muted resource", "settings of a type"):
        await mira.get_by_role("button", name=f"Add {what}").click()
    await mira.get_by_label("Passes quiet hours").check()
    await rows(mira).first.get_by_role("button", name="Why?").click()
    await expect(rows(mira).first.get_by_text("It arrived at once.")).to_be_visible()
    await mira.screenshot(path=shots / f"test-{name}-preferences.png", full_page=True, animations="disabled")
    assert await mira.evaluate("document.documentElement.scrollWidth") <= width


async def test_an_address_that_is_no_proper_text_names_nobody(server: Server, windows: Windows) -> None:
    page = await windows.open(server, "%")
    await expect(page.get_by_text("There is no example user “%”.")).to_be_visible()


async def test_a_finger_finds_every_control(server: Server, windows: Windows) -> None:
    await server.notify("u1", title="Long", message="\n".join("abcdefgh"))
    mira = await live(
        await windows.open(server, "u1", viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    )
    await mira.get_by_role("button", name="Preferences").tap()
    await mira.get_by_label("Hold notifications").check()
    await mira.get_by_label("Type to mute").fill("job:progress")
    await mira.get_by_role("button", name="Add muted type").tap()
    await mira.get_by_label("Resource type").fill("episode")
    await mira.get_by_label("Resource id").fill("4")
    await mira.get_by_role("button", name="Add muted resource").tap()
    await mira.get_by_label("Type to set apart").fill("job:failed")
    await mira.get_by_role("button", name="Add settings of a type").tap()
    await rows(mira).first.get_by_role("button", name="Why?").tap()
    await expect(rows(mira).first.get_by_role("button", name="Mute note", exact=True)).to_be_visible()
    controls = mira.locator("button:visible:not(.skip), select:visible, input:visible, textarea:visible")
    sizes = await controls.evaluate_all(TARGETS)
    assert len(sizes) > 30
    assert [size for size in sizes if min(size["width"], size["height"]) < 40] == []


async def test_one_skips_the_list_by_keyboard(server: Server, windows: Windows) -> None:
    await server.notify("u1", title="Skipped")
    mira = await live(await windows.open(server, "u1"))
    await expect(rows(mira)).to_have_count(1)
    await bell(mira, 1).focus()
    await mira.keyboard.press("Tab")
    skip = mira.get_by_role("button", name="Skip to sending")
    await expect(skip).to_be_focused()
    await mira.keyboard.press("Enter")
    await expect(mira.get_by_role("heading", name="Send a notification")).to_be_focused()
