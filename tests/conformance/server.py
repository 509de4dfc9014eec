"""The conformance fixture as a process of its own, ended by its process id."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from tests.conformance.client import DEADLINE, PING_INTERVAL_MS, PING_TIMEOUT_MS

TRANSPORTS = ("native", "asgi")


class Heartbeat(NamedTuple):
    """Seconds between pings, and for a pong."""

    interval: float
    timeout: float


# The protocols' test suites have it so. A busy machine may be late for it.
SUITES = Heartbeat(PING_INTERVAL_MS / 1000, PING_TIMEOUT_MS / 1000)
# Pings come as often, and their answers have time.
ROOMY = Heartbeat(SUITES.interval, 5.0)
# No test lives to see a ping.
PATIENT = Heartbeat(25.0, 20.0)


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running fixture: where it listens, with what it serves WebSockets, and its process."""

    origin: str
    port: int
    transport: str
    process: subprocess.Popen[str]


@contextmanager
def run_server(transport: str, port: int = 0, *, heartbeat: Heartbeat = SUITES) -> Iterator[Server]:
    command = [sys.executable, "-m", "callboard.conformance", "--port", str(port), "--transport", transport]
    command += ["--ping-interval", str(heartbeat.interval), "--ping-timeout", str(heartbeat.timeout)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(r"listening on (http://127\.0\.0\.1:([0-9]+))\n", line)
            assert found, f"the fixture printed {line!r} where it should say where it listens"
            yield Server(origin=found[1], port=int(found[2]), transport=transport, process=process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
