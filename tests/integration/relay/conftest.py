"""The log of a test, instead of standard error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from tests.integration.relay.kit import Heard


@pytest.fixture(autouse=True)
def heard() -> Iterator[Heard]:
    """The log of this test."""
    heard = Heard()
    structlog.reset_defaults()
    structlog.configure(processors=[heard])
    yield heard
    structlog.reset_defaults()
