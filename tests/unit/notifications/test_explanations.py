"""notifications.explanations: a sentence for each outcome and rule."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.notifications.explanations import sentence

LATER, THEN = "2026-03-01T07:00:00.000Z", "2026-03-01T07:00:00.000001Z"
QUIET = {"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Europe/Berlin"}}
LIMIT = {"sent_in_hour": 51, "rate_limit": 50}


@pytest.mark.parametrize(
    ("outcome", "rule", "used", "words"),
    [
        ("now", None, {}, "It arrived at once."),
        ("now", "urgent", {}, "It arrived at once although there was a hold, because it is urgent."),
        (
            "now",
            "rate_limited",
            LIMIT,
            "It arrived at once and begins a group of what is over the limit of 50 an hour.",
        ),
        ("suppressed", "muted_type", {"type": "note"}, "It was not sent because the type note is muted."),
        (
            "suppressed",
            "muted_resource",
            {"resource_type": "episode", "resource_id": "4"},
            "It was not sent because episode 4 is muted.",
        ),
        ("suppressed", "rate_limited", LIMIT, "It was not sent because it was number 51 in an hour that allows 50."),
        ("folded", "group", {}, "It was folded into an unread one with the same group_key."),
        ("folded", "rate_limited", LIMIT, "It was folded because it was number 51 in an hour that allows 50."),
        ("suppressed", "later_rule", {}, "It was not sent by the rule later_rule."),
    ],
)
def test_what_became_of_it(outcome: str, rule: str | None, used: dict[str, Any], words: str) -> None:
    assert sentence(outcome, rule, used, held_until=None, arrived_at=THEN) == words


@pytest.mark.parametrize(
    ("rule", "used", "reason"),
    [
        ("attention", {"attention": "dnd"}, "because the status was dnd"),
        ("quiet_hours", QUIET, "because of quiet hours from 22:00 to 07:00 (Europe/Berlin)"),
        ("rate_limited", LIMIT, "and begins a group of what is over the limit of 50 an hour"),
    ],
)
@pytest.mark.parametrize(
    ("held_until", "arrived_at", "end"),
    [
        (LATER, None, f"; it arrives at {LATER}."),
        (None, None, "; it arrives when that changes."),
        (None, THEN, f", and arrived at {THEN}."),
    ],
)
def test_what_was_held(
    rule: str, used: dict[str, Any], reason: str, held_until: str | None, arrived_at: str | None, end: str
) -> None:
    words = sentence("held", rule, used, held_until=held_until, arrived_at=arrived_at)
    assert words == f"It was held {reason}{end}"
