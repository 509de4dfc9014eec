"""sockets: what operators are alerted to, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
import pytest
import structlog.testing
from tests.clock import TurnedClock
from tests.loop import Pauses, settle
from tests.rest_client import NoDatabase

from callboard import telemetry
from callboard.errors import StoreError, Unavailable
from callboard.sockets.alerts import PERIOD, Alerts
from callboard.sockets.model import QUIET, REFUSAL_BURST, SLOW_BURST, WINDOW
from callboard.sockets.payloads import AdminAlert
from callboard.store.database import Queries


class Outbox:
    """Keeps what was put; refuses it with `error`."""

    def __init__(self) -> None:
        self.alerts: list[AdminAlert] = []
        self.commits = 0
        self.error: Exception | None = None
        self.during: Callable[[], None] = lambda: None

    async def put(self, queries: Queries, *, namespace: str, rooms: Sequence[str], name: str, payload: str) -> None:
        if self.error is not None:
            raise self.error
        during, self.during = self.during, lambda: None
        during()
        assert (namespace, rooms, name) == ("/admin", ["role:admin"], "admin:alert")
        self.alerts.append(msgspec.json.decode(payload, type=AdminAlert))

    def committed(self) -> None:
        self.commits += 1


class Watcher:
    def __init__(self) -> None:
        self.clock = TurnedClock()
        self.pauses = Pauses(self.clock)
        self.outbox = Outbox()
        self.alerts = Alerts(NoDatabase(), self.outbox, self.clock, "node-1", pause=self.pauses)
        self.task = asyncio.create_task(self.alerts.run())

    def kinds(self) -> list[str]:
        return [alert.kind for alert in self.outbox.alerts]


@pytest.fixture
async def watcher() -> AsyncIterator[Watcher]:
    watcher = Watcher()
    await settle()
    yield watcher
    assert not watcher.task.done()
    watcher.task.cancel()
    await asyncio.wait([watcher.task])


def slow(count: int) -> None:
    telemetry.CLOSED.labels("slow").inc(count)


def refused(count: int) -> None:
    telemetry.REFUSED.labels("token_expired").inc(count)


async def test_a_quiet_node_alerts_nobody(watcher: Watcher) -> None:
    slow(SLOW_BURST - 1)
    refused(REFUSAL_BURST - 1)
    telemetry.CLOSED.labels("client closed").inc(1000)
    await watcher.pauses.over(30)
    assert watcher.kinds() == []
    assert set(watcher.pauses.asked) == {PERIOD}


async def test_many_slow_closes(watcher: Watcher) -> None:
    slow(SLOW_BURST // 2)
    await watcher.pauses.over(3)
    slow(SLOW_BURST - SLOW_BURST // 2)
    with structlog.testing.capture_logs() as lines:
        await watcher.pauses.over()
    (alert,) = watcher.outbox.alerts
    assert (alert.kind, alert.node, alert.count, alert.seconds) == ("slow_closes", "node-1", SLOW_BURST, WINDOW)
    assert alert.at == "2026-03-01T12:00:20.000Z"
    assert watcher.outbox.commits == 1
    (line,) = lines
    assert (line["event"], line["kind"], line["log_level"]) == ("admin.alert", "slow_closes", "warning")


async def test_many_refusals_of_any_kind(watcher: Watcher) -> None:
    refused(REFUSAL_BURST - 1)
    telemetry.REFUSED.labels("forbidden").inc()
    await watcher.pauses.over()
    assert [(alert.kind, alert.count) for alert in watcher.outbox.alerts] == [("refusals", REFUSAL_BURST)]


async def test_what_is_spread_over_more_than_a_minute_is_no_burst(watcher: Watcher) -> None:
    for _ in range(30):
        slow(1)
        await watcher.pauses.over(2)
    assert watcher.kinds() == []


async def test_one_that_lasts_is_told_once_in_ten_minutes(watcher: Watcher) -> None:
    for _ in range(round(QUIET / PERIOD)):
        slow(SLOW_BURST)
        await watcher.pauses.over()
    assert watcher.kinds() == ["slow_closes"]
    slow(SLOW_BURST)
    await watcher.pauses.over()
    assert watcher.kinds() == ["slow_closes"] * 2


async def test_a_database_that_is_back(watcher: Watcher) -> None:
    watcher.alerts.database_back(12.34)
    await watcher.pauses.over()
    (alert,) = watcher.outbox.alerts
    assert (alert.kind, alert.count, alert.seconds) == ("database_back", None, 12.34)
    assert "12.3 seconds" in alert.message


async def test_one_that_is_raised_while_another_of_its_kind_is_written_follows(watcher: Watcher) -> None:
    watcher.outbox.during = lambda: watcher.alerts.database_back(2.0)
    watcher.alerts.database_back(1.0)
    await watcher.pauses.over()
    assert [alert.seconds for alert in watcher.outbox.alerts] == [1.0, 2.0]
    await watcher.pauses.over()
    assert len(watcher.outbox.alerts) == 2


async def test_while_the_database_is_away_the_newest_of_each_kind_waits(watcher: Watcher) -> None:
    watcher.outbox.error = Unavailable("the database is away")
    slow(SLOW_BURST)
    watcher.alerts.database_back(1.0)
    await watcher.pauses.over()
    watcher.alerts.database_back(2.0)
    await watcher.pauses.over()
    assert watcher.outbox.commits == 0
    watcher.outbox.error = None
    await watcher.pauses.over()
    assert sorted((alert.kind, alert.seconds) for alert in watcher.outbox.alerts) == [
        ("database_back", 2.0),
        ("slow_closes", WINDOW),
    ]
    await watcher.pauses.over()
    assert len(watcher.outbox.alerts) == watcher.outbox.commits == 2


async def test_one_that_the_database_refuses_is_a_defect_and_ends_nothing(watcher: Watcher) -> None:
    watcher.outbox.error = StoreError("relation does not exist")
    watcher.alerts.database_back(1.0)
    with structlog.testing.capture_logs() as lines:
        await watcher.pauses.over()
    assert [line["event"] for line in lines] == ["task.failed"]
    watcher.outbox.error = None
    await watcher.pauses.over()
    assert watcher.kinds() == []
    watcher.alerts.database_back(3.0)
    await watcher.pauses.over()
    assert watcher.kinds() == ["database_back"]
