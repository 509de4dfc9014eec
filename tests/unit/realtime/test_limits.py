"""What a client may not have more of: connections, rooms, messages in a second, time to join."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs
from tests.clock import TurnedClock
from tests.loop import Timers
from tests.unit.realtime.stage import Peer, Stage, error_of

from callboard.errors import Conflict, Unavailable
from callboard.realtime.connection import Reason
from callboard.realtime.engine import EngineOptions
from callboard.realtime.limits import TokenBucket
from callboard.realtime.namespace import Member


async def echo(member: Member, data: dict[str, object]) -> dict[str, object]:
    return {}


# The bucket


def test_a_bucket_gives_a_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(3, 100.0)
    assert [bucket.take(2.0, 3, 100.0) for _ in range(3)] == [True, True, True]
    assert bucket.take(2.0, 3, 100.4) is False
    # The refused one was counted: 0.8 - 1 tokens, and 1.2 more by now.
    assert bucket.take(2.0, 3, 101.0) is True
    assert bucket.take(2.0, 3, 101.0) is False


def test_a_bucket_holds_no_more_than_a_burst() -> None:
    bucket = TokenBucket(2, 0.0)
    assert [bucket.take(10.0, 2, 1e6) for _ in range(3)] == [True, True, False]


def test_who_goes_on_over_the_rate_overdraws_and_who_pauses_does_not() -> None:
    bucket = TokenBucket(2, 0.0)
    for _ in range(4):
        bucket.take(1.0, 2, 0.0)
        assert not bucket.overdrawn(2)
    bucket.take(1.0, 2, 0.0)
    assert bucket.overdrawn(2)
    bucket.take(1.0, 2, 60.0)
    assert not bucket.overdrawn(2)


# Messages in a second


async def test_messages_over_the_rate_are_answered_with_an_error_and_are_not_handled(
    clock: TurnedClock, timers: Timers
) -> None:
    stage = Stage(clock, messages_per_second=2, burst=3)
    seen = []

    async def note(member: Member, data: dict[str, object]) -> dict[str, object]:
        seen.append(data["n"])
        return {}

    stage.feed.on("note", note)
    peer = stage.peer()
    await peer.join()  # CONNECT counts too
    answers = await peer.say(*[f'2/feed,{n}["note",{{"n":{n}}}]' for n in range(4)])
    assert seen == [0, 1]
    assert [error_of(answer)["code"] for answer in answers if "error" in answer] == ["rate_limited"] * 2
    timers.turn(2.0)
    await peer.say('2/feed,9["note",{"n":9}]')
    assert seen == [0, 1, 9]
    assert peer.sink.reasons == []


async def test_who_goes_on_over_the_rate_is_closed(clock: TurnedClock) -> None:
    stage = Stage(clock, messages_per_second=1, burst=3)
    stage.feed.on("note", echo)
    peer, other = stage.peer(), stage.peer()
    await peer.join()
    await other.join()
    with capture_logs() as logs:
        await peer.say(*['2/feed,["note"]'] * 5)
        assert peer.sink.reasons == []
        await peer.say('2/feed,["note"]')
    assert peer.sink.reasons == [Reason.FLOOD]
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("socket.closed", "too many messages")]
    assert await other.say('2/feed,1["note"]') == ['3/feed,1[{"ok":true}]']


async def test_over_the_rate_nothing_is_answered_that_asks_for_no_answer(clock: TurnedClock) -> None:
    stage = Stage(clock, messages_per_second=1, burst=1)
    stage.feed.on("note", echo)
    peer = stage.peer()
    await peer.join()
    assert await peer.say('2/feed,["note"]') == []


async def test_connects_over_the_rate_end_the_transport_so_that_the_client_comes_back(clock: TurnedClock) -> None:
    stage = Stage(clock, messages_per_second=1, burst=2)
    peer = stage.peer()
    await peer.say('0/feed,{"token":"guess 1"}', '0/feed,{"token":"guess 2"}')
    assert await peer.say('0/feed,{"token":"guess 3"}') == []
    assert peer.sink.reasons == [Reason.FLOOD]


async def test_a_client_may_always_leave(clock: TurnedClock) -> None:
    stage = Stage(clock, messages_per_second=1, burst=1)
    peer = stage.peer()
    await peer.join()
    await peer.say("1/feed,")
    assert len(stage.left) == 1


# Connections


async def test_a_users_connections_are_bounded_and_the_next_transport_is_closed(clock: TurnedClock) -> None:
    stage = Stage(clock, max_connections_per_user=2)
    first, second, third = stage.peer(), stage.peer(), stage.peer()
    await first.join("/feed", "mira")
    await first.join("/admin", "mira")
    await second.join("/feed", "mira")
    with capture_logs() as logs:
        assert await third.say('0/feed,{"token":"mira"}') == [], "no CONNECT_ERROR: the stock client would give up"
    assert third.sink.reasons == [Reason.TOO_MANY]
    assert [(entry["event"], entry["code"]) for entry in logs] == [("socket.refused", "too_many_connections")]
    await second.join("/admin", "mira")  # one more namespace is not one more connection
    await stage.peer().join("/feed", "jonas")
    first.connection.close(Reason.TRANSPORT)
    await stage.peer().join("/feed", "mira")


async def test_an_addresss_connections_that_have_not_signed_in_are_bounded(clock: TurnedClock) -> None:
    stage = Stage(clock, engine=EngineOptions(max_unaccepted=2))
    engine = stage.node.engine
    first, second = stage.peer(), stage.peer()
    with pytest.raises(Unavailable):
        engine.admit("192.0.2.1")
    engine.admit("192.0.2.2")
    await first.say('0/feed,{"token":"wrong"}')
    with pytest.raises(Unavailable):
        engine.admit("192.0.2.1")
    await first.join("/feed", "mira")
    await first.join("/admin", "mira")
    engine.admit("192.0.2.1")
    third = stage.peer()
    with pytest.raises(Unavailable):
        engine.admit("192.0.2.1")
    for peer in (first, second, third):
        peer.connection.close(Reason.TRANSPORT)
    assert engine._unaccepted == {}


async def test_who_leaves_every_namespace_has_to_join_one_again_in_time(stage: Stage, timers: Timers) -> None:
    peer = stage.peer()
    await peer.join()
    timers.turn(20.0)
    await peer.say("1/feed,")
    timers.turn(9.9)
    assert peer.sink.reasons == []
    timers.turn(2.1)
    assert peer.sink.reasons == [Reason.NO_CONNECT]


# Rooms


async def joined(stage: Stage, peer: Peer, namespace: str = "/feed") -> Member:
    await peer.join(namespace, "mira")
    [member] = [each for each in stage.node.namespace(namespace).hub.select(()) if each.connection is peer.connection]
    return member


async def test_the_rooms_that_a_connection_subscribes_to_are_bounded(clock: TurnedClock) -> None:
    stage = Stage(clock, max_rooms=3)
    peer = stage.peer()
    feed, admin = await joined(stage, peer), await joined(stage, peer, "/admin")
    feed.subscribe("a", "b")
    feed.subscribe("a", "user:u1")  # in them already
    admin.subscribe("a")
    with pytest.raises(Conflict) as refused:
        feed.subscribe("b", "c")
    assert refused.value.code == "too_many_rooms"
    assert not stage.node.has_room("/feed", "c")
    feed.unsubscribe("b", "nowhere", "user:u1")
    assert feed.rooms == {"user:u1", "role:admin", "team:art", "a"}
    admin.subscribe("c")
    await peer.say("1/admin,")
    feed.subscribe("c", "d")
    assert stage.node.has_room("/feed", "d")


async def test_who_has_left_subscribes_to_nothing(stage: Stage) -> None:
    peer = stage.peer()
    member = await joined(stage, peer)
    await peer.say("1/feed,")
    member.subscribe("a")
    assert not stage.node.has_room("/feed", "a")


async def test_too_many_rooms_are_acknowledged_with_an_error(clock: TurnedClock) -> None:
    stage = Stage(clock, max_rooms=1)

    async def subscribe(member: Member, data: dict[str, object]) -> dict[str, object]:
        member.subscribe("a", "b")
        return {}

    stage.feed.on("subscribe", subscribe)
    peer = stage.peer()
    await peer.join()
    [answer] = await peer.say('2/feed,1["subscribe"]')
    assert error_of(answer)["code"] == "too_many_rooms"
    assert json.loads(answer.removeprefix("3/feed,1"))[0].keys() == {"error"}
