"""From the rounds' figures to a table and a file: medians, ratios of each pair of rounds, goals.

A round of one peer is a flat `dict[str, float]`; nothing here knows what a figure means but its row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil, inf
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results"
SUBJECT = "callboard"

Rounds = Mapping[str, Sequence[Mapping[str, float]]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line: the figure's key, what it is, and what it is held to, if anything."""

    key: str
    label: str
    unit: str
    digits: int = 1
    at_most: Mapping[str, float] = field(default_factory=dict)  # by peer: Callboard / that peer
    at_least: Mapping[str, float] = field(default_factory=dict)
    value_goal: float | None = None  # Callboard's own figure at most
    compared: bool = True  # False for what describes the conditions, not the servers


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * share) - 1)]


def table(rows: Sequence[Row], rounds: Rounds) -> str:
    """A Markdown table. A ratio is the median over the pairs (round i of both), with lowest and highest."""
    names = list(rounds)
    others = [name for name in names if name != SUBJECT] if SUBJECT in rounds else []
    head = ["", "unit", *names, *(f"{SUBJECT} / {other}" for other in others), "goal"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(names) + len(others)) + "---|"]
    for row in rows:
        if not any(row.key in one for name in names for one in rounds[name]):
            continue
        cells = [row.label, row.unit, *(_figure(row, rounds[name]) for name in names)]
        cells += [_ratio(row, rounds[SUBJECT], rounds[other]) for other in others]
        lines.append("| " + " | ".join([*cells, _verdict(row, rounds)]) + " |")
    return "\n".join(lines)


def _values(key: str, rounds: Sequence[Mapping[str, float]]) -> list[float]:
    return [one[key] for one in rounds if key in one]


def _figure(row: Row, rounds: Sequence[Mapping[str, float]]) -> str:
    values = _values(row.key, rounds)
    return f"{median(values):,.{row.digits}f}" if values else "-"


def _ratios(key: str, subject: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]]) -> list[float]:
    return [a[key] / b[key] for a, b in zip(subject, other, strict=False) if key in a and b.get(key)]


def _ratio(row: Row, subject: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]]) -> str:
    ratios = _ratios(row.key, subject, other)
    if not ratios or not row.compared:
        return "-"
    return f"**{median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"


def _verdict(row: Row, rounds: Rounds) -> str:
    """Each goal, and whether the medians meet it."""
    subject = rounds.get(SUBJECT, [])
    verdicts = [
        _one_verdict(f"≤ {limit:g} of {peer}", _ratios(row.key, subject, rounds.get(peer, [])), most=limit)
        for peer, limit in row.at_most.items()
    ]
    verdicts += [
        _one_verdict(f"≥ {limit:g} times {peer}", _ratios(row.key, subject, rounds.get(peer, [])), least=limit)
        for peer, limit in row.at_least.items()
    ]
    if row.value_goal is not None:
        text = f"≤ {row.value_goal:g} {row.unit}"
        verdicts.append(_one_verdict(text, _values(row.key, subject), most=row.value_goal))
    return "; ".join(verdicts)


def _one_verdict(text: str, values: Sequence[float], *, most: float = inf, least: float = -inf) -> str:
    return f"{text}: {'met' if least <= median(values) <= most else 'MISSED'}" if values else text


def publish(bench: str, about: Mapping[str, object], rows: Sequence[Row], rounds: Rounds) -> None:
    """Write everything to `bench/results/`; print what was measured on what, then the table."""
    RESULTS.mkdir(exist_ok=True)
    at = datetime.now(UTC)
    path = RESULTS / f"{bench}-{at:%Y%m%dT%H%M%SZ}.json"
    record = {"bench": bench, "at": at.isoformat(), "about": about, "rounds": rounds}
    path.write_text(json.dumps(record, indent=2, default=str) + "\n")
    print(f"\n## {bench}\n")
    for name, value in about.items():
        print(f"- {name}: {value}")
    print("\n" + table(rows, rounds) + "\n")
    print(f"Written: bench/results/{path.name}")
