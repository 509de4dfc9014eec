"""sockets: messages by hand to a user and to a room."""

from __future__ import annotations

from typing import Any

import pytest
import structlog.testing
from tests.unit.sockets.conftest import Desk

from callboard.errors import Unavailable
from callboard.realtime.broker import Envelope


@pytest.mark.parametrize(
    ("path", "room"),
    [
        ("notify-user/u2", "user:u2"),
        ("notify-user/auth0%7C7%2F7", "user:auth0|7/7"),
        ("notify-room/team:art", "team:art"),
        ("notify-room/resource:file:a%2Fb", "resource:file:a/b"),
        (f"notify-room/{'x' * 300}", "x" * 300),
    ],
)
async def test_a_room_gets_the_very_bytes(desk: Desk, path: str, room: str) -> None:
    response = await desk.ask("POST", path, b'{"event":"note","data":{ "a" : 1.50 }}')
    assert (response.status_code, response.json()) == (202, {"ok": True})
    assert desk.publisher.envelopes == [
        Envelope(namespace="/feed", rooms=(room,), name="note", payload=b'{ "a" : 1.50 }')
    ]


@pytest.mark.parametrize("path", ["notify-user/u2", "notify-room/team:art"])
async def test_a_namespace_may_be_named(desk: Desk, path: str) -> None:
    assert (await desk.ask("POST", path, {"event": "n", "data": {}, "namespace": "/admin"})).status_code == 202
    assert desk.publisher.envelopes[0].namespace == "/admin"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("notify-room/" + "x" * 301, {}, "room"),
        ("notify-room/a%0Ab", {}, "room"),
        ("notify-room/a%00", {}, "room"),
        ("notify-room/a%C2%85", {}, "room"),
        ("notify-user/" + "x" * 256, {}, "user_id"),
        ("notify-user/a%7F", {}, "user_id"),
        *[
            (path, body, field)
            for path in ("notify-user/u2", "notify-room/team:art")
            for body, field in [
                ({"namespace": "/nope"}, "namespace"),
                ({"event": "disconnect"}, "event"),
                ({"event": ""}, "event"),
                ({"data": []}, "data"),
                ({"data": {"a": "x" * 65_536}}, "data"),
                ({"more": 1}, "more"),
            ]
        ],
    ],
)
async def test_what_is_refused_is_neither_sent_nor_recorded(
    desk: Desk, path: str, body: dict[str, Any], field: str
) -> None:
    response = await desk.ask("POST", path, {"event": "note", "data": {}} | body)
    assert (response.status_code, response.json()["field"]) == (422, field)
    assert desk.publisher.envelopes == []
    assert desk.admin_log.recorded == []


@pytest.mark.parametrize(
    ("path", "action", "target"),
    [
        ("broadcast", "socket.broadcast", "/feed note"),
        ("notify-user/u2", "socket.notify-user", "/feed note user:u2"),
        ("notify-room/team:art", "socket.notify-room", "/feed note team:art"),
    ],
)
async def test_each_action_is_logged_and_recorded_without_its_data(
    desk: Desk, path: str, action: str, target: str
) -> None:
    with structlog.testing.capture_logs() as lines:
        await desk.ask("POST", path, {"event": "note", "data": {"hush": "hush"}})
    (line,) = lines
    assert (line["event"], line["actor"], line["action"], line["target"]) == ("admin.action", "boss", action, target)
    assert desk.admin_log.recorded == [("boss", action, target)]
    assert "hush" not in repr(line)


@pytest.mark.parametrize("path", ["broadcast", "notify-user/u2", "notify-room/team:art"])
async def test_what_cannot_be_recorded_is_not_done(desk: Desk, path: str) -> None:
    desk.admin_log.error = Unavailable("the database is away")
    with structlog.testing.capture_logs() as lines:
        response = await desk.ask("POST", path, {"event": "note", "data": {}})
    assert response.status_code == 503
    assert desk.publisher.envelopes == []
    assert not [line for line in lines if line["event"] == "admin.action"]
