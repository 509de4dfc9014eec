"""What a person chose about notifications: mutes, quiet hours, settings of a type.

Owns: the shape of preferences, as REST takes and gives them, and the rules that a type alone cannot state. Never:
I/O, a clock, the decision itself (`callboard.decide`).
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal
from zoneinfo import available_timezones

import msgspec
from msgspec import UNSET, Meta, UnsetType

from callboard.errors import Invalid
from callboard.notifications.model import NotificationType, Resource, check_type

MAX_MUTED = 1_000

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: list[Day] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
LocalTime = Annotated[
    str,
    Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)", description="HH:MM, by the wall clock of the time zone"),
]


class QuietHours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When notifications wait: from `start` to `end` on the days on which that begins; past midnight if `end` is
    not later than `start`. A local time that happens twice is the later one."""

    start: LocalTime
    end: LocalTime
    timezone: Annotated[str, Meta(max_length=64, description="IANA name", examples=["Europe/Berlin"])]
    days: Annotated[list[Day], Meta(min_length=1, max_length=7)] = msgspec.field(default_factory=lambda: list(DAYS))


class TypeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one type. `quiet_hours`, `attention`: false lets it pass that hold."""

    muted: bool = False
    quiet_hours: bool = True
    attention: bool = True


MutedTypes = Annotated[list[NotificationType], Meta(max_length=MAX_MUTED)]
MutedResources = Annotated[list[Resource], Meta(max_length=MAX_MUTED)]
Types = Annotated[dict[str, TypeSettings], Meta(max_length=MAX_MUTED)]


class PreferencesUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is absent stays. `quiet_hours: null` ends them."""

    muted_types: MutedTypes | UnsetType = UNSET
    muted_resources: MutedResources | UnsetType = UNSET
    quiet_hours: QuietHours | UnsetType | None = UNSET
    types: Types | UnsetType = UNSET


def check_preferences(update: PreferencesUpdate, allowed: frozenset[str] | None) -> None:
    """Raises Invalid naming the first wrong field. `allowed`: NOTIFICATION_TYPES; None is any."""
    if update.muted_types is not UNSET:
        for place, type_ in enumerate(update.muted_types):
            check_type(type_, allowed, f"muted_types[{place}]")
    if update.types is not UNSET:
        for type_ in update.types:
            _check_type_name(type_)
            check_type(type_, allowed, f"types.{type_}")
    if isinstance(update.quiet_hours, QuietHours):
        _check_quiet_hours(update.quiet_hours)


def _check_type_name(type_: str) -> None:
    try:
        msgspec.convert(type_, NotificationType)
    except msgspec.ValidationError:
        raise Invalid(f"types: {type_!r} is not a notification type", field="types") from None


def _check_quiet_hours(quiet: QuietHours) -> None:
    if quiet.start == quiet.end:
        raise Invalid(
            "quiet_hours.end must differ from start: mute types to be left alone all day", field="quiet_hours.end"
        )
    if quiet.timezone not in _timezones():
        raise Invalid(
            f"quiet_hours.timezone: {quiet.timezone!r} is not a time zone such as Europe/Berlin",
            field="quiet_hours.timezone",
        )
    if len(set(quiet.days)) != len(quiet.days):
        raise Invalid("quiet_hours.days names a day twice", field="quiet_hours.days")


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())
