"""sockets: POST /socket/broadcast, from the request to the envelope."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import structlog.testing
from tests.rest_client import NoDatabase, Publisher, bearer, client_for, slice_endpoints

from callboard.realtime.broker import Envelope
from callboard.wire.socketio import RESERVED_EVENTS

ADMIN = bearer("boss", "admin")


async def post(body: bytes, publisher: Publisher | None = None, headers: dict[str, str] = ADMIN) -> Any:
    endpoints = slice_endpoints(NoDatabase(), publisher=publisher)
    async with client_for(endpoints) as client:
        return await client.post("/api/v1/socket/broadcast", headers=headers, content=body)


async def test_everyone_in_the_namespace_gets_the_very_bytes() -> None:
    publisher = Publisher()
    response = await post(b'{"namespace":"/jobs","event":"note","data":{ "a" : 1.50 }}', publisher)
    assert (response.status_code, response.json()) == (202, {"ok": True})
    assert publisher.envelopes == [Envelope(namespace="/jobs", rooms=(), name="note", payload=b'{ "a" : 1.50 }')]


async def test_feed_is_the_default() -> None:
    publisher = Publisher()
    await post(b'{"event":"note","data":{}}', publisher)
    assert publisher.envelopes[0].namespace == "/feed"


async def test_it_is_logged_with_its_actor_and_without_its_data() -> None:
    with structlog.testing.capture_logs() as lines:
        await post(b'{"event":"note","data":{"hush":"hush"}}')
    (line,) = lines
    assert (line["event"], line["actor"], line["action"], line["target"]) == (
        "admin.action",
        "boss",
        "socket.broadcast",
        "/feed note",
    )
    assert "hush" not in repr(line)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *[({"event": name}, "event") for name in sorted(RESERVED_EVENTS)],
        ({"event": ""}, "event"),
        ({"event": "x" * 129}, "event"),
        ({"event": 5}, "event"),
        ({"event": "a\nb"}, "event"),
        ({"event": "note\n"}, "event"),
        ({"event": "note\x7f"}, "event"),
        ({"namespace": "/nope"}, "namespace"),
        ({"namespace": "feed"}, "namespace"),
        ({"data": [1]}, "data"),
        ({"data": "text"}, "data"),
        ({"data": None}, "data"),
        ({"data": {"a": "x" * 65_536}}, "data"),
        ({"more": 1}, "more"),
    ],
)
async def test_what_is_refused(changes: dict[str, Any], field: str) -> None:
    publisher = Publisher()
    response = await post(msgspec.json.encode({"event": "note", "data": {}} | changes), publisher)
    assert (response.status_code, response.json()["field"]) == (422, field)
    assert publisher.envelopes == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"event":"note","data":{"a":NaN}}', 400),
        (b'{"event":"note","data":{"a":"\\ud800"}}', 400),
        (b'{"event":"note","data":{"a":"\xff"}}', 400),
        (b'{"event":"note","data":{"a":1e999}}', 422),
        (b'{"event":"note"}', 422),
    ],
)
async def test_data_that_no_client_could_read_is_refused(body: bytes, status: int) -> None:
    publisher = Publisher()
    assert (await post(body, publisher)).status_code == status
    assert publisher.envelopes == []
