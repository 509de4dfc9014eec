"""Why a notification came, or did not, as a sentence.

Owns: the words for each outcome and rule. Pure. Never: a decision; that is `callboard.decide`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WAS = {"now": "It arrived at once", "held": "It was held", "folded": "It was folded", "suppressed": "It was not sent"}


def sentence(
    outcome: str, rule: str | None, used: Mapping[str, Any], *, held_until: str | None, arrived_at: str | None
) -> str:
    """For a person: what became of it, and by which rule with which values."""
    parts = [_WAS[outcome], *_reason(outcome, rule, used)]
    if outcome == "held":
        parts.append(_hold(held_until, arrived_at))
    return "".join(parts) + "."


def _reason(outcome: str, rule: str | None, used: Mapping[str, Any]) -> list[str]:
    if rule is None:
        return []
    if rule == "rate_limited" and outcome in ("now", "held"):
        return [f" and begins a group of what is over the limit of {used.get('rate_limit')} an hour"]
    quiet = used.get("quiet_hours") or {}
    reasons = {
        "muted_type": f" because the type {used.get('type')} is muted",
        "muted_resource": f" because {used.get('resource_type')} {used.get('resource_id')} is muted",
        "group": " into an unread one with the same group_key",
        "rate_limited": f" because it was number {used.get('sent_in_hour')} in an hour that allows "
        f"{used.get('rate_limit')}",
        "attention": f" because the status was {used.get('attention')}",
        "quiet_hours": f" because of quiet hours from {quiet.get('start')} to {quiet.get('end')} "
        f"({quiet.get('timezone')})",
        "urgent": " although there was a hold, because it is urgent",
    }
    return [reasons.get(rule, f" by the rule {rule}")]


def _hold(held_until: str | None, arrived_at: str | None) -> str:
    if arrived_at is not None:
        return f", and arrived at {arrived_at}"
    return f"; it arrives at {held_until}" if held_until is not None else "; it arrives when that changes"
