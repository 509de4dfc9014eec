"""`python -m tests.fuzz.decoders --seconds 30 [--decoder NAME]`: coverage-guided fuzzing of every decoder.

Each decoder runs in a process of its own (libFuzzer ends its process) for so many seconds, from seeds made in code.
Ends with 1 if one of them found a defect; the input that shows it is then kept and named.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("frames", "client_frames", "packet", "payload", "socketio", "json", "session", "upgrade")


def fuzz(name: str, seconds: int, directory: str) -> None:
    """Fuzz one decoder; does not return."""
    import atheris  # imported by the fuzzed process alone: it instruments what is imported after it

    with atheris.instrument_imports(include=["callboard.wire", "callboard.transports.front", "tests.fuzz.targets"]):
        from tests.fuzz.targets import ENTRIES

    entry = ENTRIES[name]
    corpus = Path(directory, "corpus")
    corpus.mkdir()
    for number, seed in enumerate(entry.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=1024", "-max_len=4096", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={directory}/", str(corpus)], entry.target)
    atheris.Fuzz()


def run(name: str, seconds: int) -> bool:
    """Fuzz one decoder in a child process; whether it held."""
    directory = tempfile.mkdtemp(prefix=f"callboard-fuzz-{name}-")
    command = [sys.executable, "-m", "tests.fuzz.decoders", "--decoder", name, "--seconds", str(seconds)]
    child = subprocess.run([*command, "--directory", directory], check=False)
    held = child.returncode == 0
    if held:
        shutil.rmtree(directory)
    print(f"{name}: {'held' if held else f'FAILED, see {directory}'}", flush=True)
    return held


def main() -> int:
    """Fuzz what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="for each decoder")
    parser.add_argument("--decoder", choices=NAMES, help="this one only")
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.directory:
        fuzz(arguments.decoder, arguments.seconds, arguments.directory)
    names = [arguments.decoder] if arguments.decoder else NAMES
    held = [run(name, arguments.seconds) for name in names]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
