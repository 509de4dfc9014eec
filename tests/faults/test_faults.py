"""The scenarios, short. The commands in their modules run them long; docs/topics/faults.md says what came of it."""

from __future__ import annotations

from tests.faults import kills, restarts, slow_reader, upgrades, weather
from tests.faults.stage import Report

SEED = 1


def clean(report: Report) -> dict[str, object]:
    """The facts of a scenario in which nothing was lost, made up, doubled, disordered or sent to others."""
    print(report)
    assert report.verdict.expected > 0
    assert report.verdict.clean, str(report)
    return report.facts


async def test_kill_9_between_commit_and_emit() -> None:
    facts = clean(await kills.run(kills=10, seed=SEED))
    assert facts["kills"] == {"unnumbered": 4, "unsent": 3, "anywhere": 3}
    assert facts["recovered"] == facts["returns"] == 10 * kills.CLIENTS


async def test_postgresql_restarted_in_immediate_mode() -> None:
    facts = clean(await restarts.run(restarts=2, seed=SEED))
    assert facts["sockets that ended"] == 0
    # The bounds that a user is promised; the measured figures are a fraction of them.
    assert float(str(facts["slowest 503, seconds"])) < 1.0
    assert float(str(facts["slowest resumption, seconds"])) < 5.0


async def test_a_slow_reader_among_good_ones() -> None:
    facts = clean(await slow_reader.run(good=50, megabytes=20, seed=SEED))
    assert facts["good clients that ended"] == 0
    assert facts["the slow one came back and was told that it missed too much"] is True
    assert int(str(facts["its growth, megabytes"])) < 64


async def test_upgrades_while_messages_flow() -> None:
    facts = clean(await upgrades.run(upgrades=100, seed=SEED))
    assert facts["upgrades"] == 100
    assert facts["connections that ended"] == 0


async def test_a_line_that_slices_delays_and_resets() -> None:
    facts = clean(await weather.run(resets=30, seed=SEED))
    assert facts["recovered"] == facts["returns"] != 0


async def test_such_a_line_under_polling_alone() -> None:
    facts = clean(await weather.run(resets=30, seed=SEED, transports=("polling",)))
    assert facts["recovered"] == facts["returns"] != 0
