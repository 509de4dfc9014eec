"""Messages that transactions of the leading node number themselves: delivered once, in order, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from tests.integration.relay.kit import CUT_THE_LEADER, NUMBERING, Heard, Inbox, publish, relaying
from tests.waiting import until

from callboard.relay import Relay
from callboard.store.database import Database
from callboard.store.outbox import LoggedMessage, Outbox

PUT = "select callboard.enqueue_text('{user:u1}', $1, '{}', '/feed')::text"
NUMBER = "select callboard.number_outbox(10, false)"
RELAY_WAITS = """
select exists (select from pg_stat_activity
  where datname = current_database() and application_name = 'callboard relay' and wait_event_type = 'Lock')
"""


async def test_a_leader_has_delivered_what_it_sent_when_that_returns(dsn: str, database: Database) -> None:
    inbox = Inbox()
    async with relaying(dsn, inbox) as relay:
        outbox = Outbox(database, relay)
        for number in range(20):
            await outbox.send(PUT, f"n{number}")
            assert inbox.names[-1] == f"n{number}"
        assert relay.position == await database.fetchval("select callboard.position()")
    assert inbox.seqs == list(range(1, 21))


async def test_two_nodes_deliver_what_the_leader_numbers_and_what_the_follower_sends(
    dsn: str, database: Database
) -> None:
    inboxes = [Inbox(), Inbox()]
    async with relaying(dsn, inboxes[0]) as first, relaying(dsn, inboxes[1]) as second:
        assert (first.leading, second.leading) == (True, False)
        for number in range(20):
            await Outbox(database, (first, second)[number % 2]).send(PUT, f"n{number}")
        for inbox in inboxes:
            await inbox.holds(20)
    assert inboxes[0].messages == inboxes[1].messages
    assert inboxes[0].seqs == list(range(1, 21))
    assert sorted(inboxes[0].names) == sorted(f"n{number}" for number in range(20))


async def test_what_nobody_here_has_in_hand_is_read_from_the_log(dsn: str, database: Database) -> None:
    """Numbered by a leader that is none any more, or by a transaction whose answer was lost."""
    inbox = Inbox()
    async with relaying(dsn, inbox) as relay:
        await database.execute(PUT, "lost")
        await database.execute(NUMBER)
        await inbox.holds(1)
        await database.execute(PUT, "lost too")
        await database.execute(NUMBER)
        await relay.flush()
        assert inbox.names == ["lost", "lost too"]
        await database.execute(PUT, "and lost")
        await database.execute(NUMBER)
        await Outbox(database, relay).send(PUT, "after it")
        await inbox.holds(4)
    assert inbox.names == ["lost", "lost too", "and lost", "after it"]
    assert inbox.seqs == [1, 2, 3, 4]


class Mute:
    """A leading relay that is told of nothing, and keeps it."""

    leading = True

    def __init__(self) -> None:
        self.kept: list[LoggedMessage] = []

    def wake(self) -> None:
        raise AssertionError("there was something to number")

    def look(self) -> None:
        raise AssertionError("the statement failed")

    def numbered(self, messages: Sequence[LoggedMessage]) -> None:
        self.kept += messages


async def test_what_is_handed_over_while_the_log_is_read_is_delivered_once(dsn: str, database: Database) -> None:
    inbox, mute = Inbox(), Mute()
    async with relaying(dsn, inbox) as relay:
        for number in range(3):
            await Outbox(database, mute).send(PUT, f"n{number}")
        async with database.transaction() as holder:
            await holder.execute("lock table callboard.log_head in access exclusive mode")
            relay.look()
            await until(lambda: database.fetchval(RELAY_WAITS))
            relay.numbered(mute.kept)
            assert inbox.names == ["n0", "n1", "n2"]
        await relay.flush()
        relay.numbered(mute.kept)
        await relay.flush()
    assert inbox.names == ["n0", "n1", "n2"]


async def test_what_is_handed_over_while_the_relay_connects_again_repeats_nothing(
    dsn: str, database: Database, heard: Heard
) -> None:
    """It asks where the log is and must not take the older answer for a log that went back."""
    inbox = Inbox()
    async with relaying(dsn, inbox) as relay:
        await Outbox(database, relay).send(PUT, "before")
        async with database.transaction() as holder:
            await holder.execute("lock table callboard.log_head in access exclusive mode")
            await holder.fetchval(CUT_THE_LEADER)
            await until(lambda: database.fetchval(RELAY_WAITS))
            # What the waiting answer will not show, as if it had been read just before this was numbered.
            relay.numbered([msgspec.structs.replace(inbox.messages[0], seq=2, position=_next(relay), name="meanwhile")])
        await heard.until_logged("database.back")
        assert heard.count_of("relay.repositioned") == 0
    assert inbox.names == ["before", "meanwhile"]


def _next(relay: Relay) -> str:
    epoch, seq = str(relay.position).split(".")
    return f"{epoch}.{int(seq) + 1}"


async def test_while_another_numbers_it_comes_by_the_relay(dsn: str, database: Database) -> None:
    inbox = Inbox()
    async with relaying(dsn, inbox) as relay:
        async with database.transaction() as other:
            await other.execute(NUMBERING)
            await other.execute(PUT, "first")
            await other.execute(NUMBER)
            await asyncio.gather(*(Outbox(database, relay).send(PUT, f"n{number}") for number in range(5)))
            assert inbox.names == []
        await inbox.holds(6)
    assert inbox.names[0] == "first"
    assert inbox.seqs == list(range(1, 7))


@pytest.mark.parametrize("nodes", [1, 2])
async def test_everybody_at_once_while_connections_are_cut(
    dsn: str, database: Database, heard: Heard, nodes: int
) -> None:
    """Sent on every node, published by SQL and committed by hand, while who leads is cut off again and again."""
    inboxes = [Inbox(), Inbox()]
    async with relaying(dsn, inboxes[0]) as first, relaying(dsn, inboxes[1]) as second:
        relays = (first, second)[:nodes]

        async def send(lane: int) -> None:
            for number in range(100):
                await Outbox(database, relays[lane % nodes]).send(PUT, f"sent-{lane}-{number}")

        async def put() -> None:
            outbox = Outbox(database, relays[-1])
            for number in range(100):
                await outbox.put(database, namespace="/feed", rooms=["user:u1"], name=f"put-{number}", payload="{}")
                outbox.committed()

        async def write() -> None:
            for number in range(100):
                await publish(database, f"sql-{number}")

        async def cut() -> None:
            for _ in range(5):
                await heard.until(lambda: first.leading or second.leading)
                await database.fetchval(CUT_THE_LEADER)
                await asyncio.sleep(0.02)

        await asyncio.gather(*(send(lane) for lane in range(4)), put(), write(), cut())
        for inbox in inboxes:
            await inbox.holds(600)
    expected = {f"sent-{lane}-{number}" for lane in range(4) for number in range(100)}
    expected |= {f"{kind}-{number}" for kind in ("put", "sql") for number in range(100)}
    assert inboxes[0].messages == inboxes[1].messages
    assert inboxes[0].seqs == list(range(1, 601))
    assert set(inboxes[0].names) == expected
    for kind in ("put", "sql", *(f"sent-{lane}" for lane in range(4))):
        of_kind = [name for name in inboxes[0].names if name.startswith(kind + "-")]
        assert of_kind == [f"{kind}-{number}" for number in range(100)]
    assert heard.count_of("relay.repositioned") == 0
