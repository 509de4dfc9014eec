"""Whatever bytes come, the answer is a clear one: never 500, never a statement with an unchecked value."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rest_client import NoDatabase, bearer, client_for, slice_endpoints

from callboard.errors import Invalid, Malformed
from callboard.notifications.model import CreateNotification
from callboard.rest.body import MAX_DEPTH, decode, object_bytes

ADMIN = bearer("boss", "admin")
DECODER = msgspec.json.Decoder(CreateNotification)
ANYTHING = msgspec.json.Decoder(msgspec.Raw)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
fields = st.sampled_from(["user_id", "user_ids", "type", "title", "message", "data", "priority", "resource"])
bodies = (
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(fields, json_values, max_size=8).map(lambda value: json.dumps(value).encode())
)
nests = st.recursive(
    st.booleans() | st.text('[]{}"\\,:a', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[]{}"', max_size=3), inner, max_size=3),
)
# Pieces of JSON in any order: near misses that random bytes seldom make.
pieces = st.lists(
    st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"1", b'"a"', b"\\u0000", b"null", b" "]),
    max_size=300,
).map(b"".join)


@given(bodies | pieces)
async def test_no_body_is_answered_with_500(body: bytes) -> None:
    async with client_for(slice_endpoints(NoDatabase())) as client:
        for path in ("/notifications/batch", "/socket/broadcast"):
            response = await client.post(f"/api/v1{path}", headers=ADMIN, content=body)
            assert response.status_code in (400, 422)
            assert response.headers["content-type"] == "application/problem+json"


@given(bodies | pieces)
def test_decode_raises_nothing_but_its_two_errors(body: bytes) -> None:
    with contextlib.suppress(Malformed, Invalid):
        decode(body, DECODER)


@given(bodies | pieces)
def test_what_passes_is_json_for_everybody_else_too(body: bytes) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    try:
        text = object_bytes(decode(body, ANYTHING), "data", 10_000)
    except (Malformed, Invalid):
        return
    value = json.loads(text, parse_constant=refuse)
    assert isinstance(value, dict)
    assert "\0" not in repr(value)
    value_text = json.dumps(value, ensure_ascii=False)
    value_text.encode("utf-8")


@given(nests, st.integers(0, 70))
def test_depth_is_counted_exactly(value: Any, wraps: int) -> None:
    for _ in range(wraps):
        value = [value]
    # Brackets enough that they must be counted.
    padded = json.dumps([value, [[]] * MAX_DEPTH]).encode()

    def depth(part: Any) -> int:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    with contextlib.nullcontext() if depth(value) < MAX_DEPTH else pytest.raises(Malformed, match="deeper"):
        decode(padded, ANYTHING)
