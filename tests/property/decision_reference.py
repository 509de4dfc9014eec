"""What becomes of a notification, said once more in plain Python, for `callboard.decide` to be held against.

Owns: the rules as the product promises them, the slow and obvious way. Never: anything from `callboard`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FOREVER = datetime.max.replace(tzinfo=UTC)


class Expected(NamedTuple):
    outcome: str
    rule: str | None
    held_until: datetime | None
    used: dict[str, Any] | None


def instant(day: date, at: time, zone: str) -> datetime:
    """A local time as a moment: of two the later, and of one that does not exist what the clock of before would say."""
    local = datetime.combine(day, at, ZoneInfo(zone))
    return max(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def quiet_until(quiet: dict[str, Any], moment: datetime) -> datetime | None:
    """The latest end of all periods that the moment is in, looking at many more days than can matter."""
    zone, start, end = quiet["timezone"], time.fromisoformat(quiet["start"]), time.fromisoformat(quiet["end"])
    today = moment.astimezone(ZoneInfo(zone)).date()
    ends = []
    for day in (today + timedelta(days=days) for days in range(-3, 3)):
        if DAYS[day.weekday()] not in quiet["days"]:
            continue
        last_day = day if start < end else day + timedelta(days=1)
        if instant(day, start, zone) <= moment < (until := instant(last_day, end, zone)):
            ends.append(until)
    return max(ends, default=None)


def decide(inputs: dict[str, Any], now: datetime) -> Expected:
    """`inputs`: the fields of callboard.decision_inputs; what is absent is null."""
    muted = muted_by(inputs)
    if muted is not None:
        names = ("type", "resource_type", "resource_id")
        return Expected("suppressed", muted, None, {name: inputs[name] for name in names if name in inputs})
    if inputs["group_open"]:
        return Expected("folded", "group", None, None)
    used: dict[str, Any] = {}
    limited = None
    if "rate_limit" in inputs and inputs.get("sent_in_hour", 0) > inputs["rate_limit"]:
        limited = "rate_limited"
        used = {name: inputs[name] for name in ("sent_in_hour", "rate_limit")}
        if inputs["rate_overflow"] == "suppress":
            return Expected("suppressed", limited, None, used)
        if inputs["overflow_open"]:
            return Expected("folded", limited, None, used)
    if "quiet_hours" not in inputs and "attention" not in inputs:
        return Expected("now", limited, None, used or None)
    used |= looked_at(inputs)
    until, rule = hold(inputs, now)
    if rule is None:
        return Expected("now", limited, None, used)
    if inputs["priority"] == "urgent":
        return Expected("now", limited or "urgent", None, used)
    return Expected("held", limited or rule, until, used)


def muted_by(inputs: dict[str, Any]) -> str | None:
    if inputs["type"] in inputs.get("muted_types", ()) or setting_of(inputs).get("muted", False):
        return "muted_type"
    about = {"type": inputs.get("resource_type"), "id": inputs.get("resource_id")}
    return "muted_resource" if about in inputs.get("muted_resources", ()) else None


def hold(inputs: dict[str, Any], now: datetime) -> tuple[datetime, str | None]:
    """First the status, then quiet hours at the moment at which the status ends."""
    free, rule = now, None
    setting = setting_of(inputs)
    if inputs.get("attention") in ("dnd", "busy") and setting.get("attention", True):
        until = FOREVER
        if "attention_until" in inputs:
            until = datetime.fromisoformat(inputs["attention_until"])
        if until > free:
            free, rule = until, "attention"
    if "quiet_hours" in inputs and setting.get("quiet_hours", True) and free != FOREVER:
        end = quiet_until(inputs["quiet_hours"], free)
        if end is not None:
            free, rule = end, "quiet_hours"
    return free, rule


def looked_at(inputs: dict[str, Any]) -> dict[str, Any]:
    """The values that are stored beside the decision."""
    used: dict[str, Any] = {name: inputs[name] for name in ("priority", "quiet_hours", "attention") if name in inputs}
    if inputs["type"] in inputs.get("types", {}):
        used["type_settings"] = inputs["types"][inputs["type"]]
    if "attention_until" in inputs:
        at = datetime.fromisoformat(inputs["attention_until"]).astimezone(UTC)
        used["attention_until"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return used


def setting_of(inputs: dict[str, Any]) -> dict[str, bool]:
    found: dict[str, bool] = inputs.get("types", {}).get(inputs["type"], {})
    return found


@cache
def changes(zone: str, first: int, last: int) -> tuple[datetime, ...]:
    """The hours in which a zone's clock is changed, from one year to another."""
    here = ZoneInfo(zone)
    hours = (datetime(first, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range((last - first + 1) * 8766))
    found, before = [], None
    for hour in hours:
        offset = hour.astimezone(here).utcoffset()
        if before is not None and offset != before:
            found.append(hour)
        before = offset
    return tuple(found)
