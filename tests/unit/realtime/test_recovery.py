"""The plan of a recovery: from where, up to where, from memory or from the log, or not at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.loop import Timers, settle
from tests.unit.realtime.log import FakeHead, FakeLog

from callboard.errors import Unavailable
from callboard.realtime.recovery import (
    MAX_BYTES,
    MAX_MESSAGES,
    REACH_TIMEOUT,
    Claim,
    Recovery,
    Tail,
)
from callboard.realtime.recovery_ids import Position
from callboard.wire.engineio import Outgoing

KEY = b"key"
MINE = ("user:u1", "team:art")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Rig:
    """A recovery whose node was given all that `deliver` sent, and which may have forgotten it."""

    def __init__(self, *, forgotten: int = 0) -> None:
        self.log = FakeLog()
        for _ in range(forgotten):
            self.log.append("user:u1")
        self.head = FakeHead(self.log.head)
        self.recovery = Recovery(KEY, self.log, self.head)

    def deliver(self, *rooms: str, namespace: str = "/feed", size: int = 0) -> None:
        message = self.log.append(*rooms, namespace=namespace, size=size)
        self.head.set(self.log.head)
        self.recovery.delivered(message, None)

    async def missed(self, after: int | None, until: Position | None = None, **bound: int) -> list[str] | None:
        found = await self.recovery.missed("/feed", MINE, after=after, until=until or self.log.head, **bound)
        return None if found is None else [_position(outgoing) for outgoing in found]

    def claim(self, seq: int) -> Claim:
        return Claim("pid", Position("epoch", seq), 0)


def _position(outgoing: Outgoing) -> str:
    return outgoing.text.rpartition(b',"')[2].removesuffix(b'"]').decode()


def places(*seqs: int) -> list[str]:
    return [f"epoch.{seq}" for seq in seqs]


async def test_from_memory_as_long_as_that_reaches() -> None:
    rig = Rig(forgotten=3)
    for rooms in (("user:u1",), ("user:u2",), ("team:art", "user:u1"), ("team:art",)):
        rig.deliver(*rooms)
    rig.deliver("user:u1", namespace="/jobs")
    assert await rig.missed(3) == places(4, 6, 7)
    assert await rig.missed(6) == places(7)
    assert rig.log.asked == 0


async def test_from_the_log_where_memory_does_not_reach() -> None:
    rig = Rig(forgotten=3)
    rig.deliver("team:art")
    assert await rig.missed(1) == places(2, 3, 4)
    assert rig.log.asked == 1


async def test_memory_that_has_not_kept_pace_is_not_asked() -> None:
    rig = Rig()
    rig.deliver("user:u1")
    rig.log.append("user:u1")  # numbered and counted as given, but lost on its way to the tail
    rig.head.set(rig.log.head)
    assert await rig.missed(0) == places(1, 2)
    assert rig.log.asked == 1


async def test_messages_of_a_timeline_that_a_restore_undid_are_not_given() -> None:
    rig = Rig()
    for _ in range(5):
        rig.deliver("user:u1")
    del rig.log.messages[3:]
    rig.head.set(rig.log.head)
    assert await rig.missed(1) == places(2, 3)
    rig.deliver("user:u1")
    assert await rig.missed(1) == places(2, 3, 4)


async def test_who_missed_nothing_costs_no_question() -> None:
    rig = Rig(forgotten=3)
    assert await rig.missed(3) == []
    assert rig.log.asked == 0


async def test_a_number_beyond_what_this_node_was_given_recovers_nothing() -> None:
    rig = Rig(forgotten=3)
    assert await rig.missed(4) is None
    assert await rig.missed(None) is None


async def test_a_log_that_does_not_reach_back() -> None:
    rig = Rig(forgotten=3)
    rig.log.floor = 2
    assert await rig.missed(1) is None
    assert await rig.missed(2) == places(3)


@pytest.mark.parametrize("in_memory", [True, False])
async def test_at_most_a_thousand_messages(in_memory: bool) -> None:
    rig = Rig(forgotten=0 if in_memory else MAX_MESSAGES + 1)
    for _ in range(MAX_MESSAGES + 1 if in_memory else 0):
        rig.deliver("user:u1")
    assert await rig.missed(0) is None
    assert await rig.missed(1) == places(*range(2, MAX_MESSAGES + 2))
    assert (rig.log.asked == 0) is in_memory


@pytest.mark.parametrize("in_memory", [True, False])
async def test_at_most_half_a_mebibyte(in_memory: bool) -> None:
    rig = Rig()
    for _ in range(3):
        rig.deliver("user:u1", size=MAX_BYTES // 2)
    if not in_memory:
        rig.recovery = Recovery(KEY, rig.log, rig.head)
    assert await rig.missed(1) is None
    assert await rig.missed(2) == places(3)
    assert await rig.missed(2, most_bytes=MAX_BYTES // 2) is None
    assert (rig.log.asked == 0) is in_memory


async def test_a_database_that_is_away_is_for_the_caller_to_tell() -> None:
    rig = Rig(forgotten=3)
    rig.log.error = Unavailable("away")
    with pytest.raises(Unavailable):
        await rig.missed(1)
    assert await rig.missed(3) == []
    rig.deliver("user:u1")
    assert await rig.missed(3) == places(4)


# The claim


def claim(rig: Rig, auth: dict[str, Any], user: str = "u1", epoch: str = "epoch") -> Position | None:
    found = rig.recovery.claim(auth, Position(epoch, 0), "/feed", user)
    assert found is None or found.pid == auth["pid"]
    return None if found is None else found.after


async def test_a_claim_is_the_later_of_pid_and_offset() -> None:
    rig = Rig()
    pid = rig.recovery.pid(Position("epoch", 5), "/feed", "u1", at=NOW.timestamp())
    assert claim(rig, {"pid": pid}) == ("epoch", 5)
    issued = rig.recovery.claim({"pid": pid}, Position("epoch", 0), "/feed", "u1")
    assert issued is not None
    assert issued.issued == NOW.timestamp()
    assert claim(rig, {"pid": pid, "offset": "epoch.9"}) == ("epoch", 9)
    assert claim(rig, {"pid": pid, "offset": "epoch.2"}) == ("epoch", 5)
    wrong: list[object] = ["another.9", "9", 9, None, {}, ["epoch.9"]]
    for offset in wrong:
        assert claim(rig, {"pid": pid, "offset": offset}) == ("epoch", 5)


async def test_a_claim_needs_the_clients_own_pid() -> None:
    rig = Rig()
    pid = rig.recovery.pid(Position("epoch", 5), "/feed", "u1", at=NOW.timestamp())
    assert claim(rig, {}) is None
    assert claim(rig, {"offset": "epoch.9"}) is None
    assert claim(rig, {"pid": pid, "offset": "epoch.9"}, user="u2") is None
    assert claim(rig, {"pid": pid}, epoch="another") is None


async def test_it_starts_from_the_claim_else_from_the_snapshot_of_the_same_log() -> None:
    rig = Rig()
    until = Position("epoch", 9)

    def start(found: Claim | None, position: object = None) -> int | None:
        return rig.recovery.start_of(found, {"position": position}, until)

    assert start(rig.claim(5)) == start(rig.claim(5), "epoch.7") == 5
    assert start(None, "epoch.7") == 7
    assert start(None) is start(None, "another.7") is start(None, 7) is start(None, "7") is None
    # Another log has begun since the claim was made.
    assert start(Claim("pid", Position("another", 5), 0)) is None


# Waiting for this node to get what another node has given the client


async def test_it_waits_until_this_node_was_given_as_much() -> None:
    rig = Rig()
    early, late = (asyncio.ensure_future(rig.recovery.reach(rig.claim(seq))) for seq in (2, 3))
    await rig.recovery.reach(rig.claim(0))
    await settle()
    rig.deliver("user:u1")
    await settle()
    assert (early.done(), late.done()) == (False, False)
    rig.deliver("user:u1")
    await settle()
    assert (early.done(), late.done()) == (True, False)
    rig.deliver("user:u1")
    await late
    assert rig.recovery._waiting == []


async def test_it_waits_for_seconds_at_most_and_keeps_nothing_of_it(timers: Timers) -> None:
    rig = Rig()
    # What an offset may say is anything.
    waits = [asyncio.ensure_future(rig.recovery.reach(rig.claim(seq))) for seq in (2**63 - 1, 7, 2**63 - 1)]
    await settle()
    timers.turn(REACH_TIMEOUT - 0.1)
    await settle()
    assert [wait.done() for wait in waits] == [False] * 3
    timers.turn(0.2)
    await asyncio.gather(*waits)
    assert rig.recovery._waiting == []


async def test_who_is_cancelled_meanwhile_leaves_nothing_behind() -> None:
    rig = Rig()
    wait = asyncio.ensure_future(rig.recovery.reach(rig.claim(7)))
    await settle()
    wait.cancel()
    await asyncio.wait([wait])
    assert rig.recovery._waiting == []
    rig.deliver("user:u1")


async def test_it_does_not_wait_for_a_number_of_another_log() -> None:
    rig = Rig()
    rig.head.set(Position("another", 1))
    await rig.recovery.reach(rig.claim(7))


# The start


async def test_nothing_is_decided_before_the_first_contact_with_the_log() -> None:
    head = FakeHead(None)
    position = asyncio.ensure_future(Recovery(KEY, FakeLog(), head).position())
    await settle()
    assert not position.done()
    head.set(Position("epoch", 3))
    assert await position == ("epoch", 3)


async def test_a_new_process_finds_what_was_missed_in_memory() -> None:
    rig = Rig(forgotten=3)
    await rig.recovery.start()
    rig.deliver("team:art")
    rig.log.asked = 0
    assert await rig.missed(1) == places(2, 3, 4)
    assert rig.log.asked == 0


async def test_what_is_delivered_while_the_log_is_read_is_neither_lost_nor_doubled() -> None:
    rig = Rig(forgotten=3)

    async def meanwhile() -> None:
        rig.deliver("user:u1")
        rig.deliver("team:art")

    rig.log.reading = meanwhile
    await rig.recovery.start()
    rig.log.asked = 0
    assert await rig.missed(0) == places(1, 2, 3, 4, 5)
    assert rig.log.asked == 0


async def test_what_was_delivered_before_the_log_is_read_is_neither_lost_nor_doubled() -> None:
    rig = Rig(forgotten=3)
    rig.deliver("user:u1")
    await rig.recovery.start()
    rig.log.asked = 0
    assert await rig.missed(0) == places(1, 2, 3, 4)
    assert rig.log.asked == 0


async def test_a_start_with_an_empty_log() -> None:
    rig = Rig()
    await rig.recovery.start()
    rig.deliver("user:u1")
    assert await rig.missed(0) == places(1)


async def test_the_tail_may_be_given() -> None:
    log = FakeLog()
    recovery = Recovery(KEY, log, FakeHead(log.head), tail=Tail(most=1))
    for _ in range(2):
        recovery.delivered(log.append("user:u1"), None)
    assert len(await recovery.missed("/feed", MINE, after=0, until=log.head) or ()) == 2
    assert log.asked == 1
