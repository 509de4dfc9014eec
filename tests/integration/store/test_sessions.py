"""What clients have subscribed to, in PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from callboard.errors import Unavailable
from callboard.store.database import Database
from callboard.store.sessions import FORGET, FORGOTTEN, SessionStore

WINDOW = 72
NEVER = 1


def now() -> int:
    return int(time.time())


class Desk:
    """The store, and the table behind it. Pids are of the user u1 in /jobs."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = SessionStore(database, recovery_window_hours=WINDOW)

    async def change(self, pid: str, added: Sequence[str] = (), removed: Sequence[str] = ()) -> None:
        await self.store.change(pid, user_id="u1", namespace="/jobs", added=added, removed=removed)

    async def find(
        self, pid: str, *, user: str = "u1", namespace: str = "/jobs", after: int = 0, issued: int | None = None
    ) -> list[str] | None:
        at = now() if issued is None else issued
        found = await self.store.find(pid, user_id=user, namespace=namespace, after=after, issued=at)
        return None if found is None else sorted(found)

    async def age(self, pid: str, hours: float) -> None:
        """Let the last sign of life be so long ago."""
        await self.database.execute("alter table callboard.sessions disable trigger sessions_touch")
        await self.database.execute(
            "update callboard.sessions set updated_at = now() - make_interval(secs => $2 * 3600) where pid = $1",
            pid,
            hours,
        )
        await self.database.execute("alter table callboard.sessions enable trigger sessions_touch")

    async def log(self, seq: int, hours: float) -> None:
        """A message that was logged so long ago."""
        await self.database.execute(
            """
            insert into callboard.message_log (seq, logged_at, created_at, namespace, rooms, name, payload)
            select $1, at, at, '/jobs', '{r}', 'n', '{}' from (select now() - make_interval(secs => $2 * 3600)) t (at)
            """,
            seq,
            hours,
        )

    async def forget(self) -> int:
        tag = await self.database.execute(FORGET, WINDOW, FORGOTTEN)
        return int(tag.removeprefix("DELETE "))

    async def is_fresh(self, pid: str) -> bool:
        return bool(
            await self.database.fetchval(
                "select updated_at > now() - interval '1 minute' from callboard.sessions where pid = $1", pid
            )
        )


@pytest.fixture
async def desk(database: Database) -> Desk:
    return Desk(database)


async def test_rooms_are_added_and_removed(desk: Desk) -> None:
    await desk.change("p", ["a", "b"])
    await desk.change("p", ["b", "c"])
    assert await desk.find("p") == ["a", "b", "c"]
    await desk.change("p", removed=["a", "never"])
    assert await desk.find("p") == ["b", "c"]
    await desk.change("p", removed=["b", "c"])
    assert await desk.find("p") == []
    await desk.change("q", removed=["x"])
    assert await desk.find("q") == []


async def test_a_change_that_comes_late_takes_nothing_away_that_another_node_added(desk: Desk) -> None:
    other = SessionStore(desk.database, recovery_window_hours=WINDOW)
    await other.change("p", user_id="u1", namespace="/jobs", added=["new"], removed=[])
    await desk.change("p", ["old"])
    assert await desk.find("p") == ["new", "old"]


async def test_many_at_once_share_statements_and_each_gets_its_own(desk: Desk) -> None:
    numbers = range(300)
    await asyncio.gather(*(desk.change(f"p{n}", [f"room {n}", 'with "quotes", commas {and} \\']) for n in numbers))
    found = await asyncio.gather(*(desk.find(f"p{n}") for n in [*numbers, 1000]))
    assert found == [*([f"room {n}", 'with "quotes", commas {and} \\'] for n in numbers), []]


async def test_two_changes_of_one_client_at_once_both_count(desk: Desk) -> None:
    blocker = asyncio.gather(*(desk.change(f"q{n}", ["x"]) for n in range(2)))
    await asyncio.gather(desk.change("p", ["a"]), desk.change("p", ["b"]), desk.change("p", ["c"]), blocker)
    assert await desk.find("p") == ["a", "b", "c"]


async def test_they_are_one_users_in_one_namespace(desk: Desk) -> None:
    await desk.change("p", ["a"])
    assert await desk.find("p", user="u2") == []
    assert await desk.find("p", namespace="/episodes") == []


async def test_a_client_without_a_row_had_no_rooms_if_it_was_here_within_the_window(desk: Desk) -> None:
    hours = 3600
    assert await desk.find("new", issued=now() - (WINDOW - 1) * hours) == []
    assert await desk.find("old", issued=now() - (WINDOW + 1) * hours) is None
    await desk.log(7, WINDOW - 1)
    await desk.log(8, WINDOW + 1)
    assert await desk.find("old", issued=NEVER, after=7) == []
    assert await desk.find("old", issued=NEVER, after=8) is None
    assert await desk.find("old", issued=NEVER, after=9) is None
    await desk.change("kept", ["a"])
    assert await desk.find("kept", issued=NEVER) == ["a"]


async def test_what_has_shown_no_sign_of_life_for_the_window_and_an_hour_is_forgotten(desk: Desk) -> None:
    for pid in ("fresh", "kept", "old"):
        await desk.change(pid, ["a"])
    await desk.age("kept", WINDOW + 0.9)
    await desk.age("old", WINDOW + 1.1)
    assert await desk.forget() == 1
    assert await desk.find("kept", issued=NEVER) == ["a"]
    assert await desk.find("old", issued=NEVER) is None
    assert await desk.forget() == 0


async def test_so_many_at_once(desk: Desk) -> None:
    await desk.database.execute(
        "insert into callboard.sessions (pid, user_id, namespace, updated_at)"
        " select 'p' || n, 'u1', '/jobs', now() - interval '200 hours' from generate_series(1, $1) n",
        FORGOTTEN + 1,
    )
    assert [await desk.forget() for _ in range(2)] == [FORGOTTEN, 1]


async def test_who_is_connected_is_not_forgotten(desk: Desk) -> None:
    for pid in ("a", "b", "c"):
        await desk.change(pid, ["a"])
        await desk.age(pid, WINDOW)
    assert sorted(await desk.store.touch(["b", "a", "nobody"])) == ["a", "b"]
    assert [await desk.is_fresh(pid) for pid in ("a", "b", "c")] == [True, True, False]


async def test_who_comes_back_is_not_forgotten(desk: Desk) -> None:
    await desk.change("p", ["a"])
    await desk.age("p", WINDOW + 2)
    assert await desk.find("p", user="u2") == []
    assert not await desk.is_fresh("p"), "a pid is good for its own user"
    assert await desk.find("p") == ["a"]
    assert await desk.is_fresh("p")
    assert await desk.forget() == 0


async def test_a_row_that_another_statement_holds_is_found_without_waiting(desk: Desk) -> None:
    await desk.change("p", ["a"])
    await desk.age("p", 1)
    async with desk.database.transaction() as queries:
        await queries.execute("select from callboard.sessions where pid = 'p' for update")
        async with asyncio.timeout(5):
            assert await desk.find("p") == ["a"]


async def test_a_database_that_is_away_is_unavailable(desk: Desk) -> None:
    await desk.database.close()
    for call in (desk.change("p", ["a"]), desk.find("p"), desk.store.touch(["p"])):
        with pytest.raises(Unavailable):
            await call
