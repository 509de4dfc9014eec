"""The hub and the wheel against plain models."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.clock import TurnedClock
from tests.loop import Timers

from callboard.realtime.hub import Hub
from callboard.realtime.wheel import NOWHERE, Wheel

MEMBERS = st.integers(0, 5)
ROOMS = st.sampled_from(["red", "green", "blue"])


class HubMachine(RuleBasedStateMachine):
    """The hub beside a dict from members to their rooms."""

    def __init__(self) -> None:
        super().__init__()
        self.hub: Hub[int] = Hub()
        self.model: dict[int, set[str]] = {}

    @rule(member=MEMBERS)
    def add(self, member: int) -> None:
        self.hub.add(member)
        self.model.setdefault(member, set())

    @rule(member=MEMBERS, room=ROOMS)
    def join(self, member: int, room: str) -> None:
        if member in self.model:
            self.hub.join(member, room)
            self.model[member].add(room)

    @rule(member=MEMBERS, room=ROOMS)
    def leave(self, member: int, room: str) -> None:
        self.hub.leave(member, room)
        self.model.get(member, set()).discard(room)

    @rule(member=MEMBERS)
    def discard(self, member: int) -> None:
        self.hub.discard(member, self.model.pop(member, set()))

    @rule(rooms=st.lists(ROOMS | st.just("none"), max_size=4))
    def select(self, rooms: list[str]) -> None:
        found = list(self.hub.select(rooms))
        assert len(found) == len(set(found))
        expected = {member for member, joined in self.model.items() if not rooms or joined & set(rooms)}
        assert set(found) == expected

    @invariant()
    def agrees(self) -> None:
        assert len(self.hub) == len(self.model)
        rooms: set[str] = set().union(*self.model.values())
        assert sorted([*self.hub._alone, *self.hub._rooms]) == sorted(rooms)
        for member in range(6):
            assert (member in self.hub) is (member in self.model)
        for room in ("red", "green", "blue"):
            assert self.hub.has(room) is (room in rooms)


TestHub = HubMachine.TestCase


class Thing:
    """Says `after` when it is called, once."""

    def __init__(self) -> None:
        self.slot = NOWHERE
        self.at: float | None = None
        self.after: float | None = None

    def on_due(self, now: float) -> float | None:
        # The model: called only when a deadline is set, after it, and not later than by two resolutions.
        assert self.at is not None
        assert self.at < now <= self.at + 2.0
        self.at = None if self.after is None else now + self.after
        return self.at


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 4), st.floats(0.0, 20.0)),
        st.tuples(st.just("after"), st.integers(0, 4), st.floats(0.001, 20.0)),
        st.tuples(st.just("once"), st.integers(0, 4), st.just(0.0)),
        st.tuples(st.just("remove"), st.integers(0, 4), st.just(0.0)),
        st.tuples(st.just("turn"), st.just(0), st.floats(0.0, 10.0)),
    ),
    max_size=40,
)


@given(OPERATIONS)
async def test_the_wheel_calls_what_a_plain_list_of_deadlines_would(operations: list[tuple[str, int, float]]) -> None:
    timers = Timers(TurnedClock())
    wheel = Wheel(timers.clock, 1.0)
    things = [Thing() for _ in range(5)]
    with patch.object(asyncio.get_running_loop(), "call_later", timers.call_later):
        for operation, number, value in operations:
            thing = things[number]
            if operation == "set":
                thing.at = timers.clock.monotonic() + value
                wheel.reschedule(thing, thing.at)
            elif operation == "remove":
                thing.at = None
                wheel.remove(thing)
            elif operation == "turn":
                timers.turn(value)
            else:
                thing.after = value if operation == "after" else None
            _check(wheel, timers, things)
        for thing in things:
            thing.after = None
        timers.turn(30.0)
        assert all(thing.at is None for thing in things)
        assert wheel._buckets == {}
        assert timers.pending == []


def _check(wheel: Wheel, timers: Timers, things: list[Thing]) -> None:
    now = timers.clock.monotonic()
    waiting = [thing for thing in things if thing.at is not None]
    assert sorted(map(id, waiting)) == sorted(id(thing) for bucket in wheel._buckets.values() for thing in bucket)
    assert all(thing.at is None or now <= thing.at + 2.0 for thing in things)
    assert len(timers.pending) <= 1
    assert not waiting or timers.pending
