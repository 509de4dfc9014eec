"""Processes of a run: start, wait until ready, pin to a core, read CPU time and memory, stop.

Ends only what it started, by process id.
"""

from __future__ import annotations

import http.client
import os
import platform
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.peers import Peer

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cores:
    """Which core runs what: the server has one to itself, the load and PostgreSQL share the second of two."""

    server: int
    driver: int
    database: int

    @classmethod
    def choose(cls) -> Cores:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise SystemExit("The benchmarks need two cores: one for the server, one for the load.")
        return cls(server=cores[0], driver=cores[1], database=cores[2] if len(cores) > 2 else cores[1])


@dataclass(frozen=True)
class Cpu:
    """CPU time in seconds. The kernel's sum is exact; its split into user and system is sampled by ticks."""

    user: float
    system: float

    @property
    def total(self) -> float:
        return self.user + self.system

    def __sub__(self, earlier: Cpu) -> Cpu:
        return Cpu(self.user - earlier.user, self.system - earlier.system)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def group_of(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


def process_tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += process_tree(int(child))
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        pass
    return found


def cpu_of(pid: int) -> Cpu:
    """CPU time of the process with all its threads, its living descendants and those it has waited for."""
    user = system = 0
    for member in process_tree(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # utime, stime, cutime, cstime: fields 14 to 17 of the line, of which two come before the bracket.
        user += int(fields[11]) + int(fields[13])
        system += int(fields[12]) + int(fields[14])
    return Cpu(user / TICKS_PER_SECOND, system / TICKS_PER_SECOND)


def cpu_of_cores(cores: set[int]) -> Cpu:
    """What all processes of the machine have used of these cores, interrupts and stolen time included."""
    user = system = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            # user nice system idle iowait irq softirq steal
            user += int(ticks[0]) + int(ticks[1])
            system += int(ticks[2]) + sum(map(int, ticks[5:8]))
    return Cpu(user / TICKS_PER_SECOND, system / TICKS_PER_SECOND)


def resident_bytes(pid: int) -> int:
    """Proportional set size of the process and its descendants."""
    total = 0
    for member in process_tree(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


class Process:
    """A child process on its own core, with its output in a file; `stop` is safe to call twice."""

    def __init__(
        self,
        argv: list[str],
        *,
        core: int,
        folder: Path,
        log: str,
        stop_signal: signal.Signals,
        environ: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self._stop_signal = stop_signal
        self.log = folder / log
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})  # the child and all its threads inherit it
        try:
            with self.log.open("ab") as output:
                self._child = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # a Ctrl-C is ours to pass on
                    cwd=folder,
                    env=environ,
                    user=user,
                    group=group_of(user),
                    extra_groups=[] if user else None,
                )
        finally:
            os.sched_setaffinity(0, mine)
        self.pid = self._child.pid

    def check_alive(self) -> None:
        if self._child.poll() is not None:
            tail = self.log.read_text(errors="replace")[-3000:]
            raise SystemExit(f"{self._child.args!r} ended with status {self._child.returncode}:\n{tail}")

    def cpu(self) -> Cpu:
        return cpu_of(self.pid)

    def stop(self, patience: float = 20) -> None:
        if self._child.poll() is None:
            self._child.send_signal(self._stop_signal)
            try:
                self._child.wait(patience)
            except subprocess.TimeoutExpired:
                print(f"{self._child.args!r} did not stop in {patience} s and is killed", file=sys.stderr)
                for member in process_tree(self.pid):
                    os.kill(member, signal.SIGKILL)
                self._child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Server(Process):
    """A peer; its /readyz answers 200 when the constructor returns, after `seconds_to_ready`."""

    def __init__(
        self,
        peer: Peer,
        *,
        core: int,
        folder: Path,
        secret: str,
        database_url: str | None,
        patience: float = 60,
    ) -> None:
        self.peer = peer
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        environ = {**os.environ, **peer.environ, "PORT": str(self.port), "JWT_SECRET": secret}
        environ.pop("DATABASE_URL", None)
        if database_url is not None:
            environ["DATABASE_URL"] = database_url
        began = time.monotonic()
        super().__init__(
            peer.command(self.port, folder / "data"),
            core=core,
            folder=folder,
            log=f"{peer.name}.log",
            stop_signal=signal.SIGTERM,
            environ=environ,
        )
        try:
            self._wait_until_ready(began + patience)
        except BaseException:
            self.stop()
            raise
        self.seconds_to_ready = time.monotonic() - began

    def _wait_until_ready(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            self.check_alive()
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.01)
        raise SystemExit(f"{self.peer.name} was not ready in time:\n{self.log.read_text(errors='replace')[-3000:]}")

    def settled_bytes(self) -> int:
        """Memory once it no longer moves: garbage collected where the peer offers it, two like readings."""
        last = 0
        for _ in range(20):
            if self.peer.collect is not None:
                os.kill(self.pid, self.peer.collect)
            time.sleep(0.4)
            now = resident_bytes(self.pid)
            if abs(now - last) < 64 * 1024:
                break
            last = now
        return now


def machine() -> str:
    """One line about this machine."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} cores ({model}), {platform.system()} {platform.release()}"
