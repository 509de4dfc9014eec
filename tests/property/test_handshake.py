"""Whatever a request says, a handshake ends in a session's place or a Refusal."""

from __future__ import annotations

import ipaddress
import json

from hypothesis import example, given
from hypothesis import strategies as st
from tests.sinks import FakeReceiver

from callboard.clock import SystemClock
from callboard.realtime.engine import Engine, EngineOptions
from callboard.transports.handshake import Policy, Refusal, Request, admit

# What header values come as: latin-1.
HEADER = st.text(st.characters(max_codepoint=255))
HOPS = st.lists(
    st.ip_addresses().map(str)
    | st.sampled_from(["10.0.0.1", "10.0.0.1:80", "[::1]:80", "unknown", "", "::ffff:10.0.0.1", "[", "]:", "fe80::1%0"])
    | HEADER
).map(",".join)
FIELDS = st.sampled_from(["EIO=4", "EIO=3", "transport=polling", "transport=websocket", "sid=", "sid=x", "a", "&", "%"])
ENGINE = Engine(EngineOptions(), SystemClock(), lambda connection: FakeReceiver())


def request(query: str, headers: dict[str, str], peer: str) -> Request:
    return Request(method="GET", query=query, headers=headers, peer=peer, scheme="http")


@given(st.text() | st.lists(FIELDS).map("&".join), st.booleans(), st.dictionaries(st.just("origin"), HEADER))
@example("&".join(["EIO=4"] * 1000), False, {})
@example("EIO=4&transport=polling&sid=%ed%a0%80", False, {})
def test_any_query_and_origin(query: str, upgrade: bool, headers: dict[str, str]) -> None:
    try:
        assert admit(ENGINE, Policy(), request(query, headers, "192.0.2.1"), upgrade=upgrade) is None
    except Refusal as refusal:
        answer = (refusal.status, set(json.loads(refusal.body)))
    else:
        answer = (400, {"code", "message"})
    assert answer in [(status, {"code", "message"}) for status in (400, 403)]
    assert ENGINE.connections == {}


@given(HOPS, st.sampled_from(["10.0.0.1", "192.0.2.1", "::ffff:10.0.0.2", "", "unix"]))
def test_the_clients_address_is_the_peers_or_an_address(forwarded: str, peer: str) -> None:
    policy = Policy(trusted_proxies=("10.0.0.0/8",))
    address = policy.address(request("", {"x-forwarded-for": forwarded}, peer))
    if address != peer:
        assert peer in ("10.0.0.1", "::ffff:10.0.0.2")
        assert ipaddress.ip_address(address) not in ipaddress.ip_network("10.0.0.0/8")
