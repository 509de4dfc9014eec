"""`python -m bench.startup`: seconds until a second `callboard serve` on the same data directory is ready.

The first start makes the data directory, its PostgreSQL and the tables; the later ones, which are measured,
find them. Ready is `/readyz` answering 200.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import tempfile
from pathlib import Path

from bench.peers import CALLBOARD
from bench.processes import Cores, Server, machine
from bench.report import Row, publish

ROWS = [
    Row(key="first", label="first start (makes the database)", unit="s", digits=2),
    Row(key="again", label="a later start on the same directory", unit="s", digits=2, value_goal=3),
]


def start(folder: Path, secret: str, core: int) -> float:
    with Server(CALLBOARD, core=core, folder=folder, secret=secret, database_url=None) as server:
        return server.seconds_to_ready


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--starts", type=int, default=5, help="measured starts; the median counts (default 5)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    cores, secret = Cores.choose(), secrets.token_hex(24)
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as name:
        Path(name).chmod(0o755)  # its PostgreSQL runs as another user where we are root
        first = start(Path(name), secret, cores.server)
        again = [start(Path(name), secret, cores.server) for _ in range(options.starts)]
    about = {"machine": machine(), "core": cores.server, CALLBOARD.name: CALLBOARD.versions()}
    publish("startup", about, ROWS, {CALLBOARD.name: [{"first": first}, *({"again": one} for one in again)]})


if __name__ == "__main__":
    main()
