"""What a client got, held against what was committed.

Owns: the verdict. Never: a connection, a wait, a tolerance; the numbers that must be 0 are counted, and that is all.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Messages counted. `duplicated`: came again; a client that leaves out what it has by position must show 0."""

    expected: int = 0
    lost: int = 0
    phantom: int = 0
    foreign: int = 0
    disordered: int = 0
    duplicated: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.phantom or self.foreign or self.disordered or self.duplicated)

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})

    def __str__(self) -> str:
        return ", ".join(f"{each.name} {getattr(self, each.name)}" for each in fields(self))


def check(expected: Sequence[Hashable], received: Sequence[Hashable], committed: Collection[Hashable]) -> Verdict:
    """Judge one client.

    `expected`: what is for it, in the order of commits. `received`: all it got, in order. `committed`: what is for
    anybody. Phantom is what was never committed, foreign what is for others.
    """
    places = {message: place for place, message in enumerate(expected)}
    first: list[Hashable] = list(dict.fromkeys(received))
    own = [message for message in first if message in places]
    strange = [message for message in first if message not in places]
    return Verdict(
        expected=len(expected),
        lost=len(expected) - len(own),
        phantom=sum(message not in committed for message in strange),
        foreign=sum(message in committed for message in strange),
        disordered=_descents([places[message] for message in own]),
        duplicated=len(received) - len(first),
    )


def total(verdicts: Iterable[Verdict]) -> Verdict:
    """All clients together."""
    return sum(verdicts, Verdict())


def _descents(numbers: list[int]) -> int:
    return sum(later < earlier for earlier, later in itertools.pairwise(numbers))
