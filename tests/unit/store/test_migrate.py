"""The files of migrations."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.errors import StartError
from callboard.store.migrate import load


def test_own_migrations_are_well_named_and_begin_with_the_kernel() -> None:
    migrations = load()
    assert migrations[0].name == "kernel"
    assert [m.version for m in migrations] == list(range(1, len(migrations) + 1))


def test_checksum_is_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("select 1")
    (first,) = load(tmp_path)
    (tmp_path / "0001_a.sql").write_text("select 2")
    (second,) = load(tmp_path)
    assert first.checksum != second.checksum
    assert (second.version, second.name, second.sql) == (1, "a", "select 2")


@pytest.mark.parametrize("names", [["0001_A.sql"], ["1_a.sql"], ["0002_a.sql"], ["0001_a.sql", "0003_b.sql"]])
def test_misnamed_or_missing_file_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(StartError):
        load(tmp_path)


def test_two_files_of_one_number_are_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("")
    (tmp_path / "0001_b.sql").write_text("")
    with pytest.raises(StartError):
        load(tmp_path)
