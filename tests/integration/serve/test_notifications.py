"""Notifications on the wire: to every connection of the right user, and to nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.serve.kit import Server, Tab, tab

HOUR = timedelta(hours=1)
POLLING = ("polling",)


async def newest(server: Server, user: str) -> str:
    """The id of the user's newest notification."""
    async with server.rest(user) as client:
        listed = (await client.get("/api/v1/notifications")).json()
    return str(listed["items"][0]["id"])


async def prove_silence(server: Server, other: Tab, user: str, before: int) -> None:
    """Nothing else came to `other` since it had `before` messages: a message sent later is the next one."""
    await server.notify(user, title="marker")
    await other.until_title("marker")
    later = [(name, payload.get("title")) for name, payload in other.messages[before:]]
    assert [entry for entry in later if entry[0] != "notification:unread-count"] == [("notification:new", "marker")]
    counts = [got["count"] for name, got in other.messages[before:] if name == "notification:unread-count"]
    assert set(counts) <= {1}


async def test_a_notification_reaches_every_tab_of_its_user_and_nobody_else(server: Server, user: str) -> None:
    stranger = user + "-stranger"
    async with (
        tab(server, user) as first,
        tab(server, user) as second,
        tab(server, user, transports=POLLING) as polling,
        tab(server, stranger) as other,
    ):
        before = len(other.messages)
        await server.notify(user, title="Rough cut ready", data={"episode": 7})
        for each in (first, second, polling):
            await each.until_title("Rough cut ready")
            await each.until_count(1)
            assert each.got("notification:new")[0]["data"] == {"episode": 7}
            assert len(each.positions) == 1
        assert first.got("notification:new") == second.got("notification:new") == polling.got("notification:new")
        assert first.client.transport() == "websocket"
        assert polling.client.transport() == "polling"
        await prove_silence(server, other, stranger, before)


async def test_what_came_by_socket_is_what_the_list_says(server: Server, user: str) -> None:
    async with tab(server, user) as here, server.rest(user) as client:
        await server.notify(user, title="one", resource={"type": "episode", "id": "7"}, priority="high")
        await here.until_title("one")
        listed = (await client.get("/api/v1/notifications")).json()
        assert listed["items"] == here.got("notification:new")
        assert here.positions[0].partition(".")[0] == listed["position"].partition(".")[0]


async def test_several_recipients_get_the_same_message(server: Server, user: str) -> None:
    async with tab(server, user + "-a") as first, tab(server, user + "-b") as second:
        created = await server.notify(user + "-a", user + "-b", user + "-a", title="to both")
        assert created["created"] == 2
        for each in (first, second):
            await each.until_title("to both")
        assert first.got("notification:new") == second.got("notification:new")
        assert first.got("notification:new")[0]["id"] == created["notification_id"]


@pytest.mark.parametrize("way", ["rest", "socket"])
async def test_reading_reaches_every_tab(server: Server, user: str, way: str) -> None:
    stranger = user + "-stranger"
    async with (
        tab(server, user) as first,
        tab(server, user, transports=POLLING) as second,
        tab(server, stranger) as other,
        server.rest(user) as client,
    ):
        before = len(other.messages)
        await server.notify(user, title="one")
        await server.notify(user, title="two")
        for each in (first, second):
            await each.until_count(2)
        id_ = await newest(server, user)
        if way == "rest":
            assert (await client.post(f"/api/v1/notifications/{id_}/read")).json()["read_at"] is not None
        else:
            answer = await first.call("notification:read", {"id": id_})
            assert answer["ok"] is True
            assert answer["notification"]["read_at"] is not None
        for each in (first, second):
            await each.until_count(1)
            assert [(got["id"], got["revision"]) for got in each.got("notification:updated")] == [(id_, 2)]
        await prove_silence(server, other, stranger, before)


@pytest.mark.parametrize("way", ["rest", "socket"])
async def test_reading_all_reaches_every_tab(server: Server, user: str, way: str) -> None:
    async with tab(server, user) as first, tab(server, user) as second, server.rest(user) as client:
        await server.notify(user, title="one")
        await server.notify(user, title="two")
        for each in (first, second):
            await each.until_count(2)
        if way == "rest":
            answer = (await client.post("/api/v1/notifications/read-all")).json()
        else:
            answer = await second.call("notification:read-all", {})
            assert answer.pop("ok") is True
        assert (answer["updated"], set(answer)) == (2, {"updated", "position"})
        for each in (first, second):
            await each.until_count(0)
            assert [got["title"] for got in each.got("notification:updated")] == ["one", "two"]
        assert (await client.get("/api/v1/notifications/unread-count")).json()["count"] == 0


