"""Time, as a thing that can be handed in.

Owns: the `Clock` protocol and the real one. `monotonic()` is for every timeout and interval, `now()` for
timestamps people see, `timestamp()` for what is compared with the numbers of a token. Never: a sleep, a timer.
"""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time. Tests hand in one that they turn."""

    def now(self) -> datetime:
        """The wall clock: an aware datetime in UTC."""

    def timestamp(self) -> float:
        """The same in seconds since 1970."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""


class SystemClock:
    """The machine's clock."""

    # Asked several times a message: functions in C, with none of ours around them.
    now = staticmethod(functools.partial(datetime.now, UTC))
    timestamp = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def utc_text(at: datetime) -> str:
    """An aware time as it leaves the process: UTC, ISO 8601 with milliseconds, "2026-01-31T09:30:00.000Z"."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
