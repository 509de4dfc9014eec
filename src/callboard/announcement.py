"""`server.json` in the data directory: where the server that runs on it is found.

Owns: the file, `{"url", "pid"}`, of the server that announced itself last; when that one ends, of the one before it,
if that still listens. Never: a secret; proof that a server is healthy (ask it).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from callboard.errors import StartError

FILE = "server.json"
CONNECT_TIMEOUT = 1.0


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server that was there a moment ago. `url` has no path."""

    url: str
    pid: int

    @property
    def port(self) -> int:
        """The TCP port of `url`."""
        return urlsplit(self.url).port or 80


def find(data_dir: Path) -> RunningServer | None:
    """The announced server if its process lives and its port takes connections."""
    announced = _read(data_dir / FILE)
    return announced if announced is not None and _listens(announced) else None


@contextlib.contextmanager
def announced(data_dir: Path, url: str) -> Iterator[None]:
    """Announce this process's server. Leave the block after its port is closed. Raises StartError."""
    mine = RunningServer(url=url, pid=os.getpid())
    path = data_dir / FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with _locked(data_dir):
            before = _read(path)
            _write(path, mine)
    except OSError as error:
        raise StartError(f"cannot write {path}: {error.strerror or error}; give another --data-dir") from None
    try:
        yield
    finally:
        _leave(data_dir, mine, before)


def _leave(data_dir: Path, mine: RunningServer, before: RunningServer | None) -> None:
    """A server closes its port before it comes here: the port of one that has left, under the lock, is closed."""
    path = data_dir / FILE
    with contextlib.suppress(FileNotFoundError), _locked(data_dir):
        if _read(path) != mine:
            return
        if before is not None and before.pid != mine.pid and _listens(before):
            _write(path, before)
        else:
            path.unlink()


def _read(path: Path) -> RunningServer | None:
    try:
        content = json.loads(path.read_text())
        server = RunningServer(url=str(content["url"]), pid=int(content["pid"]))
        return server if server.port else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, server: RunningServer) -> None:
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(asdict(server)))
    draft.replace(path)


def _listens(server: RunningServer) -> bool:
    try:
        os.kill(server.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    try:
        with socket.create_connection((urlsplit(server.url).hostname or "", server.port), CONNECT_TIMEOUT):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
