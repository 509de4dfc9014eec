"""A client's messages: in order, acknowledged, bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.clock import TurnedClock
from tests.loop import settle
from tests.unit.realtime.stage import Gate, Stage, error_of, fail_with

from callboard.auth.principal import Principal
from callboard.errors import Invalid, RateLimited, StoreError
from callboard.realtime.connection import Reason
from callboard.realtime.namespace import Member


async def echo(member: Member, data: dict[str, object]) -> dict[str, object]:
    return {"data": data}


async def test_a_message_is_acknowledged(stage: Stage) -> None:
    stage.feed.on("save", echo)
    peer = stage.peer()
    await peer.join()
    assert await peer.say('2/feed,7["save",{"a":1}]') == ['3/feed,7[{"ok":true,"data":{"a":1}}]']
    assert await peer.say('2/feed,8["save"]') == ['3/feed,8[{"ok":true,"data":{}}]']
    assert await peer.say('2/feed,["save",{"a":1}]') == []


async def test_attachments_go_in_and_out(stage: Stage) -> None:
    stage.feed.on("save", echo)
    peer = stage.peer()
    await peer.join()
    [answer] = await peer.say('51-/feed,7["save",{"a":{"_placeholder":true,"num":0}}]', b"\x01")
    assert answer == '61-/feed,7[{"ok":true,"data":{"a":{"_placeholder":true,"num":0}}}]'
    assert peer.sink.batches[-1][-1].attachments == (b"\x01",)


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        ('2/feed,1["unknown",{}]', "unknown_event"),
        ('2/feed,1["save",[]]', "invalid"),
        ('2/feed,1["save",null]', "invalid"),
        ('2/feed,1["save",{},{}]', "invalid"),
    ],
)
async def test_what_cannot_be_handled_is_acknowledged_with_an_error(stage: Stage, packet: str, code: str) -> None:
    stage.feed.on("save", echo)
    peer = stage.peer()
    await peer.join()
    [answer] = await peer.say(packet)
    assert error_of(answer)["code"] == code
    assert not peer.connection.closed


@pytest.mark.parametrize(
    ("error", "code"), [(Invalid("no", field="a"), "invalid"), (RateLimited("no", retry_after=1), "rate_limited")]
)
async def test_an_error_of_a_handler_is_acknowledged(stage: Stage, error: Exception, code: str) -> None:
    stage.feed.on("save", fail_with(error))
    peer = stage.peer()
    await peer.join()
    [answer] = await peer.say('2/feed,1["save"]')
    assert error_of(answer) == {"code": code, "message": "no"}


async def test_a_defect_of_a_handler_costs_its_message_only(stage: Stage) -> None:
    stage.feed.on("crash", fail_with(RuntimeError("secret detail")))
    stage.feed.on("save", echo)
    peer = stage.peer()
    await peer.join()
    with capture_logs() as logs:
        first, second = await peer.say('2/feed,1["crash"]', '2/feed,2["save"]')
    assert error_of(first)["code"] == "internal"
    assert "secret" not in first
    assert second == '3/feed,2[{"ok":true,"data":{}}]'
    assert [(entry["event"], entry["name"]) for entry in logs] == [("socket.handler_failed", "crash")]


async def test_what_postgresql_refuses_is_a_defect_too(stage: Stage) -> None:
    stage.feed.on("crash", fail_with(StoreError("relation secret does not exist")))
    peer = stage.peer()
    await peer.join()
    with capture_logs() as logs:
        [answer] = await peer.say('2/feed,1["crash"]')
    assert error_of(answer)["code"] == "internal"
    assert "secret" not in answer
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("socket.handler_failed", "error")]


async def test_a_refused_message_is_logged_once(stage: Stage) -> None:
    peer = stage.peer()
    await peer.join()
    with capture_logs() as logs:
        [answer] = await peer.say('2/feed,1["unheard"]')
    assert error_of(answer)["code"] == "unknown_event"
    [entry] = logs
    assert (entry["event"], entry["code"], entry["name"], entry["user"]) == (
        "message.refused",
        "unknown_event",
        "unheard",
        "u2",
    )


@pytest.mark.parametrize("answer", [{"x": object()}, {"x": "\ud800"}, {"x": {1j: 1}}])
async def test_an_answer_that_is_not_json_is_the_handlers_defect(stage: Stage, answer: dict[str, object]) -> None:
    async def handler(member: Member, data: dict[str, object]) -> dict[str, object]:
        return answer

    stage.feed.on("odd", handler)
    stage.feed.on("save", echo)
    peer = stage.peer()
    await peer.join()
    with capture_logs() as logs:
        first, second = await peer.say('2/feed,1["odd"]', '2/feed,2["save"]')
    assert error_of(first)["code"] == "internal"
    assert second == '3/feed,2[{"ok":true,"data":{}}]'
    assert [entry["event"] for entry in logs] == ["socket.handler_failed"]


async def test_an_acknowledgement_from_the_client_is_taken(stage: Stage) -> None:
    peer = stage.peer()
    await peer.join()
    assert await peer.say('3/feed,1["fine"]') == []
    assert not peer.connection.closed


async def test_messages_are_handled_one_after_another_and_in_order(stage: Stage) -> None:
    gate = Gate()
    stage.feed.on("step", gate)
    stage.feed.on("save", echo)
    peer = stage.peer()
    await peer.join()
    assert await peer.say('2/feed,["step",{"n":1}]', '2/feed,["step",{"n":2}]', '2/feed,3["save"]') == []
    assert gate.seen == []
    gate.open.set()
    await settle()
    assert gate.seen == [1, 2]
    assert peer.sink.texts[-1] == '43/feed,3[{"ok":true,"data":{}}]'
    assert stage.node._tasks == set()


async def test_one_clients_slow_message_holds_up_nobody_else(stage: Stage) -> None:
    stage.feed.on("step", Gate())
    stage.feed.on("save", echo)
    slow, other = stage.peer(), stage.peer()
    await slow.join()
    await other.join()
    await slow.say('2/feed,["step"]')
    assert await other.say('2/feed,1["save"]') == ['3/feed,1[{"ok":true,"data":{}}]']


async def test_no_acknowledgement_follows_the_end(stage: Stage) -> None:
    gate = Gate()
    stage.feed.on("step", gate)
    peer = stage.peer()
    await peer.join()
    await peer.say('2/feed,1["step",{"n":1}]', '2/feed,2["step",{"n":2}]')
    peer.connection.close(Reason.CLIENT)
    gate.open.set()
    await settle()
    assert gate.seen == [1]
    assert not any(text.startswith("43") for text in peer.sink.texts)


async def test_the_number_of_messages_that_wait_is_bounded(clock: TurnedClock) -> None:
    stage = Stage(clock, max_inbox=3)
    stage.feed.on("step", Gate())
    peer = stage.peer()
    await peer.join()
    await peer.say('2/feed,["step"]')
    await peer.say(*['2/feed,["step"]'] * 3)
    assert not peer.connection.closed
    await peer.say('2/feed,["step"]')
    assert peer.sink.reasons == [Reason.FLOOD]
    assert len(stage.feed.hub) == 0


async def test_the_size_of_what_waits_is_bounded(clock: TurnedClock) -> None:
    stage = Stage(clock, max_inbox_bytes=500)
    gate = Gate()
    stage.feed.on("step", gate)
    peer = stage.peer()
    await peer.join()
    large = '51-/feed,["step",{"n":{"_placeholder":true,"num":0}}]'
    gate.open.set()
    for _ in range(5):
        await peer.say(large, b"x" * 200)
    assert not peer.connection.closed
    gate.open.clear()
    await peer.say(large, b"x" * 200)
    assert not peer.connection.closed
    await peer.say(large, b"x" * 200)
    assert peer.sink.reasons == [Reason.FLOOD]


async def test_a_client_that_is_always_behind_by_little_is_no_flood(clock: TurnedClock) -> None:
    stage = Stage(clock, max_inbox_bytes=500)
    turns = asyncio.Semaphore(0)

    async def handler(member: Member, data: dict[str, object]) -> dict[str, object]:
        await turns.acquire()
        return {}

    stage.feed.on("step", handler)
    peer = stage.peer()
    await peer.join()
    message = f'2/feed,["step",{{"n":"{"x" * 150}"}}]'
    await peer.say(message)
    for _ in range(10):
        await peer.say(message)
        turns.release()
        await settle()
    assert not peer.connection.closed
    await peer.say(message, message)
    assert peer.sink.reasons == [Reason.FLOOD]


async def test_messages_before_the_token_is_checked_count_as_waiting(
    clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(clock, max_inbox=3)

    async def never(auth: dict[str, Any]) -> Principal:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(stage.door, "authenticate", never)
    peer = stage.peer()
    await peer.say("0/feed,")
    await peer.say(*['2/feed,["e"]'] * 4)
    assert peer.sink.reasons == [Reason.FLOOD]
    await stage.node.stop()
