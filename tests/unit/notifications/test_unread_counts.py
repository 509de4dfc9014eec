"""UnreadCounts: few queries, nothing lost while the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import structlog.testing
from tests.rest_client import NoDatabase, Publisher

from callboard.errors import Unavailable
from callboard.notifications.store import NotificationStore, UserCount
from callboard.notifications.unread_counts import UnreadCounts
from callboard.store.database import Queries

PAUSE, PATIENCE = 0.01, 0.04


class Store(NotificationStore):
    """Answers counts, fails `failures` times first, and waits at `gate` while it is closed."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()

    async def unread_counts(self, queries: Queries, user_ids: Sequence[str]) -> list[UserCount]:
        self.asked.append(list(user_ids))
        self.entered.set()
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise Unavailable("the database is away")
        return [UserCount(user_id, b'{"count":1,"position":"e.1"}') for user_id in user_ids]


class Setup:
    def __init__(self, connected: Callable[[str], bool]) -> None:
        self.store = Store()
        self.publisher = Publisher()
        self.pauses: list[float] = []
        self.paused = asyncio.Event()
        self.counts = UnreadCounts(
            NoDatabase(), self.publisher, connected, pause=PAUSE, patience=PATIENCE, sleep=self.sleep, store=self.store
        )

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.paused.set()
        await asyncio.sleep(0)

    async def settled(self) -> None:
        """Wait until the next pause begins."""
        self.paused.clear()
        await self.paused.wait()

    @property
    def told(self) -> list[str]:
        return [envelope.rooms[0] for envelope in self.publisher.envelopes]


@asynccontextmanager
async def running(connected: Callable[[str], bool] = lambda user: True) -> AsyncIterator[Setup]:
    setup = Setup(connected)
    task = asyncio.create_task(setup.counts.run())
    try:
        yield setup
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_mark_publishes_the_count_to_the_users_room() -> None:
    async with running() as setup:
        setup.counts.mark("u1")
        await setup.settled()
        (envelope,) = setup.publisher.envelopes
        assert (envelope.namespace, envelope.rooms, envelope.name) == (
            "/feed",
            ("user:u1",),
            "notification:unread-count",
        )
        assert (envelope.key, envelope.position) == ("unread-count", None)
        assert envelope.payload == b'{"count":1,"position":"e.1"}'


async def test_marks_of_one_turn_share_a_query_and_a_user_is_asked_once() -> None:
    async with running() as setup:
        for user in ("u1", "u2", "u1"):
            setup.counts.mark(user)
        await setup.settled()
        assert setup.store.asked == [["u1", "u2"]]
        assert setup.pauses == [PAUSE]


async def test_what_is_marked_during_a_query_is_asked_together_after_the_pause() -> None:
    async with running() as setup:
        setup.store.gate.clear()
        setup.counts.mark("u1")
        await setup.store.entered.wait()
        setup.counts.mark("u1")
        setup.counts.mark("u2")
        setup.store.gate.set()
        await setup.settled()
        assert (setup.store.asked, setup.pauses) == ([["u1"]], [PAUSE])
        await setup.settled()
        assert (setup.store.asked, setup.pauses) == ([["u1"], ["u1", "u2"]], [PAUSE, PAUSE])


@pytest.mark.parametrize(("marks", "pauses"), [(UnreadCounts.FEW, [PAUSE]), (UnreadCounts.FEW + 1, [PATIENCE, PAUSE])])
async def test_many_marks_wait_for_more(marks: int, pauses: list[float]) -> None:
    async with running() as setup:
        for number in range(marks):
            setup.counts.mark(f"u{number}")
        while not setup.told:
            await setup.settled()
        assert setup.pauses == pauses
        assert [len(users) for users in setup.store.asked] == [marks]


async def test_users_without_a_connection_are_not_asked_for() -> None:
    here = {"u1"}
    async with running(here.__contains__) as setup:
        setup.store.gate.clear()
        setup.counts.mark("u2")
        setup.counts.mark("u1")
        await setup.store.entered.wait()
        # They leave between mark and query.
        setup.counts.mark("u1")
        here.clear()
        setup.store.gate.set()
        await setup.settled()
        assert setup.store.asked == [["u1"]]


async def test_many_users_are_asked_in_bounded_queries() -> None:
    async with running() as setup:
        for number in range(1001):
            setup.counts.mark(f"u{number}")
        while len(setup.told) < 1001:
            await setup.settled()
        assert [len(users) for users in setup.store.asked] == [1000, 1]


async def test_an_outage_keeps_the_marks_backs_off_and_is_logged_once() -> None:
    with structlog.testing.capture_logs() as lines:
        async with running() as setup:
            setup.store.failures = 8
            setup.counts.mark("u1")
            while not setup.told:
                await setup.settled()
            assert setup.told == ["user:u1"]
            assert setup.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, PAUSE]
            # The next outage begins anew.
            setup.store.failures = 1
            setup.counts.mark("u2")
            await setup.settled()
            assert setup.pauses[9:] == [0.1]
    assert [line["event"] for line in lines] == ["task.failed", "task.failed"]
