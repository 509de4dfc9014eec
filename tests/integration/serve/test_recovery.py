"""Connection state recovery with the unmodified npm client: what it missed, once and in order, after whatever ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.integration.serve.kit import Server
from tests.integration.serve.returning import Publisher, Returning, publisher, returning

Launch = Callable[..., Server]


def rooms(user: str) -> list[str]:
    """A room of each kind that a client of `user` is in."""
    return [f"user:{user}", f"role:lead-{user}", f"team:art-{user}"]


def signed(server: Server, user: str) -> str:
    """A token with a role and a team of its own, so that tests on one server do not meet."""
    return server.token(user, f"lead-{user}", teams=(f"art-{user}",))


async def mixed(sender: Publisher, user: str) -> list[int]:
    """One message to each of a client's rooms, one to all of them, one to others; the numbers of its own."""
    own: list[int] = []
    for room in rooms(user):
        own += await sender.publish(room)
    await sender.publish("user:somebody-else")
    own += await sender.publish(*rooms(user), "user:somebody-else")
    await sender.numbered()
    return own


@pytest.mark.parametrize("transports", ["polling,websocket", "websocket", "polling"])
async def test_after_a_cut_line(server: Server, user: str, transports: str) -> None:
    async with returning(server, transports) as client, publisher(server) as sender:
        await client.open(signed(server, user))
        async with client.away():  # before anything was sent
            expected = await mixed(sender, user)
        await client.got(expected[-1])
        expected += await mixed(sender, user)
        await client.got(expected[-1])
        async with client.away():  # after replayed messages and live ones
            expected += await mixed(sender, user)
        async with client.away():  # with nothing missed but what a line that broke too soon did not bring
            pass
        await client.got(expected[-1])
        async with client.away():
            expected += await mixed(sender, user)
        await client.got(expected[-1])
        assert client.numbers() == expected
        assert client.recovered() == [False, True, True, True, True]


async def test_again_and_again_while_nothing_is_ever_sent(server: Server, user: str) -> None:
    async with returning(server) as client, publisher(server) as sender:
        await client.open(signed(server, user))
        for _ in range(3):
            async with client.away():
                await sender.publish("user:somebody-else")
        async with client.away():
            expected = await mixed(sender, user)
        await client.got(expected[-1])
        assert client.numbers() == expected
        assert client.recovered() == [False, True, True, True, True]


async def test_messages_that_come_while_it_returns(server: Server, user: str) -> None:
    async with returning(server) as client, publisher(server) as sender:
        await client.open(signed(server, user))
        expected: list[int] = []
        for _ in range(5):
            async with client.away():
                expected += await sender.publish(f"user:{user}", times=20)
                client.proxy.down = False
                for _ in range(20):
                    expected += await sender.publish(f"user:{user}")
        await client.got(expected[-1])
        assert client.numbers() == expected
        assert client.recovered() == [False] + [True] * 5


async def test_each_namespace_of_a_connection_recovers_its_own(server: Server, user: str) -> None:
    async with returning(server) as client, publisher(server) as sender:
        for namespace in ("/feed", "/jobs"):
            await client.open(signed(server, user), namespace)
        feed = await sender.publish(f"user:{user}")
        await client.got(1)
        async with client.away("/jobs"):
            jobs = await sender.publish(f"user:{user}", times=3, namespace="/jobs")
            feed += await sender.publish(f"user:{user}", times=2)
            await sender.numbered()
        await client.got(feed[-1])
        await client.got(jobs[-1], "/jobs")
        assert (client.numbers("/feed"), client.numbers("/jobs")) == (feed, jobs)
        assert client.recovered("/feed") == client.recovered("/jobs") == [False, True]


