"""Preferences over REST: defaults, changes of a part, and what is refused, by the name of its field."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from zoneinfo import available_timezones

import httpx
import pytest
from tests.integration.notifications.inbox import Inbox
from tests.rest_client import bearer, client_for, slice_endpoints

from callboard.errors import Invalid
from callboard.notifications.preferences import QuietHours
from callboard.store.database import Database

PATH = "/api/v1/notifications/preferences"
U1, U2 = bearer("u1"), bearer("u2")
DEFAULTS: dict[str, Any] = {"muted_types": [], "muted_resources": [], "quiet_hours": None, "types": {}}
NIGHT = {"start": "22:00", "end": "07:00", "timezone": "Europe/Berlin"}
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(slice_endpoints(database)) as opened:
        yield opened


async def update(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    response = await client.post(PATH, headers=U1, json=changes)
    assert response.status_code == 200, response.text
    return without_time(response)


def without_time(response: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = response.json()
    assert found.pop("updated_at").endswith("Z")
    return found


async def test_asking_makes_the_defaults_once(client: httpx.AsyncClient, database: Database) -> None:
    answers = [await client.get(PATH, headers=U1) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert without_time(answers[0]) == DEFAULTS
    rows = await database.fetch("select user_id from callboard.notification_preferences")
    assert [row["user_id"] for row in rows] == ["u1"]


async def test_first_askers_at_once_all_get_them(client: httpx.AsyncClient, database: Database) -> None:
    """The others see the row neither in their snapshot nor as their own."""
    async with database.transaction() as first:
        await first.execute("insert into callboard.notification_preferences (user_id) values ('u1')")
        waiting = asyncio.create_task(client.get(PATH, headers=U1))
        while not await database.fetchval("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0)
    assert without_time(await waiting) == DEFAULTS


async def test_a_part_is_changed_and_the_rest_stays(client: httpx.AsyncClient) -> None:
    resources = [{"type": "episode", "id": "4"}]
    assert await update(client, muted_types=["b", "a", "b"]) == {**DEFAULTS, "muted_types": ["b", "a"]}
    assert await update(client, muted_resources=resources, quiet_hours=NIGHT) == {
        **DEFAULTS,
        "muted_types": ["b", "a"],
        "muted_resources": resources,
        "quiet_hours": {**NIGHT, "days": DAYS},
    }
    changed = await update(client, types={"a": {"attention": False}})
    assert changed["types"] == {"a": {"muted": False, "quiet_hours": True, "attention": False}}
    assert changed["quiet_hours"]["start"] == "22:00"
    assert (await update(client, quiet_hours=None))["quiet_hours"] is None
    assert (await update(client, muted_types=[]))["muted_resources"] == resources
    assert await update(client) == without_time(await client.get(PATH, headers=U1))
    assert without_time(await client.get(PATH, headers=U2)) == DEFAULTS


async def test_a_change_is_dated(client: httpx.AsyncClient, database: Database) -> None:
    await update(client)
    await database.execute("alter table callboard.notification_preferences disable trigger all")
    await database.execute("update callboard.notification_preferences set updated_at = '2026-01-01T00:00Z'")
    await database.execute("alter table callboard.notification_preferences enable trigger all")
    assert (await client.get(PATH, headers=U1)).json()["updated_at"] == "2026-01-01T00:00:00.000Z"
    changed = await client.post(PATH, headers=U1, json={"muted_types": ["a"]})
    assert changed.json()["updated_at"] > "2026-01-02"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"muted_types": "a"}, "muted_types"),
        ({"muted_types": ["a", "Bad"]}, "muted_types[1]"),
        ({"muted_types": [f"t{n}" for n in range(1001)]}, "muted_types"),
        ({"muted_resources": [{"type": "episode"}]}, "muted_resources[0].id"),
        ({"muted_resources": [{"type": "Episode", "id": "4"}]}, "muted_resources[0].type"),
        ({"quiet_hours": {**NIGHT, "start": "24:00"}}, "quiet_hours.start"),
        ({"quiet_hours": {**NIGHT, "start": "7:00"}}, "quiet_hours.start"),
        ({"quiet_hours": {**NIGHT, "end": "07:60"}}, "quiet_hours.end"),
        ({"quiet_hours": {**NIGHT, "end": "22:00"}}, "quiet_hours.end"),
        ({"quiet_hours": {**NIGHT, "end": "07:00\n"}}, "quiet_hours.end"),
        ({"quiet_hours": {"start": "22:00", "end": "07:00"}}, "quiet_hours.timezone"),
        ({"quiet_hours": {**NIGHT, "timezone": "Europe/Atlantis"}}, "quiet_hours.timezone"),
        ({"quiet_hours": {**NIGHT, "timezone": "../etc/passwd"}}, "quiet_hours.timezone"),
        ({"quiet_hours": {**NIGHT, "timezone": "europe/berlin"}}, "quiet_hours.timezone"),
        ({"quiet_hours": {**NIGHT, "timezone": "CET-1CEST"}}, "quiet_hours.timezone"),
        ({"quiet_hours": {**NIGHT, "timezone": ""}}, "quiet_hours.timezone"),
        ({"quiet_hours": {**NIGHT, "days": []}}, "quiet_hours.days"),
        ({"quiet_hours": {**NIGHT, "days": ["mon", "mon"]}}, "quiet_hours.days"),
        ({"quiet_hours": {**NIGHT, "days": ["monday"]}}, "quiet_hours.days[0]"),
        ({"types": {"Bad": {}}}, "types"),
        ({"types": {"a": {"muted": "yes"}}}, "types.muted"),
        ({"types": {"a": {"sound": True}}}, "types.sound"),
        ({"other": 1}, None),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_changes(
    client: httpx.AsyncClient, changes: dict[str, Any], field: str | None
) -> None:
    before = await update(client, muted_types=["kept"])
    refused = await client.post(PATH, headers=U1, json={"muted_types": ["lost"], **changes})
    assert refused.status_code == 422, refused.text
    if field is not None:
        assert refused.json()["field"] == field
    assert without_time(await client.get(PATH, headers=U1)) == before


async def test_types_that_the_settings_do_not_list_are_refused(database: Database) -> None:
    async with client_for(slice_endpoints(database, types=frozenset({"a"}))) as client:
        for changes, field in (({"muted_types": ["a", "b"]}, "muted_types[1]"), ({"types": {"b": {}}}, "types.b")):
            refused = await client.post(PATH, headers=U1, json=changes)
            assert (refused.status_code, refused.json()["field"]) == (422, field)
        assert await update(client, muted_types=["a"], types={"a": {}})


async def test_a_zone_that_the_database_does_not_know_is_refused(database: Database) -> None:
    """Newer data here than there: each notification to that person would fail."""
    with pytest.raises(Invalid) as refused:
        await database.fetchval("select callboard.check_timezone('Mars/Olympus')")
    assert refused.value.field == "quiet_hours.timezone"
    await database.fetchval("select callboard.check_timezone(null)")


async def test_a_zone_is_checked_by_the_database_before_it_is_stored(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(database)
    monkeypatch.setattr("callboard.notifications.preferences._timezones", lambda: {"Mars/Olympus"})
    with pytest.raises(Invalid, match="Mars/Olympus"):
        await inbox.prefer(quiet_hours={**NIGHT, "timezone": "Mars/Olympus"})
    assert await database.fetchval("select count(*) from callboard.notification_preferences") == 0


async def test_what_is_not_refused_can_be_used(database: Database) -> None:
    inbox = Inbox(database)
    refused = []
    for zone in sorted(available_timezones()):
        try:
            await inbox.prefer(quiet_hours={**NIGHT, "timezone": zone})
        except Invalid:
            refused.append(zone)
        else:
            assert (
                await inbox.database.fetchval(
                    "select count(callboard.quiet_until(quiet_hours, now())) from callboard.notification_preferences"
                )
            ) in (0, 1)
    assert set(refused) <= {"Factory", "localtime"}
    assert QuietHours(start="22:00", end="07:00", timezone="UTC").days == DAYS
