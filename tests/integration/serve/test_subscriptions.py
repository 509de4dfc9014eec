"""Subscriptions and the unmodified npm client: rooms that it asked for come back with it, whatever has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.serve.kit import Server, database, tab
from tests.integration.serve.returning import Publisher, Returning, publisher, returning
from tests.integration.serve.test_database import until_ready

from callboard.store.embedded import EmbeddedPostgres

Launch = Callable[..., Server]

EPISODES = "/episodes"


def refs(*ids: str) -> dict[str, Any]:
    return {"resources": [{"type": "episode", "id": id_} for id_ in ids]}


def room(id_: str) -> str:
    return f"resource:episode:{id_}"


async def subscribe(client: Returning, *ids: str, namespace: str = EPISODES) -> None:
    answer = await client.ask("subscribe", refs(*ids), namespace)
    assert answer["ok"] is True, answer


async def sent(sender: Publisher, *ids: str, namespace: str = EPISODES) -> list[int]:
    """A message about each, and one about something that nobody asked for; the numbers of the former."""
    own: list[int] = []
    for id_ in ids:
        own += await sender.publish(room(id_), namespace=namespace)
    await sender.publish(room("nobody's"), namespace=namespace)
    await sender.numbered()
    return own


@pytest.mark.parametrize("transports", ["polling,websocket", "websocket", "polling"])
async def test_after_a_cut_line(server: Server, user: str, transports: str) -> None:
    one, two, three = f"1-{user}", f"2-{user}", f"3-{user}"
    async with returning(server, transports) as client, publisher(server) as sender:
        await client.open(server.token(user), EPISODES)
        await subscribe(client, one, two)
        async with client.away(EPISODES):  # before anything was sent
            expected = await sent(sender, one, two)
        await client.got(expected[-1], EPISODES)
        assert (await client.ask("unsubscribe", refs(two), EPISODES))["ok"] is True
        await subscribe(client, three)
        await sent(sender, two)
        expected += await sent(sender, one, three)
        await client.got(expected[-1], EPISODES)
        async with client.away(EPISODES):
            await sent(sender, two)
            expected += await sent(sender, three, one)
        await client.got(expected[-1], EPISODES)
        async with client.away(EPISODES):
            pass
        expected += await sent(sender, one, three)  # live, in the rooms that came back
        await client.got(expected[-1], EPISODES)
        assert client.numbers(EPISODES) == expected
        assert client.recovered(EPISODES) == [False, True, True, True]


@pytest.mark.parametrize("transports", ["websocket", "polling"])
async def test_after_kill_9(launch: Launch, transports: str) -> None:
    server = launch()
    async with returning(server, transports) as client, publisher(server) as sender:
        await client.open(server.token("u1"), EPISODES)
        expected: list[int] = []
        ids: list[str] = []
        for times in range(1, 4):
            ids.append(f"e{times}")
            await subscribe(client, ids[-1])
            server.kill()  # at once behind the acknowledgement
            await client.leaves(times, EPISODES)
            expected += await sent_unnumbered(sender, *ids)
            server.start()
            await client.connects(times + 1, EPISODES)
            await client.got(expected[-1], EPISODES)
            expected += await sent(sender, *ids)
            await client.got(expected[-1], EPISODES)
        assert client.numbers(EPISODES) == expected
        assert client.recovered(EPISODES) == [False, True, True, True]


async def sent_unnumbered(sender: Publisher, *ids: str) -> list[int]:
    """The same while no relay runs."""
    own: list[int] = []
    for id_ in ids:
        own += await sender.publish(room(id_), namespace=EPISODES)
        await sender.publish(room("nobody's"), namespace=EPISODES)
    return own


async def test_on_another_node_in_each_namespace_its_own(launch: Launch) -> None:
    first, second = launch(), launch()
    async with returning(first) as client, publisher(first) as sender:
        for namespace in (EPISODES, "/jobs"):
            await client.open(first.token("u1"), namespace)
        await subscribe(client, "e1")
        await subscribe(client, "j1", namespace="/jobs")
        episodes: list[int] = []
        jobs: list[int] = []
        for number, node in enumerate((second, first, second), 2):
            async with client.away("/jobs"):
                client.proxy.target = node.port
                episodes += await sent(sender, "e1")
                jobs += await sent(sender, "j1", namespace="/jobs")
                await sent(sender, "j1")  # the other namespace's room of that name
            await client.connects(number, EPISODES)
            await client.got(episodes[-1], EPISODES)
            await client.got(jobs[-1], "/jobs")
        assert (client.numbers(EPISODES), client.numbers("/jobs")) == (episodes, jobs)
        assert client.recovered(EPISODES) == client.recovered("/jobs") == [False, True, True, True]


async def test_a_recovery_that_fails_forgets_them(server: Server, user: str) -> None:
    async with returning(server) as client, publisher(server) as sender:
        await client.open(server.token(user), EPISODES)
        await subscribe(client, user)
        async with client.away(EPISODES):
            await sender.publish(room(user), times=1_001, namespace=EPISODES)
            await sender.numbered()
        await sent(sender, user)
        expected = await sender.publish(f"user:{user}", namespace=EPISODES)
        await client.got(expected[-1], EPISODES)
        await subscribe(client, user)
        expected += await sent(sender, user)
        await client.got(expected[-1], EPISODES)
        assert client.numbers(EPISODES) == expected
        assert client.recovered(EPISODES) == [False, False]


@pytest.fixture
async def own(home: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL server that the test may stop."""
    postgres = EmbeddedPostgres(home / "own", settings={"fsync": "off"})
    await postgres.start()
    yield postgres
    await postgres.stop()


async def test_a_database_that_is_away_refuses_and_ends_nothing(launch: Launch, own: EmbeddedPostgres) -> None:
    server = launch(DATABASE_URL=own.dsn())
    async with tab(server, "u1", namespaces=(EPISODES,)) as here:
        assert (await here.call("subscribe", refs("e1"), EPISODES))["ok"] is True
        await own.stop()
        for name, id_ in (("subscribe", "e2"), ("unsubscribe", "e1")):
            assert (await here.call(name, refs(id_), EPISODES))["error"]["code"] == "unavailable"
        await own.start()
        await until_ready(server)
        assert (await here.call("subscribe", refs("e2"), EPISODES))["ok"] is True
        async with database(server, own.dsn()) as connection:
            for id_ in ("e1", "e2"):
                await Publisher(connection).publish(room(id_), namespace=EPISODES)
        await here.until(lambda: len(here.got("n")) == 2)
        assert not here.ended.is_set()
        assert here.refusals == []
