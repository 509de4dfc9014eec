"""sockets: who is connected, and ending a connection."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import structlog.testing
from tests.unit.realtime.stage import Peer
from tests.unit.sockets.conftest import Desk

from callboard.errors import Unavailable
from callboard.realtime.connection import Reason
from callboard.sockets.payloads import ConnectionPage


async def page(desk: Desk, query: str = "") -> ConnectionPage:
    response = await desk.ask("GET", "connections" + query)
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=ConnectionPage)


async def test_a_connection_is_listed_for_each_of_its_namespaces(desk: Desk) -> None:
    peer = await desk.joined("/feed", "mira")
    desk.clock.turn(1.5)
    await peer.join("/admin", "mira")
    peer.sink.waiting = 12
    listed = await page(desk)
    assert [item.namespace for item in listed.items] == ["/admin", "/feed"]
    assert (listed.node, listed.next_cursor, listed.position) == (desk.stage.node.id, None, "epoch.7")
    newest, oldest = listed.items
    assert (oldest.sid, newest.sid) == (desk.sid(peer), desk.sid(peer, "/admin"))
    assert msgspec.structs.asdict(oldest) == {
        "sid": oldest.sid,
        "namespace": "/feed",
        "user_id": "u1",
        "user_name": None,
        "transport": "websocket",
        "address": "192.0.2.1",
        "connected_at": "2026-03-01T12:00:00.000Z",
        "rooms": 3,
        "unsent_bytes": 12,
    }
    assert newest.connected_at == "2026-03-01T12:00:01.500Z"


async def test_nothing_in_it_lets_its_reader_speak_for_a_client(desk: Desk) -> None:
    peer = await desk.joined("/feed", "mira")
    text = (await desk.ask("GET", "connections")).text
    assert peer.connection.session.sid not in text
    assert "token" not in text


async def test_pages_cover_everybody_once_newest_first_while_others_come_and_go(desk: Desk) -> None:
    peers = [await desk.joined() for _ in range(5)]
    sids = [desk.sid(peer) for peer in peers]
    first = await page(desk, "?limit=2")
    assert [item.sid for item in first.items] == [sids[4], sids[3]]
    await desk.joined()
    peers[3].connection.close(Reason.TRANSPORT)
    second = await page(desk, f"?limit=2&cursor={first.next_cursor}")
    assert [item.sid for item in second.items] == [sids[2], sids[1]]
    last = await page(desk, f"?limit=2&cursor={second.next_cursor}")
    assert ([item.sid for item in last.items], last.next_cursor) == ([sids[0]], None)


async def test_filters(desk: Desk) -> None:
    mira = await desk.joined("/feed", "mira")
    await mira.join("/admin", "mira")
    jonas = await desk.joined()
    for query, expected in [
        ("?namespace=/feed", [desk.sid(jonas), desk.sid(mira)]),
        ("?namespace=/admin", [desk.sid(mira, "/admin")]),
        ("?user_id=u1", [desk.sid(mira, "/admin"), desk.sid(mira)]),
        ("?user_id=u1&namespace=/feed", [desk.sid(mira)]),
        ("?user_id=u2&namespace=/admin", []),
        ("?user_id=nobody", []),
    ]:
        assert [item.sid for item in (await page(desk, query)).items] == expected, query


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("?namespace=/nope", 422, "namespace"),
        ("?namespace=", 422, "namespace"),
        ("?user_id=", 422, "user_id"),
        ("?user_id=a%0A", 422, "user_id"),
        ("?user_id=" + "x" * 256, 422, "user_id"),
        ("?limit=0", 422, "limit"),
        ("?limit=101", 422, "limit"),
        ("?cursor=x", 400, None),
    ],
)
async def test_what_is_refused(desk: Desk, query: str, status: int, field: str | None) -> None:
    response = await desk.ask("GET", "connections" + query)
    assert (response.status_code, response.json().get("field")) == (status, field)


# Disconnecting


def ending(peer: Peer) -> list[str]:
    return [text for text in peer.sink.texts if text.startswith("41")]


async def test_a_disconnected_client_is_told_in_each_namespace_and_closed(desk: Desk) -> None:
    peer, other = await desk.joined("/feed", "mira"), await desk.joined("/feed", "mira")
    await peer.join("/admin", "mira")
    sid = desk.sid(peer, "/admin")
    response = await desk.ask("POST", f"disconnect/{sid}")
    assert (response.status_code, response.json()) == (200, {"ok": True, "sid": sid, "user_id": "u1"})
    assert ending(peer) == ["41/feed,", "41/admin,"]
    assert peer.sink.reasons == [Reason.ADMIN]
    assert [member.connection for member in desk.stage.node.namespace("/feed").hub.select(())] == [other.connection]
    assert (ending(other), other.connection.closed) == ([], False)


@pytest.mark.parametrize("sid", ["x", "A" * 20, "A" * 21, "a%2Fb", "A" * 19 + "%0A"])
async def test_an_unknown_sid(desk: Desk, sid: str) -> None:
    await desk.joined()
    assert (await desk.ask("POST", f"disconnect/{sid}")).status_code == 404
    assert desk.admin_log.recorded == []


async def test_the_id_of_an_engine_io_session_is_no_sid_here(desk: Desk) -> None:
    peer = await desk.joined()
    assert (await desk.ask("POST", f"disconnect/{peer.connection.session.sid}")).status_code == 404
    assert not peer.connection.closed


async def test_twice_is_not_found(desk: Desk) -> None:
    peer = await desk.joined()
    sid = desk.sid(peer)
    statuses: list[Any] = [(await desk.ask("POST", f"disconnect/{sid}")).status_code for _ in range(2)]
    assert statuses == [200, 404]


async def test_it_is_logged_and_recorded(desk: Desk) -> None:
    peer = await desk.joined()
    target = f"/feed {desk.sid(peer)} user:u2"
    with structlog.testing.capture_logs() as lines:
        await desk.ask("POST", f"disconnect/{desk.sid(peer)}")
    (line,) = [line for line in lines if line["event"] == "admin.action"]
    assert (line["actor"], line["action"], line["target"]) == ("boss", "socket.disconnect", target)
    assert desk.admin_log.recorded == [("boss", "socket.disconnect", target)]


async def test_what_cannot_be_recorded_is_not_done(desk: Desk) -> None:
    peer = await desk.joined()
    desk.admin_log.error = Unavailable("the database is away")
    assert (await desk.ask("POST", f"disconnect/{desk.sid(peer)}")).status_code == 503
    assert not peer.connection.closed
