"""store.people: who signs in is known by the name and teams of their token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from callboard.errors import Unavailable
from callboard.store.database import Database
from callboard.store.people import MAX_KNOWN, People

Token = tuple[str, str | None, Sequence[str]]


class Pauses:
    """Lets `run` go on at once, and tells when it has come to a pause."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.lengths: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.lengths.append(seconds)
        self.reached.set()


class Counting:
    """Queries that count, and fail when told to."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.statements = 0
        self.failures = 0

    async def execute(self, query: str, *args: object) -> str:
        self.statements += 1
        if self.failures:
            self.failures -= 1
            raise Unavailable("away")
        return await self.database.execute(query, *args)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not for writing people")


@pytest.fixture
def queries(database: Database) -> Counting:
    return Counting(database)


@pytest.fixture
async def written(queries: Counting) -> AsyncIterator[Callable[..., Any]]:
    """Notes people and waits until they are written."""
    pauses = Pauses()
    people = People(queries, pause=pauses)
    task = asyncio.create_task(people.run())

    async def write(*principals: Token) -> Pauses:
        pauses.reached.clear()
        for principal in principals:
            people.note(*principal)
        async with asyncio.timeout(10):
            await pauses.reached.wait()
        return pauses

    yield write
    task.cancel()


def person(id_: str, name: str | None = None, *teams: str) -> Token:
    return id_, name, teams


async def stored(database: Database) -> list[tuple[str, str | None, list[str]]]:
    return [tuple(row) for row in await database.fetch("select id, name, teams from callboard.people order by id")]


async def test_people_are_written_together_once_and_again_when_they_change(
    written: Callable[..., Any], database: Database, queries: Counting
) -> None:
    await written(person("u1", "Mira", "art"), person("日" * 255, "Jonas"), person("u1", "Mira", "art"))
    assert await stored(database) == [("u1", "Mira", ["art"]), ("日" * 255, "Jonas", [])]
    assert queries.statements == 1
    await written(person("u1", "Mira O.", "direction", "art"))
    assert await stored(database) == [("u1", "Mira O.", ["art", "direction"]), ("日" * 255, "Jonas", [])]


async def test_a_token_that_says_nothing_takes_nothing(written: Callable[..., Any], database: Database) -> None:
    await database.execute("insert into callboard.people (id, name, teams) values ('u1', 'Mira', '{art}')")
    await written(person("u1"), person("u1", None, "x"))
    await written(person("u1", "Mira O."))
    assert await stored(database) == [("u1", "Mira O.", ["x"])]


async def test_what_the_database_did_not_take_is_written_later(
    written: Callable[..., Any], database: Database, queries: Counting
) -> None:
    queries.failures = 1
    await written(person("u1", "Mira"))
    async with asyncio.timeout(10):
        while not await stored(database):
            await asyncio.sleep(0)
    assert queries.statements == 2


async def test_who_is_noted_during_a_write_waits_for_the_pause(database: Database) -> None:
    written: list[tuple[int, float]] = []

    class Meanwhile(Counting):
        async def execute(self, query: str, *args: object) -> str:
            if self.statements == 0:
                people.note("u2", "Jonas", ())
            return await super().execute(query, *args)

    async def pause(seconds: float) -> None:
        written.append((meanwhile.statements, seconds))
        if len(written) == 2:
            raise asyncio.CancelledError

    meanwhile = Meanwhile(database)
    people = People(meanwhile, pause=pause)
    people.note("u1", "Mira", ())
    with pytest.raises(asyncio.CancelledError):
        await people.run()
    assert written == [(1, 0.2), (2, 0.2)]
    assert [row[0] for row in await stored(database)] == ["u1", "u2"]


async def test_what_is_remembered_is_bounded(queries: Counting) -> None:
    people = People(queries)
    for number in range(MAX_KNOWN + 1):
        people.note(f"u{number}", "x", ())
    assert len(people._known) == 1
