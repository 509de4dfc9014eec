"""The numbers of one node, read when somebody asks.

Owns: the reading, for /socket/stats and `admin:stats`, and the same as Prometheus samples. Never: a count of its own;
it looks at those that the node, the relay and telemetry keep. A reading visits every connection (10 ms for
10,000), so nothing asks for one per message.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Protocol

from callboard import __version__, telemetry
from callboard.clock import Clock, utc_text
from callboard.realtime.connection import Reason
from callboard.realtime.lag import LoopLag
from callboard.realtime.namespace import Namespace
from callboard.realtime.node import Node
from callboard.sockets.payloads import (
    ConnectionCounts,
    LoopLagSeconds,
    MessageCounts,
    NamespaceCounts,
    ProcessUse,
    QueueDepths,
    RelayState,
    Statistics,
)

STATM = "/proc/self/statm"


class Log(Protocol):
    """What the relay knows of itself and the message log."""

    @property
    def ready(self) -> bool:
        """Whether it is in contact."""

    @property
    def leading(self) -> bool:
        """Whether this node numbers messages."""

    @property
    def position(self) -> str | None:
        """Up to which all was delivered."""

    @property
    def lag(self) -> float | None:
        """Everything committed longer ago than these seconds was delivered."""


class StatisticsReader:
    """Reads `node` and what belongs to it."""

    def __init__(self, node: Node, log: Log, lag: LoopLag, clock: Clock) -> None:
        self._node = node
        self._log = log
        self._lag = lag
        self._clock = clock
        self._started = clock.monotonic()
        self._started_at = utc_text(clock.now())

    @property
    def position(self) -> str | None:
        """Up to which this node has delivered."""
        return self._log.position

    def read(self) -> Statistics:
        """Everything, of this moment."""
        node, closed = self._node, telemetry.totals(telemetry.CLOSED)
        traffic, depths, lag = node.engine.traffic, node.depths(), self._lag.read()
        return Statistics(
            node=node.id,
            version=__version__,
            at=utc_text(self._clock.now()),
            started_at=self._started_at,
            uptime_seconds=round(self._clock.monotonic() - self._started, 3),
            connections=self._connections(),
            namespaces=[_namespace(namespace) for namespace in node.namespaces],
            messages=MessageCounts(
                received=traffic.messages_in,
                sent=traffic.messages_out,
                dropped=traffic.dropped,
                bytes_received=traffic.bytes_in,
                bytes_sent=traffic.bytes_out,
            ),
            queues=QueueDepths(
                unsent_bytes=depths.unsent,
                unsent_bytes_max=depths.most_unsent,
                inbox_packets=depths.waiting,
                inbox_packets_max=depths.most_waiting,
            ),
            slow_closes=closed.get(Reason.SLOW.value, 0),
            closed=closed,
            recoveries=telemetry.totals(telemetry.RECOVERIES),
            refused=telemetry.totals(telemetry.REFUSED),
            loop_lag_seconds=LoopLagSeconds(p50=lag.p50, p99=lag.p99, worst=lag.worst),
            process=ProcessUse(cpu_seconds=round(time.process_time(), 3), rss_bytes=resident_bytes()),
            relay=self._relay(),
        )

    def samples(self) -> telemetry.Samples:
        """Everything, as samples of telemetry.NODE_FAMILIES."""
        return samples(self.read())

    def _connections(self) -> ConnectionCounts:
        engine = self._node.engine
        users = {member.principal.id for namespace in self._node.namespaces for member in namespace.hub.select(())}
        return ConnectionCounts(
            total=len(engine.connections),
            limit=engine.options.max_connections,
            polling=engine.by_transport["polling"],
            websocket=engine.by_transport["websocket"],
            users=len(users),
        )

    def _relay(self) -> RelayState:
        log = self._log
        lag = None if log.lag is None else round(log.lag, 3)
        return RelayState(ready=log.ready, leading=log.leading, position=log.position, lag_seconds=lag)


def samples(read: Statistics) -> telemetry.Samples:
    """A reading as samples of telemetry.NODE_FAMILIES."""
    connections, messages, queues, lag = read.connections, read.messages, read.queues, read.loop_lag_seconds
    return {
        "callboard_node": [((read.node, read.version), 1)],
        "callboard_uptime_seconds": _one(read.uptime_seconds),
        "callboard_connections": [(("polling",), connections.polling), (("websocket",), connections.websocket)],
        "callboard_connections_limit": _one(connections.limit),
        "callboard_namespace_connections": [((each.name,), each.connections) for each in read.namespaces],
        "callboard_namespace_users": [((each.name,), each.users) for each in read.namespaces],
        "callboard_namespace_rooms": [((each.name,), each.rooms) for each in read.namespaces],
        "callboard_users": _one(connections.users),
        "callboard_messages_in": _one(messages.received),
        "callboard_messages_out": _one(messages.sent),
        "callboard_messages_dropped": _one(messages.dropped),
        "callboard_bytes_in": _one(messages.bytes_received),
        "callboard_bytes_out": _one(messages.bytes_sent),
        "callboard_unsent_bytes": _one(queues.unsent_bytes),
        "callboard_unsent_bytes_max": _one(queues.unsent_bytes_max),
        "callboard_inbox_packets": _one(queues.inbox_packets),
        "callboard_inbox_packets_max": _one(queues.inbox_packets_max),
        "callboard_loop_lag_seconds": [(("0.5",), lag.p50), (("0.99",), lag.p99), (("1",), lag.worst)],
        "callboard_relay_position": _one(_seq(read.relay.position)),
        "callboard_relay_lag_seconds": _one(read.relay.lag_seconds),
        "callboard_relay_leading": _one(read.relay.leading),
    }


def resident_bytes() -> int | None:
    """The process's resident memory, where the system has /proc."""
    try:
        with open(STATM, encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return None


def _one(value: float | None) -> Iterable[tuple[tuple[str, ...], float]]:
    return [] if value is None else [((), value)]


def _seq(position: str | None) -> int | None:
    return None if position is None else int(position.rpartition(".")[2])


def _namespace(namespace: Namespace) -> NamespaceCounts:
    members = namespace.hub.select(())
    return NamespaceCounts(
        name=namespace.name,
        connections=len(members),
        users=len({member.principal.id for member in members}),
        rooms=namespace.hub.rooms,
    )
