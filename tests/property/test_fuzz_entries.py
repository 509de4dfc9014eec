"""The fuzzers' targets, without a fuzzer: their seeds, and inputs made from them in the same way each time."""

from __future__ import annotations

import random

import pytest
from tests.fuzz.decoders import NAMES
from tests.fuzz.targets import ENTRIES

INPUTS = 2_000


def mutated(source: random.Random, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with a few bytes changed, taken out, put in or doubled; now and then just bytes."""
    if source.random() < 0.1:
        return source.randbytes(source.randrange(200))
    data = bytearray(source.choice(seeds))
    for _ in range(source.randrange(6)):
        at = source.randrange(len(data) + 1)
        end = min(len(data), at + source.randrange(1, 5))
        piece = source.choice([b"", source.randbytes(2), bytes(data[at:end]) * 2, b"\x1e", b"[", b"}", b'"', b","])
        data[at:end] = piece
    return bytes(data)


def test_each_entry_can_be_named() -> None:
    assert set(NAMES) == set(ENTRIES)


@pytest.mark.parametrize("name", NAMES)
def test_the_seeds_hold(name: str) -> None:
    for seed in ENTRIES[name].seeds:
        ENTRIES[name].target(seed)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_made_from_the_seeds_hold(name: str) -> None:
    source = random.Random(name)
    for _ in range(INPUTS):
        ENTRIES[name].target(mutated(source, ENTRIES[name].seeds))
