"""The page of settings, as tables."""

from __future__ import annotations

from pathlib import Path

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def documented() -> dict[str, list[str]]:
    """By the name of a setting, the further cells of its row."""
    rows = [
        line.split(" | ") for line in (REFERENCE / "settings.md").read_text().splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("| `"): [cell.strip() for cell in row[1:]] for row in rows}
