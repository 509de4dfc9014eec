"""Whatever happens, in whatever order: at the end every client shows what the database holds.

A short version; `python -m tests.convergence.course` runs many more and longer ones.
"""

from __future__ import annotations

import pytest
from tests.convergence import course

STEPS = 50


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_clients_lists_and_count_are_the_databases(dsn: str, seed: int) -> None:
    print(f"seed {seed}")
    assert await course.run(dsn, seed=seed, steps=STEPS) == 2
