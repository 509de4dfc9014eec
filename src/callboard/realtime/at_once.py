"""A coroutine that mostly has nothing to wait for, without a task.

Owns: one step of it. Never: the rest.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def without_waiting(work: Coroutine[Any, Any, T]) -> T | None:
    """What a coroutine returns if it need not wait for anything. If it must, it is closed there, and None returned."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    return None
