"""Plans at many rows: what a person waits for reads their own newest rows by an index, and no others.

Plans are taken with PostgreSQL's defaults: nothing is forbidden to the planner.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.waiting import fill

from callboard.notifications.store import UNREAD_COUNTS, pages_statement
from callboard.store.database import Database

ROWS = 200_000
USERS = 8

FILL = """
with made as (
  insert into callboard.notifications (id, type, title, message, created_at)
  select callboard.uuid_v7(), 'type' || n % 10, 't', '', now() from generate_series(1, $1) n
  returning id
), numbered as (
  select id, row_number() over () as n from made
)
insert into callboard.notification_recipients (
  notification_id, user_id, arrived_at, read_at, archived_at, expires_at, held_until, outcome)
select id, 'u' || n % $2,
       case when n % 50 <> 7 then now() - random() * interval '30 days' end,
       case when n % 10 <> 3 then now() end,
       case when n % 9 = 0 then now() end,
       case when n % 4 = 0 then now() + interval '10 days' end,
       case when n % 100 = 7 then now() + random() * interval '10 days' end,
       case when n % 100 = 7 then 'held' when n % 50 = 7 then 'suppressed' else 'now' end
from numbered
"""
# Looks at due rows, as upkeep's functions do it.
DUE = """
select notification_id from callboard.notification_recipients
where {column} <= $1 order by {column}, notification_id limit 500 for update skip locked
"""


@pytest.fixture
async def full(dsn: str, database: Database) -> Database:
    await fill(dsn, FILL, ROWS, USERS)
    for table in ("notifications", "notification_recipients"):
        await fill(dsn, f"analyze callboard.{table}")
    return database


async def plan_of(database: Database, statement: str, types: str, arguments: str) -> list[dict[str, Any]]:
    """The nodes of the generic plan, run once: the one that a prepared statement ends up with."""
    async with database.transaction() as queries:
        await queries.execute("set local plan_cache_mode = force_generic_plan")
        await queries.execute(f"prepare planned {types} as {statement}")
        plan = await queries.fetchval(f"explain (analyze, timing off, format json) execute planned {arguments}")
        await queries.execute("deallocate planned")
    return list(nodes(json.loads(plan)[0]["Plan"]))


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for inner in plan.get("Plans", ()) for node in nodes(inner))]


def check(plan: list[dict[str, Any]], index: str, *, most: float) -> None:
    """The index is used, no table of many rows is read through, and no node sees more than `most` rows."""
    assert index in {node.get("Index Name") for node in plan}
    read_through = {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}
    assert read_through <= {"log_head", "notification_settings"}
    assert max(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in plan) <= most


async def test_what_a_person_waits_for_is_read_by_index(full: Database) -> None:
    types = "(text[], timestamptz[], uuid[], integer[], text[])"
    first = "('{u1}', '{null}', '{null}', '{20}', '{null}')"
    for read, index in ((None, "list"), (True, "list"), (False, "unread")):
        plan = await plan_of(full, pages_statement(read, archived=False), types, first)
        # 21 rows, and those between them that the filter leaves out.
        check(plan, f"notification_recipients_{index}", most=200)
        assert not [node for node in plan if node["Node Type"] == "Sort" and node["Actual Rows"] > 21]
    later = "('{u1}', array[now() - interval '10 days'], '{ffffffff-ffff-ffff-ffff-ffffffffffff}', '{20}', '{null}')"
    check(
        await plan_of(full, pages_statement(None, archived=False), types, later),
        "notification_recipients_list",
        most=200,
    )
    several = "('{u1,u2,u3}', '{null,null,null}', '{null,null,null}', '{20,20,20}', '{null,null,null}')"
    check(
        await plan_of(full, pages_statement(None, archived=False), types, several),
        "notification_recipients_list",
        most=200,
    )
    unread = ROWS // USERS // 10 * 2
    check(await plan_of(full, UNREAD_COUNTS, "(text[])", "('{u1}')"), "notification_recipients_unread", most=unread)


@pytest.mark.parametrize(
    ("column", "index"),
    [("held_until", "held"), ("fold_due", "folded"), ("expires_at", "expiring")],
)
async def test_upkeep_finds_what_is_due_by_index(dsn: str, database: Database, column: str, index: str) -> None:
    await fill(dsn, FILL, 20_000, USERS)
    await fill(dsn, "analyze callboard.notification_recipients")
    plan = await plan_of(database, DUE.replace("{column}", column), "(timestamptz)", "(now())")
    check(plan, f"notification_recipients_{index}", most=0)
