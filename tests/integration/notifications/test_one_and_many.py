"""One recipient is decided for by statements of its own: they do what the one for several does.

Also: what a call for several costs grows with them, not with their square.
"""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import pytest
from tests.integration.notifications.inbox import Inbox, now, quiet_now

from callboard.store.database import Database

MANY = 2000

COPIES = """
select r.outcome, r.rule, r.used::text as used, r.sent_in_hour, r.arrived_at is not null as arrived,
       case when r.held_until <= now() then 'due' else r.held_until::text end as held_until,
       r.expires_at is not null as expires, r.revision, r.group_key, r.group_open, r.group_count, r.group_actors,
       r.fold_pending, r.fold_due is not null as due, n.title, l.title as latest, first.title as folded_into
from callboard.notification_recipients r
join callboard.notifications n on n.id = r.notification_id
left join callboard.notifications l on l.id = r.group_latest
left join callboard.notifications first on first.id::text = r.used ->> 'into'
where r.user_id = $1
order by n.title
"""


@pytest.fixture
async def inbox(database: Database) -> Inbox:
    made = Inbox(database)
    await made.people_have_a_status()
    return made


def anything(chance: random.Random) -> dict[str, Any]:
    """A notification of few kinds, so that mutes, groups and the limit are met often."""
    return {
        "type": chance.choice("aab"),
        "priority": chance.choice(["normal", "normal", "urgent"]),
        "group_key": chance.choice([None, None, "g", "h"]),
        "expires_in": chance.choice([None, 3600]),
        "resource": chance.choice([None, {"type": "episode", "id": "4"}, {"type": "episode", "id": "5"}]),
        "actor": chance.choice([None, "mira", "jonas"]),
    }


async def choose(inbox: Inbox, user: str, choice: int, moment: datetime) -> None:
    """One of the states that a person may be in."""
    if choice == 1:
        await inbox.prefer(user, muted_types=["b"], muted_resources=[{"type": "episode", "id": "5"}])
    elif choice == 2:
        await inbox.prefer(user, quiet_hours=quiet_now(moment), types={"b": {"quiet_hours": False}})
    elif choice == 3:
        await inbox.status("dnd", user=user)


async def copies(inbox: Inbox, user: str) -> list[dict[str, Any]]:
    found = [dict(row) for row in await inbox.database.fetch(COPIES, user)]
    for copy in found:
        # The id of what it was folded into is another for each of the two; its title is compared.
        copy["used"] = None if copy.pop("used") is None else copy["folded_into"] or "used"
    return found


@pytest.mark.parametrize("overflow", ["suppress", "fold"])
@pytest.mark.parametrize("choice", range(4))
async def test_one_is_decided_for_like_one_of_several(inbox: Inbox, overflow: str, choice: int) -> None:
    await inbox.settings(rate_limit=8, rate_overflow=overflow)
    moment = now()
    for user in ("one", "two"):
        await choose(inbox, user, choice, moment)
    chance = random.Random(choice)
    for number in range(40):
        new = anything(chance)
        title = f"{number:02}"
        alone = await inbox.notify(["one"], title, **new)
        await inbox.notify(["two", "other"], title, **new)
        last = (await copies(inbox, "two"))[-1]
        assert (alone.outcome, alone.rule) == (last["outcome"], last["rule"])
    assert await copies(inbox, "one") == await copies(inbox, "two")
    sent: dict[str, list[object]] = {"one": [], "two": []}
    for name, rooms, payload in await inbox.sent():
        for user, payloads in sent.items():
            if f"user:{user}" in rooms:
                payloads.append((name, payload["title"], payload["group_key"], payload["group"] is None))
    assert sent["one"] == sent["two"]


async def test_a_group_of_many_people_grows_without_comparing_all_with_all(inbox: Inbox) -> None:
    people = [f"u{number}" for number in range(MANY)]
    await inbox.notify(people, "first", group_key="g")
    async with inbox.database.transaction() as queries:
        await queries.execute("set local statement_timeout = '10s'")
        plan = await decide_plan(queries, people)
    looked = [line for line in plan if "notification_recipients_group" in line]
    assert looked, plan
    assert all(f"loops={MANY}" in line for line in looked if "never executed" not in line), plan
    again = await inbox.notify(people, "second", group_key="g")
    assert (again.created, again.folded) == (0, MANY)


async def decide_plan(queries: Any, people: list[str]) -> list[str]:
    """How the decisions for many are made, by the plan that their function has for any number of them."""
    await queries.execute("set local plan_cache_mode = force_generic_plan")
    await queries.execute(
        "prepare decided (text[]) as select d.* from callboard.notifications n, callboard.notification_settings s, "
        "lateral callboard.decide_each(n, $1, $1, array_fill(1, array[cardinality($1)]), s, now()) d "
        "where n.title = 'first'"
    )
    array = "{" + ",".join(people) + "}"
    rows = await queries.fetch(f"explain analyze execute decided ('{array}')")
    await queries.execute("deallocate decided")
    return [row[0] for row in rows]
