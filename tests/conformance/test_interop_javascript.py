"""The unmodified socket.io-client from npm against the server.

`tests/peers/interop.mjs` runs it in Node and tells what it saw; what that should be is said here.
"""

from __future__ import annotations

import base64
from typing import Any

from tests.conformance.server import PATIENT, Server, run_server
from tests.peers.process import Seen, run_peer

SCRIPT = "interop.mjs"

HEARTBEAT = PATIENT  # large messages between two busy processes take as long as they take


async def run(server: Server, scenario: str) -> list[Seen]:
    async with run_peer(SCRIPT, server.origin, scenario) as running:
        return await running.rest()


def picked(seen: list[Seen], *kinds: str, namespace: str | None = None) -> list[Any]:
    """The `args` of these kinds, in order."""
    wanted = (one for one in seen if one["seen"] in kinds)
    return [one["args"] for one in wanted if namespace is None or one["namespace"] == namespace]


def raw(data: bytes) -> dict[str, str]:
    return {"bytes": base64.b64encode(data).decode()}


async def test_it_connects_by_polling_and_upgrades(server: Server) -> None:
    seen = await run(server, "upgrade")
    opened, connect, auth, transport, back, ack = seen
    assert opened == {"seen": "open", "transport": "polling"}
    assert (connect["seen"], connect["recovered"]) == ("connect", False)
    assert auth["args"] == [{"token": "abc"}]
    assert transport == {"seen": "transport", "name": "websocket"}
    assert back["args"] == ack["args"] == [1, "zwei €", {"three": [True, None]}]


async def test_it_works_on_either_transport_alone(server: Server) -> None:
    seen = await run(server, "transports")
    assert [one["transport"] for one in seen if one["seen"] == "connect"] == ["polling", "websocket"]
    data = raw(b"\x00\x01\xfe\xff")
    expected = [[transport, data] for transport in ("polling", "websocket")]
    assert picked(seen, "message-back") == expected
    assert picked(seen, "ack") == expected


async def test_it_joins_several_namespaces_on_one_connection(server: Server) -> None:
    seen = await run(server, "namespaces")
    assert {"seen": "shared", "value": True} in seen
    assert len({one["id"] for one in seen if one["seen"] == "connect"}) == 3
    assert picked(seen, "auth", namespace="/") == [[{"who": "main"}]]
    assert picked(seen, "auth", namespace="/custom") == [[{"who": "custom"}]] * 2
    assert picked(seen, "message-back", namespace="/") == [["to main"], ["main still here"]]
    assert picked(seen, "message-back", namespace="/custom") == [["to custom"], ["custom again"]]
    assert picked(seen, "ack") == picked(seen, "message-back")


async def test_it_is_told_that_a_namespace_is_unknown(server: Server) -> None:
    assert await run(server, "refused") == [{"seen": "connect_error", "message": "Invalid namespace"}]


async def test_it_sends_and_receives_binary_before_and_after_the_upgrade(server: Server) -> None:
    seen = await run(server, "binary")
    args = [raw(b"\x01\x02\x03"), {"nested": [raw(b""), raw(b"\xff")]}, "text"]
    assert picked(seen, "message-back", "ack") == [args] * 4


async def test_it_sends_and_receives_large_messages(server: Server) -> None:
    seen = await run(server, "large")
    large = {"seen": "large", "length": 400_000, "same": True}
    assert [one for one in seen if one["seen"] == "large"] == [large] * 4


async def test_its_messages_keep_their_order_over_the_upgrade(server: Server) -> None:
    seen = await run(server, "burst")
    assert [one["received"] for one in seen if one["seen"] == "burst"] == [list(range(420))]
    assert seen[-1] == {"seen": "transport", "name": "websocket"}


async def test_it_comes_back_after_the_server_drops_it(server: Server) -> None:
    seen = await run(server, "dropped")
    gone = [one["reason"] for one in seen if one["seen"] == "disconnect"]
    assert gone == ["transport close"] * 2
    for namespace, text in (("/", "main is back"), ("/custom", "custom is back")):
        connects = [one for one in seen if one["seen"] == "connect" and one["namespace"] == namespace]
        assert len({one["id"] for one in connects}) == 2
        assert [one["recovered"] for one in connects] == [False, False]
        assert picked(seen, "message-back", "ack", namespace=namespace) == [[text], [text]]


async def test_it_comes_back_after_the_server_was_killed(transport: str) -> None:
    with run_server(transport) as first:
        async with run_peer(SCRIPT, first.origin, "restarted") as running:
            while (await running.seen())["seen"] != "ready":
                pass
            first.process.kill()
            first.process.wait()
            with run_server(transport, first.port):
                seen = await running.rest()
    assert [one["reason"] for one in seen if one["seen"] == "disconnect"] == ["transport close"]
    assert picked(seen, "message-back") == [["kept by the client"]]


async def test_it_stays_connected_on_heartbeats_alone(transport: str) -> None:
    with run_server(transport) as server:
        seen = await run(server, "quiet")
    assert seen[-1] == {"seen": "quiet", "drops": 0}
