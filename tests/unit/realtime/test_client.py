"""Joining and leaving namespaces."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.loop import Timers, settle
from tests.unit.realtime.stage import Gate, Stage

from callboard.auth.principal import Principal
from callboard.errors import Forbidden, Unauthenticated, Unavailable
from callboard.realtime.connection import Reason
from callboard.realtime.namespace import Member


async def test_a_client_joins_a_namespace(stage: Stage) -> None:
    peer = stage.peer()
    [answer] = await peer.say('0/feed,{"token":"mira"}')
    [member] = stage.joined
    assert answer == f'0/feed,{{"sid":"{member.sid}"}}'
    assert member.sid != peer.connection.session.sid
    assert member.principal.id == "u1"
    assert member.rooms == {"user:u1", "role:admin", "team:art"}
    assert stage.node.has_room("/feed", "user:u1")


async def test_a_client_that_waits_for_nothing_joins_without_a_task(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned: list[object] = []
    monkeypatch.setattr(stage.node, "spawn", spawned.append)
    peer = stage.peer()
    peer.connection.receive('40/feed,{"token":"mira"}')
    assert [member.principal.id for member in stage.joined] == ["u1"]
    assert (spawned, peer.connection.receiver.waiting) == ([], 0)  # type: ignore[union-attr]


async def test_a_client_whose_token_takes_waiting_joins_in_a_task(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks: list[object] = []

    async def authenticate(auth: dict[str, Any]) -> Principal:
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())
        return stage.door.tokens["mira"]

    monkeypatch.setattr(stage.door, "authenticate", authenticate)
    peer = stage.peer()
    peer.connection.receive('40/feed,{"token":"mira"}')
    assert stage.joined == []
    assert len(await peer.say()) == len(stage.joined) == 1
    assert tasks != [asyncio.current_task()]


async def test_a_connection_may_join_several_namespaces(stage: Stage) -> None:
    peer = stage.peer()
    await peer.join("/feed", "mira")
    await peer.join("/admin", "mira")
    assert len(stage.feed.hub) == len(stage.admin.hub) == 1


async def test_an_unknown_namespace_is_refused_and_the_connection_lives(stage: Stage) -> None:
    peer = stage.peer()
    with capture_logs() as logs:
        assert await peer.say("0/none,", "0") == [
            '4/none,{"message":"Invalid namespace"}',
            '4{"message":"Invalid namespace"}',
        ]
    assert [entry["code"] for entry in logs] == ["invalid_namespace"] * 2
    await peer.join()


@pytest.mark.parametrize(
    ("token", "error", "code"),
    [
        ("{}", Unauthenticated("a token is missing", code="token_missing"), "token_missing"),
        ('{"token":"secret-token"}', Unauthenticated("expired", code="token_expired"), "token_expired"),
        ('{"token":"secret-token"}', Forbidden("no"), "forbidden"),
    ],
)
async def test_a_refused_token_is_answered_with_its_code_and_never_logged(
    stage: Stage, token: str, error: Exception, code: str
) -> None:
    stage.door.error = error
    peer = stage.peer()
    with capture_logs() as logs:
        [answer] = await peer.say("0/feed," + token)
    assert json.loads(answer.removeprefix("4/feed,"))["data"] == {"code": code}
    assert [(entry["event"], entry["code"], entry["address"]) for entry in logs] == [
        ("socket.refused", code, "192.0.2.1")
    ]
    assert "secret-token" not in repr(logs)
    assert not peer.connection.closed
    await peer.join()


async def test_a_namespace_may_ask_for_a_role(stage: Stage) -> None:
    peer = stage.peer()
    [answer] = await peer.say('0/admin,{"token":"jonas"}')
    assert json.loads(answer.removeprefix("4/admin,"))["data"] == {"code": "forbidden"}
    assert len(stage.admin.hub) == 0


async def test_what_will_pass_ends_the_transport_so_that_the_client_comes_back(stage: Stage) -> None:
    stage.door.error = Unavailable("the issuer does not answer")
    peer = stage.peer()
    assert await peer.say('0/feed,{"token":"x"}') == []
    assert peer.sink.reasons == [Reason.UNAVAILABLE]


async def test_a_defect_while_connecting_ends_the_connection_and_is_logged(stage: Stage) -> None:
    stage.door.error = RuntimeError("defect")
    peer = stage.peer()
    with capture_logs() as logs:
        assert await peer.say('0/feed,{"token":"x"}', '2/feed,["e"]') == []
    assert peer.sink.reasons == [Reason.FAILED]
    assert [(entry["event"], entry["task"]) for entry in logs] == [("task.failed", "client")]


async def test_joining_twice_is_a_broken_rule(stage: Stage) -> None:
    peer = stage.peer()
    await peer.join()
    await peer.say('0/feed,{"token":"jonas"}')
    assert peer.sink.reasons == [Reason.PROTOCOL]
    assert len(stage.feed.hub) == 0


@pytest.mark.parametrize("packet", ['2["e"]', "1", "31[]"])
async def test_the_first_packet_is_connect(stage: Stage, packet: str) -> None:
    peer = stage.peer()
    await peer.say(packet)
    assert peer.sink.reasons == [Reason.PROTOCOL]


async def test_a_connection_that_joins_nothing_in_time_ends(stage: Stage, timers: Timers) -> None:
    silent, refused, joined = stage.peer(), stage.peer(), stage.peer()
    await refused.say('0/feed,{"token":"wrong"}')
    await joined.join()
    timers.turn(9.9)
    assert silent.sink.reasons == []
    timers.turn(2.1)
    assert silent.sink.reasons == refused.sink.reasons == [Reason.NO_CONNECT]
    timers.turn(10.0)
    assert joined.sink.reasons == []


async def test_who_ends_while_the_token_is_checked_joins_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = asyncio.Event()
    authenticate = stage.door.authenticate

    async def slow(auth: dict[str, Any]) -> Principal:
        await checked.wait()
        return await authenticate(auth)

    monkeypatch.setattr(stage.door, "authenticate", slow)
    peer = stage.peer()
    await peer.say('0/feed,{"token":"mira"}')
    peer.connection.close(Reason.TRANSPORT)
    checked.set()
    await settle()
    assert stage.joined == []
    assert len(stage.feed.hub) == 0


async def test_disconnect_leaves_one_namespace(stage: Stage) -> None:
    peer = stage.peer()
    await peer.join("/feed", "mira")
    await peer.join("/admin", "mira")
    assert await peer.say("1/feed,") == []
    assert [member.namespace.name for member in stage.left] == ["/feed"]
    assert (len(stage.feed.hub), len(stage.admin.hub)) == (0, 1)
    assert not stage.node.has_room("/feed", "user:u1")
    await peer.say("1/feed,")
    assert len(stage.left) == 1
    await peer.join("/feed", "mira")


async def test_what_was_sent_before_disconnect_is_handled_first(stage: Stage) -> None:
    gate = Gate()
    stage.feed.on("step", gate)
    peer = stage.peer()
    await peer.join()
    await peer.say('2/feed,["step",{"n":1}]', '2/feed,["step",{"n":2}]', "1/feed,", '2/feed,["step",{"n":3}]')
    assert stage.left == []
    gate.open.set()
    await settle()
    assert gate.seen == [1, 2]
    assert len(stage.left) == 1


async def test_connect_and_disconnect_at_once_leave_nobody_behind(stage: Stage) -> None:
    peer = stage.peer()
    await peer.say('0/feed,{"token":"mira"}', "1/feed,")
    assert len(stage.feed.hub) == 0
    assert stage.left == stage.joined != []


async def test_the_end_of_a_connection_leaves_everything_and_calls_each_once(stage: Stage) -> None:
    def fail(member: Member) -> None:
        raise RuntimeError("defect")

    stage.node._on_left.insert(0, fail)
    peer = stage.peer()
    await peer.join("/feed", "mira")
    await peer.join("/admin", "mira")
    with capture_logs() as logs:
        peer.connection.close(Reason.TRANSPORT)
    assert [member.namespace.name for member in stage.left] == ["/feed", "/admin"]
    assert len(stage.feed.hub) == len(stage.admin.hub) == 0
    assert [(entry["event"], entry["name"]) for entry in logs] == [("socket.handler_failed", "disconnect")] * 2
    assert stage.node.engine.connections == {}
