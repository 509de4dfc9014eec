"""The machine's clock."""

from __future__ import annotations

from callboard.clock import SystemClock


def test_the_wall_clock_is_one_whether_read_as_a_date_or_as_a_number() -> None:
    clock = SystemClock()
    before, number, after = clock.now().timestamp(), clock.timestamp(), clock.now().timestamp()
    assert before - 0.001 <= number <= after + 0.001
