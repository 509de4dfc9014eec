"""Which processes coverage traces: by default each Python process that a test starts."""

from __future__ import annotations

from collections.abc import Mapping

# By these coverage knows, in a process that starts, that it is to trace it.
MARKS = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")


def untraced(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for a process that coverage leaves alone: tracing costs time, and other tests run its code too."""
    return {name: value for name, value in environment.items() if name not in MARKS}