async def test_deleting_reaches_every_tab(server: Server, user: str) -> None:
    async with tab(server, user) as first, tab(server, user) as second, server.rest(user) as client:
        await server.notify(user, title="one")
        for each in (first, second):
            await each.until_count(1)
        id_ = await newest(server, user)
        assert (await client.delete(f"/api/v1/notifications/{id_}")).status_code == 204
        for each in (first, second):
            await each.until_count(0)
            assert each.got("notification:deleted") == [{"id": id_, "revision": 2}]
        assert (await client.delete(f"/api/v1/notifications/{id_}")).status_code == 404


async def test_the_count_comes_on_connecting(server: Server, user: str) -> None:
    # A tab that has it shows that it was numbered: until then it would come to a new tab once more.
    async with tab(server, user) as earlier:
        await server.notify(user, title="while away")
        await earlier.until_count(1)
    async with tab(server, user) as here:
        await here.until_count(1)
        assert here.got("notification:new") == []


async def test_a_socket_message_about_anothers_notification_is_refused(server: Server, user: str) -> None:
    await server.notify(user, title="mine")
    id_ = await newest(server, user)
    async with tab(server, user + "-stranger") as other:
        answer = await other.call("notification:read", {"id": id_})
        assert answer["error"]["code"] == "not_found"
        assert (await other.call("notification:read", {"id": "x"}))["error"]["code"] == "invalid"
        assert (await other.call("no-such-message", {}))["error"]["code"] == "unknown_event"


async def test_a_broadcast_reaches_everyone_in_the_namespace_and_no_other(server: Server, user: str) -> None:
    async with (
        tab(server, user, namespaces=("/feed", "/jobs")) as first,
        tab(server, user + "-b", transports=POLLING) as second,
        server.rest("boss", "admin") as client,
    ):
        for event, namespace in (("curtain", "/feed"), ("shift", "/jobs"), ("last", "/feed")):
            body = {"event": event, "data": {"in": [5, None]}, "namespace": namespace}
            assert (await client.post("/api/v1/socket/broadcast", json=body)).status_code == 202
        for each in (first, second):
            await each.until_got("last")
            assert each.got("curtain") == [{"in": [5, None]}]
            assert each.positions == []
        assert first.got("shift") == [{"in": [5, None]}]
        assert second.got("shift") == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/socket/broadcast", {"event": "curtain", "data": {}}),
        ("/api/v1/notifications", {"user_id": "u", "type": "note", "title": "t", "message": ""}),
        ("/api/v1/notifications/batch", {"user_ids": ["u"], "type": "note", "title": "t", "message": ""}),
    ],
)
async def test_who_is_no_admin_sends_nothing(server: Server, user: str, path: str, body: dict[str, object]) -> None:
    async with tab(server, user) as here, server.rest(user) as client:
        answer = await client.post(path, json=body)
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "forbidden"
        before = len(here.messages)
        await prove_silence(server, here, user, before)


async def test_what_was_held_arrives_by_itself_when_the_hold_ends(server: Server, user: str) -> None:
    now = datetime.now(UTC)
    quiet = {"start": f"{now - HOUR:%H:%M}", "end": f"{now + HOUR:%H:%M}", "timezone": "UTC"}
    preferences = "/api/v1/notifications/preferences"
    async with tab(server, user) as here, server.rest(user) as client:
        await here.until_count(0)
        assert (await client.post(preferences, json={"quiet_hours": quiet})).status_code == 200
        assert (await server.notify(user, title="held"))["held"] == 1
        await server.notify(user, title="urgent", priority="urgent")
        await here.until_title("urgent")
        assert [got["title"] for got in here.got("notification:new")] == ["urgent"]
        assert (await client.post(preferences, json={"quiet_hours": None})).status_code == 200
        await here.until_title("held")
        await here.until_count(2)
        listed = (await client.get("/api/v1/notifications")).json()
        assert listed["items"] == here.got("notification:new")[::-1]
