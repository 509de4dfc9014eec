"""Telemetry: every log name and every metric, with its fields.

Owns: the catalogue `LOG_EVENTS` (a test holds the source against it), the structlog configuration, and the
Prometheus metrics. A fact is logged once, where it is known best. Never: a token, a key or a body in a log.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, TextIO

import structlog
from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

LOG_EVENTS: dict[str, str] = {
    # name: its fields
    "server.started": "url, version, database, data_dir",
    "server.stopping": "connections",
    "server.unflushed": "seconds",
    "server.hurried": "",
    "server.stopped": "",
    "database.embedded_started": "pid, seconds",
    "database.embedded_ended": "log",
    "database.embedded_failed": "reason, retry_in",
    "database.embedded_found": "pid",
    "database.embedded_stopped": "seconds",
    "database.migrated": "version, name",
    "database.lost": "reason",
    "database.deadlock": "reason",
    "database.back": "seconds_away",
    "database.frozen": "waiting",
    "database.answers": "",
    "sessions.failed": "reason, retry_in",
    "relay.leading": "",
    "relay.following": "",
    "relay.failed": "reason, retry_in | reason, position, name",
    "relay.repositioned": "reason, position",
    "jwks.failed": "reason",
    "http.refused": "status, code, address, reason, request",
    "http.upgrade_ignored": "address",
    "request.failed": "method, path, status, code, request, reason",
    "request.refused": "method, path, status, code, request, reason",
    "socket.refused": "code, address, reason",
    "socket.closed": "reason, transport, address",
    "socket.no_ring": "reason",
    "message.refused": "namespace, name, user, code, reason",
    "socket.handler_failed": "namespace, name, reason",
    "notifications.due": "released, groups",
    "notifications.removed": "kind, number",
    "user.revoked": "user, connections",
    "admin.action": "actor, action, target",
    "admin.alert": "kind, reason",
    "task.failed": "task, reason",
    "library.warned": "library, reason",
    "library.failed": "library, reason",
}

RELAYED = Counter("callboard_relayed", "Outbox rows moved into the message log")
CLOSED = Counter("callboard_connections_closed", "Closed sessions", ["reason"])
REFUSED = Counter("callboard_refused", "Refused handshakes, connects and messages", ["code"])
RECOVERIES = Counter("callboard_recoveries", "Clients that came back and asked to recover", ["outcome"])
NOTIFIED = Counter("callboard_notified", "Recipients of new notifications, by what became of it", ["outcome"])
RELEASED = Counter("callboard_released", "Copies that arrived when their hold had ended")
REMOVED = Counter("callboard_removed", "Rows that upkeep removed", ["kind"])
COMMIT_TO_WRITE = Histogram(
    "callboard_commit_to_write_seconds",
    "From a message's commit to its write to sockets",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


@functools.cache
def labelled(counter: Counter, value: str) -> Counter:
    """The count for a value of a counter's one label. There are few; to look one up costs more than to count."""
    return counter.labels(value)


def socket_refused(code: str, address: str, reason: str) -> None:
    """Log and count what a client of the sockets was refused."""
    log.info("socket.refused", code=code, address=address, reason=reason)
    REFUSED.labels(code).inc()


@dataclass(frozen=True)
class Family:
    """A metric whose samples are read from the node when somebody asks, so that it costs nothing until then."""

    name: str
    documentation: str
    labels: tuple[str, ...] = ()
    total: bool = False


