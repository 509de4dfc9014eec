"""Deadlines of many things by one timer.

Owns: the buckets and the one timer. Never: a timer or a task for each thing, or the wall clock.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from callboard.clock import Clock

NOWHERE = -1


class Timed(Protocol):
    """Something with a deadline. Hashed by identity. `slot` is the wheel's, and NOWHERE to begin with."""

    slot: int

    def on_due(self, now: float) -> float | None:
        """Called no earlier than the deadline; returns the next one, or None for none."""


class Wheel:
    """Calls each scheduled thing after its deadline, by twice `resolution` seconds at most while the loop is free.

    A thing stands in one bucket at a time. A deadline that moves later need not be told: the thing is asked at the
    old one and says the new one, so that a heartbeat costs nothing here.
    """

    def __init__(self, clock: Clock, resolution: float) -> None:
        self._clock = clock
        self._resolution = resolution
        self._buckets: dict[int, set[Timed]] = {}
        self._next = self._tick(clock.monotonic())
        self._timer: asyncio.TimerHandle | None = None

    def schedule(self, thing: Timed, at: float) -> None:
        """Set the deadline of a thing that has none."""
        slot = self._tick(at) + 1
        if slot < self._next:
            slot = self._next
        thing.slot = slot
        bucket = self._buckets.get(slot)
        if bucket is None:
            bucket = self._buckets[slot] = set()
        bucket.add(thing)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._resolution, self._turn)

    def remove(self, thing: Timed) -> None:
        """Forget a thing. Removing one that is not scheduled does nothing."""
        bucket = self._buckets.get(thing.slot)
        if bucket is not None:
            bucket.discard(thing)
            if not bucket:
                del self._buckets[thing.slot]
        thing.slot = NOWHERE

    def reschedule(self, thing: Timed, at: float) -> None:
        """Move a deadline, earlier or later."""
        self.remove(thing)
        self.schedule(thing, at)

    def hasten(self, thing: Timed, at: float) -> None:
        """Move a deadline if it is earlier now; a later one need not be told."""
        if self._tick(at) + 1 < thing.slot:
            self.reschedule(thing, at)

    def advance(self) -> None:
        """Call everything that is due by the clock's present time.

        What a call removes or moves is not called any more; if one raises, the rest is called at the next turn.
        """
        now = self._clock.monotonic()
        current = self._tick(now)
        due = [slot for slot in self._buckets if slot <= current]
        self._next = current + 1
        for slot in sorted(due):
            bucket = self._buckets.get(slot)
            while bucket:
                self._call(bucket.pop(), now)
            self._buckets.pop(slot, None)

    def _call(self, thing: Timed, now: float) -> None:
        after = thing.on_due(now)
        if after is not None:
            self.reschedule(thing, after)

    def _turn(self) -> None:
        self._timer = None
        try:
            self.advance()
        finally:
            if self._buckets and self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self._resolution, self._turn)

    def _tick(self, at: float) -> int:
        return int(at / self._resolution)