@pytest.mark.parametrize("transports", ["websocket", "polling"])
async def test_after_kill_9(launch: Launch, transports: str) -> None:
    server = launch()
    async with returning(server, transports) as client, publisher(server) as sender:
        await client.open(signed(server, "u1"))
        expected: list[int] = []
        for times in range(1, 4):  # the first time before anything was sent
            server.kill()
            await client.leaves(times)
            expected += await sender.publish("user:u1", "team:art-u1", times=3)
            await sender.publish("user:u2")
            server.start()
            await client.connects(times + 1)
            await client.got(expected[-1])
            if times > 1:
                expected += await sender.publish("role:lead-u1")
                await client.got(expected[-1])
        assert client.numbers() == expected
        assert client.recovered() == [False, True, True, True]


async def test_after_a_restart_with_the_database(launch: Launch) -> None:
    server = launch()
    async with returning(server) as client:
        await client.open(signed(server, "u1"))
        async with publisher(server) as sender:
            await sender.publish("user:u1")
            await client.got(1)
        async with client.away():
            async with publisher(server) as sender:
                await sender.connection.execute("select callboard.publish('{user:u1}', 'n', '{\"n\": 2}')")
                await sender.numbered()
            assert server.stop() == 0
            server.start()
        await client.got(2)
        async with publisher(server) as sender:
            await sender.connection.execute("select callboard.publish('{user:u1}', 'n', '{\"n\": 3}')")
            await client.got(3)
    assert client.numbers() == [1, 2, 3]
    assert client.recovered() == [False, True]


async def test_on_another_node_of_the_same_database(launch: Launch) -> None:
    first, second = launch(), launch()
    async with returning(first) as client, publisher(first) as sender:
        await client.open(signed(first, "u1"))
        expected: list[int] = []
        for node in (second, first, second):
            expected += await sender.publish("user:u1", times=3)
            await client.got(expected[-1])
            async with client.away():
                client.proxy.target = node.port
                expected += await sender.publish("team:art-u1", times=3)
            await client.got(expected[-1])
        assert client.numbers() == expected
        assert client.recovered() == [False, True, True, True]


# What is not recovered


async def test_more_than_a_thousand_are_not_replayed(server: Server, user: str) -> None:
    async with returning(server) as client, publisher(server) as sender:
        await client.open(signed(server, user))
        async with client.away():
            await sender.publish(f"user:{user}", times=1_001)
            await sender.numbered()
        expected = await sender.publish(f"user:{user}")
        await client.got(expected[-1])
        assert client.recovered() == [False, False]
        assert client.numbers() == expected
        async with client.away():  # a thousand are
            expected += await sender.publish(f"user:{user}", times=1_000)
            await sender.numbered()
        await client.got(expected[-1])
        assert client.recovered() == [False, False, True]
        assert client.numbers() == expected


async def test_a_log_that_does_not_reach_back(launch: Launch) -> None:
    server = launch()
    async with returning(server) as client, publisher(server) as sender:
        await client.open(signed(server, "u1"))
        await sender.publish("user:u1")
        await client.got(1)
        server.kill()
        await client.leaves(1)
        await sender.publish("user:u1", times=2)
        server.start()  # it numbers them; what the tail of this process holds must not hide what the log has lost
        await client.connects(2)
        await client.got(3)
        server.kill()
        await client.leaves(2)
        await forget_all(sender, client)
        server.start()
        await client.connects(3)
        expected = await sender.publish("user:u1")
        await client.got(expected[-1])
        assert client.recovered() == [False, True, False]
        assert client.numbers() == [1, 2, 3, *expected]


async def forget_all(sender: Publisher, client: Returning) -> None:
    """Let the recovery window pass over all that was sent but the last, and have the client behind that."""
    await sender.connection.execute(
        """
        create table callboard.message_log_20200101 partition of callboard.message_log
          for values from ('2020-01-01Z') to ('2020-01-02Z');
        update callboard.message_log set logged_at = '2020-01-01 12:00Z'
        where seq < (select max(seq) from callboard.message_log);
        select callboard.drop_log_partitions('72 hours');
        """
    )
    client.tell("forget")  # as one that was away since before the first message
