"""notifications.preferences: the rules of what a person may choose."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from callboard.errors import Invalid
from callboard.notifications.preferences import DAYS, PreferencesUpdate, QuietHours, TypeSettings, check_preferences
from callboard.rest.body import decode

UPDATE = msgspec.json.Decoder(PreferencesUpdate)
NIGHT = {"start": "22:00", "end": "07:00", "timezone": "Europe/Berlin"}


def update(**changes: Any) -> PreferencesUpdate:
    return decode(msgspec.json.encode(changes), UPDATE)


def test_what_is_absent_is_not_null() -> None:
    assert update() == PreferencesUpdate()
    assert (update().quiet_hours, update(quiet_hours=None).quiet_hours) == (UNSET, None)
    check_preferences(update(quiet_hours=None), None)


def test_defaults_of_what_is_given() -> None:
    assert update(quiet_hours=NIGHT).quiet_hours == QuietHours(**NIGHT, days=list(DAYS))
    assert update(types={"a": {}}).types == {"a": TypeSettings(muted=False, quiet_hours=True, attention=True)}


@pytest.mark.parametrize(
    "changes",
    [
        {"muted_types": [f"t{n}" for n in range(1000)]},
        {"muted_resources": [{"type": "episode", "id": "x" * 200}] * 1000},
        {"quiet_hours": {**NIGHT, "start": "00:00", "end": "23:59", "days": ["sun"]}},
        {"quiet_hours": {**NIGHT, "timezone": "UTC"}},
        {"quiet_hours": {**NIGHT, "timezone": "America/Argentina/Buenos_Aires"}},
        {"types": {"a" * 64: {"muted": True}}},
    ],
)
def test_the_bounds_pass(changes: dict[str, Any]) -> None:
    check_preferences(update(**changes), None)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quiet_hours": {**NIGHT, "end": "22:00"}}, "quiet_hours.end"),
        ({"quiet_hours": {**NIGHT, "timezone": "Nowhere"}}, "quiet_hours.timezone"),
        ({"quiet_hours": {**NIGHT, "timezone": "/etc/passwd"}}, "quiet_hours.timezone"),
        ({"quiet_hours": {**NIGHT, "days": ["mon", "tue", "mon"]}}, "quiet_hours.days"),
        ({"types": {"": {}}}, "types"),
        ({"types": {"a b": {}}}, "types"),
        ({"types": {"a" * 65: {}}}, "types"),
    ],
)
def test_rules_that_a_type_cannot_state(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_preferences(update(**changes), None)
    assert refused.value.field == field


def test_types_that_the_setting_does_not_list() -> None:
    allowed = frozenset({"a", "b"})
    check_preferences(update(muted_types=["b"], types={"a": {}}), allowed)
    for changes, field in (({"muted_types": ["a", "c"]}, "muted_types[1]"), ({"types": {"c": {}}}, "types.c")):
        with pytest.raises(Invalid, match="one of a, b") as refused:
            check_preferences(update(**changes), allowed)
        assert refused.value.field == field
