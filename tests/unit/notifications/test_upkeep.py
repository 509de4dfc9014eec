"""NotificationUpkeep: when, how much at once, by whom, and what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs
from tests.clock import TurnedClock
from tests.rest_client import NoDatabase, Outbox

from callboard.errors import CallboardError, Unavailable
from callboard.notifications.upkeep import BATCH, INTERVAL, LOOK, PAUSE, RETRY, NotificationUpkeep
from callboard.notifications.upkeep_store import Released, UpkeepStore
from callboard.store.database import Queries


class Leader:
    leading = True


class Store(UpkeepStore):
    """Answers what it was given, in order, and then nothing; keeps what it was asked."""

    def __init__(self) -> None:
        self.releases: list[Released | CallboardError] = []
        self.folds: list[int] = []
        self.removals: dict[str, list[int]] = {}
        self.asked: list[tuple[str, datetime]] = []
        self.at_release: Callable[[], None] = lambda: None

    async def release_held(self, queries: Queries, moment: datetime, most: int) -> Released:
        self._ask("release", moment, most)
        self.at_release()
        answer = self.releases.pop(0) if self.releases else Released(0, 0)
        if isinstance(answer, CallboardError):
            raise answer
        return answer

    async def send_folds(self, queries: Queries, moment: datetime, most: int) -> int:
        self._ask("folds", moment, most)
        return self.folds.pop(0) if self.folds else 0

    async def remove_expired(self, queries: Queries, moment: datetime, most: int) -> int:
        return self._remove("expired", moment, most)

    async def remove_old_copies(self, queries: Queries, before: datetime, most: int) -> int:
        return self._remove("copies", before, most)

    async def remove_old_contents(self, queries: Queries, before: datetime, most: int) -> int:
        return self._remove("contents", before, most)

    async def remove_spent(self, queries: Queries, moment: datetime, most: int) -> int:
        return self._remove("spent", moment, most)

    def _remove(self, kind: str, moment: datetime, most: int) -> int:
        self._ask(kind, moment, most)
        return self.removals[kind].pop(0) if self.removals.get(kind) else 0

    def _ask(self, what: str, moment: datetime, most: int) -> None:
        assert most == BATCH
        self.asked.append((what, moment))


class Setup:
    """Upkeep whose pauses end at once, `rounds` of them."""

    def __init__(self, rounds: int = 0) -> None:
        self.store, self.outbox, self.clock, self.leader = Store(), Outbox(), TurnedClock(), Leader()
        self.pauses: list[float] = []
        self.rounds = rounds
        self.upkeep = NotificationUpkeep(
            NoDatabase(),
            self.outbox,
            self.leader,
            self.clock,
            retention_days=30,
            pause=self.pause,
            store=self.store,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) > self.rounds:
            raise asyncio.CancelledError

    @property
    def asked(self) -> list[str]:
        return [what for what, _ in self.store.asked]


async def test_what_is_due_is_done_until_a_batch_is_not_full() -> None:
    setup = Setup()
    setup.store.releases = [Released(BATCH, 3), Released(1, 1)]
    setup.store.folds = [0, BATCH]
    with capture_logs() as logs:
        await setup.upkeep.do_due()
    assert setup.asked == ["release", "folds"] * 3
    assert setup.outbox.commits == 2
    assert [(log["event"], log["released"], log["groups"]) for log in logs] == [
        ("notifications.due", 3, 0),
        ("notifications.due", 1, BATCH),
    ]


async def test_each_batch_is_of_a_later_moment() -> None:
    setup = Setup()
    setup.store.releases = [Released(BATCH, BATCH)] * 2
    begun = setup.clock.now()
    await setup.upkeep.do_due()
    moments = [moment for what, moment in setup.store.asked if what == "release"]
    assert moments == [begun + place * timedelta(microseconds=BATCH) for place in range(3)]


async def test_or_of_the_clocks_moment_if_that_is_later() -> None:
    setup = Setup()
    setup.store.releases = [Released(BATCH, BATCH)]
    setup.store.at_release = lambda: setup.clock.turn(1)
    await setup.upkeep.do_due()
    (_, first), _, (_, second), _ = setup.store.asked
    assert second - first == timedelta(seconds=1)


async def test_what_is_not_due_wakes_nobody() -> None:
    setup = Setup()
    with capture_logs() as logs:
        await setup.upkeep.do_due()
    assert (setup.outbox.commits, logs, setup.asked) == (0, [], ["release", "folds"])


async def test_removing_goes_kind_by_kind_with_pauses_between_full_batches() -> None:
    setup = Setup(rounds=10)
    setup.store.removals = {"expired": [BATCH, BATCH, 1], "contents": [2]}
    with capture_logs() as logs:
        await setup.upkeep.remove()
    assert setup.asked == ["expired"] * 3 + ["copies", "contents", "spent"]
    assert setup.pauses == [PAUSE, PAUSE]
    assert setup.outbox.commits == 4
    assert [(log["event"], log["kind"], log["number"]) for log in logs] == [
        ("notifications.removed", "expired", 2 * BATCH + 1),
        ("notifications.removed", "contents", 2),
    ]
    now = setup.clock.now()
    old = now - timedelta(days=30)
    assert dict(setup.store.asked) == {"expired": now, "copies": old, "contents": old, "spent": now}


async def test_who_no_longer_leads_stops_after_the_batch() -> None:
    setup = Setup(rounds=10)
    setup.store.removals = {"expired": [BATCH] * 5}

    async def lose(seconds: float) -> None:
        setup.leader.leading = False

    setup.upkeep._pause = lose
    await setup.upkeep.remove()
    assert setup.asked == ["expired"]


async def run(setup: Setup, *, removal: bool = False) -> None:
    with pytest.raises(asyncio.CancelledError):
        await (setup.upkeep.run_removal() if removal else setup.upkeep.run_due())


@pytest.mark.parametrize(
    ("removal", "seconds", "round_"),
    [
        (False, LOOK, ["release", "folds"]),
        (True, INTERVAL, ["expired", "copies", "contents", "spent"]),
    ],
)
async def test_it_looks_again_and_again(removal: bool, seconds: float, round_: list[str]) -> None:
    setup = Setup(rounds=2)
    await run(setup, removal=removal)
    assert (setup.pauses, setup.asked) == ([seconds] * 3, round_ * 2)


async def test_who_does_not_lead_does_nothing() -> None:
    setup = Setup(rounds=3)
    setup.leader.leading = False
    await run(setup)
    assert setup.asked == []


async def test_while_the_database_is_away_it_tries_less_often_and_says_so_once() -> None:
    setup = Setup(rounds=5)
    away = Unavailable("the database is away")
    setup.store.releases = [away, away, Released(0, 0), away]
    with capture_logs() as logs:
        await run(setup)
    assert setup.pauses == [LOOK, RETRY, RETRY, LOOK, RETRY, LOOK]
    assert [(log["event"], log["task"], log["reason"]) for log in logs] == [
        ("task.failed", "notification-upkeep", "the database is away")
    ] * 2


async def test_a_defect_is_not_swallowed() -> None:
    setup = Setup(rounds=2)

    def defect() -> None:
        raise ZeroDivisionError

    setup.store.at_release = defect
    with pytest.raises(ZeroDivisionError):
        await setup.upkeep.run_due()