NODE_FAMILIES = (
    Family("callboard_node", "Which node this is; always 1", ("node", "version")),
    Family("callboard_uptime_seconds", "Since the node was made"),
    Family("callboard_connections", "Open Engine.IO sessions", ("transport",)),
    Family("callboard_connections_limit", "How many may be open (MAX_SOCKET_CONNECTIONS)"),
    Family("callboard_namespace_connections", "Connections in a namespace", ("namespace",)),
    Family("callboard_namespace_users", "Different users in a namespace", ("namespace",)),
    Family("callboard_namespace_rooms", "Rooms of a namespace that anybody is in", ("namespace",)),
    Family("callboard_users", "Different users in any namespace"),
    Family("callboard_messages_in", "Messages of clients that were handled", total=True),
    Family("callboard_messages_out", "Messages queued to clients, each receiver counting", total=True),
    Family("callboard_messages_dropped", "Volatile messages that a slow client did not get", total=True),
    Family("callboard_bytes_in", "Engine.IO content from clients", total=True),
    Family("callboard_bytes_out", "WebSocket frames and long-polling bodies to clients", total=True),
    Family("callboard_unsent_bytes", "Bytes that clients have not taken"),
    Family("callboard_unsent_bytes_max", "Bytes that the slowest client has not taken"),
    Family("callboard_inbox_packets", "Packets of clients that wait to be handled"),
    Family("callboard_inbox_packets_max", "Packets that wait of the client with the most"),
    Family("callboard_loop_lag_seconds", "Lateness of callbacks in the last minute; 1 is the worst", ("quantile",)),
    Family("callboard_relay_position", "Number in the log up to which this node has delivered"),
    Family("callboard_relay_lag_seconds", "Everything committed longer ago than this has been delivered here"),
    Family("callboard_relay_leading", "1 on the node that moves the outbox into the log"),
)

Samples = Mapping[str, Iterable[tuple[tuple[str, ...], float]]]


class NodeCollector(Collector):
    """NODE_FAMILIES for Prometheus. `read` gives each family's samples (label values and value), all of one moment."""

    def __init__(self, read: Callable[[], Samples]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering reads nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read once, for all families."""
        samples = self._read()
        for family in NODE_FAMILIES:
            kind = CounterMetricFamily if family.total else GaugeMetricFamily
            metric = kind(family.name, family.documentation, labels=family.labels)
            for labels, value in samples[family.name]:
                metric.add_metric(labels, value)
            yield metric


def totals(counter: Counter) -> dict[str, int]:
    """A counter's values by its one label."""
    return {
        value: int(sample.value)
        for metric in counter.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
        for value in sample.labels.values()
    }


log: structlog.stdlib.BoundLogger = structlog.get_logger("callboard")


def report(task: asyncio.Task[None]) -> None:
    """Log what a task ended with, by its name, if that was a defect. A done callback."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task.failed", task=task.get_name(), reason=repr(error), exc_info=error)


def configure(level: str, fmt: str, stream: TextIO | None = None) -> None:
    """Send structured lines of `level` and above to `stream` (default: standard error), console or json."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    out = sys.stderr if stream is None else stream
    renderer: Any
    if fmt == "json":
        renderer = structlog.processors.JSONRenderer()
    elif out.isatty():
        # Texts are written as literals: what a client sent must not move a terminal's cursor or start a line.
        renderer = structlog.dev.ConsoleRenderer(colors=True, repr_native_str=True)
    else:
        renderer = colorless
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)


class _Libraries(logging.Handler):
    """What libraries say through `logging`, from warnings upwards, as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record. One whose text and arguments do not go together is the library's defect."""
        try:
            facts = {"library": record.name, "reason": record.getMessage(), "exc_info": record.exc_info}
        except Exception:
            self.handleError(record)
            return
        if record.levelno < logging.ERROR:
            log.warning("library.warned", **facts)
        else:
            log.error("library.failed", **facts)


def colorless(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    """What structlog's ConsoleRenderer writes without colors, for a fifth of its time."""
    exception = event.pop("exception", None)
    head = f"{event.pop('timestamp')} [{event.pop('level'):9}] {event.pop('event'):30}"
    line = " ".join([head, *(f"{key}={event[key]!r}" for key in sorted(event))]).rstrip(" ")
    return line if exception is None else f"{line}\n{exception}"
