"""`callboard.decide` and `callboard.quiet_until` are the rules, whatever the moment, the zone and the preferences.

Each example is one statement with many cases; PostgreSQL's answers are held against `decision_reference`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.decision_reference import DAYS, FOREVER, Expected, changes, decide, quiet_until

from callboard.store.database import Database

# The data of zones may differ by version, of the years to come most.
YEARS = (2020, 2025)
ZONES = (
    *(
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Kolkata",
        "Asia/Kathmandu",
    ),
    *(
        "Australia/Adelaide",
        "America/St_Johns",
        "Pacific/Chatham",
        "America/Santiago",
        "America/Havana",
        "Africa/Cairo",
    ),
    *("Europe/Dublin", "Asia/Beirut", "America/Nuuk", "Antarctica/Troll", "Pacific/Kiritimati", "Etc/GMT+12", "UTC"),
)
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MINUTES = st.integers(0, 1439).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
# Where clocks change, so that periods often begin and end there.
NIGHT = st.integers(0, 6).flatmap(
    lambda hour: st.sampled_from([f"{hour:02}:{minute:02}" for minute in (0, 15, 30, 45)])
)
TYPES = ("a", "b:c")
RESOURCES = ({"type": "episode", "id": "4"}, {"type": "episode", "id": "5"}, {"type": "file", "id": "4"})

QUIET_UNTIL = """
select callboard.quiet_until(quiet::jsonb, moment)
from unnest($1::text[], $2::timestamptz[]) with ordinality as asked (quiet, moment, place)
order by place
"""
DECIDE = """
select made.outcome, made.rule, made.held_until, made.used
from unnest($1::text[], $2::timestamptz[]) with ordinality as asked (inputs, moment, place)
cross join lateral callboard.decide(
  jsonb_populate_record(null::callboard.decision_inputs, inputs::jsonb), moment) made
