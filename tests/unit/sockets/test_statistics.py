"""sockets: the numbers of a node, by REST, by message and for Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from tests.loop import settle
from tests.rest_client import QuietLog, statistics_of
from tests.unit.realtime.stage import error_of
from tests.unit.sockets.conftest import Desk

from callboard import __version__, telemetry
from callboard.realtime.broker import Envelope
from callboard.realtime.connection import Reason
from callboard.sockets import statistics
from callboard.sockets.handlers import register
from callboard.sockets.payloads import Statistics, StatsAcknowledgement


async def stats(desk: Desk) -> Statistics:
    response = await desk.ask("GET", "stats")
    assert response.status_code == 200
    return msgspec.json.decode(response.content, type=Statistics)


def envelope(key: str | None = None) -> Envelope:
    return Envelope(namespace="/feed", rooms=(), name="n", payload=b"{}", key=key)


async def test_who_is_connected(desk: Desk) -> None:
    mira = await desk.joined("/feed", "mira")
    await mira.join("/admin", "mira")
    await desk.joined("/feed", "mira")
    await desk.joined("/feed", "jonas")
    read = await stats(desk)
    assert (read.node, read.version) == (desk.stage.node.id, __version__)
    assert msgspec.structs.asdict(read.connections) == {
        "total": 3,
        "limit": 500,
        "polling": 0,
        "websocket": 3,
        "users": 2,
    }
    feed, admin = read.namespaces
    assert (feed.name, feed.connections, feed.users, feed.rooms) == ("/feed", 3, 2, 4)
    assert (admin.name, admin.connections, admin.users, admin.rooms) == ("/admin", 1, 1, 3)


async def test_messages_and_what_waits(desk: Desk) -> None:
    quick, slow = await desk.joined(), await desk.joined()
    slow.connection.pause()
    slow.sink.waiting = 100_000
    for _ in range(3):
        desk.stage.node.deliver(envelope("k"))
    desk.stage.node.deliver(envelope())
    await quick.say('2/feed,["unknown"]')
    read = await stats(desk)
    assert (read.messages.received, read.messages.sent, read.messages.dropped) == (1, 8, 3)
    assert (read.queues.unsent_bytes, read.queues.unsent_bytes_max) == (100_000, 100_000)
    quick.sink.waiting = 5
    read = await stats(desk)
    assert (read.queues.unsent_bytes, read.queues.unsent_bytes_max) == (100_005, 100_000)


async def test_packets_that_wait_to_be_handled(desk: Desk) -> None:
    busy, other = await desk.joined(), await desk.joined()
    for peer in (busy, busy, other):
        peer.connection.receive('42/feed,["unknown"]')
    queues = statistics_of(desk.stage.node).read().queues
    assert (queues.inbox_packets, queues.inbox_packets_max) == (3, 2)
    await settle()
    queues = statistics_of(desk.stage.node).read().queues
    assert (queues.inbox_packets, queues.inbox_packets_max) == (0, 0)


async def test_ends_refusals_and_recoveries_by_reason(desk: Desk) -> None:
    before = await stats(desk)
    peer = await desk.joined()
    await peer.say('2/feed,["unknown"]')
    peer.connection.close(Reason.SLOW)
    telemetry.RECOVERIES.labels("recovered").inc()
    after = await stats(desk)
    assert after.slow_closes == before.slow_closes + 1
    for name, code in (("closed", "slow"), ("refused", "unknown_event"), ("recoveries", "recovered")):
        assert getattr(after, name)[code] == getattr(before, name).get(code, 0) + 1


async def test_time_and_the_process(desk: Desk) -> None:
    reader = statistics_of(desk.stage.node, clock=desk.clock)
    desk.clock.turn(90.0)
    read = reader.read()
    assert (read.at, read.started_at, read.uptime_seconds) == (
        "2026-03-01T12:01:30.000Z",
        "2026-03-01T12:00:00.000Z",
        90.0,
    )
    assert read.process.cpu_seconds > 0
    assert read.process.rss_bytes is not None
    assert read.process.rss_bytes > 1 << 20


def test_without_proc_there_is_no_resident_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(statistics, "STATM", str(tmp_path / "none"))
    assert statistics.resident_bytes() is None


async def test_the_relay(desk: Desk) -> None:
    assert msgspec.structs.asdict((await stats(desk)).relay) == {
        "ready": True,
        "leading": True,
        "position": "epoch.7",
        "lag_seconds": 0.25,
    }
    log = QuietLog()
    log.position = log.lag = None
    read = statistics_of(desk.stage.node, log).read()
    assert (read.relay.position, read.relay.lag_seconds) == (None, None)


async def test_prometheus_gets_the_same(desk: Desk) -> None:
    await desk.joined("/feed", "mira")
    desk.stage.node.deliver(envelope())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(telemetry.NodeCollector(statistics_of(desk.stage.node).samples))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"callboard_{name}", labels)

    assert value("node", node=desk.stage.node.id, version=__version__) == 1
    assert (value("connections", transport="websocket"), value("connections", transport="polling")) == (1, 0)
    assert value("connections_limit") == 500
    assert value("namespace_connections", namespace="/feed") == 1
    assert value("namespace_users", namespace="/admin") == 0
    assert value("namespace_rooms", namespace="/feed") == 3
    assert (value("users"), value("messages_out_total"), value("messages_in_total")) == (1, 1, 0)
    assert (value("relay_position"), value("relay_lag_seconds"), value("relay_leading")) == (7, 0.25, 1)
    for quantile in ("0.5", "0.99", "1"):
        assert value("loop_lag_seconds", quantile=quantile) == 0


async def test_every_metric_has_its_samples_also_before_first_contact(desk: Desk) -> None:
    log = QuietLog()
    log.position = log.lag = None
    samples = statistics_of(desk.stage.node, log).samples()
    assert set(samples) == {family.name for family in telemetry.NODE_FAMILIES}
    for family in telemetry.NODE_FAMILIES:
        assert {len(labels) for labels, _ in samples[family.name]} <= {len(family.labels)}
    assert [name for name, values in samples.items() if not list(values)] == [
        "callboard_relay_position",
        "callboard_relay_lag_seconds",
    ]


async def test_an_admin_asks_by_message(desk: Desk) -> None:
    register(desk.stage.admin, statistics_of(desk.stage.node))
    peer = await desk.joined("/admin", "mira")
    [answer] = await peer.say('2/admin,7["stats",{}]')
    assert answer.startswith("3/admin,7[")
    acknowledged: Any = msgspec.json.decode(answer.removeprefix("3/admin,7"))
    (acknowledgement,) = msgspec.convert(acknowledged, list[StatsAcknowledgement])
    assert acknowledgement.stats.node == desk.stage.node.id
    [answer] = await peer.say('2/admin,8["stats",{"all":true}]')
    assert error_of(answer)["code"] == "invalid"
    await settle()
