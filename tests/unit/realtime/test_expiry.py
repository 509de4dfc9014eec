"""A token's end ends its connection, unless it is renewed in place; and so does its revocation."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs
from tests.clock import TurnedClock
from tests.loop import Timers
from tests.unit.realtime.stage import Peer, Stage, error_of

from callboard.auth.principal import Principal
from callboard.errors import Unavailable
from callboard.realtime.connection import Reason


def principal(clock: TurnedClock, seconds: float, user: str = "u1", *roles: str, team: str = "art") -> Principal:
    ends = clock.timestamp() + seconds
    return Principal(id=user, roles=frozenset(roles), teams=frozenset({team}), expires=ends)


async def turn(timers: Timers, peer: Peer, seconds: float) -> None:
    """Let time pass, in which the client answers each ping."""
    for _ in range(round(seconds)):
        timers.turn(1.0)
        await peer.say()
        if not peer.connection.closed:
            peer.connection.receive("3")


@pytest.mark.parametrize("life", [3, 24, 26, 100])
async def test_a_connection_ends_within_five_seconds_of_its_token(stage: Stage, timers: Timers, life: int) -> None:
    stage.door.tokens["short"] = principal(timers.clock, life)
    peer = stage.peer()
    await peer.join("/feed", "short")
    await turn(timers, peer, life - 1)
    assert peer.sink.reasons == []
    with capture_logs() as logs:
        await turn(timers, peer, 4)
    assert peer.sink.reasons == [Reason.EXPIRED]
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("socket.closed", "token expired")]
    assert not any(text.startswith(("41", "44")) for text in peer.sink.texts), "it may come back with a new token"


@pytest.mark.parametrize("admin", ["long", "short", "endless"])
async def test_the_first_end_of_several_tokens_counts(stage: Stage, timers: Timers, admin: str) -> None:
    stage.door.tokens["long"] = principal(timers.clock, 1000, "u1", "admin")
    stage.door.tokens["short"] = principal(timers.clock, 10, "u2", "admin")
    stage.door.tokens["endless"] = Principal(id="u3", roles=frozenset({"admin"}))
    peer = stage.peer()
    await peer.join("/admin", admin)
    await peer.join("/feed", "long" if admin == "short" else "short")
    await turn(timers, peer, 13)
    assert peer.sink.reasons == [Reason.EXPIRED]


async def test_a_namespace_that_was_left_ends_nothing(stage: Stage, timers: Timers) -> None:
    stage.door.tokens["long"] = principal(timers.clock, 1000, "u1", "admin")
    stage.door.tokens["short"] = principal(timers.clock, 10, "u2")
    peer = stage.peer()
    await peer.join("/admin", "long")
    await peer.join("/feed", "short")
    await peer.say("1/feed,")
    await turn(timers, peer, 100)
    assert peer.sink.reasons == []


async def test_a_token_is_renewed_in_place(stage: Stage, timers: Timers) -> None:
    stage.door.tokens["short"] = principal(timers.clock, 10)
    stage.door.tokens["next"] = renewed = principal(timers.clock, 40)
    peer = stage.peer()
    await peer.join("/feed", "short")
    assert renewed.expires_at is not None
    expires_at = renewed.expires_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert await peer.say('2/feed,1["token",{"token":"next"}]') == [
        f'3/feed,1[{{"ok":true,"expires_at":"{expires_at}"}}]'
    ]
    await turn(timers, peer, 38)
    assert peer.sink.reasons == []
    await turn(timers, peer, 5)
    assert peer.sink.reasons == [Reason.EXPIRED]


async def test_a_renewal_changes_the_rooms_in_every_namespace(stage: Stage, timers: Timers) -> None:
    stage.door.tokens["before"] = principal(timers.clock, 10, "u1", "admin", "editor", team="art")
    stage.door.tokens["after"] = principal(timers.clock, 99, "u1", "admin", "reader", team="music")
    peer = stage.peer()
    await peer.join("/feed", "before")
    await peer.join("/admin", "before")
    [feed] = stage.joined
    stage.feed.rules["resource"] = lambda principal, resource: True
    feed.subscribe("resource:episode:1")
    await peer.say('2/admin,1["token",{"token":"after"}]')
    assert feed.rooms == {"user:u1", "role:admin", "role:reader", "team:music", "resource:episode:1"}
    assert feed.principal.teams == {"music"}
    for namespace in ("/feed", "/admin"):
        assert stage.node.has_room(namespace, "team:music")
        assert not stage.node.has_room(namespace, "team:art")


@pytest.mark.parametrize("asking", ["/feed", "/admin"])
async def test_a_namespace_is_left_when_its_role_is_gone(stage: Stage, timers: Timers, asking: str) -> None:
    stage.door.tokens["plain"] = principal(timers.clock, 99, "u1")
    peer = stage.peer()
    await peer.join("/feed", "mira")
    await peer.join("/admin", "mira")
    answer, left = await peer.say(f'2{asking},1["token",{{"token":"plain"}}]')
    assert answer.startswith(f'3{asking},1[{{"ok":true'), "the acknowledgement comes before the namespace is left"
    assert left == "1/admin,"
    assert [member.namespace.name for member in stage.left] == ["/admin"]
    assert (len(stage.feed.hub), len(stage.admin.hub)) == (1, 0)
    assert peer.sink.reasons == []


async def test_a_renewal_is_for_the_same_user(stage: Stage, timers: Timers) -> None:
    stage.door.tokens["short"] = principal(timers.clock, 10)
    stage.door.tokens["others"] = principal(timers.clock, 1000, "u2")
    peer = stage.peer()
    await peer.join("/feed", "short")
    [answer] = await peer.say('2/feed,1["token",{"token":"others"}]')
    assert error_of(answer)["code"] == "forbidden"
    assert stage.joined[0].principal.id == "u1"
    await turn(timers, peer, 13)
    assert peer.sink.reasons == [Reason.EXPIRED]


async def test_a_renewal_leaves_another_users_membership_alone(stage: Stage, timers: Timers) -> None:
    stage.door.tokens["next"] = principal(timers.clock, 99, "u2", "admin")
    peer = stage.peer()
    await peer.join("/admin", "mira")
    await peer.join("/feed", "jonas")
    await peer.say('2/feed,1["token",{"token":"next"}]')
    [admin] = stage.admin.hub.select(())
    assert admin.principal.id == "u1"
    assert "role:admin" in stage.joined[0].rooms


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ('{"token":"bad"}', "token_invalid"),
        ("{}", "token_invalid"),
        ('{"token":"jonas","x":1}', "invalid"),
        ("[]", "invalid"),
    ],
)
async def test_a_renewal_that_is_refused_changes_nothing(stage: Stage, timers: Timers, data: str, code: str) -> None:
    peer = stage.peer()
    await peer.join()
    with capture_logs() as logs:
        [answer] = await peer.say(f'2/feed,1["token",{data}]')
    assert error_of(answer)["code"] == code
    assert "bad" not in repr(logs)
    assert peer.sink.reasons == []


async def test_a_renewal_may_be_tried_again_while_the_issuer_is_away(stage: Stage) -> None:
    stage.door.error = Unavailable("the issuer does not answer")
    peer = stage.peer()
    await peer.join()
    [answer] = await peer.say('2/feed,1["token",{"token":"x"}]')
    assert error_of(answer)["code"] == "unavailable"
    assert peer.sink.reasons == []


async def test_a_renewal_without_an_end_says_so(stage: Stage) -> None:
    peer = stage.peer()
    await peer.join()
    [answer] = await peer.say('2/feed,1["token",{"token":"jonas"}]')
    assert json.loads(answer.removeprefix("3/feed,1")) == [{"ok": True, "expires_at": None}]


async def test_a_user_is_disconnected_everywhere_here_and_nobody_else(stage: Stage) -> None:
    first, second, other = stage.peer(), stage.peer(), stage.peer()
    await first.join("/feed", "mira")
    await first.join("/admin", "mira")
    await second.join("/admin", "mira")
    await other.join("/feed", "jonas")
    with capture_logs() as logs:
        assert stage.node.disconnect_user("u1", Reason.REVOKED) == 2
    assert first.sink.reasons == second.sink.reasons == [Reason.REVOKED]
    assert other.sink.reasons == []
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("socket.closed", "revoked")] * 2
    assert stage.node.disconnect_user("u1", Reason.REVOKED) == 0
