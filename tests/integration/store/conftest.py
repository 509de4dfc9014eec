"""A data directory for a server of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.store.clusters import PATIENCE

from callboard.store import embedded


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short path below a directory of mode 0700 that belongs to us."""
    private = Path(tempfile.mkdtemp(prefix="cb-", dir="/tmp"))
    yield private / "data"
    for left in embedded._left_running:
        left.wait(PATIENCE)
    shutil.rmtree(private)
