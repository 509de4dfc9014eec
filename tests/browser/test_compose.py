"""The form that sends: what it says of a field, until when, and where the keyboard focus is meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, expect
from tests.browser.stage import Server, Windows, live


async def opened(server: Server, windows: Windows) -> tuple[Page, Locator]:
    """The page of an admin, and its form."""
    page = await live(await windows.open(server, "u1", timezone_id="UTC"))
    return page, page.get_by_role("form", name="Send a notification")


async def press_send(form: Locator) -> None:
    await form.get_by_role("button", name="Send", exact=True).click()


async def prefer(server: Server, user: str, **choices: Any) -> None:
    """Choose preferences by REST."""
    headers = {"Authorization": f"Bearer {server.token(user)}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        (await client.post("/api/v1/notifications/preferences", json=choices)).raise_for_status()


async def test_what_became_of_it_is_said_as_it_is(server: Server, windows: Windows) -> None:
    _, form = await opened(server, windows)
    said = form.get_by_role("status")

    async def send(title: str) -> None:
        await form.get_by_label("Title").fill(title)
        await press_send(form)
        await expect(form.get_by_label("Title")).to_have_value("")

    await prefer(server, "u2", muted_types=["note"])
    await send("To who has muted it")
    await expect(said).to_have_text("Jonas Weber has muted this type: it was not delivered.")
    await form.get_by_role("checkbox", name="Aiko Tan").check()
    await send("To two, of whom one has muted it")
    await expect(said).to_have_text("Sent to 1 of 2; 1 has muted it.")

    await form.get_by_role("checkbox", name="Aiko Tan").uncheck()
    now = datetime.now(UTC)
    start, end = ((now + timedelta(hours=hours)).strftime("%H:%M") for hours in (-1, 2))
    await prefer(server, "u2", muted_types=[], quiet_hours={"start": start, "end": end, "timezone": "UTC"})
    await send("To who is not to be disturbed")
    await expect(said).to_contain_text("Held until ")
    await expect(said).to_contain_text(f"{end}: Jonas Weber has quiet hours.")


async def test_a_refusal_of_the_page_goes_with_an_edit_and_does_not_hide_that_it_was_sent(
    server: Server, windows: Windows
) -> None:
    _, form = await opened(server, windows)
    jonas = form.get_by_role("checkbox", name="Jonas Weber")
    await jonas.uncheck()
    await form.get_by_label("Title").fill("To whom?")
    await press_send(form)
    await expect(form.get_by_role("alert")).to_have_text("Choose who gets it.")
    await expect(jonas).to_be_focused()

    await form.get_by_label("Title").fill("To whom")  # another field's edit mends nothing
    await expect(form.get_by_role("alert")).to_have_count(1)
    await jonas.check()
    await expect(form.get_by_role("alert")).to_have_count(0)
    await press_send(form)
    await expect(form.get_by_role("status")).to_contain_text("Sent to Jonas Weber.")
    await expect(form.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize(
    ("label", "wrong", "words", "right"),
    [
        ("Title", "\u00a0\u200b ", "Give it a title that can be read", "Readable"),
        ("Title", "x" * 201, "200", "Readable"),  # the server's words
        ("Type", "No Such Type!", "A type has small letters, digits and . _ : -", "note"),
    ],
)
async def test_a_refusal_stands_at_its_field_until_that_is_edited(
    server: Server, windows: Windows, label: str, wrong: str, words: str, right: str
) -> None:
    _, form = await opened(server, windows)
    await form.get_by_label("Title").fill("A title")
    field = form.get_by_label(label, exact=True)
    await field.fill(wrong)
    await press_send(form)
    await expect(form.get_by_role("alert")).to_contain_text(words)
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_accessible_description(await form.get_by_role("alert").inner_text())
    await expect(field).to_be_focused()
    await field.fill(right)
    await expect(form.get_by_role("alert")).to_have_count(0)
    await press_send(form)
    await expect(form.get_by_role("status")).to_contain_text("Sent to")


async def test_what_was_not_sent_is_said_until_the_server_is_back_and_the_focus_stays(
    server: Server, windows: Windows
) -> None:
    page, form = await opened(server, windows)
    await form.get_by_label("Title").fill("Meanwhile")
    server.kill()
    await expect(page.get_by_text("it catches up by itself")).to_be_visible()
    await press_send(form)
    await expect(form.get_by_role("alert")).to_have_text("The server cannot be reached.")
    await expect(form.get_by_role("button", name="Send", exact=True)).to_be_focused()

    await server.start()
    await live(page)
    await expect(form.get_by_role("alert")).to_have_count(0)
    await expect(form.get_by_label("Title")).to_have_value("Meanwhile")
