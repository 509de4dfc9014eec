"""`python -m bench.sockets`: all that the socket server is held to: `bench.fanout`, then `bench.storm`.

`--rounds` and `--quick` go to both. Each is a process of its own: a run gives its process to one core.
"""

from __future__ import annotations

import argparse
import subprocess
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", default="3")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    shared = ["--rounds", options.rounds, *(["--quick"] if options.quick else [])]
    for bench in ("bench.fanout", "bench.storm"):
        subprocess.run([sys.executable, "-m", bench, *shared], check=True)


if __name__ == "__main__":
    main()
