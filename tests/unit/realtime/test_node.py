"""Delivery to local members, and the node's tasks."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from unittest.mock import Mock

import pytest
from tests.loop import settle
from tests.unit.realtime.stage import Peer, Stage

from callboard.brokers.memory import MemoryBroker
from callboard.realtime.broker import Envelope
from callboard.realtime.connection import Reason
from callboard.realtime.namespace import Member
from callboard.realtime.recovery_ids import Position
from callboard.wire import socketio
from callboard.wire.engineio import Outgoing


def envelope(*rooms: str, name: str = "n", key: str | None = None, position: str | None = None) -> Envelope:
    return Envelope(namespace="/feed", rooms=rooms, name=name, payload=b'{"a":1}', key=key, position=position)


async def peers(stage: Stage, *tokens: str) -> list[Peer]:
    made = [stage.peer() for _ in tokens]
    for peer, token in zip(made, tokens, strict=True):
        await peer.join("/feed", token)
    return made


async def test_a_namespace_is_found_by_name(stage: Stage) -> None:
    assert stage.node.namespace("/feed") is stage.node.find("/feed") is stage.feed
    assert stage.node.find("/none") is None
    with pytest.raises(KeyError):
        stage.node.namespace("/none")
    assert not stage.node.has_room("/none", "user:u1")
    assert not stage.node.has_room("/feed", "user:u1")


async def test_a_message_is_encoded_once_for_all(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await peers(stage, "mira", "jonas", "jonas")
    encode = Mock(side_effect=socketio.encode_event)
    monkeypatch.setattr(socketio, "encode_event", encode)
    assert stage.node.deliver(envelope()) == 3
    await settle()
    sent = [peer.sink.batches[-1][-1] for peer in made]
    assert encode.call_count == 1
    assert sent[0] is sent[1] is sent[2]
    assert sent[0].text == b'42/feed,["n",{"a":1}]'
    assert sent[0].frame is sent[1].frame


async def test_each_member_of_any_room_gets_it_once(stage: Stage) -> None:
    mira, jonas = await peers(stage, "mira", "jonas")
    assert stage.node.deliver(envelope("user:u1", "role:admin", "team:art")) == 1
    assert stage.node.deliver(envelope("user:u1", "user:u2", "user:none")) == 2
    assert stage.node.deliver(envelope("user:u2")) == 1
    assert stage.node.deliver(envelope("user:none")) == 0
    await settle()
    assert mira.sink.texts[1:] == ['42/feed,["n",{"a":1}]'] * 2
    assert jonas.sink.texts[1:] == ['42/feed,["n",{"a":1}]'] * 2


async def test_messages_are_counted_by_receiver_and_acknowledgements_are_not(stage: Stage) -> None:
    mira, _ = await peers(stage, "mira", "jonas")
    traffic = stage.node.engine.traffic
    before = traffic.messages_out
    stage.node.deliver(envelope())
    stage.node.deliver(envelope("user:u1", position="e.1"))
    stage.node.deliver(envelope("user:none"))
    stage.joined[0].emit("hello", b"{}")
    assert traffic.messages_out == before + 4
    received = traffic.messages_in
    await mira.say('2/feed,1["unknown"]', '2/feed,["unknown"]')
    assert (traffic.messages_in, traffic.messages_out) == (received + 2, before + 4)


class TwoMissed:
    """A recovery in which every client has missed two messages."""

    def reached(self) -> None:
        """Nobody is let in without being asked."""

    async def position(self) -> Position:
        return Position("e", 2)

    async def missed(self, *args: object, **kwargs: object) -> list[Outgoing]:
        return [Outgoing(b'42/feed,["n",{}]')] * 2

    def now(self) -> Position:
        return Position("e", 2)

    def claim(self, *args: object) -> None:
        return None

    def start_of(self, *args: object) -> int:
        return 0

    def pid(self, *args: object, at: object) -> str:
        return "pid"


async def test_what_is_replayed_is_counted(stage: Stage) -> None:
    stage.node.recovery = cast(Any, TwoMissed())
    peer = stage.peer()
    assert len(await peer.say('0/feed,{"token":"jonas"}')) == 3
    assert stage.node.engine.traffic.messages_out == 2


async def test_nobody_is_no_work(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socketio, "encode_event")
    assert stage.node.deliver(envelope()) == 0
    assert stage.node.deliver(Envelope(namespace="/none", rooms=(), name="n", payload=b"{}")) == 0


async def test_a_namespace_is_for_its_own_members(stage: Stage) -> None:
    peer = stage.peer()
    await peer.join("/admin", "mira")
    assert stage.node.deliver(envelope()) == 0
    assert stage.node.deliver(envelope("user:u1")) == 0


async def test_a_durable_message_carries_its_position_and_waits_for_a_slow_peer(stage: Stage) -> None:
    [peer] = await peers(stage, "jonas")
    peer.connection.pause()
    for n in range(3):
        stage.node.deliver(envelope("user:u2", position=f"e.{n}", key="k"))
    await settle()
    assert peer.sink.texts[1:] == [f'42/feed,["n",{{"a":1}},"e.{n}"]' for n in range(3)]


async def test_of_a_volatile_message_a_slow_peer_gets_the_newest_of_its_key(stage: Stage) -> None:
    slow, quick = await peers(stage, "jonas", "jonas")
    slow.connection.pause()
    for n in range(3):
        stage.node.deliver(envelope(name=f"n{n}", key="k"))
    slow.connection.resume()
    await settle()
    assert slow.sink.texts[1:] == ['42/feed,["n2",{"a":1}]']
    assert len(quick.sink.texts[1:]) == 3


async def test_all_of_a_turn_leaves_in_one_write(stage: Stage) -> None:
    [peer] = await peers(stage, "jonas")
    before = len(peer.sink.writes)
    for _ in range(5):
        stage.node.deliver(envelope())
    await settle()
    assert [len(write) for write in peer.sink.writes[before:]] == [5]


async def test_the_memory_broker_delivers_here(stage: Stage) -> None:
    [peer] = await peers(stage, "jonas")
    MemoryBroker(stage.node.deliver).publish(envelope("user:u2"))
    await settle()
    assert peer.sink.texts[-1] == '42/feed,["n",{"a":1}]'


async def test_publishing_from_a_callback_of_leaving_reaches_the_others_only(stage: Stage) -> None:
    leaving, staying = await peers(stage, "jonas", "mira")
    stage.node.on_left(lambda member: MemoryBroker(stage.node.deliver).publish(envelope()))
    leaving.connection.close(Reason.TRANSPORT)
    await settle()
    assert not any('["n"' in text for text in leaving.sink.texts)
    assert staying.sink.texts[-1] == '42/feed,["n",{"a":1}]'


async def test_stopping_ends_connections_and_the_work_under_way(stage: Stage) -> None:
    cancelled = asyncio.Event()

    async def never(member: Member, data: dict[str, object]) -> dict[str, object]:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return {}

    stage.feed.on("never", never)
    [peer] = await peers(stage, "jonas")
    await peer.say('2/feed,1["never"]')
    await stage.node.stop()
    await settle()
    assert cancelled.is_set()
    assert peer.sink.reasons == [Reason.STOPPING]
    assert stage.node._tasks == set()
    assert stage.left == stage.joined
    await stage.node.stop()
