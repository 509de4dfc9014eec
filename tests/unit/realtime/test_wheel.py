"""Deadlines of many things by one timer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from tests.clock import TurnedClock
from tests.loop import Timers

from callboard.realtime.wheel import NOWHERE, Wheel


class Thing:
    """Says `after` when it is called, and does `act` before."""

    def __init__(self, clock: TurnedClock) -> None:
        self.slot = NOWHERE
        self.clock = clock
        self.calls: list[float] = []
        self.after: float | None = None
        self.act: Callable[[], None] | None = None

    def on_due(self, now: float) -> float | None:
        assert now == self.clock.monotonic()
        self.calls.append(now)
        if self.act is not None:
            self.act()
        return self.after


@pytest.fixture
def wheel(clock: TurnedClock) -> Wheel:
    return Wheel(clock, 1.0)


@pytest.fixture
def thing(clock: TurnedClock) -> Thing:
    return Thing(clock)


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.5, 0.99, 1.0, 5.3, 60.0])
@pytest.mark.parametrize("phase", [0.0, 0.3, 0.999])
async def test_a_thing_is_called_once_and_within_two_resolutions(
    wheel: Wheel, thing: Thing, timers: Timers, delay: float, phase: float
) -> None:
    other = Thing(timers.clock)
    wheel.schedule(other, 2000.0)  # keeps the wheel turning at a phase of its own
    timers.turn(phase)
    due = timers.clock.monotonic() + delay
    wheel.schedule(thing, due)
    timers.turn(delay)
    assert thing.calls == []
    timers.turn(2.0)
    assert len(thing.calls) == 1
    assert due < thing.calls[0] <= due + 2.0


async def test_there_is_one_timer_and_none_without_things(wheel: Wheel, timers: Timers, clock: TurnedClock) -> None:
    things = [Thing(clock) for _ in range(100)]
    for n, thing in enumerate(things):
        wheel.schedule(thing, clock.monotonic() + n / 10)
        assert len(timers.pending) == 1
    for _ in range(20):
        timers.turn(1.0)
        assert len(timers.pending) <= 1
    assert [len(thing.calls) for thing in things] == [1] * 100
    assert timers.pending == []
    assert timers.made <= 13


async def test_hastening_moves_a_deadline_only_forwards(wheel: Wheel, thing: Thing, timers: Timers) -> None:
    wheel.hasten(thing, timers.clock.monotonic())
    assert timers.pending == []  # it had none
    wheel.schedule(thing, timers.clock.monotonic() + 10.0)
    wheel.hasten(thing, timers.clock.monotonic() + 60.0)
    wheel.hasten(thing, timers.clock.monotonic() + 5.0)
    timers.turn(7.1)
    assert len(thing.calls) == 1


async def test_the_answer_is_the_next_deadline(wheel: Wheel, thing: Thing, timers: Timers) -> None:
    thing.after = 1010.0
    wheel.schedule(thing, 1001.0)
    timers.turn(5.0)
    assert len(thing.calls) == 1
    thing.after = None
    timers.turn(10.0)
    assert len(thing.calls) == 2
    assert thing.calls[1] > 1010.0
    timers.turn(100.0)
    assert len(thing.calls) == 2


async def test_a_deadline_in_the_past_is_for_the_next_turn(wheel: Wheel, thing: Thing, timers: Timers) -> None:
    timers.turn(50.0)
    wheel.schedule(thing, 10.0)
    timers.turn(2.0)
    assert len(thing.calls) == 1


async def test_what_is_removed_is_not_called(wheel: Wheel, thing: Thing, timers: Timers) -> None:
    wheel.remove(thing)
    wheel.schedule(thing, 1001.0)
    wheel.remove(thing)
    wheel.remove(thing)
    timers.turn(5.0)
    assert thing.calls == []
    assert timers.pending == []


@pytest.mark.parametrize("to", [1003.0, 1020.0])
async def test_a_deadline_moves_earlier_or_later(wheel: Wheel, thing: Thing, timers: Timers, to: float) -> None:
    wheel.schedule(thing, 1010.0)
    wheel.reschedule(thing, to)
    timers.turn(50.0)
    assert len(thing.calls) == 1
    assert to < thing.calls[0] <= to + 2.0


async def test_a_late_turn_calls_all_that_fell_due_by_the_order_of_deadlines(
    wheel: Wheel, timers: Timers, clock: TurnedClock
) -> None:
    order: list[int] = []
    for n in (7, 3, 5, 40):
        thing = Thing(clock)
        thing.act = partial(order.append, n)
        wheel.schedule(thing, 1000.0 + n)
    clock.turn(30.0)  # the machine was suspended
    wheel.advance()
    assert order == [3, 5, 7]
    wheel.advance()
    assert order == [3, 5, 7]
    timers.turn(20.0)
    assert order == [3, 5, 7, 40]


async def test_what_a_call_removes_or_moves_is_not_called_in_the_same_turn(
    wheel: Wheel, timers: Timers, clock: TurnedClock
) -> None:
    first, second = Thing(clock), Thing(clock)
    first.act = lambda: wheel.remove(second)
    second.act = lambda: wheel.remove(first)
    wheel.schedule(first, 1001.0)
    wheel.schedule(second, 1001.0)
    timers.turn(5.0)
    assert len(first.calls) + len(second.calls) == 1

    third, fourth = Thing(clock), Thing(clock)
    third.act = lambda: wheel.reschedule(fourth, 1100.0)
    fourth.act = lambda: wheel.reschedule(third, 1100.0)
    wheel.schedule(third, 1010.0)
    wheel.schedule(fourth, 1010.0)
    timers.turn(20.0)
    assert len(third.calls) + len(fourth.calls) == 1
    third.act = fourth.act = None
    timers.turn(100.0)
    assert len(third.calls) + len(fourth.calls) == 2


async def test_a_call_that_schedules_itself_stands_in_one_place(wheel: Wheel, thing: Thing, timers: Timers) -> None:
    thing.act = lambda: wheel.reschedule(thing, 1050.0)
    thing.after = 1030.0
    wheel.schedule(thing, 1001.0)
    timers.turn(5.0)
    thing.act, thing.after = None, None
    timers.turn(100.0)
    assert len(thing.calls) == 2


async def test_when_a_call_raises_the_rest_is_called_at_the_next_turn(
    wheel: Wheel, timers: Timers, clock: TurnedClock
) -> None:
    def fail() -> None:
        raise RuntimeError("defect")

    things = [Thing(clock) for _ in range(3)]
    for thing in things:
        thing.act = fail
        wheel.schedule(thing, 1001.0)
    last = Thing(clock)
    wheel.schedule(last, 1002.0)
    for _ in things:
        with pytest.raises(RuntimeError):
            timers.turn(3.0)
        assert len(timers.pending) == 1
    timers.turn(3.0)
    assert [len(thing.calls) for thing in [*things, last]] == [1, 1, 1, 1]
    assert timers.pending == []
