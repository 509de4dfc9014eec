"""Telemetry: every log name and every metric, with its fields.

Owns: the catalogue `LOG_EVENTS` (a test holds the source against it), the structlog configuration, and the
Prometheus metrics. A fact is logged once, where it is known best. Never: a token, a key or a body in a log.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from prometheus_client import Counter, Gauge, Histogram

LOG_EVENTS: dict[str, str] = {
    # name: its fields
    "server.started": "url, version, database, data_dir",
    "server.stopping": "connections",
    "server.unflushed": "seconds",
    "server.hurried": "",
    "server.stopped": "",
    "database.embedded_started": "pid, seconds",
    "database.embedded_found": "pid",
    "database.embedded_stopped": "seconds",
    "database.migrated": "version, name",
    "database.lost": "reason",
    "database.back": "seconds_away",
    "relay.leading": "",
    "relay.following": "",
    "relay.failed": "reason, retry_in | reason, position, name",
    "relay.repositioned": "reason, position",
    "jwks.failed": "reason",
    "request.failed": "method, path, status, code, request, reason",
    "request.refused": "method, path, status, code, request, reason",
    "socket.refused": "code, address, reason",
    "socket.closed": "reason, transport, address",
    "message.refused": "namespace, name, user, code, reason",
    "socket.handler_failed": "namespace, name, reason",
    "user.revoked": "user, connections",
    "admin.action": "actor, action, target",
    "task.failed": "task, reason",
}

CONNECTIONS = Gauge("callboard_connections", "Open Engine.IO sessions", ["transport"])
MESSAGES_OUT = Counter("callboard_messages_out", "Messages written to connections")
RELAYED = Counter("callboard_relayed", "Outbox rows moved into the message log")
CLOSED = Counter("callboard_connections_closed", "Closed sessions", ["reason"])
REFUSED = Counter("callboard_refused", "Refused handshakes and requests", ["code"])
COMMIT_TO_WRITE = Histogram(
    "callboard_commit_to_write_seconds",
    "From a message's commit to its write to sockets",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

log: structlog.stdlib.BoundLogger = structlog.get_logger("callboard")


def configure(level: str, fmt: str, stream: TextIO | None = None) -> None:
    """Send structured lines of `level` and above to `stream` (default: standard error), console or json."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    out = sys.stderr if stream is None else stream
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if fmt == "json"
        # Texts are written as literals: what a client sent must not move a terminal's cursor or start a line.
        else structlog.dev.ConsoleRenderer(colors=out.isatty(), repr_native_str=True)
    )
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
    # Libraries that speak through `logging` are heard from warnings upwards, in plain lines.
    logging.basicConfig(stream=out, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", force=True)
