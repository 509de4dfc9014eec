"""The checker itself: it finds every kind of fault, and only those."""

from __future__ import annotations

import pytest
from tests.faults.checker import Verdict, check, total

MINE = ["a", "b", "c", "d"]
COMMITTED = {*MINE, "other"}


@pytest.mark.parametrize(
    ("received", "found"),
    [
        ("abcd", Verdict()),
        ("", Verdict(lost=4)),
        ("abd", Verdict(lost=1)),
        ("abcdx", Verdict(phantom=1)),
        ("abccd", Verdict(duplicated=1)),
        ("abcda", Verdict(duplicated=1)),
        ("bacd", Verdict(disordered=1)),
        ("dcba", Verdict(disordered=3)),
        ("cdxab", Verdict(disordered=1, phantom=1)),
        ("aa", Verdict(lost=3, duplicated=1)),
    ],
)
def test_each_fault_is_counted(received: str, found: Verdict) -> None:
    verdict = check(MINE, list(received), COMMITTED)
    assert verdict == Verdict(expected=4) + found
    assert verdict.clean is (received == "abcd")


def test_what_is_for_others_is_foreign() -> None:
    assert check(MINE, [*MINE, "other", "other"], COMMITTED) == Verdict(expected=4, foreign=1, duplicated=1)


def test_clients_add_up() -> None:
    verdict = total([Verdict(expected=2, lost=1), Verdict(expected=3, foreign=2), Verdict()])
    assert verdict == Verdict(expected=5, lost=1, foreign=2)
    assert str(verdict) == "expected 5, lost 1, phantom 0, foreign 2, disordered 0, duplicated 0"
    assert total([]).clean