order by place
"""


@st.composite
def quiet_hours(draw: st.DrawFn, zones: tuple[str, ...] = ZONES) -> dict[str, Any]:
    start = draw(MINUTES | NIGHT)
    end = draw((MINUTES | NIGHT).filter(lambda at: at != start))
    days = draw(st.just(list(DAYS)) | st.lists(st.sampled_from(DAYS), min_size=1, unique=True))
    return {"start": start, "end": end, "timezone": draw(st.sampled_from(zones)), "days": days}


@st.composite
def moments(draw: st.DrawFn, zone: str) -> datetime:
    """Any, or within a day or so of a change of the clock."""
    near = changes(zone, *YEARS)
    by_a_change: bool = draw(st.booleans())
    if near and by_a_change:
        return draw(st.sampled_from(near)) + timedelta(minutes=draw(st.integers(-1800, 1800)))
    return draw(st.datetimes(datetime(YEARS[0], 1, 3), datetime(YEARS[1], 12, 28))).replace(microsecond=0, tzinfo=UTC)


@st.composite
def asked_quiet(draw: st.DrawFn) -> tuple[dict[str, Any], datetime]:
    quiet = draw(quiet_hours())
    return quiet, draw(moments(quiet["timezone"]))


@st.composite
def asked(draw: st.DrawFn) -> tuple[dict[str, Any], datetime]:
    """Inputs in which nothing is null but what is absent."""
    now = draw(moments("Europe/Berlin"))
    inputs: dict[str, Any] = {
        "type": draw(st.sampled_from(TYPES)),
        "priority": draw(st.sampled_from(["low", "normal", "high", "urgent"])),
        "group_open": draw(st.sampled_from([False, False, True])),
        "overflow_open": draw(st.booleans()),
        "rate_overflow": draw(st.sampled_from(["suppress", "fold"])),
    }
    maybe: dict[str, st.SearchStrategy[Any]] = {
        "muted_types": st.lists(st.sampled_from([*TYPES, "other"]), max_size=1),
        "muted_resources": st.lists(st.sampled_from(RESOURCES), max_size=2),
        "types": st.dictionaries(
            st.sampled_from(TYPES),
            st.fixed_dictionaries(
                {"quiet_hours": st.booleans(), "attention": st.booleans()},
                optional={"muted": st.sampled_from([False, False, True])},
            ),
        ),
        "quiet_hours": quiet_hours(("Europe/Berlin", "Asia/Kolkata")),
        "attention": st.sampled_from(["dnd", "busy", "online", "away"]),
        "sent_in_hour": st.integers(1, 5),
        "rate_limit": st.integers(1, 4),
    }
    for name, values in maybe.items():
        if draw(st.booleans()):
            inputs[name] = draw(values)
    if draw(st.booleans()):
        resource = draw(st.sampled_from(RESOURCES))
        inputs |= {"resource_type": resource["type"], "resource_id": resource["id"]}
    if "attention" in inputs and draw(st.booleans()):
        until = now + timedelta(minutes=draw(st.integers(-600, 1800)))
        inputs["attention_until"] = until.isoformat()
    return inputs, now


@FEW
@given(cases=st.lists(asked_quiet(), min_size=1, max_size=60))
async def test_quiet_hours_end_when_the_reference_says(
    database: Database, cases: list[tuple[dict[str, Any], datetime]]
) -> None:
    rows = await database.fetch(QUIET_UNTIL, *columns(cases))
    for (quiet, moment), row in zip(cases, rows, strict=True):
        assert row[0] == quiet_until(quiet, moment), (quiet, moment)


@FEW
@given(cases=st.lists(asked(), min_size=1, max_size=60))
async def test_the_decision_is_the_references(database: Database, cases: list[tuple[dict[str, Any], datetime]]) -> None:
    rows = await database.fetch(DECIDE, *columns(cases))
    for (inputs, moment), row in zip(cases, rows, strict=True):
        used = None if row["used"] is None else json.loads(row["used"])
        # The driver gives infinity without a zone.
        held_until = FOREVER if row["held_until"] == datetime.max else row["held_until"]
        got = Expected(row["outcome"], row["rule"], held_until, used)
        assert got == decide(inputs, moment), (inputs, moment)


@pytest.mark.parametrize(
    ("zone", "start", "end", "moment", "until"),
    [
        # Over midnight, from the day before; the end itself is free.
        ("Europe/Berlin", "22:00", "07:00", "2025-01-15T23:30+01:00", "2025-01-16T06:00Z"),
        ("Europe/Berlin", "22:00", "07:00", "2025-01-16T06:59+01:00", "2025-01-16T06:00Z"),
        ("Europe/Berlin", "22:00", "07:00", "2025-01-16T07:00+01:00", None),
        ("Europe/Berlin", "22:00", "07:00", "2025-01-16T22:00+01:00", "2025-01-17T06:00Z"),
        # The night is an hour shorter, and an hour longer.
        ("Europe/Berlin", "22:00", "07:00", "2025-03-29T23:00+01:00", "2025-03-30T05:00Z"),
        ("Europe/Berlin", "22:00", "07:00", "2025-10-25T23:00+02:00", "2025-10-26T06:00Z"),
        # 02:30 happens twice: the later.
        ("Europe/Berlin", "22:00", "02:30", "2025-10-26T02:29+02:00", "2025-10-26T01:30Z"),
        ("Europe/Berlin", "22:00", "02:30", "2025-10-26T02:29+01:00", "2025-10-26T01:30Z"),
        ("Europe/Berlin", "02:30", "05:00", "2025-10-26T02:31+02:00", None),
        ("Europe/Berlin", "02:30", "05:00", "2025-10-26T02:31+01:00", "2025-10-26T04:00Z"),
        # 02:30 does not exist: what the clock of before calls so, which is now 03:30.
        ("Europe/Berlin", "22:00", "02:30", "2025-03-30T03:29+02:00", "2025-03-30T01:30Z"),
        ("Europe/Berlin", "22:00", "02:30", "2025-03-30T03:30+02:00", None),
        ("America/New_York", "01:30", "06:00", "2025-11-02T01:45-04:00", None),
        ("America/New_York", "01:30", "06:00", "2025-11-02T01:45-05:00", "2025-11-02T11:00Z"),
        # Half an hour is put on the clock, and zones of half and quarter hours.
        ("Australia/Lord_Howe", "22:00", "01:45", "2025-04-06T01:40+11:00", "2025-04-05T15:15Z"),
        ("Australia/Lord_Howe", "22:00", "02:15", "2025-10-05T02:31+11:00", "2025-10-04T15:45Z"),
        ("Asia/Kathmandu", "22:00", "07:00", "2025-06-01T22:00+05:45", "2025-06-02T01:15Z"),
        ("Asia/Kolkata", "09:00", "17:30", "2025-06-02T12:00+05:30", "2025-06-02T12:00Z"),
        # Ramadan, when the clock is put back.
        ("Africa/Casablanca", "22:00", "07:00", "2025-02-22T23:00+01:00", "2025-02-23T07:00Z"),
    ],
)
async def test_known_nights(
    database: Database, zone: str, start: str, end: str, moment: str, until: str | None
) -> None:
    quiet = {"start": start, "end": end, "timezone": zone, "days": list(DAYS)}
    asked_at = datetime.fromisoformat(moment)
    expected = None if until is None else datetime.fromisoformat(until)
    (row,) = await database.fetch(QUIET_UNTIL, [json.dumps(quiet)], [asked_at])
    assert row[0] == expected == quiet_until(quiet, asked_at)


async def test_a_period_is_of_the_day_on_which_it_begins(database: Database) -> None:
    quiet = {"start": "22:00", "end": "07:00", "timezone": "UTC", "days": ["fri"]}
    friday = datetime(2025, 1, 17, 23, tzinfo=UTC)
    asked_at = [friday, friday + timedelta(hours=7), friday - timedelta(hours=17), friday + timedelta(days=1)]
    rows = await database.fetch(QUIET_UNTIL, [json.dumps(quiet)] * 4, asked_at)
    ends = friday + timedelta(hours=8)
    assert [row[0] for row in rows] == [ends, ends, None, None]


def columns(cases: list[tuple[dict[str, Any], datetime]]) -> tuple[list[str], list[datetime]]:
    return [json.dumps(inputs) for inputs, _ in cases], [moment for _, moment in cases]
