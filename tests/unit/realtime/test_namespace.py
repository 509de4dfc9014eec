"""A namespace and its members."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from tests.loop import settle
from tests.unit.realtime.stage import JONAS, MIRA, Stage, fail_with

from callboard.auth.principal import Principal
from callboard.errors import Forbidden
from callboard.realtime.namespace import Member, Namespace


def test_a_name_has_one_handler() -> None:
    namespace = Namespace("/feed")
    namespace.on("save", fail_with(RuntimeError()))
    with pytest.raises(ValueError, match="/feed already handles save"):
        namespace.on("save", fail_with(RuntimeError()))


def test_a_role_is_asked_for() -> None:
    Namespace("/feed").admit(JONAS)
    Namespace("/admin", role="admin").admit(MIRA)
    with pytest.raises(Forbidden):
        Namespace("/admin", role="admin").admit(JONAS)


def test_rooms_follow_from_the_principal() -> None:
    principal = Principal(id="u1", roles=frozenset({"admin", "dev"}), teams=frozenset({"art"}))
    assert sorted(Namespace("/feed").rooms_of(principal)) == ["role:admin", "role:dev", "team:art", "user:u1"]


async def test_a_member_joins_and_leaves_rooms(stage: Stage) -> None:
    await stage.peer().join()
    [member] = stage.joined
    member.join("resource:a:1", "resource:a:2")
    assert stage.node.has_room("/feed", "resource:a:1")
    member.leave("resource:a:1", "never joined")
    assert not stage.node.has_room("/feed", "resource:a:1")
    assert member.rooms == {"user:u2", "resource:a:2"}


async def test_a_member_that_has_left_joins_nothing_any_more(stage: Stage) -> None:
    peer = stage.peer()
    await peer.join()
    [member] = stage.joined
    await peer.say("1/feed,")
    member.join("resource:a:1")
    assert not stage.node.has_room("/feed", "resource:a:1")


async def test_a_member_is_sent_to_alone(stage: Stage) -> None:
    peer, other = stage.peer(), stage.peer()
    await peer.join()
    await other.join()
    stage.joined[0].emit("hello", b'{"a":1}')
    await settle()
    assert peer.sink.texts[-1] == '42/feed,["hello",{"a":1}]'
    assert not any("hello" in text for text in other.sink.texts)


async def test_callbacks_come_after_connect_is_queued_and_fail_alone(stage: Stage) -> None:
    def fail(member: Member) -> None:
        raise RuntimeError("defect")

    stage.feed._on_connect.insert(0, fail)
    stage.feed.on_connect(lambda member: member.emit("hello", b"{}"))
    peer = stage.peer()
    with capture_logs() as logs:
        answers = await peer.say('0/feed,{"token":"jonas"}')
    assert [answer[:2] for answer in answers] == ["0/", "2/"]
    assert len(stage.joined) == 1
    assert [(entry["event"], entry["name"]) for entry in logs] == [("socket.handler_failed", "connect")]
