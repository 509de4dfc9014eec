"""Preferences: what the form stores, what it says of a refusal, and what follows for what arrives."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.async_api import Locator, Page, expect
from tests.browser.stage import Server, Windows, bell, live, row, titles


async def opened(page: Page) -> Locator:
    """The form, once it is filled."""
    await page.get_by_role("button", name="Preferences").click()
    form = page.get_by_role("form", name="Preferences")
    await expect(form.get_by_role("button", name="Save")).to_be_visible()
    return form


async def save(form: Locator) -> None:
    await form.get_by_role("button", name="Save").click()
    await expect(form.get_by_text("Saved.")).to_be_visible()


async def hold_for_hours(form: Locator) -> None:
    """Quiet hours that it is the midst of, in UTC."""
    now = datetime.now(UTC)
    await form.get_by_label("Hold notifications").check()
    await form.get_by_label("From").fill((now - timedelta(hours=1)).strftime("%H:%M"))
    await form.get_by_label("To", exact=True).fill((now + timedelta(hours=2)).strftime("%H:%M"))
    await form.get_by_label("Time zone").fill("UTC")


async def test_what_is_saved_is_there_again(server: Server, windows: Windows) -> None:
    jonas = await live(await windows.open(server, "u2", timezone_id="Europe/Berlin"))
    form = await opened(jonas)
    await expect(jonas.get_by_role("heading", name="Preferences")).to_be_focused()
    await form.get_by_label("Type to mute").fill("episode:updated")
    await form.get_by_label("Type to mute").press("Enter")
    await form.get_by_label("Type to mute").fill("note")
    await form.get_by_label("Hold notifications").check()
    await expect(form.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    await form.get_by_label("From").fill("21:30")
    await form.get_by_label("To", exact=True).fill("06:15")
    for day in ("Saturday", "Sunday"):
        await form.get_by_role("checkbox", name=day).uncheck()
    await save(form)
    await jonas.get_by_role("button", name="Close").click()
    await expect(form).to_have_count(0)
    await expect(jonas.get_by_role("button", name="Preferences")).to_be_focused()

    await jonas.reload()
    await live(jonas)
    form = await opened(jonas)
    await expect(form.get_by_role("listitem")).to_have_text(["episode:updated", "note"])
    await expect(form.get_by_label("From")).to_have_value("21:30")
    await expect(form.get_by_label("To", exact=True)).to_have_value("06:15")
    await expect(form.get_by_role("checkbox", name="Friday")).to_be_checked()
    await expect(form.get_by_role("checkbox", name="Sunday")).not_to_be_checked()

    assert (await server.notify("u2", title="Muted"))["suppressed"]["muted"] == 1
    await form.get_by_role("button", name="Unmute note").click()
    await form.get_by_label("Hold notifications").uncheck()
    await save(form)
    await server.notify("u2", title="Heard again")
    await expect(titles(jonas)).to_have_text(["Heard again"])


async def test_a_refusal_is_shown_beside_its_field_and_what_was_typed_stays(server: Server, windows: Windows) -> None:
    jonas = await live(await windows.open(server, "u2"))
    form = await opened(jonas)
    await form.get_by_label("Hold notifications").check()

    async def refused(name: str, words: str) -> None:
        await form.get_by_role("button", name="Save").click()
        field = form.get_by_label(name, exact=True)
        await expect(field).to_have_attribute("aria-invalid", "true")
        await expect(field).to_have_accessible_description(words)
        await expect(field).to_be_focused()
        await expect(form.get_by_role("alert")).to_have_count(1)

    zone = form.get_by_label("Time zone")
    await zone.fill("Mars/Olympus")
    await refused("Time zone", "quiet_hours.timezone: 'Mars/Olympus' is not a time zone such as Europe/Berlin")
    await expect(zone).to_have_value("Mars/Olympus")
    await zone.fill("Europe/Berlin")

    await form.get_by_label("To", exact=True).fill(await form.get_by_label("From").input_value())
    await refused("To", "quiet_hours.end must differ from start: mute types to be left alone all day")
    await form.get_by_label("To", exact=True).fill("07:00")

    for day in await form.get_by_role("group", name="Days").get_by_role("checkbox").all():
        await day.uncheck()
    await form.get_by_role("button", name="Save").click()
    await expect(form.get_by_role("alert")).to_contain_text("quiet_hours.days")
    await form.get_by_role("checkbox", name="Monday").check()

    await save(form)
    await expect(form.get_by_role("alert")).to_have_count(0)
    await expect(form.get_by_role("button", name="Save")).to_be_focused()


async def test_what_is_no_type_is_refused_when_it_is_added(server: Server, windows: Windows) -> None:
    jonas = await live(await windows.open(server, "u2"))
    form = await opened(jonas)
    mute = form.get_by_label("Type to mute")
    for press in ("Add muted type", "Save"):
        await mute.fill("No Such Type!")
        await form.get_by_role("button", name=press).click()
        await expect(form.get_by_role("alert")).to_contain_text("small letters, digits and . _ : -")
        await expect(mute).to_have_attribute("aria-invalid", "true")
        await expect(mute).to_have_value("No Such Type!")
        await expect(mute).to_be_focused()
        await expect(form.get_by_role("listitem")).to_have_count(0)
        await mute.fill("no")
        await expect(form.get_by_role("alert")).to_have_count(0)
    await mute.fill("such:type")
    await save(form)
    await expect(form.get_by_role("listitem")).to_have_text(["such:type"])


async def test_muted_resources_and_settings_of_types_are_there_again(server: Server, windows: Windows) -> None:
    jonas = await live(await windows.open(server, "u2"))
    form = await opened(jonas)
    await form.get_by_label("Resource type").fill("episode")
    await form.get_by_label("Resource id").fill("4")
    await form.get_by_label("Resource id").press("Enter")
    await expect(form.get_by_label("Resource type")).to_be_focused()
    await form.get_by_label("Resource type").fill("shot")
    await form.get_by_label("Resource id").fill("031 0140")
    apart = form.get_by_label("Type to set apart")
    await apart.fill("job:failed")
    await apart.press("Enter")
    await expect(apart).to_be_focused()
    settings = form.get_by_role("group", name="Settings of job:failed")
    await settings.get_by_label("Passes quiet hours").check()
    await settings.get_by_label("Passes busy").check()
    await hold_for_hours(form)
    await save(form)

    await jonas.reload()
    await live(jonas)
    form = await opened(jonas)
    muted = form.get_by_role("list", name="Muted resources").get_by_role("listitem")
    await expect(muted).to_have_text(["episode 4", "shot 031 0140"])
    settings = form.get_by_role("group", name="Settings of job:failed")
    await expect(settings.get_by_label("Muted")).not_to_be_checked()
    for name in ("Passes quiet hours", "Passes busy"):
        await expect(settings.get_by_label(name)).to_be_checked()

    about = {"resource": {"type": "episode", "id": "4"}}
    assert (await server.notify("u2", title="Muted", **about))["suppressed"]["muted"] == 1
    assert (await server.notify("u2", title="Held"))["held"] == 1
    await server.notify("u2", title="Passes", type="job:failed")
    await expect(titles(jonas)).to_have_text(["Passes"])

    await form.get_by_role("button", name="Unmute episode 4").click()
    await expect(form.get_by_label("Resource type")).to_be_focused()
    await settings.get_by_label("Muted").check()
    await form.get_by_label("Hold notifications").uncheck()
    await save(form)
    await expect(titles(jonas)).to_have_text(["Held", "Passes"])
    await server.notify("u2", title="About it", **about)
    assert (await server.notify("u2", title="Muted", type="job:failed"))["suppressed"]["muted"] == 1
    await expect(titles(jonas)).to_have_text(["About it", "Held", "Passes"])

    await form.get_by_role("button", name="Remove the settings of job:failed").click()
    await expect(form.get_by_label("Type to set apart")).to_be_focused()
    await save(form)
    assert (await server.notify("u2", title="Heard again", type="job:failed"))["created"] == 1


async def test_what_is_wrong_with_a_resource_is_said_at_its_field(server: Server, windows: Windows) -> None:
    jonas = await live(await windows.open(server, "u2"))
    form = await opened(jonas)
    kind, which = form.get_by_label("Resource type"), form.get_by_label("Resource id")

    async def refused(field: Locator, press: str, words: str) -> None:
        await form.get_by_role("button", name=press).click()
        await expect(field).to_be_focused()
        await expect(form.locator("[aria-invalid='true']")).to_have_count(1)
        await expect(field).to_have_attribute("aria-invalid", "true")
        await expect(form.get_by_role("alert")).to_contain_text(words)
        await expect(field).to_have_accessible_description(re.compile(words))

    for press in ("Add muted resource", "Save"):
        await kind.fill("No Such Type!")
        await which.fill("4")
        await refused(kind, press, "small letters, digits")
        await kind.fill("episode")
        await expect(form.get_by_role("alert")).to_have_count(0)
        await which.fill("")
        await refused(which, press, "give its id too")
        await which.fill("4" * 201)
        await refused(which, press, "at most 200 characters")
    await which.fill("4")
    await save(form)
    await expect(form.get_by_role("list", name="Muted resources").get_by_role("listitem")).to_have_text(["episode 4"])


async def test_a_type_that_the_server_refuses_is_said_where_it_was_set(
    tmp_path: Path, dsn: str, windows: Windows
) -> None:
    server = Server(tmp_path / "data", demo=True, DATABASE_URL=dsn, NOTIFICATION_TYPES="note")
    await server.start()
    try:
        jonas = await live(await windows.open(server, "u2"))
        form = await opened(jonas)
        apart = form.get_by_label("Type to set apart")
        await apart.fill("job:failed")
        await form.get_by_role("button", name="Save").click()
        await expect(apart).to_have_accessible_description(re.compile(r"types\.job:failed must be one of note"))
        await expect(apart).to_be_focused()
        await form.get_by_role("button", name="Remove the settings of job:failed").click()
        await expect(form.get_by_role("alert")).to_have_count(0)
        await save(form)
    finally:
        server.stop()


async def test_settings_and_resources_that_are_not_saved_are_not_dropped(server: Server, windows: Windows) -> None:
    jonas = await live(await windows.open(server, "u2"))
    form = await opened(jonas)
    for label, words in (("Resource type", "episode"), ("Resource id", "4"), ("Type to set apart", "note")):
        await form.get_by_label(label).fill(words)
        await jonas.keyboard.press("Escape")
        await expect(form.get_by_role("alert")).to_have_text("Your changes are not saved.")
        await form.get_by_label(label).fill("")
        await expect(form.get_by_role("alert")).to_have_count(0)
    await form.get_by_label("Type to set apart").fill("note")
    await save(form)
    await form.get_by_label("Passes quiet hours").check()
    await jonas.keyboard.press("Escape")
    await expect(form.get_by_role("alert")).to_have_text("Your changes are not saved.")
    await form.get_by_label("Passes quiet hours").uncheck()
    await jonas.keyboard.press("Escape")
    await expect(form).to_have_count(0)


async def test_what_is_not_saved_is_not_dropped_without_a_word(server: Server, windows: Windows) -> None:
    jonas = await live(await windows.open(server, "u2"))
    form = await opened(jonas)
    button = jonas.get_by_role("button", name="Preferences")
    await form.get_by_label("Type to mute").fill("job:progress")
    await form.get_by_label("Type to mute").press("Enter")
    for way in ("Close", "Escape", "Preferences"):
        if way == "Escape":
            await jonas.keyboard.press(way)
        else:
            await jonas.get_by_role("button", name=way).click()
        await expect(form.get_by_role("alert")).to_have_text("Your changes are not saved.")
        await expect(form.get_by_role("button", name="Save")).to_be_focused()
        await form.get_by_label("Hold notifications").click()  # goes on
        await expect(form.get_by_role("alert")).to_have_count(0)

    await save(form)
    await jonas.keyboard.press("Escape")
    await expect(form).to_have_count(0)
    await expect(button).to_be_focused()

    form = await opened(jonas)
    await expect(form.get_by_role("listitem")).to_have_text(["job:progress"])
    await form.get_by_role("button", name="Unmute job:progress").click()
    await jonas.keyboard.press("Escape")
    await form.get_by_role("button", name="Discard changes").click()
    await expect(form).to_have_count(0)
    await expect(button).to_be_focused()
    form = await opened(jonas)
    await expect(form.get_by_role("listitem")).to_have_text(["job:progress"])


async def test_what_another_tab_saves_meanwhile_stays(server: Server, windows: Windows) -> None:
    tabs = [await live(await windows.open(server, "u2")) for _ in range(2)]
    forms = [await opened(tab) for tab in tabs]
    for form, name in zip(forms, ("from:first", "from:second"), strict=True):
        await form.get_by_label("Type to mute").fill(name)
        await form.get_by_label("Type to mute").press("Enter")
    await save(forms[1])
    await save(forms[0])
    await expect(forms[0].get_by_role("listitem")).to_have_text(["from:second", "from:first"])
    await tabs[1].reload()
    form = await opened(await live(tabs[1]))
    await expect(form.get_by_role("listitem")).to_have_text(["from:second", "from:first"])


async def test_of_quiet_hours_that_two_tabs_change_those_saved_last_stay(server: Server, windows: Windows) -> None:
    tabs = [await live(await windows.open(server, "u2", timezone_id="UTC")) for _ in range(2)]
    first, second = [await opened(tab) for tab in tabs]
    await first.get_by_label("Hold notifications").check()
    await first.get_by_label("From").fill("21:00")
    await save(first)
    await save(second)  # which changed nothing, and takes them over
    await expect(second.get_by_label("From")).to_have_value("21:00")

    await first.get_by_label("From").fill("20:00")
    await second.get_by_label("To", exact=True).fill("08:00")
    await save(first)
    await save(second)
    await expect(second.get_by_label("From")).to_have_value("21:00")
    await tabs[0].reload()
    form = await opened(await live(tabs[0]))
    await expect(form.get_by_label("From")).to_have_value("21:00")
    await expect(form.get_by_label("To", exact=True)).to_have_value("08:00")


async def test_what_is_muted_at_a_row_meanwhile_keeps_what_is_not_saved(server: Server, windows: Windows) -> None:
    await server.notify("u2", title="Too many of these", type="job:progress")
    jonas = await live(await windows.open(server, "u2"))
    form = await opened(jonas)
    await form.get_by_label("Type to mute").fill("mine")
    await form.get_by_label("Type to mute").press("Enter")
    await form.get_by_label("Hold notifications").check()
    await row(jonas, "Too many").get_by_role("button", name="Why?").click()
    await row(jonas, "Too many").get_by_role("button", name="Mute job:progress", exact=True).click()
    await expect(form.get_by_role("listitem")).to_have_text(["job:progress", "mine"])
    await expect(form.get_by_label("Hold notifications")).to_be_checked()


async def test_quiet_hours_hold_and_let_go(server: Server, windows: Windows) -> None:
    jonas = await live(await windows.open(server, "u2", timezone_id="UTC"))
    other = await live(await windows.open(server, "u2"))
    form = await opened(jonas)
    await hold_for_hours(form)
    await save(form)

    for title in ("First", "Second"):
        assert (await server.notify("u2", title=title))["held"] == 1
    await server.notify("u2", title="Fire", priority="urgent")
    for page in (jonas, other):
        await expect(titles(page)).to_have_text(["Fire"])
        await expect(bell(page, 1)).to_be_visible()

    await form.get_by_label("Hold notifications").uncheck()
    await save(form)
    for page in (jonas, other):
        await expect(titles(page)).to_have_text(["Second", "First", "Fire"])
        await expect(bell(page, 3)).to_be_visible()
    await row(jonas, "First").get_by_role("button", name="Why?").click()
    await expect(row(jonas, "First").get_by_role("status")).to_contain_text("because of quiet hours from")
    await row(jonas, "Fire").get_by_role("button", name="Why?").click()
    await expect(row(jonas, "Fire").get_by_role("status")).to_contain_text("because it is urgent")
