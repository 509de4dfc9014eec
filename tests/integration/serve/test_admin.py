"""The admin surface of a running server: what an operator does and sees, and what reaches clients."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest
from tests.integration.serve.kit import WAIT_SECONDS, Server, Tab, database, tab, until
from tests.integration.serve.test_pages import metric

from callboard.sockets.payloads import AdminAlert, ConnectionChanges, ConnectionPage, Statistics


async def post(server: Server, path: str, body: Any = None) -> httpx.Response:
    async with server.rest("boss", "admin") as client:
        return await client.post(f"/api/v1/socket/{path}", json=body)


async def listed(server: Server, query: str) -> ConnectionPage:
    async with server.rest("boss", "admin") as client:
        answer = await client.get(f"/api/v1/socket/connections?{query}")
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=ConnectionPage)


async def until_told(admin: Tab, change: str, user: str) -> ConnectionChanges:
    """Wait until /admin was told of this change."""

    def told() -> list[ConnectionChanges]:
        messages = [msgspec.convert(each, ConnectionChanges) for each in admin.got("admin:connection")]
        return [m for m in messages if any((each.change, each.user_id) == (change, user) for each in m.changes)]

    await admin.until(lambda: bool(told()))
    return told()[0]


async def test_messages_by_hand_reach_a_user_a_room_and_a_namespace(server: Server, user: str) -> None:
    async with tab(server, user) as here, tab(server, user) as there, tab(server, user + "-2") as other:
        body = {"event": "note", "data": {"n": 1, "text": "ü"}}
        assert (await post(server, f"notify-user/{user}", body)).status_code == 202
        await asyncio.gather(here.until_got("note"), there.until_got("note"))
        assert here.got("note") == there.got("note") == [{"n": 1, "text": "ü"}]
        room = {"event": "room-note", "data": {"n": 2}}
        assert (await post(server, f"notify-room/user:{user}-2", room)).status_code == 202
        await other.until_got("room-note")
        everyone = {"event": f"all-{user}", "data": {}}
        assert (await post(server, "broadcast", everyone)).status_code == 202
        await asyncio.gather(*(each.until_got(f"all-{user}") for each in (here, there, other)))
        assert (other.got("note"), here.got("room-note")) == ([], [])
    actions = {(line["action"], line["target"]) for line in server.log_lines("admin.action", actor="boss")}
    assert ("socket.notify-user", f"/feed note user:{user}") in actions
    assert ("socket.notify-room", f"/feed room-note user:{user}-2") in actions
    assert ("socket.broadcast", f"/feed all-{user}") in actions


@pytest.mark.parametrize("transports", [("websocket",), ("polling",)])
async def test_an_operator_finds_a_connection_and_ends_it(
    server: Server, user: str, transports: tuple[str, ...]
) -> None:
    async with tab(server, user, transports=transports) as here, tab(server, user + "-2") as other:
        page = await listed(server, f"user_id={user}&namespace=/feed")
        (found,) = page.items
        assert found.sid == here.client.get_sid("/feed")
        assert (found.user_id, found.transport, found.address) == (user, transports[0], "127.0.0.1")
        answer = await post(server, f"disconnect/{found.sid}")
        assert answer.json() == {"ok": True, "sid": found.sid, "user_id": user}
        async with asyncio.timeout(WAIT_SECONDS):
            await here.ended.wait()
        assert (await listed(server, f"user_id={user}")).items == []
        assert (await post(server, f"disconnect/{found.sid}")).status_code == 404
        assert (await other.call("notification:read-all", {}))["ok"] is True
    (line,) = server.log_lines("admin.action", action="socket.disconnect", target=f"/feed {found.sid} user:{user}")
    assert line["actor"] == "boss"


async def test_an_admin_watches(server: Server, user: str) -> None:
    async with tab(server, "boss", "admin", namespaces=("/admin",)) as admin:
        await admin.until_got("admin:stats")
        greeted = len(admin.got("admin:stats"))
        async with tab(server, user):
            told = await until_told(admin, "connected", user)
            assert told.connections >= 2
            answer = await admin.call("stats", {}, "/admin")
            read = msgspec.convert(answer["stats"], Statistics)
            assert read.node == told.node
            assert {each.name for each in read.namespaces} == {"/feed", "/jobs", "/episodes", "/admin"}
            assert read.relay.ready
            assert read.process.cpu_seconds > 0
        await until_told(admin, "disconnected", user)
        await admin.until(lambda: len(admin.got("admin:stats")) > greeted)
        assert (await admin.call("stats", {"x": 1}, "/admin"))["error"]["code"] == "invalid"


async def test_statistics_and_metrics_say_the_same(server: Server, user: str) -> None:
    async with tab(server, user, transports=("websocket",)), server.rest("boss", "admin") as client:
        answer = await client.get("/api/v1/socket/stats")
        read = msgspec.json.decode(answer.content, type=Statistics)
        assert read.connections.websocket >= 1
        assert read.messages.bytes_sent > 0
        assert read.messages.bytes_received > 0
        assert read.process.rss_bytes
        assert await metric(client, "callboard_node", node=read.node) == 1
        assert await metric(client, "callboard_bytes_out_total") >= read.messages.bytes_sent
        assert await metric(client, "callboard_namespace_connections", namespace="/feed") >= 1
        async with asyncio.timeout(WAIT_SECONDS):
            while not await metric(client, "callboard_loop_lag_seconds", quantile="1"):
                pass
        assert await metric(client, "callboard_relay_leading") == 1
        assert await metric(client, "process_cpu_seconds_total") > 0
        text = (await client.get("/metrics")).text
    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(families) == len(set(families))
    assert user not in text


async def test_an_alert_waits_for_the_database_and_reaches_admins_with_a_position(launch: Any) -> None:
    server: Server = launch()
    async with tab(server, "boss", "admin", namespaces=("/admin",)) as admin:
        async with database(server) as connection:
            with pytest.raises(Exception, match="terminating connection"):
                await connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
                    "order by pid = pg_backend_pid()"
                )
        await until(lambda: bool(server.log_lines("database.back")))
        await admin.until_got("admin:alert")
        (alert,) = (msgspec.convert(each, AdminAlert) for each in admin.got("admin:alert"))
        assert alert.kind == "database_back"
        assert admin.positions
    assert len(server.log_lines("admin.alert")) == 1
    assert server.log_lines("task.failed") == []
